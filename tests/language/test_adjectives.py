"""An adjective that is also a finding says nothing beside the noun it describes."""

from __future__ import annotations

import pytest

from radfind.language.reader import read


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        ("A 6 x 4 mm hyperdense stone in the left kidney.", ["renal_stone"]),
        ("A 12 mm hypodense, well-defined cyst in the right kidney.", ["renal_cyst"]),
        ("A 12 mm hypodense well-defined cyst in the right kidney.", ["renal_cyst"]),
        ("A hypodense, well-circumscribed 12 mm lesion in the liver.", ["hypodense_lesion"]),
        ("A 9 mm nodular subpleural lesion in the right lung.", ["pulmonary_nodule"]),
        ("Sequela nodular calcifications in the liver.", ["calcification"]),
    ],
)
def test_the_noun_is_the_finding(text: str, concepts: list[str]) -> None:
    assert [f.concept.id for f in read(text).findings] == concepts


def test_the_noun_has_the_size() -> None:
    (stone,) = read("A 6 x 4 mm hyperdense stone in the left kidney.").findings
    assert stone.sizes_mm == (6.0, 4.0)


@pytest.mark.parametrize(
    "text", ["The liver is hypodense.", "No nodular or infiltrative lesion.", "No nodular space-occupying lesion."]
)
def test_predicates_and_lists_stay_findings(text: str) -> None:
    found = {f.concept.id for f in read(text).findings}
    assert found & {"hypodense_lesion", "nodule", "pulmonary_nodule"}


def test_many_hyphens_cost_no_time() -> None:
    read("hypodense " + "al-" * 150 + " lesion")
