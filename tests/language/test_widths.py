"""Widths of organs: told beside a dilatation, or above the published limits without the word."""

from __future__ import annotations

import pytest

from radfind.language.reader import read


def claims(text: str) -> list[tuple[str, str, tuple[float, ...]]]:
    return [(f.concept.id, f.presence, f.sizes_mm) for f in read(text).findings if f.concept.kind == "finding"]


@pytest.mark.parametrize(
    ("text", "concept", "mm"),
    [
        ("The ascending aorta measures 42 mm.", "aortic_dilatation", 42.0),
        ("The ascending aorta measures 4.2 cm in diameter.", "aortic_dilatation", 42.0),
        ("Diameter of the pulmonary trunk is 32 mm.", "pulmonary_artery_dilatation", 32.0),
        ("升主动脉直径约45mm。", "aortic_dilatation", 45.0),
        ("The abdominal aorta measures 34 mm.", "aortic_aneurysm", 34.0),
    ],
)
def test_what_is_wider_than_the_guidelines_allow_is_wide(text: str, concept: str, mm: float) -> None:
    """Limits: 2014 ESC guidelines on aortic diseases, 2022 ESC/ERS guidelines on pulmonary hypertension."""
    assert claims(text) == [(concept, "present", (mm,))]


@pytest.mark.parametrize(
    "text",
    [
        "The ascending aorta measures 38 mm.",
        "The ascending aorta measures 40 mm.",
        "The diameter of the pulmonary trunk is 27 mm.",
        "The abdominal aorta measures 19 mm.",
        "The spleen measures 110 mm.",
        "主动脉弓直径约29mm。",
        "History: ascending aorta 45 mm.",
    ],
)
def test_normal_widths_claim_nothing(text: str) -> None:
    assert claims(text) == []


def test_each_width_is_that_of_its_own_part() -> None:
    text = "The diameter of the ascending aorta is 44 mm, of the aortic arch 33 mm. The ascending aorta is dilated."
    assert claims(text) == [("aortic_dilatation", "present", (44.0,))]


def test_a_denied_dilatation_is_not_claimed_for_its_width() -> None:
    assert claims("The ascending aorta measures 42 mm. No aortic dilatation.") == [("aortic_dilatation", "absent", ())]
