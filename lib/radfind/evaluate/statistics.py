"""The figures of merit for rankings and verdicts, and how sure they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Figure:
    """A mean over cases with its 95 % bootstrap interval and the number of cases."""

    value: float
    low: float
    high: float
    count: int


def figure(
    values: Sequence[float] | npt.NDArray[np.float64],
    statistic: Callable[[npt.NDArray[np.float64]], float] = lambda sample: float(np.mean(sample)),
    *,
    rounds: int = 2000,
    seed: int = 0,
) -> Figure | None:
    """`statistic` of the finite values with a percentile bootstrap interval (Efron, 1979); None without values.

    Cases are resampled as wholes; with few cases the interval is wide, as it should be.
    """
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return None
    rng = np.random.default_rng(seed)
    drawn = [statistic(sample[rng.integers(0, sample.size, sample.size)]) for _ in range(rounds)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Figure(statistic(sample), float(low), float(high), int(sample.size))


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
