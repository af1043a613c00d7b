"""What spreads, against phantom truth; and what may be mistaken for it, which is not found."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

import radfind
from radfind.engines.api import Context
from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.verifying import SURE
from radfind.phantom import Confounder, LesionSpec, Phantom, make_phantom
from radfind.volume import Volume

FAMILIES = {
    "pleural_effusion": "effusion",
    "pneumothorax": "pneumothorax",
    "consolidation": "opacity",
    "ground_glass_opacity": "opacity",
    "emphysema": "emphysema",
}
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
        (LesionSpec("pleural_effusion", "left", diameter_mm=45), 0.85),
        (LesionSpec("pneumothorax", "right", diameter_mm=40), 0.8),
        (LesionSpec("ground_glass_opacity", "right", "upper", 40), 0.8),
        (LesionSpec("pleural_effusion", "left", diameter_mm=16), 0.7),  # above a larger fluid, that of the stomach
        pytest.param(LesionSpec("pleural_effusion", "right", diameter_mm=16), 0.7, marks=pytest.mark.slow),
        pytest.param(LesionSpec("consolidation", "right", "lower", 85), 0.75, marks=pytest.mark.slow),
    ],
    ids=lambda value: value.kind if isinstance(value, LesionSpec) else str(value),
)
def test_outline_follows_the_truth(spec: LesionSpec, least: float) -> None:
    made = phantom(41, spec)
    truth, mask = made.truth["lesion_1"], found(made, spec.kind)
    assert 2 * (truth & mask).sum() / (truth.sum() + mask.sum()) >= least


@pytest.mark.parametrize(
    "spec",
    [
        LesionSpec("emphysema", "right", "upper", 70),
        pytest.param(LesionSpec("emphysema", "left", "lower", 55), marks=pytest.mark.slow),
    ],
    ids=lambda spec: str(spec.side),
)
def test_emphysema_is_outlined_where_it_is_and_nowhere_else(spec: LesionSpec) -> None:
    """Holes of 5 to 16 mm on slices of nearly 4 mm, many of them crossed by vessels narrower than a voxel."""
    made = phantom(41, spec)
    truth, mask = made.truth["lesion_1"], found(made, "emphysema")
    assert 2 * (truth & mask).sum() / (truth.sum() + mask.sum()) >= 0.75
    assert (mask & truth).sum() >= 0.85 * mask.sum()


def test_ground_glass_in_the_angle_beside_the_spine_is_no_dependent_sheet() -> None:
    made = phantom(20101, LesionSpec("ground_glass_opacity", "left", diameter_mm=74.13))
    truth, mask = made.truth["lesion_1"], found(made, "ground_glass_opacity")
    assert 2 * (truth & mask).sum() / (truth.sum() + mask.sum()) >= 0.8


def test_consolidation_beside_the_spine_is_sure_and_outlined_up_to_it() -> None:
    made = phantom(43, LesionSpec("consolidation", "left", "lower", 65))
    truth, mask = made.truth["lesion_1"], found(made, "consolidation")
    assert 2 * (truth & mask).sum() / (truth.sum() + mask.sum()) >= 0.8


@pytest.fixture(scope="module")
def merged_mass() -> tuple[Volume, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """A scan, the 56 mm mass in it that lies half in the left lung and half in the heart, and the left lung."""
    made = phantom(41)
    left = made.truth["lung_left"]
    k = int(np.median(np.flatnonzero(left.any(axis=(1, 2)))))
    rows, columns = np.nonzero(left[k])
    j = int(np.median(rows))
    centre = np.array([k, j, columns[rows == j].min()])  # on the inner edge of the lung, beside the heart
    spacing = np.asarray(made.volume.geometry.spacing)
    distance = np.sqrt(np.square((np.indices(left.shape).T - centre) * spacing).sum(axis=-1)).T
    mass = (distance < 28.0) & (left | made.truth["heart"]) & ~made.truth["airway"]
    array = made.volume.array.copy()
    array[mass] = 45 + np.random.default_rng(0).normal(0, 14, int(mass.sum())).astype(array.dtype)
    return dataclasses.replace(made.volume, array=array), mass, left


def test_lung_as_thin_as_emphysema_along_the_ribs_is_no_free_air() -> None:
    made = phantom(41, LesionSpec("pneumothorax", "right", diameter_mm=40))
    truth, array = made.truth["lesion_1"], made.volume.array.copy()
    array[truth] = -968 + np.random.default_rng(0).normal(0, 14, int(truth.sum()))
    thin = dataclasses.replace(made, volume=dataclasses.replace(made.volume, array=array))
    assert found(made, "pneumothorax").any() and not found(thin, "pneumothorax").any()


def test_a_thin_pneumothorax_is_found_and_outlined_and_nothing_else() -> None:
    """9 mm at its thickest, in voxels of 1.7 x 1.7 x 3 mm: it is a few voxels deep, and tapers."""
    spec = LesionSpec("pneumothorax", "left", diameter_mm=9)
    made = make_phantom(seed=41, lesions=(spec,), shape=(110, 230, 230), noise_hu=18, confounders=("paravertebral",))
    truth, mask = made.truth["lesion_1"], found(made, "pneumothorax")
    assert 2 * (truth & mask).sum() / (truth.sum() + mask.sum()) >= 0.75
    assert not found(made, "emphysema").any()


def test_a_mass_that_merges_with_the_mediastinum_is_outlined_on_its_side(merged_mass) -> None:
    volume, mass, left = merged_mass
    (outlined,) = radfind.segment(volume, "lung mass").segments
    assert (outlined.mask & mass).sum() > 0.6 * outlined.mask.sum()
    assert (outlined.mask & mass).sum() > 0.6 * (mass & left).sum()
    (wrong,) = radfind.verify(volume, "Mass in the right lung.")
    assert (wrong.answer, wrong.code) == ("no", "wrong_side")


def test_a_mass_that_merges_with_the_mediastinum_is_pointed_at_and_never_denied(merged_mass) -> None:
    volume, mass, left = merged_mass
    (claim,) = radfind.verify(volume, "Mass in the left lung.")
    (denial,) = radfind.verify(volume, "No lung mass.")
    assert claim.answer != "no" and denial.answer != "yes"
    assert any(e.mask is not None and (e.mask & mass).sum() > 0.3 * (mass & left).sum() for e in claim.evidence)
    best = radfind.rank(volume, "left lung mass").slices[0]
    assert mass[best.index].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "extras", [("gullet_air", "chest_wall_air"), ("ascites", "dependent"), ("motion", "colon_gas")], ids="-".join
)
def test_nothing_is_made_of_what_only_looks_like_it(extras: tuple[Confounder, ...]) -> None:
    analysis = Analysis(phantom(42, extras=extras).volume)
    sure = [
        lesion.concept for family in SPREADING for lesion in analysis.lesions(family, Context()) if lesion.score >= SURE
    ]
    assert sure == []
