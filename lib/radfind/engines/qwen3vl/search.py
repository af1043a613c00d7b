"""Which slices of a series are scored: all of them, or a grid first and then the neighbourhoods of its best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

STRIDE = 4
"""Every fourth slice is scored first."""

Score = Callable[[Sequence[int]], npt.NDArray[np.float64]]


def exhaustive(count: int, score: Score) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Scores of all slices, and the slices scored."""
    everything = list(range(count))
    return score(everything), everything


def coarse_to_fine(count: int, score: Score, stride: int = STRIDE) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Scores every `stride`-th slice, then all slices around the best of those.

    Around a quarter of the slices on the grid, one in eight of the grid's best (at least two) has its whole
    neighbourhood scored: less than half of the work from 64 slices on. Not exact: a finding that shows only
    between two grid slices that both score low is missed. The scores of slices left out are interpolated.

    Returns:
        (count,) scores, and the slices really scored (only those should be shown to anyone).
    """
    grid = sorted({*range(stride // 2, count, stride), count - 1})
    scores = dict(zip(grid, score(grid), strict=True))
    best = sorted(grid, key=lambda k: -scores[k])[: max(2, len(grid) // 8)]
    fine = sorted({n for k in best for n in range(k - stride + 1, k + stride) if 0 <= n < count and n not in scores})
    scores.update(zip(fine, score(fine), strict=True))
    scored = sorted(scores)
    return np.interp(np.arange(count), scored, [scores[k] for k in scored]), scored
