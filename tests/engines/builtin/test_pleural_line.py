"""Thin layers of air under the chest wall, against a cylinder of lung whose layers have a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from radfind.engines.api import Context
from radfind.engines.builtin.field import lung_field
from radfind.engines.builtin.pleura import find_pneumothoraces

SPACING = (2.0, 1.0, 1.0)
SHAPE = (40, 130, 130)
RADIUS = 45.0
FINE = 4


def lung(
    layer_mm: float = 0.0, line_mm: float = 0.0, *, gap_hu: float = -1000.0, sharp: float = 0.0, offset: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """A scan (k, j, i) of a cylinder of lung, and where `layer_mm` of something lies under the front of its wall.

    Arguments:
        layer_mm: its thickness.
        line_mm: thickness of a line of tissue under it.
        gap_hu: what it holds.
        sharp: how much a kernel overshoots at edges.
        offset: HU added to everything, as by a scanner out of calibration.
    """
    row, column = (np.indices((SHAPE[1] * FINE, SHAPE[2] * FINE)) + 0.5) / FINE - 0.5
    y, x = row - 64.5, column - 64.5
    depth = RADIUS - np.hypot(x, y)
    plane = np.where(depth > 0, -840.0, 30.0)
    front = y < -0.3 * RADIUS
    layer = (depth > 0) & (depth < layer_mm) & front
    plane[layer] = gap_hu
    plane[(np.abs(depth - layer_mm) < line_mm / 2) & front] = 20.0
    plane[np.hypot(x, y) > RADIUS + 15.0] = -1000.0
    plane = ndimage.gaussian_filter(plane, 0.8 * FINE)
    plane += sharp * (plane - ndimage.gaussian_filter(plane, 1.0 * FINE))

    def own(image: np.ndarray) -> np.ndarray:
        return image.reshape(SHAPE[1], FINE, SHAPE[2], FINE).mean(axis=(1, 3))

    noise = np.random.default_rng(3).normal(0, 20, SHAPE)
    return own(plane)[None] + noise + offset, np.broadcast_to(own(layer.astype(float)) > 0.5, SHAPE)


def found(scan: np.ndarray, air: float = -1000.0) -> tuple[float, np.ndarray]:
    """The greatest certainty, and the mask, of the pneumothoraces."""
    j, i = np.indices(SHAPE[1:]) - 64.5
    cage = np.broadcast_to(np.hypot(i, j) < RADIUS + 1.0, SHAPE)
    lungs = cage & (scan < -450 + air + 1000)
    field = lung_field(scan.astype(np.int16), SPACING, lungs.astype(np.uint8), cage=cage.astype(np.uint8), air=air)
    assert field is not None
    lesions = find_pneumothoraces(field, Context())
    mask = np.zeros(SHAPE, bool)
    for lesion in lesions:
        mask |= lesion.full_mask(SHAPE)
    return max((lesion.score for lesion in lesions), default=0.0), mask


@pytest.mark.parametrize("layer_mm", [3.0, 5.0, 8.0])
@pytest.mark.parametrize("offset", [0.0, -40.0])
def test_a_thin_layer_of_air_is_found_and_outlined(layer_mm: float, offset: float) -> None:
    scan, truth = lung(layer_mm, 0.5, offset=offset)
    score, mask = found(scan, -1000.0 + offset)
    assert score >= 0.5
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.8


def test_lung_up_to_the_wall_has_none() -> None:
    assert found(lung()[0])[0] == 0.0
    assert found(lung(offset=-40.0)[0], -1040.0)[0] == 0.0


def test_a_line_in_the_lung_along_the_wall_has_no_air_above_it() -> None:
    """A subpleural line, or a band of atelectasis, however sharp the kernel that digs a ditch along every edge."""
    assert found(lung(5.0, 1.0, gap_hu=-820.0)[0])[0] == 0.0
    assert found(lung(4.0, 1.0, gap_hu=-840.0, sharp=1.0)[0])[0] == 0.0


def test_thin_lung_along_the_wall_without_a_line_is_no_free_air() -> None:
    assert found(lung(6.0, 0.0, gap_hu=-960.0)[0])[0] == 0.0
