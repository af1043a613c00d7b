"""Agreement of a lesion with the words: sizes, sides, kinds. Expected values follow from the stated tolerances."""

from __future__ import annotations

import numpy as np
import pytest

from radfind.engines.builtin.lesion import Lesion, diameters
from radfind.engines.builtin.matching import size_agreement
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
