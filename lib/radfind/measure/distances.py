"""Distances between structures and along surfaces, in millimetres."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError
from radfind.measure.moments import moments
from radfind.measure.surface import Surface, surface
from radfind.volume import Geometry

Point = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Distance:
    """How far two structures are apart.

    Arguments:
        minimum_mm: between the surfaces; 0 when they share voxels.
        centre_mm: between the centroids.
        ends_lps: where the surfaces come closest (the shared place, twice, when they meet).
    """

    minimum_mm: float
    centre_mm: float
    ends_lps: tuple[Point, Point]


def distance_between(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], geometry: Geometry) -> Distance:
    """The minimum and centre distance of two masks on one grid.

    Raises:
        InputError: a mask is empty or does not fit the geometry.
    """
    centre = float(np.linalg.norm(centroid(first, geometry) - centroid(second, geometry)))
    shared = first & second
    if shared.any():
        x, y, z = (float(v) for v in geometry.to_lps(np.argwhere(shared)[0]))
        return Distance(0.0, centre, ((x, y, z), (x, y, z)))
    one, other = surface(first, geometry), surface(second, geometry)
    if len(one.vertices) > len(other.vertices):
        gap, ends = _closest(other, one)
        ends = ends[::-1]
    else:
        gap, ends = _closest(one, other)
    (a, b, c), (d, e, f) = ends.tolist()
    return Distance(gap, centre, ((a, b, c), (d, e, f)))


def _closest(one: Surface, other: Surface) -> tuple[float, npt.NDArray[np.float64]]:
    lengths, numbers = SurfaceDistance(other).query(one.vertices)
    at = int(lengths.argmin())
    return max(float(lengths[at]), 0.0), np.stack([one.vertices[at], other.vertices[numbers[at]]])


def centroid(mask: npt.NDArray[np.bool_], geometry: Geometry) -> npt.NDArray[np.float64]:
    """LPS millimetres of the centre of mass of a mask.

    Raises:
        InputError: the mask is empty or does not fit the geometry.
    """
    return moments(mask, geometry)[0]


class SurfaceDistance:
    """Distances of points to one surface.

    Arguments:
        target: the surface, its triangles no larger than the voxels it came from.
    """

    def __init__(self, target: Surface) -> None:
        from scipy.spatial import cKDTree

        self._surface = target
        self._tree = cKDTree(target.vertices)
        edges = target.vertices[target.faces[:, 1]] - target.vertices[target.faces[:, 0]]
        self._mesh_mm = float(np.linalg.norm(edges, axis=1).mean())

    def query(
        self, points: npt.NDArray[np.float64], *, limit_mm: float = np.inf
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
        """Unsigned distance (n,) of `points` (n, 3), inf beyond `limit_mm`, and the number of the closest vertex.

        Where the closest vertex is about as near as its neighbours are to one another, the distance to the
        tangent plane there is taken: a vertex alone overstates what lies between vertices.
        """
        lengths, numbers = self._tree.query(points, distance_upper_bound=limit_mm, workers=1)
        close = np.flatnonzero(lengths < 2.0 * self._mesh_mm)
        offset = points[close] - self._surface.vertices[numbers[close]]
        lengths[close] = np.abs(np.sum(offset * self._surface.normals[numbers[close]], axis=1))
        return lengths, numbers


def distance_map(over: Surface, structure: npt.NDArray[np.bool_], geometry: Geometry) -> npt.NDArray[np.float64]:
    """For each vertex of `over`, the distance to the surface of `structure` in mm; negative inside the structure.

    Colour a model of a lesion by it to show where a vessel comes close.

    Raises:
        InputError: the structure is empty or does not fit the geometry.
    """
    lengths, _ = SurfaceDistance(surface(structure, geometry)).query(over.vertices)
    return np.where(contains(structure, geometry, over.vertices), -lengths, lengths)


def contains(mask: npt.NDArray[np.bool_], geometry: Geometry, points: npt.NDArray) -> npt.NDArray[np.bool_]:
    """Whether LPS points (..., 3) lie in a voxel of `mask`; points off the grid do not."""
    if mask.shape != geometry.shape:
        raise InputError(f"The mask {mask.shape} does not lie on the grid {geometry.shape}.")
    index = geometry.to_index(points)
    on_grid = geometry.contains(index)
    nearest = np.clip(np.rint(np.where(on_grid[..., None], index, 0)).astype(int), 0, np.asarray(mask.shape) - 1)
    return on_grid & mask[tuple(np.moveaxis(nearest, -1, 0))]
