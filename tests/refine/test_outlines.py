"""Polygons around masks: areas as counted, holes kept, and filled again they give the mask back."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import polygon2mask

from radfind.refine.outlines import outlines, polygons


def _area(ring: np.ndarray) -> float:
    return float(abs(np.sum(ring[:, 0] * np.roll(ring[:, 1], -1) - ring[:, 1] * np.roll(ring[:, 0], -1)) / 2))


def test_outline_of_a_ring_keeps_its_hole() -> None:
    y, x = np.mgrid[:40, :40] - 19.5
    ring = (np.hypot(x, y) < 15) & (np.hypot(x, y) > 6)
    (contour,) = outlines(ring)
    assert _area(contour) == pytest.approx(ring.sum(), rel=0.02)


def test_every_part_of_every_slice_has_a_polygon_that_fills_to_it() -> None:
    mask = np.zeros((4, 30, 30), bool)
    mask[1, 3:9, 4:12] = mask[1, 20:26, 5:7] = True
    rows, columns = np.mgrid[:30, :30]
    mask[3] = (rows - 15) ** 2 + (columns - 14) ** 2 <= 64
    made = polygons(mask)
    assert {k: len(rings) for k, rings in made.items()} == {1: 2, 3: 1}
    for k, rings in made.items():
        filled = np.logical_or.reduce([polygon2mask((30, 30), ring) for ring in rings])
        np.testing.assert_array_equal(filled, mask[k])


def test_nothing_has_no_polygon() -> None:
    assert polygons(np.zeros((2, 5, 5), bool)) == {}
