"""Slices scored by the evidence on them, and bookmarks chosen from the scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from radfind.results import Evidence, RankedSlice
from radfind.volume import Volume

APART_MM = 10.0
"""Bookmarks are at least this far apart, and never on neighbouring slices, unless asked not to be spread."""

SHOWN = 0.05
"""Slices scoring less than this show too little of anything to be a bookmark."""


@dataclasses.dataclass(frozen=True, eq=False)
class Exhibit:
    """One thing found for one finding: its weight (0..1) and its voxels on the volume's own grid, as evidence."""

    weight: float
    evidence: Evidence
    areas: npt.NDArray[np.float64]

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Weight times the square root of the share of the largest cross-section that a slice shows: the ratio of
        diameters, so that a slice through half the diameter scores half."""
        largest = float(self.areas.max(initial=0.0))
        if largest <= 0:
            return np.zeros(len(self.areas))
        return np.asarray(self.weight * np.sqrt(self.areas / largest))


def exhibit(weight: float, evidence: Evidence) -> Exhibit:
    """An exhibit of evidence that has a mask."""
    mask = evidence.mask
    if mask is None:
        raise ValueError("An exhibit needs evidence with a mask.")
    return Exhibit(weight=weight, evidence=evidence, areas=mask.sum(axis=(1, 2)).astype(np.float64))


def slice_scores(exhibits: Sequence[Exhibit], count: int) -> npt.NDArray[np.float64]:
    """The score of each of `count` slices: its best exhibit's."""
    scores = np.zeros(count)
    for item in exhibits:
        scores = np.maximum(scores, item.scores)
    return np.clip(scores, 0.0, 1.0)


def bookmarks(
    exhibits: Sequence[Exhibit], volume: Volume, *, top_k: int, threshold: float, spread: bool
) -> tuple[RankedSlice, ...]:
    """The best slices, best first.

    Spread: first the best slice of each exhibit, then further ones, none nearer than `APART_MM` to one already
    chosen; two exhibits whose best slices are neighbours share one bookmark.
    """
    count = volume.geometry.shape[0]
    scores = slice_scores(exhibits, count)
    spacing = volume.geometry.spacing[0]
    gap = max(2, int(np.ceil(APART_MM / spacing))) if spread else 1
    floor = max(threshold, SHOWN)
    chosen: list[int] = []
    if spread:
        for item in sorted(exhibits, key=lambda item: -item.weight):
            _take(_peak(item.scores), chosen, gap)
    for k in _peaks_first(scores):
        if scores[k] < floor:
            break
        _take(k, chosen, gap)
    chosen = [k for k in chosen if scores[k] >= floor]
    chosen.sort(key=lambda k: (-scores[k], k))
    return tuple(
        RankedSlice(
            rank=rank,
            index=k,
            score=float(scores[k]),
            sop_instance_uid=volume.sop_instance_uid(k),
            position_lps=_middle(volume, k),
            evidence=tuple(item.evidence for item in sorted(exhibits, key=lambda e: -e.scores[k]) if item.areas[k] > 0),
        )
        for rank, k in enumerate(chosen[: max(top_k, 0)], start=1)
    )


def _take(k: int, chosen: list[int], gap: int) -> None:
    if all(abs(k - other) >= gap for other in chosen):
        chosen.append(k)


def _peaks_first(scores: npt.NDArray[np.float64]) -> list[int]:
    """Slices by falling score; of equal ones the middle of their run first, so that ties favour the centre."""
    order: list[tuple[float, float, int]] = []
    k = 0
    while k < len(scores):
        stop = k
        while stop + 1 < len(scores) and scores[stop + 1] == scores[k]:
            stop += 1
        middle = (k + stop) / 2.0
        order.extend((-scores[n], abs(n - middle), n) for n in range(k, stop + 1))
        k = stop + 1
    return [n for _, _, n in sorted(order)]


def _peak(scores: npt.NDArray[np.float64]) -> int:
    """The middle of the slices that score highest."""
    best = np.flatnonzero(scores >= scores.max() - 1e-9)
    return int(best[len(best) // 2])


def _middle(volume: Volume, k: int) -> tuple[float, float, float]:
    _, j, i = volume.geometry.shape
    x, y, z = volume.geometry.to_lps((k, (j - 1) / 2.0, (i - 1) / 2.0))
    return float(x), float(y), float(z)
