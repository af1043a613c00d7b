"""The smooth surface of a mask, in patient millimetres: what is measured, planned on and exported."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError
from radfind.volume import Geometry

SMOOTHING_VOXELS = 1.0
"""Standard deviation of the smoothing kernel. Less keeps the stairs of the voxels, more rounds edges of a box."""
_CLEARANCE = 0.02  # how far, in units of the mask's step, the surface keeps from every voxel centre


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """A closed triangle mesh.

    Arguments:
        vertices: (n, 3) LPS millimetres.
        faces: (m, 3) vertex numbers, counter-clockwise seen from outside.
        shift_mm: the uniform step along the normals that brought the volume to that of the mask.
    """

    vertices: npt.NDArray[np.float64]
    faces: npt.NDArray[np.int64]
    shift_mm: float = 0.0

    @functools.cached_property
    def volume_mm3(self) -> float:
        """Enclosed volume (divergence theorem over the triangles)."""
        a, b, c = (self.vertices[self.faces[:, n]] - self.vertices[0] for n in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)

    @functools.cached_property
    def area_mm2(self) -> float:
        """Sum of the triangles' areas."""
        return float(np.linalg.norm(self._weighted_normals(), axis=1).sum() / 2.0)

    @functools.cached_property
    def normals(self) -> npt.NDArray[np.float64]:
        """(n, 3) unit vectors outwards at the vertices, the mean of the faces around weighted by area."""
        total = np.zeros_like(self.vertices)
        weighted = self._weighted_normals()
        for corner in range(3):
            for axis in range(3):
                total[:, axis] += np.bincount(self.faces[:, corner], weighted[:, axis], len(total))
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return total / np.where(length > 0, length, 1.0)

    def _weighted_normals(self) -> npt.NDArray[np.float64]:
        a, b, c = (self.vertices[self.faces[:, n]] for n in range(3))
        return np.cross(b - a, c - a)


def surface(mask: npt.NDArray[np.bool_], geometry: Geometry, *, smoothing: float = SMOOTHING_VOXELS) -> Surface:
    """The surface of `mask`, smooth below the size of a voxel.

    The mask is smoothed with the kernel 2G - G*G, whose half-height level does not shrink with curvature to second
    order (the idea of Taubin, SIGGRAPH 1995), every voxel is then held on its side of the level (the constraint of
    Whitaker, "Reducing aliasing artifacts in iso-surfaces of binary volumes", 2000), and the level is
    triangulated (Lewiner et al. 2003). So thin parts stay and no voxel changes side. At last all vertices
    move along their normals by one small step that makes the volume that of the voxels; `Surface.shift_mm` states it.

    Arguments:
        mask: (k, j, i) on the grid of `geometry`; it may touch the grid's border.
        smoothing: standard deviation of the kernel in voxels; thin structures get as little as 0.3 of it.

    Raises:
        InputError: the mask is empty or does not fit the geometry.
    """
    box = bounding_box(mask, geometry)
    start = np.array([part.start - _MARGIN for part in box])
    target = float(np.count_nonzero(mask)) * geometry.voxel_volume
    spacing = geometry.voxel_volume ** (1 / 3)
    best: Surface | None = None
    for factor in _WEAKER:
        found = _triangulated(_field(mask[box], smoothing * factor), start, geometry)
        found = _with_volume(found, target, limit=0.4 * spacing)
        if best is None or abs(found.shift_mm) < abs(best.shift_mm):
            best = found
        if abs(best.shift_mm) <= _GOOD_SHIFT * spacing:
            break
    assert best is not None  # there is always a first factor
    return best


def _triangulated(field: npt.NDArray[np.float32], start: npt.NDArray, geometry: Geometry) -> Surface:
    from skimage.measure import marching_cubes

    points, faces, _, _ = marching_cubes(field, 0.5, allow_degenerate=False)
    points, faces = _without_strays(points, faces)
    vertices = geometry.to_lps(points.astype(np.float64) + start)
    faces = faces.astype(np.int64)
    result = Surface(vertices, faces)
    if result.volume_mm3 < 0:  # a left-handed grid turns the triangles round
        result = Surface(vertices, faces[:, ::-1].copy())
    return result


_GOOD_SHIFT = 0.1  # voxels; more than this starts to carry the surface over voxel centres
_WEAKER = (1.0, 0.7, 0.5, 0.3)  # structures a few voxels thick are smoothed less, or they would need a large step
_MARGIN = 4


def bounding_box(mask: npt.NDArray[np.bool_], geometry: Geometry) -> tuple[slice, slice, slice]:
    """The smallest box of voxels that holds `mask`.

    Raises:
        InputError: the mask is empty or does not fit the geometry.
    """
    if mask.shape != geometry.shape:
        raise InputError(f"The mask {mask.shape} does not lie on the grid {geometry.shape}; measure on one grid.")
    box = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(used):
            raise InputError("The segment is empty: there is nothing to measure. Segment the structure first.")
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return box[0], box[1], box[2]


def _field(mask: npt.NDArray[np.bool_], smoothing: float) -> npt.NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    inside = np.pad(mask, _MARGIN)
    solid = inside.astype(np.float32)
    once = gaussian_filter(solid, smoothing, mode="constant", truncate=3.0)
    field: npt.NDArray[np.float32] = 2.0 * once - gaussian_filter(once, smoothing, mode="constant", truncate=3.0)
    low, high = np.float32(0.5 - _CLEARANCE), np.float32(0.5 + _CLEARANCE)
    return np.where(inside, np.maximum(field, high), np.minimum(field, low))


def _without_strays(points: npt.NDArray, faces: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    used, numbers = np.unique(faces, return_inverse=True)
    return points[used], numbers.reshape(faces.shape)


def _with_volume(found: Surface, target: float, limit: float) -> Surface:
    """Move the vertices along their normals by one step until the volume fits (secant steps; the limit is in mm)."""
    shift, current = 0.0, found
    for _ in range(4):
        step = (target - current.volume_mm3) / current.area_mm2
        if abs(step) < 1e-6:
            break
        shift = float(np.clip(shift + step, -limit, limit))
        current = Surface(found.vertices + shift * found.normals, found.faces, shift)
    return current
