"""Linking of slice masks: spheres and cylinders of known shape, cut into slices, some of them lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radfind.refine.linking import SliceMask, link_slices

SPACING = (2.0, 1.0, 1.0)
SHAPE = (30, 64, 64)


def _sphere(center: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.indices(SHAPE, dtype=float)
    squared = sum(((grid[a] - center[a]) * SPACING[a]) ** 2 for a in range(3))
    return np.asarray(squared <= radius**2)


def _cut(mask: np.ndarray, score: float = 0.5, lost: tuple[int, ...] = ()) -> list[SliceMask]:
    return [SliceMask(k, mask[k], score) for k in range(len(mask)) if mask[k].any() and k not in lost]


def test_two_objects_stay_two() -> None:
    left, right = _sphere((15, 32, 16), 10), _sphere((15, 32, 48), 8)
    first, second = link_slices(_cut(left, 0.9) + _cut(right, 0.4), SHAPE, SPACING)
    np.testing.assert_array_equal(first.mask, left)
    np.testing.assert_array_equal(second.mask, right)
    assert (first.score, second.score) == (0.9, 0.4)


def test_a_lost_slice_is_bridged_by_interpolation() -> None:
    sphere = _sphere((15, 32, 32), 12)
    (one,) = link_slices(_cut(sphere, lost=(13,)), SHAPE, SPACING)
    dice = 2 * (one.mask & sphere).sum() / (one.mask.sum() + sphere.sum())
    assert dice > 0.99
    assert one.mask[13].any() and 13 not in one.slices


def test_a_long_gap_is_not_bridged() -> None:
    cylinder = np.zeros(SHAPE, bool)
    cylinder[:, 20:40, 20:40] = True
    parts = link_slices(_cut(cylinder, lost=tuple(range(10, 20))), SHAPE, SPACING)
    assert len(parts) == 2
    assert not any(part.mask[10:20].any() for part in parts)


def test_wide_one_slice_detections_are_flicker_and_small_ones_are_not() -> None:
    wide, small = np.zeros(SHAPE[1:], bool), np.zeros(SHAPE[1:], bool)
    wide[10:30, 10:30] = True
    small[50:53, 50:53] = True
    (kept,) = link_slices([SliceMask(4, wide, 0.9), SliceMask(9, small, 0.3)], SHAPE, SPACING)
    assert kept.slices == (9,)


def test_a_single_image_has_no_flicker() -> None:
    mask = np.zeros((1, 64, 64), bool)
    mask[0, 10:40, 10:40] = True
    assert len(link_slices([SliceMask(0, mask[0], 0.9)], (1, 64, 64), SPACING)) == 1


def test_tiles_of_one_object_on_one_slice_are_joined() -> None:
    sphere = _sphere((15, 32, 32), 12)
    halves = []
    for k in np.flatnonzero(sphere.any(axis=(1, 2))).tolist():
        halves += [SliceMask(k, sphere[k, :36], 0.5), SliceMask(k, sphere[k, 28:], 0.6, corner=(28, 0))]
    (one,) = link_slices(halves, SHAPE, SPACING)
    np.testing.assert_array_equal(one.mask, sphere)


def test_only_the_box_of_what_is_marked_is_kept() -> None:
    plane = np.zeros((512, 512), bool)
    plane[100:104, 200:203] = True
    item = SliceMask(3, plane, 0.5, corner=(10, 20))
    assert (item.mask.shape, item.mask.base) == ((4, 3), None)
    assert item.place == (slice(110, 114), slice(220, 223))


def test_nothing_in_nothing_out() -> None:
    assert link_slices([], SHAPE, SPACING) == []
    assert link_slices([SliceMask(3, np.zeros(SHAPE[1:], bool), 0.9)], SHAPE, SPACING) == []


@settings(deadline=None, max_examples=25)
@given(st.permutations(list(range(12))), st.integers(0, 11))
def test_order_does_not_matter(order: list[int], lost: int) -> None:
    sphere = _sphere((15, 32, 32), 11.5)
    cuts = _cut(sphere, lost=(10 + lost,))
    expected = link_slices(cuts, SHAPE, SPACING)
    shuffled = link_slices([cuts[n] for n in order if n < len(cuts)], SHAPE, SPACING)
    assert len(shuffled) == len(expected) == 1
    np.testing.assert_array_equal(shuffled[0].mask, expected[0].mask)
    assert shuffled[0].score == pytest.approx(0.5)
