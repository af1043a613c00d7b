"""Directions spread evenly over the sphere, who neighbours whom, and a quick lookup from any direction to them."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import numpy.typing as npt

RAYS = 642
_NEIGHBOURS = 6
_FACE = 48


@dataclasses.dataclass(frozen=True, eq=False)
class Sphere:
    """Unit directions (a Fibonacci lattice: equal areas, no crowded poles).

    Arguments:
        directions: (n, 3) unit vectors.
        neighbours: (n, 6) indices of the nearest others.
        texels: (6, face, face, 3) the three directions nearest to each cell of a cube around the sphere.
        weights: as `texels`, inverse-distance weights that sum to 1.
    """

    directions: npt.NDArray[np.float64]
    neighbours: npt.NDArray[np.intp]
    texels: npt.NDArray[np.intp]
    weights: npt.NDArray[np.float32]

    def interpolate(self, values: npt.NDArray[np.float64], offsets: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """`values` (n,) at the directions of `offsets` (..., 3), smoothly; any of them at a zero offset."""
        axis = np.abs(offsets).argmax(axis=-1)
        major = np.take_along_axis(offsets, axis[..., None], -1)[..., 0]
        scale = 1.0 / np.maximum(np.abs(major), 1e-9)
        u = np.where(axis == 0, offsets[..., 1], offsets[..., 0]) * scale
        v = np.where(axis == 2, offsets[..., 1], offsets[..., 2]) * scale
        row = np.clip(((u + 1) * (_FACE / 2)).astype(np.intp), 0, _FACE - 1)
        column = np.clip(((v + 1) * (_FACE / 2)).astype(np.intp), 0, _FACE - 1)
        table = (values[self.texels] * self.weights).sum(axis=-1).astype(np.float32)
        return np.asarray(table[axis * 2 + (major < 0), row, column])


@functools.cache
def sphere() -> Sphere:
    """The one sphere; made on first use (10 ms)."""
    from scipy.spatial import cKDTree

    index = np.arange(RAYS) + 0.5
    polar = np.arccos(1 - 2 * index / RAYS)
    turn = np.pi * (1 + 5**0.5) * index
    directions = np.stack([np.cos(polar), np.sin(polar) * np.sin(turn), np.sin(polar) * np.cos(turn)], axis=1)
    tree = cKDTree(directions)
    neighbours = tree.query(directions, k=_NEIGHBOURS + 1)[1][:, 1:]
    ticks = (np.arange(_FACE) + 0.5) * (2 / _FACE) - 1
    u, v = np.meshgrid(ticks, ticks, indexing="ij")
    cells = np.empty((6, _FACE, _FACE, 3))
    for axis in range(3):
        first, second = (a for a in range(3) if a != axis)
        for negative in (0, 1):
            cell = cells[axis * 2 + negative]
            cell[..., axis] = -1.0 if negative else 1.0
            cell[..., first], cell[..., second] = u, v
    cells /= np.linalg.norm(cells, axis=-1, keepdims=True)
    distance, texels = tree.query(cells.reshape(-1, 3), k=3)
    weights = 1.0 / np.maximum(distance, 1e-4)
    weights /= weights.sum(axis=1, keepdims=True)
    shape = (6, _FACE, _FACE, 3)
    return Sphere(directions, neighbours, texels.reshape(shape), weights.reshape(shape).astype(np.float32))
