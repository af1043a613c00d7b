"""Safety margins around a structure, and what a resection leaves."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError
from radfind.measure.distances import SurfaceDistance
from radfind.measure.surface import bounding_box, surface
from radfind.volume import Geometry

_ORTHOGONAL = 1e-3


@dataclasses.dataclass(frozen=True)
class Directions:
    """Margins in millimetres towards each side of the patient; 0 adds nothing there."""

    left: float = 0.0
    right: float = 0.0
    anterior: float = 0.0
    posterior: float = 0.0
    superior: float = 0.0
    inferior: float = 0.0


def margin(
    mask: npt.NDArray[np.bool_],
    geometry: Geometry,
    size_mm: float | Directions,
    *,
    within: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.bool_]:
    """The structure grown by a margin, the structure included.

    A voxel belongs to it when its centre is no farther from the structure's surface than the margin; with
    `Directions`, when the offset lies in the octant of the ellipsoid whose half-axes are the margins of that octant.
    Right within half a voxel.

    Arguments:
        within: only grow inside this mask (the organ); the structure itself is kept whole.

    Raises:
        InputError: a margin is negative, or a mask is empty or does not fit the geometry.
    """
    if isinstance(size_mm, Directions):
        sizes = np.array(dataclasses.astuple(size_mm), dtype=float)
    else:
        sizes = np.full(6, float(size_mm))
    if not np.all(np.isfinite(sizes)) or sizes.min() < 0:
        raise InputError("A margin is a length in millimetres of 0 or more; negative or missing numbers are none.")
    box = _grown_box(mask, geometry, float(sizes.max()))
    start, stop = [part.start for part in box], [part.stop for part in box]
    k, j, i = (int(high - low) for low, high in zip(start, stop, strict=True))
    near = geometry.crop((start[0], start[1], start[2]), (k, j, i))
    if isinstance(size_mm, Directions):
        grown = _by_directions(mask[box], near, sizes)
    else:
        grown = _all_round(mask[box], near, float(size_mm))
    result = np.zeros_like(mask)
    result[box] = grown
    if within is not None:
        result &= within
    return result | mask


def _grown_box(mask: npt.NDArray[np.bool_], geometry: Geometry, reach: float) -> tuple[slice, slice, slice]:
    # How many voxels along each index axis a sphere of radius `reach` spans, also on a sheared grid.
    voxels = np.ceil(np.linalg.norm(np.linalg.inv(geometry.affine[:3, :3]), axis=1)[::-1] * reach).astype(int) + 2
    parts = [
        slice(max(part.start - int(n), 0), min(part.stop + int(n), size))
        for part, n, size in zip(bounding_box(mask, geometry), voxels, geometry.shape, strict=True)
    ]
    return parts[0], parts[1], parts[2]


def _all_round(mask: npt.NDArray[np.bool_], geometry: Geometry, size: float) -> npt.NDArray[np.bool_]:
    """Distances from voxel to voxel decide most voxels; only those they leave open are held against the surface."""
    import edt

    direction = geometry.direction
    if np.abs(direction.T @ direction - np.eye(3)).max() < _ORTHOGONAL:
        coarse = edt.edt(np.ascontiguousarray(~mask), anisotropy=geometry.spacing, parallel=1)
        inside = coarse <= size  # the surface is nearer than the centre of any voxel behind it
        unsure = ~inside & (coarse <= size + float(np.linalg.norm(geometry.spacing)))
    else:
        inside, unsure = mask.copy(), ~mask
    index = np.argwhere(unsure)
    if len(index):
        lengths, _ = SurfaceDistance(surface(mask, geometry)).query(geometry.to_lps(index))
        inside[tuple(index.T)] = lengths <= size
    return inside


def _by_directions(
    mask: npt.NDArray[np.bool_], geometry: Geometry, sizes: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    from scipy.signal import fftconvolve

    steps = geometry.affine[:3, :3]
    reach = np.ceil(np.linalg.norm(np.linalg.inv(steps), axis=1)[::-1] * sizes.max()).astype(int) + 1
    axes = [np.arange(-n, n + 1) for n in reach]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[..., ::-1] @ steps.T
    half = np.abs(steps).sum(axis=1) / 2.0  # half a voxel's extent along each patient axis: surface to centre
    left, right, anterior, posterior, superior, inferior = sizes
    positive = np.array([left, posterior, superior])
    negative = np.array([right, anterior, inferior])
    allowed = np.where(offsets >= 0, positive, negative)
    beyond = np.maximum(np.abs(offsets) - half, 0.0)
    kernel = np.sum((beyond / np.maximum(allowed, 1e-6)) ** 2, axis=-1) <= 1.0
    grown = fftconvolve(mask.astype(np.float32), kernel.astype(np.float32), mode="same") > 0.5
    return np.asarray(grown, dtype=bool)


@dataclasses.dataclass(frozen=True)
class Resection:
    """What a resection takes and leaves.

    Arguments:
        resected_mm3: of the organ, the lesion included.
        remnant_mm3: of the organ that stays.
        remnant_share: remnant over the organ without the lesion (the future liver remnant of hepatology).
    """

    resected_mm3: float
    remnant_mm3: float
    remnant_share: float


def resection(
    organ: npt.NDArray[np.bool_],
    lesion: npt.NDArray[np.bool_],
    removed: npt.NDArray[np.bool_],
    geometry: Geometry,
) -> Resection:
    """Volumes when `removed` (a margin, or planned segments) is taken out of `organ`; the lesion counts as organ.

    Raises:
        InputError: the organ without the lesion is empty.
    """
    whole = organ | lesion
    healthy = int(np.count_nonzero(whole & ~lesion))
    if healthy == 0:
        raise InputError("Nothing of the organ is left outside the lesion, so there is no remnant to state.")
    voxel = geometry.voxel_volume
    taken, left = int(np.count_nonzero(whole & removed)), int(np.count_nonzero(whole & ~removed & ~lesion))
    return Resection(taken * voxel, left * voxel, left / healthy)
