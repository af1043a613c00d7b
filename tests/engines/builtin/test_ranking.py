"""Scores and bookmarks from exhibits, on hand-made masks."""

from __future__ import annotations

import numpy as np
import pytest

from radfind.engines.builtin.ranking import bookmarks, exhibit, slice_scores
from radfind.results import Evidence
from radfind.volume import Geometry, Volume


def volume(count: int = 60, spacing: float = 2.0) -> Volume:
    geometry = Geometry.from_parts((count, 8, 8), spacing=(spacing, 1.0, 1.0))
    return Volume(np.zeros((count, 8, 8), np.int16), geometry, modality="CT")


def evidence(first: int, areas: list[int]) -> Evidence:
    mask = np.zeros((60, 8, 8), bool)
    for k, area in enumerate(areas, start=first):
        mask[k].flat[:area] = True
    return Evidence("made by hand", mask=mask)


def test_score_is_weight_times_ratio_of_diameters() -> None:
    scores = slice_scores([exhibit(0.8, evidence(10, [16, 64, 4]))], 60)
    assert scores[10:13] == pytest.approx([0.4, 0.8, 0.2])
    assert scores.sum() == pytest.approx(1.4)


def test_best_slice_of_each_exhibit_comes_first_and_neighbours_are_kept_apart() -> None:
    two = [exhibit(0.9, evidence(10, [16, 64, 60, 16])), exhibit(0.6, evidence(40, [16, 64, 16]))]
    marks = bookmarks(two, volume(), top_k=10, threshold=0.0, spread=True)
    assert [mark.index for mark in marks[:2]] == [11, 41]
    indices = [mark.index for mark in marks]
    assert all(abs(a - b) >= 5 for n, a in enumerate(indices) for b in indices[:n])  # 10 mm at 2 mm
    assert marks[0].rank == 1
    assert marks[0].evidence


def test_unspread_bookmarks_may_be_neighbours() -> None:
    marks = bookmarks([exhibit(0.9, evidence(10, [16, 64, 60, 16]))], volume(), top_k=2, threshold=0.0, spread=False)
    assert [mark.index for mark in marks] == [11, 12]


def test_top_k_and_threshold_are_respected() -> None:
    one = [exhibit(0.9, evidence(10, [64] * 30))]
    assert len(bookmarks(one, volume(), top_k=3, threshold=0.0, spread=True)) == 3
    assert bookmarks(one, volume(), top_k=3, threshold=0.95, spread=True) == ()
    assert bookmarks(one, volume(), top_k=0, threshold=0.0, spread=True) == ()


def test_nothing_found_gives_no_bookmark() -> None:
    assert bookmarks([], volume(), top_k=10, threshold=0.0, spread=True) == ()
    assert not slice_scores([], 60).any()
