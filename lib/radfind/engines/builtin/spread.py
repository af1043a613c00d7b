"""Findings without a compact shape: pieces of a mask on the working grid turned into lesions."""

from __future__ import annotations

import cc3d
import edt
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.boxes import Box, bounding_box
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask
from radfind.engines.builtin.lesion import Lesion, diameters


def blurred(field: LungField, sigma_mm: float, inside: Mask) -> npt.NDArray[np.float32]:
    """The working image averaged over `inside` only (normalised convolution), so that the wall does not leak in.

    Knutsson & Westin, CVPR 1993. Where nothing of `inside` is near, the image itself.
    """
    from scipy import ndimage

    sigma = sigma_mm / field.step
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma, truncate=3.0)
    values = np.where(inside, np.clip(field.work, -1024.0, 300.0), 0.0).astype(np.float32)
    total = ndimage.gaussian_filter(values, sigma, truncate=3.0)
    return np.where(weight > 0.05, total / np.maximum(weight, 0.05), field.work).astype(np.float32)


def above_lung(field: LungField, piece: Mask) -> float:
    """Share of a piece (0..1) with aerated lung somewhere below it: 0 on the diaphragm, where fluid gathers, too."""
    return float(np.maximum.accumulate(field.aerated, axis=0)[piece].mean())


def pieces(mask: Mask, step: float, smallest_ml: float) -> list[Mask]:
    """Connected pieces of at least `smallest_ml`, largest first."""
    labels, count = cc3d.connected_components(mask, connectivity=26, return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    order = [n for n in np.argsort(-sizes) if n > 0 and sizes[n] * step**3 >= smallest_ml * 1000.0]
    return [labels == n for n in order]


def spread_lesion(
    field: LungField,
    coarse: npt.NDArray,
    concept: str,
    score: float,
    limits: tuple[float, float],
    values: dict[str, float] | None = None,
) -> Lesion | None:
    """A lesion from a mask on the working grid, on the scan's own voxels; None when no voxel is hit.

    Arguments:
        field: of the scan.
        coarse: on the working grid: a mask, or how much of each voxel belongs to it (0..1).
        concept, score: as in `Lesion`.
        limits: HU (low, high) that the scan's own voxels, within one working voxel of the border, must have.
        values: further measures.
    """
    from scipy import ndimage

    inside = coarse >= 0.5
    box = bounding_box(inside, margin=(2, 2, 2))
    ratio = np.asarray(field.spacing) / field.step
    begin = np.array([part.start for part in box])
    low = np.maximum(np.floor(field.to_voxel(begin)).astype(int), 0)
    high = np.minimum(np.ceil(field.to_voxel([part.stop for part in box])).astype(int) + 1, field.array.shape)
    offset = (low - np.asarray(field.start) + 0.5) * ratio - 0.5 - begin
    value = ndimage.affine_transform(
        coarse[box].astype(np.float32), ratio, offset, output_shape=tuple(high - low), order=1, mode="nearest"
    )
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    hu = field.array[k, j, i]
    mask = (value > 0.5) & ((value > 0.99) | ((hu >= limits[0]) & (hu <= limits[1])))
    if not mask.any():
        return None
    return own_lesion(field, (k, j, i), mask, concept, score, side_of(field, inside), values)


def side_of(field: LungField, coarse: Mask) -> str:
    """Right, left or both, by where a mask on the working grid, not empty, lies."""
    share = np.count_nonzero(coarse & (field.half == 1)) / np.count_nonzero(coarse)
    return "right" if share > 0.8 else "left" if share < 0.2 else "both"


def own_lesion(
    field: LungField,
    box: Box,
    mask: Mask,
    concept: str,
    score: float,
    side: str,
    values: dict[str, float] | None = None,
) -> Lesion:
    """A lesion from a mask, not empty, on the part `box` of the scan's own voxels, measured."""
    tight = bounding_box(mask)
    mask = np.ascontiguousarray(mask[tight])
    k, j, i = (slice(a.start + t.start, a.start + t.stop) for a, t in zip(box, tight, strict=True))
    longest, across = diameters(mask, field.spacing)
    inner = edt.edt(np.pad(mask, 1), anisotropy=field.spacing, parallel=1)[1:-1, 1:-1, 1:-1]
    centre = np.unravel_index(int(inner.argmax()), mask.shape)
    return Lesion(
        concept=concept,
        box=(k, j, i),
        mask=mask,
        centre=(float(centre[0] + k.start), float(centre[1] + j.start), float(centre[2] + i.start)),
        side=side,
        score=score,
        longest_mm=longest,
        perpendicular_mm=across,
        volume_mm3=float(mask.sum() * np.prod(field.spacing)),
        mean_hu=float(field.array[k, j, i][mask].mean()),
        values=values or {},
    )


def onto_working_grid(field: LungField, lesion: Lesion) -> Mask:
    """A lesion's mask on the working grid of the field (nearest voxel)."""
    index = []
    for count, begin, size, part in zip(field.work.shape, field.start, field.spacing, lesion.box, strict=True):
        position = np.round((np.arange(count) + 0.5) * field.step / size - 0.5 + begin).astype(int) - part.start
        index.append(position)
    inside = [(i >= 0) & (i < n) for i, n in zip(index, lesion.mask.shape, strict=True)]
    clipped = [np.clip(i, 0, n - 1) for i, n in zip(index, lesion.mask.shape, strict=True)]
    within = inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :]
    return np.asarray(lesion.mask[np.ix_(*clipped)] & within)
