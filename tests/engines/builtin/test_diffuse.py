"""What spreads, against phantom truth; and what may be mistaken for it, which is not found."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from radfind.engines.api import Context
from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.verifying import SURE
from radfind.phantom import Confounder, LesionSpec, Phantom, make_phantom

FAMILIES = {"pleural_effusion": "effusion", "pneumothorax": "pneumothorax", "consolidation": "opacity"}
SPREADING = ("effusion", "pneumothorax", "opacity", "emphysema")


@cache
def phantom(seed: int, *lesions: LesionSpec, extras: tuple[Confounder, ...] = ()) -> Phantom:
    return make_phantom(
        seed=seed, lesions=lesions, shape=(84, 150, 150), noise_hu=14, confounders=("paravertebral", *extras)
    )


def found(made: Phantom, concept: str) -> np.ndarray:
    analysis = Analysis(made.volume)
    mask = np.zeros(made.volume.array.shape, bool)
    for lesion in analysis.lesions(FAMILIES[concept], Context()):
        if lesion.concept == concept and lesion.score >= SURE:
            mask |= analysis.own_mask(lesion, made.volume)
    return mask


@pytest.mark.parametrize(
    ("spec", "least"),
    [
        (LesionSpec("pleural_effusion", "left", diameter_mm=45), 0.8),
        (LesionSpec("pneumothorax", "right", diameter_mm=40), 0.8),
        pytest.param(LesionSpec("pleural_effusion", "right", diameter_mm=16), 0.6, marks=pytest.mark.slow),
        pytest.param(LesionSpec("consolidation", "right", "lower", 85), 0.75, marks=pytest.mark.slow),
    ],
    ids=lambda value: value.kind if isinstance(value, LesionSpec) else str(value),
)
def test_outline_follows_the_truth(spec: LesionSpec, least: float) -> None:
    made = phantom(41, spec)
    truth, mask = made.truth["lesion_1"], found(made, spec.kind)
    assert 2 * (truth & mask).sum() / (truth.sum() + mask.sum()) >= least


@pytest.mark.slow
@pytest.mark.parametrize("extras", [("gullet_air", "chest_wall_air"), ("ascites", "dependent")], ids="-".join)
def test_nothing_is_made_of_what_only_looks_like_it(extras: tuple[Confounder, ...]) -> None:
    analysis = Analysis(phantom(42, extras=extras).volume)
    sure = [
        lesion.concept for family in SPREADING for lesion in analysis.lesions(family, Context()) if lesion.score >= SURE
    ]
    assert sure == []
