"""Outlining one blob: a lesion's voxels without the vessels and walls it touches, and its shape."""

from __future__ import annotations

import dataclasses

import cc3d
import edt
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.blobs import Blob, ground_glass_alone
from radfind.engines.builtin.boxes import Box, box_around, downsample, resample
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask

SOLID_HU = -350.0
"""Solid above, ground glass below: between -300 and -400 in the literature (Scholten et al., Eur Radiol 2015)."""

_SMALL_SOLID_HU = -600.0
"""A solid nodule of 3-4 mm, blurred, peaks here; nothing smaller than 6 mm is called ground glass."""

_BLUR_MM = 1.5
"""What lies this near a solid edge may be that edge blurred (FWHM of usual kernels and collimations)."""

_HALO_SHARE, _SHELL_MM = 0.5, 0.8
"""Share of a shell of this thickness, just beyond the blur of a solid core, that is ground glass when the core has a
halo. On synthetic scans 0.66 to 0.81 around part-solid nodules, 0.07 to 0.28 around solid ones."""

_CORE_SHARE, _CORE_MM = 0.04, 2.2
"""A dense part inside ground glass is a solid core when it takes this share and is this deep (mm, a radius); vessels
that pass through are thinner."""

_BLURRED_MM, _MOSTLY = 4.0, 0.6
"""What has at least this radius and this share of its voxels as dense as ground glass is not solid; smaller solid
nodules may be so by blur."""

_FINEST_MM, _COARSEST_MM = 0.6, 2.5


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """The surroundings of a blob on an isotropic grid fit for its size.

    Arguments:
        hu: CT numbers looked at; domain: the lung field there.
        true_hu: the scan's own CT numbers where `hu` has been changed.
        step: mm.
        start: position (k, j, i) of voxel (0, 0, 0) in the whole volume, fractional.
        spacing: mm of the whole volume.
        centre: the blob in this grid.
        ends: whether the first and last plane are the scan's own first and last slice.
    """

    hu: npt.NDArray[np.float32]
    domain: Mask
    step: float
    start: npt.NDArray[np.float64]
    spacing: tuple[float, float, float]
    centre: npt.NDArray[np.float64]
    ends: tuple[bool, bool]
    true_hu: npt.NDArray[np.float32] | None = None

    @property
    def isotropic(self) -> tuple[float, float, float]:
        return (self.step, self.step, self.step)

    def onto(self, mask: Mask, shape: tuple[int, ...]) -> tuple[Box, Mask] | None:
        """A mask of this grid on the whole volume's voxels (trilinear, half), with its box; None when none is hit."""
        from scipy import ndimage

        spacing = np.asarray(self.spacing)
        ratio = spacing / self.step
        index = np.argwhere(mask)
        low = np.maximum(np.floor(self.start + (index.min(0) - 1) / ratio).astype(int), 0)
        high = np.minimum(np.ceil(self.start + (index.max(0) + 1) / ratio).astype(int) + 1, shape)
        if np.any(high <= low):
            return None
        box = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2])))
        offset = (low - self.start) * ratio
        value = ndimage.affine_transform(
            mask.astype(np.float32), ratio, offset, output_shape=tuple(high - low), order=1, mode="nearest"
        )
        result = value > 0.5
        return (box, result) if result.any() else None


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """One candidate's voxels and what was measured on them, before judging.

    Arguments:
        view: the grid of `mask` and `core`.
        mask: the lesion; core: its solid part.
        kind: "solid", "part_solid" or "ground_glass".
        contrast: HU above the lung around it.
        hazy_share: share of the lesion whose own HU are those of ground glass.
        noise_ratio: contrast over noise.
        diameter: mm, of the ball of the same volume.
        elongation: longest axis over the geometric mean of the others; 1 for a ball.
        compactness: volume over that of the ellipsoid with the same moments; 1 for an ellipsoid.
        inscribed: radius of the largest ball inside over that of the ball of the same volume; 1 for a ball.
        dense_share: share of the lesion whose own HU are solid.
        unevenness: standard deviation of those of its own HU that are not solid, beyond noise, over the contrast.
        contact: share of the surface on which it goes on as bright inside the lung, or is cut by the scan's end.
        pleural: share of the surface on the border of the lung field.
        protrusion: depth into the lung over the radius of the base on the border; 1 for a half ball, 9 when free.
    """

    view: View
    mask: Mask
    core: Mask
    kind: str
    contrast: float
    hazy_share: float
    noise_ratio: float
    diameter: float
    elongation: float
    compactness: float
    inscribed: float
    dense_share: float
    unevenness: float
    contact: float
    pleural: float
    protrusion: float


def view_of(field: LungField, blob: Blob) -> View:
    """The surroundings of a blob, about a dozen voxels to its diameter: interpolated from the scan's own voxels when
    it is small, from the working grid when it is large."""
    radius = blob.sigma * np.sqrt(3.0)
    reach = 2.2 * radius + 6.0
    step = float(np.clip(radius / 5.0, _FINEST_MM, _COARSEST_MM))
    spacing = np.asarray(field.spacing)
    if step < field.step:
        box = box_around(field.to_voxel(blob.position), reach, field.spacing, field.array.shape)
        hu = resample(_smoothed(field.array[box], field), field.spacing, step)
        domain = resample((field.field_in(box) > 0).astype(np.float32), field.spacing, step) > 0.5
        begin = np.array([part.start for part in box], float)
        stop = box[0].stop
    else:
        factor = max(1, int(step / field.step))
        step = factor * field.step
        box = box_around(blob.position, reach, (field.step,) * 3, field.work.shape)
        hu, inside = field.work[box], field.field[box] > 0
        if factor > 1:
            hu, inside = downsample(hu, factor), downsample(inside.astype(np.float32), factor) > 0.5
        domain = inside
        begin = field.to_voxel([part.start - 0.5 for part in box]) + 0.5
        stop = (
            int(np.ceil(field.to_voxel([box[0].stop - 0.5, 0, 0])[0] - 0.5)) if box[0].stop < field.work.shape[0] else 0
        )
        stop = stop or field.array.shape[0]
    start = begin + 0.5 * step / spacing - 0.5
    return View(
        hu=hu,
        domain=domain,
        step=step,
        start=start,
        spacing=field.spacing,
        centre=(field.to_voxel(blob.position) - start) * spacing / step,
        ends=(begin[0] < 0.5, stop >= field.array.shape[0]),
    )


def outline_blob(field: LungField, blob: Blob, share: float = 0.5) -> Outline | None:
    """Outline the lesion around a blob, or None when nothing stands out there.

    `share` is the opening's radius over the lesion's: 0.5 keeps irregular shapes, 0.7 cuts vessels nearly as wide as
    the lesion. Blobs seen only with the vessels taken away are outlined on that image.

    The threshold is half-way between the lesion and its surroundings (the edge of a blurred step); vessels and
    pleural tags are cut by an opening whose ball is a share of the lesion's own radius, then the rim the opening
    took is given back (Kuhnigk et al., IEEE TMI 2006; Kostis et al., IEEE TMI 2003).
    """
    radius = blob.sigma * np.sqrt(3.0)
    view = view_of(field, blob)
    if min(view.hu.shape) < 3:
        return None
    if blob.hazy:
        alone = ground_glass_alone(view.hu, view.step, field.background)
        view = dataclasses.replace(view, hu=alone, true_hu=view.hu)
    hu, domain = view.hu, view.domain
    distance = _distance_from(view.centre, hu.shape) * view.step
    near = domain & (distance <= max(0.5 * radius, 1.2 * view.step))
    shell = domain & (distance > 1.3 * radius + 1.0)
    if near.sum() < 1 or shell.sum() < 20:
        return None
    quiet = hu[shell & (hu < field.background + 150.0)]
    background = float(np.median(quiet)) if quiet.size > 50 else field.background
    inner = float(np.percentile(hu[near], 60))
    if inner - background < field.noise + 60.0:
        return None
    if inner > SOLID_HU or (radius < 2.5 and inner > _SMALL_SOLID_HU):
        level = min(max(inner, SOLID_HU), 60.0)
        edge = (level + background) / 2.0
        solid = _cut(hu > edge, view, distance, radius, share)
        if solid is None:
            return None
        # A dense centre with an edge in the middle of ground glass: the core is not the lesion.
        if radius < _BLURRED_MM or (hu[solid] < SOLID_HU).mean() < _MOSTLY:
            halo = _halo(view, solid, background, field.noise)
            if halo is not None:
                return measured(field, view, halo[0], solid, "part_solid", background, halo[1])
            return measured(field, view, solid, solid, "solid", background, edge)
    faint = _cut(hu > (inner + background) / 2.0, view, distance, radius, share)
    if faint is None:
        return None
    level = float(np.median(hu[faint]))
    edge = (level + background) / 2.0
    again = _cut(hu > edge, view, distance, radius, share)
    faint = faint if again is None else again
    core = solid_core(view, faint)
    if core is not None:
        return measured(field, view, faint, core, "part_solid", background, edge)
    return measured(field, view, faint, faint, "ground_glass", background, edge)


def solid_core(view: View, faint: Mask) -> Mask | None:
    """The dense part of ground glass where it is a core of its own, or None: a vessel that passes is thin, or it is
    thick and lies mostly outside."""
    dense = view.domain & ((view.hu if view.true_hu is None else view.true_hu) > SOLID_HU)
    core = dense & faint
    if core.sum() <= _CORE_SHARE * faint.sum():
        return None
    labels, count = cc3d.connected_components(_depth(dense, view.step) > _CORE_MM, connectivity=26, return_N=True)
    whole = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    within = np.bincount(labels[faint], minlength=count + 1)[1:]
    return core if (2 * within > whole).any() else None


def _smoothed(array: npt.NDArray, field: LungField) -> npt.NDArray[np.float32]:
    """Less noise where there is much of it, no further blur where there is little."""
    from scipy import ndimage

    hu = array.astype(np.float32)
    if field.noise < 25.0:
        return hu
    width = 0.5 if field.noise < 50.0 else 0.8
    return np.asarray(ndimage.gaussian_filter(hu, [width / s for s in field.spacing]), np.float32)


def _distance_from(centre: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    k, j, i = ((np.arange(n) - c) ** 2 for n, c in zip(shape, centre, strict=True))
    return np.sqrt(k[:, None, None] + j[None, :, None] + i[None, None, :]).astype(np.float32)


def _depth(mask: Mask, step: float) -> npt.NDArray[np.float32]:
    """Distance to the outside, mm; past the view's border counts as inside."""
    if mask.all():
        return np.full(mask.shape, 1e3, np.float32)
    return np.asarray(edt.edt(mask, anisotropy=(step,) * 3, black_border=False, parallel=1))


def away_from(mask: Mask, step: float) -> npt.NDArray[np.float32]:
    """Distance to the mask, mm."""
    return np.asarray(edt.edt(~mask, anisotropy=(step,) * 3, black_border=False, parallel=1))


def _cut(bright: Mask, view: View, distance: npt.NDArray[np.float32], radius: float, share: float) -> Mask | None:
    """The bright piece at the blob without the vessels that enter it; None when nothing bright lies there."""
    piece = bright & view.domain
    depth = _depth(piece, view.step)
    reach = depth * (distance <= max(radius, 1.5 * view.step))
    widest = float(reach.max())
    if widest <= 0:
        return None
    seed = int(reach.argmax())
    ball = min(share * widest, 16.0 * share)
    labels = cc3d.connected_components(depth >= ball, connectivity=26)
    core = labels == labels.flat[seed]
    mask = (away_from(core, view.step) <= ball + 0.35 * view.step) & piece
    labels = cc3d.connected_components(mask, connectivity=6)
    return np.asarray(labels == labels.flat[seed])


def _halo(view: View, solid: Mask, background: float, noise: float) -> tuple[Mask, float] | None:
    """The solid core with the ground glass around it, and the HU of its edge; None when there is only blur."""
    hu, domain, step = view.hu, view.domain, view.step
    size = float(np.cbrt(solid.sum())) * step
    # An edge is smeared over the blur and about one voxel; a slice thicker than that counts as that much.
    blur = max(_BLUR_MM, max(view.spacing[1:]))
    stretch = min(1.0, blur / (1.25 * view.spacing[0]))
    thin = (step * stretch, step, step)
    away = np.asarray(edt.edt(~solid, anisotropy=thin, black_border=False, parallel=1))
    within = away < max(12.0, 1.5 * size)
    hazy = domain & within & (hu > background + max(110.0, 2.5 * noise)) & (hu < SOLID_HU)
    wide = hazy & (away > blur)
    # Ground glass lies all around; vessels that leave the core, and their blurred edges, in a few places only.
    shell = domain & (away > blur) & (away <= blur + max(step, _SHELL_MM))
    if (wide & shell).sum() < _HALO_SHARE * max(int(shell.sum()), 1) or wide.sum() * step**3 < 30.0:
        return None
    around = np.asarray(edt.edt(wide | (away <= blur), anisotropy=thin, black_border=False, parallel=1))
    thick = wide & (around > blur)
    level = float(np.median(hu[thick if thick.sum() > 0.3 * solid.sum() else wide & shell]))
    edge = (level + background) / 2.0
    body = domain & within & ((hu > edge) | solid)
    depth = _depth(body, step)
    ball = float(np.clip(0.35 * (depth * within).max(), 1.0, 6.0))
    labels = cc3d.connected_components((depth >= ball) | solid, connectivity=26)
    core = labels == np.bincount(labels[solid]).argmax()
    whole = np.asarray((away_from(core, step) <= ball + 0.35 * step) & body | solid)
    return (whole, edge) if whole.sum() > 1.5 * solid.sum() else None


def measured(
    field: LungField, view: View, mask: Mask, core: Mask, kind: str, background: float, edge: float
) -> Outline | None:
    """What the masks of a view measure; None when the lesion is under 8 voxels.

    Arguments:
        background, edge: HU of the lung around and half-way to it.
    """
    count = int(mask.sum())
    if count < 8:
        return None
    step, hu, domain = view.step, view.hu, view.domain
    own = (hu if view.true_hu is None else view.true_hu)[mask]
    soft = own[own < SOLID_HU] if (own < SOLID_HU).any() else own
    spread = np.cov((np.argwhere(mask) * step).T) + np.eye(3) * step**2 / 12.0
    axes = np.sqrt(5.0 * np.linalg.eigvalsh(spread))  # half axes of the ellipsoid with the same second moments
    volume = count * step**3
    diameter = float(2.0 * np.cbrt(volume * 3.0 / (4.0 * np.pi)))
    level = float(np.median(hu[mask]))
    rim = (away_from(mask, step) <= 1.01 * step) & ~mask
    # Where the scan ends inside the lesion nobody knows how it goes on: that face counts as contact, twice.
    cut = sum(int(mask[plane].sum()) for plane, ends in zip((0, -1), view.ends, strict=True) if ends)
    surface = max(int(rim.sum()) + cut, 1)
    base = int((mask & touching(~domain)).sum()) * step**2
    height = float(_depth(domain, step)[mask].max())
    return Outline(
        view=view,
        mask=mask,
        core=core,
        kind=kind,
        contrast=level - background,
        hazy_share=float(((own > background + 80.0) & (own < SOLID_HU)).mean()),
        noise_ratio=(level - background) / max(field.noise, 8.0),
        diameter=diameter,
        elongation=float(axes[2] / np.sqrt(axes[0] * axes[1])),
        compactness=float(min(1.0, volume / (4.0 / 3.0 * np.pi * np.prod(axes)))),
        inscribed=float(2.0 * _depth(mask, step).max() / diameter),
        dense_share=float((own > SOLID_HU).mean()),
        unevenness=float(np.sqrt(max(float(soft.var()) - field.noise**2, 0.0)) / max(level - background, 1.0)),
        contact=float(((rim & domain & (hu > edge)).sum() + 2 * cut) / surface),
        pleural=float((rim & ~domain).sum() / surface),
        protrusion=float(min(9.0, height / np.sqrt(base / np.pi))) if base > 0 else 9.0,
    )


def touching(mask: Mask) -> Mask:
    """Voxels outside `mask` that share a face with it."""
    out = np.zeros_like(mask)
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        out[tuple(high)] |= mask[tuple(low)]
        out[tuple(low)] |= mask[tuple(high)]
    return out & ~mask
