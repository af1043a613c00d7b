"""Measures of a mask: volume, longest axial and 3-D diameter, mean and spread of the scan's values."""

from __future__ import annotations

import dataclasses

import numpy as np

from .Geometry import Grid, Mask

_PLANE_DIRECTIONS = 360
_SPACE_DIRECTIONS = 4096
_CHUNK = 64


@dataclasses.dataclass(frozen=True)
class Measures:
    """What was measured, in the volume's own millimetres.

    Arguments:
        axial: longest diameter within one slice of the scan, mm (RECIST 1.1).
        space: greatest distance of two points, mm.
        mean, spread: of the voxels' values, population standard deviation; None without voxels or for colour.
    """

    ml: float
    axial: float
    space: float
    mean: float | None
    spread: float | None

    def cells(self, name: str) -> tuple[str, ...]:
        def number(value: float | None, digits: int) -> str:
            return "" if value is None else f"{value:.{digits}f}"

        lengths = (number(self.axial, 1), number(self.space, 1))
        return (name, number(self.ml, 3), *lengths, number(self.mean, 1), number(self.spread, 1))


def columns(unit: str) -> tuple[str, ...]:
    """The head of a table of `Measures.cells`; `unit` of the scan's values, "" when it is not known."""
    values = ("Mean", "SD") if not unit else (f"Mean ({unit})", f"SD ({unit})")
    return ("Segment", "Volume (mL)", "Longest axial (mm)", "Longest 3-D (mm)", *values)


def measure(mask: Mask, grid: Grid, voxels: np.ndarray | None = None) -> Measures:
    """Measure a mask on a grid; `voxels` are the whole volume's, (k, j, i).

    A voxel counts as a box of half its size: between the centres, which make an object too small, and the outer
    corners, which make it too large. Diameters are the greatest width over directions half a degree (in a slice) or
    1.6 degrees (in space) apart, which misses at most 0.04 %.
    """
    inside = mask.voxels
    if not inside.any():
        return Measures(0.0, 0.0, 0.0, None, None)
    hulls = [_hull(plane) for plane in inside]
    steps = grid.toLPS[:3, :3]
    axial = max(_width2d(hull, steps) for hull in hulls if len(hull))
    kji = np.concatenate([np.insert(hull, 0, k, axis=1) for k, hull in enumerate(hulls)])
    space = _width(kji[:, ::-1] @ steps.T, steps, _sphere(_SPACE_DIRECTIONS))
    mean = spread = None
    if voxels is not None and voxels.ndim == 3:
        box = tuple(slice(a, a + n) for a, n in zip(mask.start, inside.shape))
        values = voxels[box][inside].astype(np.float64)
        mean, spread = float(values.mean()), float(values.std())
    return Measures(float(np.count_nonzero(inside)) * grid.voxelMl, axial, space, mean, spread)


def _hull(plane: np.ndarray) -> np.ndarray:
    """The corners (j, i) of the convex hull of a slice's voxels: all that a diameter can end on (monotone chain)."""
    rows = np.flatnonzero(plane.any(axis=1))
    ends = np.stack([plane[rows].argmax(axis=1), plane.shape[1] - 1 - plane[rows, ::-1].argmax(axis=1)], axis=1)
    corners = []
    for side, sign in ((0, 1), (1, -1)):  # the rows' first voxels, then their last ones
        chain: list[tuple[int, int]] = []
        for j, i in zip(rows.tolist(), ends[:, side].tolist()):
            while len(chain) > 1 and sign * _turn(chain[-2], chain[-1], (j, i)) <= 0:
                chain.pop()
            chain.append((j, i))
        corners += chain
    return np.array(corners, np.int64).reshape(-1, 2)


def _turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _width2d(ji: np.ndarray, steps: np.ndarray) -> float:
    first = steps[:, 0] / np.linalg.norm(steps[:, 0])
    second = steps[:, 1] - first * (steps[:, 1] @ first)
    second /= np.linalg.norm(second)
    angles = np.arange(_PLANE_DIRECTIONS) * (np.pi / _PLANE_DIRECTIONS)
    directions = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), second)
    return _width(ji[:, ::-1] @ steps[:, :2].T, steps[:, :2], directions)


def _width(points: np.ndarray, steps: np.ndarray, directions: np.ndarray) -> float:
    longest = 0.0
    for start in range(0, len(directions), _CHUNK):
        part = directions[start : start + _CHUNK]
        along = points @ part.T
        boxes = 0.5 * np.abs(part @ steps).sum(axis=1)
        longest = max(longest, float((along.max(axis=0) - along.min(axis=0) + boxes).max()))
    return longest


def _sphere(count: int) -> np.ndarray:
    """Directions spread evenly over half a sphere (Fibonacci lattice)."""
    number = np.arange(count) + 0.5
    z = 1.0 - number / count
    radius = np.sqrt(1.0 - z * z)
    angle = number * np.pi * (3.0 - np.sqrt(5.0))
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), z])
