"""The figures of merit for rankings and verdicts, and how sure they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure over cases with its 95 % interval (NaN where there is none) and the number of cases."""

    value: float
    low: float
    high: float
    count: int


def figure(
    values: Sequence[float] | npt.NDArray[np.float64],
    statistic: Callable[[npt.NDArray[np.float64]], float] | None = None,
    *,
    rounds: int = 2000,
    seed: int = 0,
) -> Figure | None:
    """The mean of the finite values, or a `statistic` of them, with a 95 % interval; None without values.

    The interval of a share (the mean of zeros and ones) is Wilson's (1927), which stays honest with few cases and when
    all are right; every other one is a percentile bootstrap (Efron, 1979), which a single case does not have.
    """
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return None
    if statistic is None and np.isin(sample, (0, 1)).all():
        return _share(int(sample.sum()), sample.size)
    computed = statistic or (lambda drawn: float(np.mean(drawn)))
    low = high = float("nan")
    if sample.size > 1:
        rng = np.random.default_rng(seed)
        drawn = [computed(sample[rng.integers(0, sample.size, sample.size)]) for _ in range(rounds)]
        low, high = map(float, np.percentile(drawn, (2.5, 97.5)))
    return Figure(computed(sample), low, high, sample.size)


def _share(hits: int, count: int) -> Figure:
    z = 1.959964  # 97.5th percentile of the normal distribution
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (share * (1 - share) / count + spread / (4 * count)) ** 0.5
    return Figure(share, max(middle - half, 0.0), min(middle + half, 1.0), count)


def hit(ranked: Sequence[int], positive: Collection[int], k: int) -> float:
    """1 if any of the first `k` slices is positive, else 0 (Top-k)."""
    return float(any(index in positive for index in ranked[:k]))


def recall(ranked: Sequence[int], positive: Collection[int], k: int) -> float:
    """Share of the positive slices among the first `k`, of those that could be there (min(k, positives))."""
    possible = min(k, len(positive))
    return sum(index in positive for index in ranked[:k]) / possible if possible else float("nan")


def reciprocal_rank(ranked: Sequence[int], positive: Collection[int]) -> float:
    """1 / rank of the first positive slice, 0 if there is none (its mean over cases is MRR)."""
    return next((1 / rank for rank, index in enumerate(ranked, start=1) if index in positive), 0.0)


def calibration(
    confidences: Sequence[float] | npt.NDArray[np.float64],
    correct: Sequence[bool] | npt.NDArray[np.bool_],
    bins: int = 10,
) -> tuple[float, list[tuple[float, float, int]]]:
    """Expected calibration error (Naeini et al., AAAI 2015; NaN without answers), and for each filled bin of
    confidence its mean confidence, its share of correct answers, and its number of answers."""
    sure, right = np.asarray(confidences, float), np.asarray(correct, float)
    place = np.minimum((sure * bins).astype(int), bins - 1)
    counts, sums, hits = (np.bincount(place, weights, bins) for weights in (None, sure, right))
    filled = [(sums[n] / counts[n], hits[n] / counts[n], int(counts[n])) for n in np.flatnonzero(counts)]
    if not filled:
        return float("nan"), []
    error = float(np.abs(sums - hits).sum() / counts.sum())
    return error, [(float(mean), float(share), count) for mean, share, count in filled]


def confusion(expected: Sequence[str], given: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each expected answer (outer) was answered how (inner)."""
    answers = ("yes", "no", "maybe")
    return {
        truth: {
            answer: sum(e == truth and g == answer for e, g in zip(expected, given, strict=True)) for answer in answers
        }
        for truth in answers
    }
