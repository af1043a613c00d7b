"""Mask clean-up against shapes whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from radfind.language.lexicon import default_lexicon
from radfind.refine.cleaning import AIRY, HAZY, SOLID, clean, close, recipe_for, smooth

SPACING = (2.5, 0.8, 0.8)


def ball(radius: float, shape: tuple[int, int, int] = (25, 60, 60), spacing: tuple = SPACING) -> np.ndarray:
    middle = [(n - 1) / 2 for n in shape]
    grid = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    return sum(((g - c) * s) ** 2 for g, c, s in zip(grid, middle, spacing, strict=True)) <= radius**2


def test_holes_are_filled_and_crumbs_dropped_for_solid_lesions() -> None:
    truth = ball(12.0)
    torn = truth & ~ball(4.0)
    torn[1, 2:4, 2:4] = True
    cleaned = clean(torn, SPACING, SOLID)
    assert 2 * (cleaned & truth).sum() / (cleaned.sum() + truth.sum()) > 0.98
    assert not cleaned[1, 2, 2]


def test_emphysema_keeps_its_holes() -> None:
    torn = ball(12.0) & ~ball(4.0)
    np.testing.assert_array_equal(clean(torn, SPACING, AIRY), torn)


@pytest.mark.parametrize("gap", [1, 2])
def test_closing_counts_millimetres(gap: int) -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[5:15, 5:15, 5:15] = True
    mask[:, :, 9 : 9 + gap] = False
    fine, coarse = close(mask, (0.5, 0.5, 0.5), 1.1), close(mask, (4.0, 4.0, 4.0), 1.1)
    assert fine[10, 10, 9 : 9 + gap].all()
    np.testing.assert_array_equal(coarse, mask)


def test_smoothing_keeps_volume_and_spicules() -> None:
    body = ball(10.0, spacing=(1.0, 0.8, 0.8))
    spiked = body.copy()
    spiked[12, 29:31, 40:55] = True  # a spicule 10 mm long
    rng = np.random.default_rng(0)
    edge = body ^ np.roll(body, 1, axis=1)
    noisy = body ^ (edge & (rng.random(body.shape) < 0.4))
    calm = smooth(noisy, (1.0, 0.8, 0.8), 1.0)
    assert abs(int(calm.sum()) - int(noisy.sum())) <= 0.02 * noisy.sum()
    assert (calm ^ body).sum() < (noisy ^ body).sum()
    assert smooth(spiked, (1.0, 0.8, 0.8), 0.7)[12, 29:31, 40:54].all()


def test_anatomy_is_a_limit() -> None:
    mask = ball(12.0)
    allowed = np.ones_like(mask)
    allowed[:, :, 35:] = False
    cleaned = clean(mask, SPACING, HAZY, allowed=allowed)
    assert cleaned.any() and not (cleaned & ~allowed).any()


def test_every_concept_has_a_reasoned_recipe() -> None:
    lexicon = default_lexicon()
    assert recipe_for(lexicon.get("emphysema")) is AIRY
    assert recipe_for(lexicon.get("solid_nodule")) is SOLID
    assert recipe_for(None).reason and recipe_for(lexicon.get("liver")).reason
    assert not clean(np.zeros((4, 4, 4), bool), SPACING, SOLID).any()
