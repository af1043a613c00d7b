"""Closed lines in a plane: corners (n, 2), the last joined to the first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.interactive.patch import Floats

_GRID = 32
"""Places tried along each side when the middle of a line is looked for."""


def within(line: Floats, points: Floats) -> npt.NDArray[np.bool_]:
    """Which of the points (..., 2) the line surrounds: those from which a ray crosses it an odd number of times."""
    inside = np.zeros(points.shape[:-1], bool)
    u, v = points[..., 0], points[..., 1]
    for (a, b), (c, d) in zip(line, np.roll(line, -1, axis=0), strict=True):
        if a != c:
            inside ^= ((u < a) != (u < c)) & (v < b + (d - b) * (u - a) / (c - a))
    return inside


def middle(line: Floats) -> Floats:
    """The surrounded place (2,) furthest from the line, to a share 1 / 32 of its extent."""
    low, high = line.min(axis=0), line.max(axis=0)
    ticks = (np.arange(_GRID) + 0.5)[:, None] / _GRID * (high - low) + low
    places = np.stack(np.meshgrid(ticks[:, 0], ticks[:, 1], indexing="ij"), axis=-1).reshape(-1, 2)
    places = places[within(line, places)]
    if not len(places):
        return np.asarray(line.mean(axis=0))
    nearest = np.full(len(places), np.inf)
    for start, stop in zip(line, np.roll(line, -1, axis=0), strict=True):
        along = stop - start
        share = np.clip((places - start) @ along / max(float(along @ along), 1e-12), 0.0, 1.0)
        nearest = np.minimum(nearest, np.linalg.norm(places - start - share[:, None] * along, axis=1))
    return np.asarray(places[nearest.argmax()])


def way_out(line: Floats, start: Floats, steps: Floats) -> Floats:
    """How many of each step (n, 2) lead from `start` to the line; infinite where none does."""
    count = np.full(len(steps), np.inf)
    for a, b in zip(line, np.roll(line, -1, axis=0), strict=True):
        along = b - a
        across = steps[:, 0] * along[1] - steps[:, 1] * along[0]
        offset = a - start
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = (offset[0] * along[1] - offset[1] * along[0]) / across
            share = (offset[0] * steps[:, 1] - offset[1] * steps[:, 0]) / across
        hit = (needed > 0) & (share >= 0) & (share <= 1)
        count = np.where(hit, np.minimum(count, needed), count)
    return count
