"""Bright blobs of every size in the lung field: where nodules may be."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.boxes import Box, bounding_box, downsample
from radfind.engines.builtin.field import LungField

_LEVELS: tuple[tuple[int, tuple[float, ...]], ...] = (
    (1, (1.0, 1.5, 2.2)),
    (2, (3.2, 4.5, 6.3)),
    (4, (9.0, 13.0, 18.0)),
)
"""Scales (Gaussian sigma, mm) and the factor by which the grid is coarsened for them. A ball of radius r answers most
at sigma = r / sqrt(3), so these cover diameters of 3.5 to 62 mm with steps of about 1.4 (Lindeberg, IJCV 1998)."""

_HAZY_LEVELS: tuple[tuple[int, tuple[float, ...]], ...] = ((1, (2.2,)), (2, (3.2, 4.5, 6.3)), (4, (9.0,)))
"""Scales at which ground glass is looked for apart, with the vessels taken away: 7.5 to 31 mm."""

_THIN_MM = 3.0
_HAZY_HU = -300.0

BALL_DOT = 0.31
"""What the dot filter answers to a ball of unit contrast at its own scale: sqrt(2/pi) 3^1.5 e^-1.5 / 3."""

_MIN_DOT_HU = 12.0
"""Weakest answer kept: a ball answers 60 HU for a ground-glass ball 200 HU above
lung, 25 HU for a 3 mm solid one blurred to a third of its contrast."""

_BORDER = 24
"""Working voxels by which the volume is mirrored at its ends, so that a vessel cut by the first or last slice still
looks like a vessel. Covers two sigma of all but the largest scale."""


@dataclasses.dataclass(frozen=True)
class Blob:
    """A local maximum of blobness.

    Arguments:
        position: (k, j, i) on the working grid of the field.
        sigma: scale, mm.
        dot: answer of the dot filter, HU.
        roundness: smallest over largest principal curvature, 0..1; 1 for a ball, 0 for a tube.
        hazy: seen with the vessels taken away.
    """

    position: tuple[float, float, float]
    sigma: float
    dot: float
    roundness: float
    hazy: bool = False


def find_blobs(field: LungField) -> list[Blob]:
    """Blobs of the field, strongest first.

    Local maxima of the scale-normalised negative Laplacian, graded by the dot enhancement filter
    ``|l3|^2 / |l1|`` of the Hessian's eigenvalues (Li, Sone & Doi, Med Phys 2003), which answers to balls and
    hardly to tubes (vessels) and sheets (fissures). Outside the field everything is set to normal lung, so the chest
    wall does not answer.
    """
    if not (field.field > 0).any():
        return []
    box, inside, values = lung_alone(field)
    reach = min(_BORDER, values.shape[0] - 1)
    values = np.pad(values, ((reach, reach), (0, 0), (0, 0)), mode="reflect")
    inside = np.pad(inside, ((reach, reach), (0, 0), (0, 0)))
    with ThreadPoolExecutor(2) as pool:  # the filters release Python's lock
        plain = pool.submit(_scan, values, inside, field.step, _LEVELS)
        thinned = pool.submit(
            lambda: _scan(ground_glass_alone(values, field.step, field.background), inside, field.step, _HAZY_LEVELS)
        )
        blobs = [*plain.result(), *(dataclasses.replace(blob, hazy=True) for blob in thinned.result())]
    offset = np.array([part.start for part in box], np.float64) - np.array([reach, 0.0, 0.0])
    moved = [dataclasses.replace(blob, position=_shifted(blob.position, offset)) for blob in blobs]
    return sorted(moved, key=lambda blob: -blob.dot)


def lung_alone(field: LungField) -> tuple[Box, npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """The working image around the field, which is not empty: where it lies, what is field, and HU clipped to lung and
    soft tissue, with everything outside the field set to normal lung."""
    box = bounding_box(field.field > 0, margin=(4, 4, 4))
    inside = field.field[box] > 0
    values = np.where(inside, np.clip(field.work[box], -1000.0, 100.0), field.background).astype(np.float32)
    return box, inside, values


def _shifted(position: tuple[float, float, float], offset: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    k, j, i = np.asarray(position) + offset
    return float(k), float(j), float(i)


def ground_glass_alone(values: npt.NDArray[np.float32], step: float, background: float) -> npt.NDArray[np.float32]:
    """The image without what is denser than ground glass, so that ground glass among vessels stands alone.

    What is dense and thick, with its blurred edge, becomes normal lung; what is thin goes by a grey opening, wide
    enough for small vessels. Ground glass is bright over more than the width of the opening.
    """
    from scipy import ndimage

    reach = max(1, round(_THIN_MM / 2.0 / step))
    width = (2 * reach + 1,) * 3
    hazy = np.minimum(values, _HAZY_HU)
    thick = ndimage.grey_opening(hazy, size=width) >= _HAZY_HU
    hazy[ndimage.maximum_filter(thick, width)] = background
    return np.asarray(ndimage.grey_opening(hazy, size=width), np.float32)


def _scan(
    values: npt.NDArray[np.float32],
    inside: npt.NDArray[np.bool_],
    step: float,
    levels: tuple[tuple[int, tuple[float, ...]], ...],
) -> list[Blob]:
    """Blobs of one image over several scales; positions on the grid of `values`."""
    blobs: list[Blob] = []
    for factor, sigmas in levels:
        image = values if factor == 1 else downsample(values, factor)
        allowed = inside if factor == 1 else downsample(inside.astype(np.float32), factor) > 0.5
        if min(image.shape) < 5:
            continue
        for sigma in sigmas:
            scale = sigma / (factor * step)
            smooth = blur(image, scale)
            for place, dot, roundness in _maxima(smooth, allowed, scale):
                k, j, i = (place + 0.5) * factor - 0.5
                blobs.append(Blob((float(k), float(j), float(i)), sigma, dot, roundness))
    return blobs


def blur(image: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    """Gaussian of `sigma` voxels by Deriche's recursive filter, whose time does not depend on sigma."""
    import SimpleITK

    source = SimpleITK.GetImageFromArray(image)
    return np.asarray(SimpleITK.GetArrayFromImage(SimpleITK.SmoothingRecursiveGaussian(source, sigma)))


def _maxima(
    smooth: npt.NDArray[np.float32], allowed: npt.NDArray[np.bool_], scale: float
) -> list[tuple[npt.NDArray[np.float64], float, float]]:
    """(position, dot, roundness) of the local maxima of the negative Laplacian of one scale."""
    from scipy import ndimage

    answer = np.zeros_like(smooth)
    inner = (slice(1, -1),) * 3
    total = 6.0 * smooth[inner]
    for axis in range(3):
        for shift in (0, 2):
            window = [slice(1, -1)] * 3
            window[axis] = slice(shift, smooth.shape[axis] - 2 + shift)
            total = total - smooth[tuple(window)]
    answer[inner] = total * scale**2
    peaks = (answer > 3.0 * _MIN_DOT_HU) & allowed
    peaks &= answer >= ndimage.maximum_filter(answer, 3)
    places = np.argwhere(peaks)
    if len(places) == 0:
        return []
    curvature = -np.linalg.eigvalsh(_hessians(smooth, places)) * scale**2  # descending: largest curvature first
    largest, smallest = curvature[:, 0], curvature[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        dot = np.where(smallest > 0, smallest**2 / np.maximum(largest, 1e-3), 0.0)
        round_ = np.where(smallest > 0, smallest / np.maximum(largest, 1e-3), 0.0)
    kept = dot >= _MIN_DOT_HU
    return [
        (place.astype(float), float(d), float(r))
        for place, d, r in zip(places[kept], dot[kept], round_[kept], strict=True)
    ]


def _hessians(smooth: npt.NDArray[np.float32], places: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Second central differences (n, 3, 3) at `places` (n, 3), none of which lies on the border."""
    unit = np.eye(3, dtype=int)

    def at(offset: npt.NDArray[np.int_]) -> npt.NDArray[np.float64]:
        return smooth[tuple((places + offset).T)].astype(np.float64)

    result = np.zeros((len(places), 3, 3))
    centre = at(np.zeros(3, int))
    for a in range(3):
        result[:, a, a] = at(unit[a]) + at(-unit[a]) - 2.0 * centre
        for b in range(a + 1, 3):
            mixed = at(unit[a] + unit[b]) + at(-unit[a] - unit[b]) - at(unit[a] - unit[b]) - at(unit[b] - unit[a])
            result[:, a, b] = result[:, b, a] = mixed / 4.0
    return result
