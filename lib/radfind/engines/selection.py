"""From a score for every slice to the few bookmarks a person looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from radfind.results import Evidence, RankedSlice
from radfind.volume import Volume

APART_MM = 10.0
"""Spread bookmarks are at least this far apart, and never direct neighbours."""


def bookmarks(
    volume: Volume,
    scores: npt.NDArray[np.float64],
    *,
    top_k: int,
    threshold: float,
    spread: bool,
    candidates: Iterable[int] | None = None,
    evidence: Callable[[int, int], tuple[Evidence, ...]] = lambda rank, k: (),
) -> tuple[RankedSlice, ...]:
    """The best slices, best first.

    Arguments:
        scores: (k,) in [0, 1]; at least `threshold` to be returned.
        candidates: the slices that may be returned (those really scored); all when None.
        evidence: gives the evidence of the slice of that rank and index.
    """
    gap = max(2, int(np.ceil(APART_MM / volume.geometry.spacing[0]))) if spread else 1
    allowed = range(len(scores)) if candidates is None else candidates
    chosen: list[int] = []
    for k in sorted(allowed, key=lambda k: (-scores[k], k)):
        if len(chosen) >= top_k or scores[k] < threshold:
            break
        if all(abs(k - other) >= gap for other in chosen):
            chosen.append(k)
    _, rows, columns = volume.geometry.shape
    return tuple(
        RankedSlice(
            rank=rank,
            index=k,
            score=float(scores[k]),
            sop_instance_uid=volume.sop_instance_uid(k),
            position_lps=_point(volume.geometry.to_lps((k, (rows - 1) / 2, (columns - 1) / 2))),
            evidence=evidence(rank, k),
        )
        for rank, k in enumerate(chosen, start=1)
    )


def _point(lps: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = lps
    return float(x), float(y), float(z)
