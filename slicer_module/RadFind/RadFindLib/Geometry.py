"""Voxel grids in patient space. LPS on the wire, RAS in Slicer; `flipXY` is the one place where they meet."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

ALIGNED_VOXELS = 0.25
"""Two grids whose corners agree this well share their nearest voxels everywhere."""


def flipXY(values: Any) -> Any:
    """RAS from LPS or LPS from RAS: points (..., 3), or a 4x4 matrix to that space."""
    array = np.array(values, dtype=np.float64)
    if array.shape == (4, 4):
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ array
    array[..., :2] *= -1.0
    return array


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid.

    Arguments:
        shape: voxels along (k, j, i).
        toLPS: 4x4, homogeneous (i, j, k) to LPS millimetres; may be sheared.
    """

    shape: tuple[int, int, int]
    toLPS: np.ndarray

    def positions(self, kji: Any) -> np.ndarray:
        """LPS of voxel indices (..., 3)."""
        ijk = np.asarray(kji, np.float64)[..., ::-1]
        return ijk @ self.toLPS[:3, :3].T + self.toLPS[:3, 3]

    def indices(self, lps: Any) -> np.ndarray:
        """Fractional (k, j, i) of LPS positions (..., 3)."""
        return ((np.asarray(lps, np.float64) - self.toLPS[:3, 3]) @ self._inverse.T)[..., ::-1]

    @property
    def _inverse(self) -> np.ndarray:
        """By cross products: LAPACK would wake a pool of threads for nine numbers, in the UI thread."""
        a, b, c = self.toLPS[:3, :3].T
        return np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)]) / (a @ np.cross(b, c))

    @property
    def voxelMl(self) -> float:
        a, b, c = self.toLPS[:3, :3].T
        return float(abs(a @ np.cross(b, c))) / 1000.0


@dataclasses.dataclass(frozen=True, eq=False)
class Mask:
    """The part of a grid that holds a mask: `voxels` (k, j, i) boolean, beginning at voxel `start` (k, j, i)."""

    start: tuple[int, int, int]
    voxels: np.ndarray

    def full(self, shape: tuple[int, int, int]) -> np.ndarray:
        whole = np.zeros(shape, bool)
        whole[tuple(slice(a, a + n) for a, n in zip(self.start, self.voxels.shape))] = self.voxels
        return whole


def cropped(voxels: np.ndarray, start: tuple[int, int, int] = (0, 0, 0)) -> Mask:
    """A mask without its empty margins."""
    begin, end = [], []
    for axis in range(3):
        hit = np.flatnonzero(voxels.any(axis=tuple(a for a in range(3) if a != axis)))
        begin.append(int(hit[0]) if hit.size else 0)
        end.append(int(hit[-1]) + 1 if hit.size else 0)
    part = voxels[tuple(slice(a, b) for a, b in zip(begin, end))]
    k, j, i = (a + b for a, b in zip(start, begin))
    return Mask((k, j, i), np.ascontiguousarray(part))


def moved(mask: Mask, source: Grid, target: Grid) -> Mask:
    """The mask on another grid: exact where the grids share their voxels, nearest neighbour where they do not."""
    if not mask.voxels.size:
        return mask
    exact = _renumbering(source, target)
    return _renumbered(mask, *exact) if exact is not None else _resampled(mask, source, target)


def sameVoxels(source: Grid, target: Grid) -> bool:
    """Whether the grids are one but for the order and direction of their axes."""
    return _renumbering(source, target) is not None and sorted(source.shape) == sorted(target.shape)


def _renumbering(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray] | None:
    """(signed permutation 3x3, offset) from source to target indices, (k, j, i) order; None: not the same voxels."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in source.shape], indexing="ij"), np.float64).reshape(3, -1).T
    seen = target.indices(source.positions(corners))
    zero = target.indices(source.positions(np.zeros(3)))
    matrix = np.rint(target.indices(source.positions(np.eye(3))) - zero).T
    offset = np.rint(zero)
    axes = np.abs(matrix)
    if not (np.all(axes.sum(axis=0) == 1) and np.all(axes.sum(axis=1) == 1)):
        return None
    if np.max(np.abs(corners @ matrix.T + offset - seen)) > ALIGNED_VOXELS:
        return None
    if np.any(seen < -0.5) or np.any(seen > np.array(target.shape) - 0.5):
        return None
    return matrix, offset


def _renumbered(mask: Mask, matrix: np.ndarray, offset: np.ndarray) -> Mask:
    order = np.abs(matrix).argmax(axis=1)  # target axis -> source axis
    signs = matrix[np.arange(3), order]
    flip = tuple(slice(None, None, -1 if sign < 0 else 1) for sign in signs)
    voxels = np.ascontiguousarray(mask.voxels.transpose(*order.tolist())[flip])
    first = np.array(mask.start, np.float64)
    last = first + np.array(mask.voxels.shape) - 1
    ends = np.stack([matrix @ first + offset, matrix @ last + offset])
    k, j, i = ends.min(axis=0).astype(int).tolist()
    return Mask((k, j, i), voxels)


def _resampled(mask: Mask, source: Grid, target: Grid) -> Mask:
    low = np.array(mask.start, np.float64) - 0.5
    size = np.array(mask.voxels.shape)
    box = np.array(np.meshgrid(*[(0.0, float(n)) for n in size], indexing="ij")).reshape(3, -1).T + low
    seen = target.indices(source.positions(box))
    begin = np.maximum(np.floor(seen.min(axis=0)).astype(int), 0)
    end = np.minimum(np.ceil(seen.max(axis=0)).astype(int) + 1, target.shape)
    if np.any(end <= begin):
        return Mask((0, 0, 0), np.zeros((0, 0, 0), bool))
    j, i = np.meshgrid(np.arange(begin[1], end[1]), np.arange(begin[2], end[2]), indexing="ij")
    planes = []
    for k in range(int(begin[0]), int(end[0])):
        here = np.stack([np.full(j.shape, k), j, i], axis=-1)
        index = np.rint(source.indices(target.positions(here))).astype(int) - np.array(mask.start)
        inside = np.all((index >= 0) & (index < size), axis=-1)
        plane = np.zeros(j.shape, bool)
        plane[inside] = mask.voxels[tuple(index[inside].T)]
        planes.append(plane)
    first = begin.tolist()
    return cropped(np.stack(planes), (first[0], first[1], first[2]))
