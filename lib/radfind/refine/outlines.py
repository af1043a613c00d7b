"""Masks as polygons."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def polygons(mask: npt.NDArray[np.bool_]) -> dict[int, list[npt.NDArray[np.float64]]]:
    """For every slice k of a mask (k, j, i) that is not empty, its `outlines`."""
    return {int(k): list(outlines(mask[k])) for k in np.flatnonzero(mask.any(axis=(1, 2)))}


def outlines(plane: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.float64]]:
    """Closed polygons, (n, 2) in fractional (row, column), one per 4-connected part; holes joined by a bridge."""
    import cc3d
    from skimage.measure import find_contours

    labels = cc3d.connected_components(np.ascontiguousarray(plane), connectivity=4)
    for label in range(1, int(labels.max()) + 1):
        rows, columns = np.nonzero(labels == label)
        start = np.array([rows.min(), columns.min()])
        part = np.zeros((int(np.ptp(rows)) + 3, int(np.ptp(columns)) + 3))
        part[rows - start[0] + 1, columns - start[1] + 1] = 1.0
        rings = [_corners(ring[:-1]) for ring in find_contours(part, 0.5, fully_connected="low")]
        rings.sort(key=lambda ring: -abs(_area(ring)))
        outer = rings[0]
        for hole in rings[1:]:
            outer = _bridged(outer, hole)
        yield outer + start - 1.0


def _corners(ring: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The ring without the points in the middle of a straight line."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turning = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    return ring[turning]


def _area(ring: npt.NDArray[np.float64]) -> float:
    following = np.roll(ring, -1, axis=0)
    return float(np.sum(ring[:, 0] * following[:, 1] - ring[:, 1] * following[:, 0]) / 2.0)


def _bridged(outer: npt.NDArray[np.float64], hole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`outer`, at its point nearest to the hole walking in, around the hole against `outer`'s sense, and back."""
    if _area(outer) * _area(hole) > 0:
        hole = hole[::-1]
    gaps = np.linalg.norm(outer[:, None] - hole[None], axis=2)
    a, b = np.unravel_index(int(gaps.argmin()), gaps.shape)
    around = np.concatenate([np.roll(hole, -int(b), axis=0), hole[b : b + 1]])
    return np.concatenate([outer[: a + 1], around, outer[a:]])
