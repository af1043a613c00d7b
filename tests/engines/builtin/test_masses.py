"""Which doubtful dense lung counts as a mass, on balls of known size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.masses import may_be_masses, with_merged_masses

SPACING = (5.0, 1.0, 1.0)


def ball(diameter_mm: float, centre_mm: tuple[float, float, float], concept: str = "consolidation", **values) -> Lesion:
    """A ball of that size, doubtful, on the right; `values` replace parts of it."""
    shape = np.array([40, 120, 200])
    grid = np.moveaxis(np.indices(shape), 0, -1) * np.asarray(SPACING)
    inside = np.linalg.norm(grid - np.asarray(centre_mm), axis=-1) < diameter_mm / 2
    where = np.argwhere(inside)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(where.min(0), where.max(0), strict=True))
    made = Lesion(
        concept=concept,
        box=box,
        mask=inside[box],
        centre=tuple(where.mean(0)),
        side="right",
        score=0.45,
        longest_mm=diameter_mm,
        perpendicular_mm=diameter_mm,
        volume_mm3=float(inside.sum() * np.prod(SPACING)),
        mean_hu=30.0,
    )
    return dataclasses.replace(made, **values)


def masses(*dense: Lesion, nodules: tuple[Lesion, ...] = ()) -> list[Lesion]:
    return [found for found in with_merged_masses(nodules, dense, SPACING) if found.concept == "pulmonary_mass"]


def test_thicker_than_a_hilar_vessel_is_a_mass() -> None:
    (found,) = masses(ball(45, (100, 60, 60)))
    assert found.score > 0.5 and found.side == "right" and found.longest_mm == 45


@pytest.mark.parametrize(
    "dense",
    [
        ball(16, (100, 60, 60)),  # as thick as an interlobar artery
        ball(45, (100, 60, 60), mean_hu=220.0),  # blood under contrast
        ball(45, (100, 60, 60), score=0.9),  # a consolidation, free of what it touches
        ball(45, (100, 60, 60), concept="ground_glass_opacity"),
    ],
    ids=["vessel", "contrast", "consolidation", "ground-glass"],
)
def test_other_dense_lung_is_none(dense: Lesion) -> None:
    assert masses(dense) == []


def test_dense_lung_that_a_vessel_explains_is_not_taken_for_a_mass() -> None:
    vessel, lump, sure = ball(16, (100, 60, 60)), ball(28, (100, 60, 60)), ball(16, (100, 60, 60), score=0.8)
    haze = ball(45, (100, 60, 60), concept="ground_glass_opacity")
    assert may_be_masses((vessel, lump, sure, haze), SPACING) == (lump, sure)


def test_as_thick_on_both_sides_is_none() -> None:
    right, left = ball(35, (100, 60, 60)), ball(35, (100, 60, 140), side="left")
    assert masses(right, left) == []
    assert len(masses(right, dataclasses.replace(left, mask=ball(16, (100, 60, 140)).mask))) == 1


def test_a_corner_of_a_mass_is_no_second_lesion() -> None:
    mass = ball(45, (100, 60, 60))
    corner, apart = (ball(12, (100, 60, i), "solid_nodule", score=0.9) for i in (86, 120))
    found = with_merged_masses((corner, apart), (mass,), SPACING)
    assert corner not in found and apart in found
