"""The lung field: where the lungs are or would be without disease, on a grid fit for finding blobs."""

from __future__ import annotations

import dataclasses
import functools

import cc3d
import fill_voids
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.boxes import bounding_box, downsample, resample
from radfind.engines.builtin.grid import Spacing, close, dilate

CLOSING_MM = 12.0
"""Notches up to about twice this wide in a lung's surface belong to the field: nodules of up to 24 mm on the
pleura, and hilar vessels. Rolling-ball radii of 10-15 mm are usual for juxtapleural nodules (Pu et al.,
Comput Med Imaging Graph 2008; Armato & Sensakovic, Acad Radiol 2004)."""

_COARSE_MM = 2.0
"""Grid for what is larger than a nodule."""

_EDGE_MM = 2.5
_AERATED_HU = -400.0

NORMAL_LUNG_HU = -860.0
"""Median lung density at full inspiration where the scan itself gives none (Kinsella et al., ARRD 1990: -880..-820)."""


@dataclasses.dataclass(frozen=True, eq=False)
class LungField:
    """The lungs with what disease or a threshold took from them.

    Arguments:
        array: CT numbers of the whole oriented volume, (k, j, i).
        spacing: mm along (k, j, i).
        lungs: uint8 (k, j, i), 1 right, 2 left: the aerated lungs as segmented.
        start: first voxel (k, j, i) of the region worked on, in the whole volume.
        step: mm of the isotropic working grid.
        work: CT numbers on the working grid.
        field: uint8 on the working grid, 1 right, 2 left: lungs closed by a ball and filled.
        aerated: boolean on the working grid: the lungs as segmented.
        cage: uint8 on the working grid, 1 right, 2 left of the midline: everything inside the ribs.
        background: median HU of aerated lung.
        noise: standard deviation of the noise in lung, HU, in the original voxels.
        air: HU that this scan shows for air: -1000 by definition, more or less where a scanner is out of calibration.
    """

    array: npt.NDArray
    spacing: Spacing
    lungs: npt.NDArray[np.uint8]
    start: tuple[int, int, int]
    step: float
    work: npt.NDArray[np.float32]
    field: npt.NDArray[np.uint8]
    aerated: npt.NDArray[np.bool_]
    cage: npt.NDArray[np.uint8]
    background: float
    noise: float
    air: float

    @property
    def half(self) -> npt.NDArray[np.uint8]:
        """1 right, 2 left on the working grid, by the lung or else by the midline; 0 outside the ribs."""
        return np.where(self.field > 0, self.field, self.cage).astype(np.uint8)

    @functools.cached_property
    def coarse(self) -> LungField:
        """The same on a grid of about 2 mm; itself where it is as coarse."""
        factor = round(_COARSE_MM / self.step)
        if factor < 2:
            return self

        def shrunk(mask: npt.NDArray) -> npt.NDArray[np.bool_]:
            return downsample(mask.astype(np.float32), factor) > 0.5

        return dataclasses.replace(
            self,
            step=self.step * factor,
            work=downsample(self.work, factor),
            aerated=shrunk(self.aerated),
            field=_named(shrunk(self.field == 1), shrunk(self.field == 2)),
            cage=_named(shrunk(self.cage == 1), shrunk(self.cage == 2)),
        )

    def to_voxel(self, position: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Indices (..., 3) of the whole volume for indices of the working grid."""
        spacing = np.asarray(self.spacing)
        return (np.asarray(position, np.float64) + 0.5) * self.step / spacing - 0.5 + np.asarray(self.start)

    def to_work(self, position: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Indices (..., 3) of the working grid for indices of the whole volume."""
        spacing = np.asarray(self.spacing)
        return (np.asarray(position, np.float64) - np.asarray(self.start) + 0.5) * spacing / self.step - 0.5

    def field_in(self, box: tuple[slice, slice, slice]) -> npt.NDArray[np.uint8]:
        """The field on the original voxels of a box of the whole volume (nearest neighbour, lungs kept)."""
        index = []
        for part, begin, size, count in zip(box, self.start, self.spacing, self.field.shape, strict=True):
            position = (np.arange(part.start, part.stop) - begin + 0.5) * size / self.step - 0.5
            index.append(np.clip(np.round(position).astype(int), 0, count - 1))
        coarse = self.field[np.ix_(*index)]
        own = self.lungs[box]
        return np.where(own > 0, own, coarse).astype(np.uint8)


def lung_field(
    array: npt.NDArray,
    spacing: Spacing,
    lungs: npt.NDArray[np.uint8],
    *,
    exclude: npt.NDArray[np.bool_] | None = None,
    cage: npt.NDArray[np.uint8] | None = None,
    air: float = -1000.0,
) -> LungField | None:
    """Build the field, or None when there is no lung to speak of (under 50 ml).

    Arguments:
        array: CT numbers, (k, j, i), axes towards head, back and left.
        spacing: mm along (k, j, i).
        lungs: uint8 (k, j, i), 1 right, 2 left.
        cage: uint8 (k, j, i), 1 right, 2 left: inside of the ribs; None when unknown.
        exclude: boolean (k, j, i): never part of the field (trachea, main bronchi).
        air: HU that this scan shows for air.
    """
    if np.count_nonzero(lungs) * float(np.prod(spacing)) < 50e3:
        return None
    shown = lungs > 0 if cage is None else (lungs > 0) | (cage > 0)
    box = bounding_box(shown, margin=tuple(int(np.ceil(4.0 / s)) for s in spacing))
    step = float(np.clip(min(spacing[1:]), 1.0, 2.0))
    work = resample(array[box], spacing, step)
    airway = np.zeros(work.shape, bool)
    if exclude is not None:
        airway = resample(exclude[box].astype(np.float32), spacing, step) > 0.5
    isotropic = (step, step, step)
    open_ends = (box[0].start == 0, box[0].stop == array.shape[0])
    field = np.zeros(work.shape, np.uint8)
    aerated = np.zeros(work.shape, bool)
    for side in (1, 2):
        mask = resample((lungs[box] == side).astype(np.float32), spacing, step) > 0.5
        if not mask.any():
            continue
        # The lungs come from a coarse grid; the true edge is where the scan itself leaves lung density.
        own = dilate(mask, _EDGE_MM, isotropic) & (work < _AERATED_HU) & ~airway & ~aerated
        own = _large_pieces(own, step)
        closed = fill_voids.fill(close_within(own, CLOSING_MM, isotropic, open_ends))
        field[(closed | mask) & (field == 0)] = side
        field[own] = side
        aerated |= own
    field[airway] = 0
    plain = work[aerated & (work < -600)]
    background = float(np.median(plain)) if plain.size > 1000 else NORMAL_LUNG_HU
    return LungField(
        array=array,
        spacing=spacing,
        lungs=lungs,
        start=(box[0].start, box[1].start, box[2].start),
        step=step,
        work=work,
        field=field,
        aerated=aerated,
        cage=field if cage is None else _sides(cage[box], spacing, step),
        background=background,
        noise=lung_noise(array, lungs),
        air=air,
    )


def _large_pieces(mask: npt.NDArray[np.bool_], step: float) -> npt.NDArray[np.bool_]:
    """Without specks (under 2 ml), which are gas of another organ or noise and would draw the closing to them."""
    labels, count = cc3d.connected_components(mask, connectivity=6, return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large = sizes * step**3 >= 2000.0
    large[0] = False
    return np.asarray(large[labels])


def _sides(labels: npt.NDArray[np.uint8], spacing: Spacing, step: float) -> npt.NDArray[np.uint8]:
    right, left = (resample((labels == side).astype(np.float32), spacing, step) > 0.5 for side in (1, 2))
    return _named(right, left)


def _named(right: npt.NDArray[np.bool_], left: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return np.where(right, 1, np.where(left, 2, 0)).astype(np.uint8)


def close_within(
    mask: npt.NDArray[np.bool_], radius_mm: float, spacing: Spacing, open_ends: tuple[bool, bool]
) -> npt.NDArray[np.bool_]:
    """Closing by a ball. Past the scan's own ends (`open_ends`: lower, upper) the lung goes on unseen and they do not
    bend the closing; past every other face of the array there is no lung."""
    k, j, i = (int(np.ceil(radius_mm / size)) + 1 for size in spacing)
    low, high = (0 if is_open else k for is_open in open_ends)
    closed = close(np.pad(mask, ((low, high), (j, j), (i, i))), radius_mm, spacing)
    return closed[low : low + mask.shape[0], j:-j, i:-i]


def lung_noise(array: npt.NDArray, lungs: npt.NDArray[np.uint8]) -> float:
    """Noise of aerated lung in HU: from differences of in-plane neighbours two voxels apart, by their median
    absolute deviation, so that vessels do not count. A sample of slices is enough."""
    deviations = []
    for k in range(0, array.shape[0], max(1, array.shape[0] // 24)):
        plain = (lungs[k] > 0) & (array[k] < -700)
        pairs = plain[:, 2:] & plain[:, :-2]
        if pairs.sum() > 500:
            rows = array[k].astype(np.float32)
            difference = (rows[:, 2:] - rows[:, :-2])[pairs]
            deviations.append(np.median(np.abs(difference)) * 1.4826 / np.sqrt(2.0))
    return float(np.median(deviations)) if deviations else 20.0
