"""Agreement of a lesion with the words: sizes, sides, kinds. Expected values follow from the stated tolerances."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from radfind.engines.builtin import matching
from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.lesion import Lesion, diameters
from radfind.engines.builtin.matching import match, size_agreement
from radfind.engines.builtin.vocabulary import density_agreement, family_of
from radfind.language.findings import Finding
from radfind.language.lexicon import default_lexicon
from radfind.language.reader import read


def lesion(longest: float, concept: str = "solid_nodule") -> Lesion:
    return Lesion(
        concept=concept,
        box=(slice(0, 1), slice(0, 1), slice(0, 1)),
        mask=np.ones((1, 1, 1), bool),
        centre=(0.0, 0.0, 0.0),
        side="right",
        score=1.0,
        longest_mm=longest,
        perpendicular_mm=longest,
        volume_mm3=1.0,
        mean_hu=0.0,
        attributes=("solid",),
    )


def finding(text: str) -> Finding:
    return read(text).findings[0]


@pytest.mark.parametrize(
    ("text", "measured", "agrees"),
    [
        ("10 mm nodule", 11.5, True),  # within 2 mm
        ("20 mm nodule", 23.0, True),  # within 20 %
        ("8 mm nodule", 14.0, False),
        ("36 mm nodule", 20.0, False),
        ("1.2 cm nodule", 12.0, True),
        ("nodule", 25.0, True),  # no size is no mismatch
        ("12毫米结节", 12.0, True),
    ],
)
def test_size_agreement(text: str, measured: float, agrees: bool) -> None:
    assert (size_agreement(finding(text), lesion(measured)) >= 0.5) == agrees


@pytest.mark.parametrize(("one", "other"), [(13, 19), (17, 25), (8, 10), (30, 31)])
def test_size_agreement_does_not_depend_on_which_reading_is_the_larger(one: int, other: int) -> None:
    there = size_agreement(finding(f"{one} mm nodule"), lesion(other))
    assert there == size_agreement(finding(f"{other} mm nodule"), lesion(one))


def test_of_several_that_fit_the_nearest_in_size_fits_best() -> None:
    fits = {mm: size_agreement(finding("14 mm nodule"), lesion(mm)) for mm in (13.0, 14.3, 15.5)}
    assert max(fits, key=lambda mm: fits[mm]) == 14.3 and min(fits.values()) >= 0.9


def test_size_agreement_falls_with_the_difference() -> None:
    values = [size_agreement(finding("20 mm nodule"), lesion(measured)) for measured in (20, 25, 28, 35, 60)]
    assert values == sorted(values, reverse=True)
    assert values[0] == 1.0
    assert values[-1] < 0.3


def test_density_classes_of_neighbours_are_nearer_than_of_opposites() -> None:
    assert density_agreement("solid", "part_solid", 15.0) > density_agreement("solid", "ground_glass", 15.0)
    assert density_agreement(None, "ground_glass", 15.0) == 1.0
    assert density_agreement("solid", "ground_glass", 5.0) >= 0.5  # too small to tell


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("solid nodule in the right lung", "nodule"),
        ("右肺结节", "nodule"),
        ("pleural effusion", "effusion"),
        ("consolidation in the left lower lobe", "opacity"),
        ("liver lesion", None),
    ],
)
def test_family(text: str, family: str | None) -> None:
    assert family_of(finding(text), default_lexicon()) == family


def test_diameters_of_an_ellipse_match_its_axes() -> None:
    j, i = np.mgrid[-30:31, -30:31] * 0.5
    turn = np.deg2rad(30)
    along, across = i * np.cos(turn) + j * np.sin(turn), -i * np.sin(turn) + j * np.cos(turn)
    mask = ((along / 10.0) ** 2 + (across / 6.0) ** 2 <= 1.0)[None]
    longest, wide = diameters(mask, (1.0, 0.5, 0.5))
    assert longest == pytest.approx(20.0, abs=0.6)
    assert wide == pytest.approx(12.0, abs=0.6)


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> Anatomy:
    """A scan in which every lesion is wherever the text says."""
    monkeypatch.setattr(matching, "place_agreement", lambda anatomy, place, found: 1.0)
    return cast(Anatomy, SimpleNamespace())


@pytest.mark.parametrize("text", ["calcified granuloma", "calcified nodule in the right lung", "右肺钙化结节"])
def test_a_nodule_without_dense_voxels_is_not_calcified(anywhere: Anatomy, text: str) -> None:
    def brightest(hu: float, longest: float = 12.0) -> Lesion:
        return dataclasses.replace(lesion(longest), values={"brightest_hu": hu})

    soft = match(finding(text), brightest(60.0), anywhere)
    assert soft.contradiction == "wrong_kind"
    assert soft.total < matching.ENOUGH
    assert match(finding(text), brightest(180.0), anywhere).total > soft.total  # some of it may be calcium
    assert match(finding(text), brightest(60.0, 4.0), anywhere).total > soft.total  # averaged with the lung
    calcified = dataclasses.replace(lesion(12.0), attributes=("solid", "calcified"))
    assert match(finding(text), calcified, anywhere).contradiction is None


@pytest.mark.parametrize("text", ["tree-in-bud", "perifissural nodule", "树芽征", "miliary nodules"])
def test_what_is_small_by_definition_is_no_large_nodule(anywhere: Anatomy, text: str) -> None:
    assert match(finding(text), lesion(21.0), anywhere).contradiction == "wrong_kind"
    assert match(finding(text), lesion(5.0), anywhere).contradiction is None
