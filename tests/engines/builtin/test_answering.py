"""From text to answers with lesions given by hand: what is outlined, what is only ranked, what is not shown."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest

from radfind.engines.api import Context
from radfind.engines.builtin import answering, matching
from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.answering import Answerer
from radfind.engines.builtin.coverage import Coverage
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.masses import may_be_masses
from radfind.errors import NotSupportedError
from radfind.language.lexicon import default_lexicon
from radfind.prompts import TextPrompt
from radfind.volume import Geometry, Volume

SHAPE = (12, 8, 8)
VOLUME = Volume(np.zeros(SHAPE, np.int16), Geometry.from_parts(SHAPE), modality="CT")


def lesion(score: float, longest: float = 8.0, first: int = 2) -> Lesion:
    return Lesion(
        concept="solid_nodule",
        box=(slice(first, first + 2), slice(1, 3), slice(1, 3)),
        mask=np.ones((2, 2, 2), bool),
        centre=(first, 1.0, 1.0),
        side="right",
        score=score,
        longest_mm=longest,
        perpendicular_mm=longest,
        volume_mm3=8.0,
        mean_hu=20.0,
        attributes=("solid",),
    )


class Scan:
    """An analysis that has found what the test says and covers what it says."""

    def __init__(self, *lesions: Lesion, shown: Coverage = "whole") -> None:
        self._lesions = lesions
        self.anatomy = SimpleNamespace(frames={}, covers=lambda region, side=None: shown)

    def lesions(self, family: str, context: Context) -> tuple[Lesion, ...]:
        return tuple(lesion for lesion in self._lesions if (lesion.concept == "consolidation") == (family == "opacity"))

    def masses(self, context: Context) -> tuple[Lesion, ...]:
        return self.lesions("nodule", context)

    def mass_like(self, context: Context) -> tuple[Lesion, ...]:
        return may_be_masses(self.lesions("opacity", context), (5.0, 5.0, 5.0))

    def own_mask(self, found: Lesion, volume: Volume) -> npt.NDArray[np.bool_]:
        return found.full_mask(SHAPE)

    def own_position(self, kji: tuple[float, float, float], volume: Volume) -> tuple[float, float, float]:
        return kji


@pytest.fixture(autouse=True)
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any lesion is wherever the text says, and no structure is seen."""
    monkeypatch.setattr(matching, "place_agreement", lambda anatomy, place, found: 1.0)
    monkeypatch.setattr(answering, "structure_mask", lambda analysis, finding, volume: np.zeros(SHAPE, bool))


def answerer(*lesions: Lesion, shown: Coverage = "whole") -> Answerer:
    scan = cast(Analysis, Scan(*lesions, shown=shown))
    return Answerer(scan, VOLUME, default_lexicon(), Context(), "builtin")


def test_a_doubtful_blob_is_ranked_but_not_outlined_for_its_name_alone() -> None:
    asked = answerer(lesion(0.4))
    result = asked.segment([TextPrompt("pulmonary nodule")])
    assert result.segments == ()
    assert "too weak" in result.not_found[0]
    assert asked.rank(TextPrompt("pulmonary nodule"), top_k=10, threshold=0.0, spread=True).slices
    assert asked.verify(TextPrompt("Pulmonary nodule."))[0].answer == "maybe"


@pytest.mark.parametrize("text", ["8 mm pulmonary nodule", "Nodule in the right upper lobe", "右肺上叶结节"])
def test_a_doubtful_blob_is_outlined_where_size_or_place_fit(text: str) -> None:
    assert len(answerer(lesion(0.4)).segment([TextPrompt(text)]).segments) == 1
    assert answerer(lesion(0.2)).segment([TextPrompt(text)]).segments == ()


def test_all_sure_lesions_are_outlined_but_one_when_the_text_means_one() -> None:
    asked = answerer(lesion(0.9), lesion(0.8, first=7))
    assert len(asked.segment([TextPrompt("pulmonary nodules")]).segments) == 2
    assert len(asked.segment([TextPrompt("8 mm pulmonary nodule")]).segments) == 1


@pytest.mark.parametrize(
    ("text", "shown", "answer", "code"),
    [
        ("Trachea.", "none", "maybe", "not_covered"),
        ("Trachea.", "part", "maybe", "not_found"),
        ("No calcification.", "part", "maybe", "not_found"),
        ("Pulmonary nodule.", "none", "maybe", "not_covered"),
        ("No pulmonary nodule.", "none", "maybe", "not_covered"),
        ("No pulmonary nodule.", "part", "maybe", "not_covered"),
        ("No pulmonary nodule.", "whole", "yes", "supported"),
    ],
)
def test_not_covered_is_not_absent(text: str, shown: Coverage, answer: str, code: str) -> None:
    verdict = answerer(shown=shown).verify(TextPrompt(text))[0]
    assert (verdict.answer, verdict.code) == (answer, code), verdict.reason


def test_calcium_is_not_told_from_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = np.zeros(SHAPE, bool)
    seen[3, 2, 2] = True
    monkeypatch.setattr(answering, "structure_mask", lambda analysis, finding, volume: seen)
    asked = answerer()
    assert asked.segment([TextPrompt("calcification")]).segments[0].mask[3, 2, 2]
    for text in ("Calcification.", "No calcification."):
        assert asked.verify(TextPrompt(text))[0].answer == "maybe"
    assert asked.verify(TextPrompt("Calcification in the aorta."))[0].code == "not_supported"


@pytest.mark.parametrize("text", ["trachea", "nodule in the right upper lobe"])
def test_what_lies_outside_is_said_to(text: str) -> None:
    assert "does not show the place" in answerer(shown="none").segment([TextPrompt(text)]).not_found[0]
    assert "does not show the place" not in answerer(shown="whole").segment([TextPrompt(text)]).not_found[0]


@pytest.mark.parametrize("text", ["L3 vertebra", "vertebra T12", "L3椎体"])
def test_a_level_that_cannot_be_told_is_not_supported(text: str) -> None:
    asked = answerer()
    verdict = asked.verify(TextPrompt(text))[0]
    assert (verdict.answer, verdict.code) == ("maybe", "not_supported")
    with pytest.raises(NotSupportedError, match=r"number vertebrae|给椎体编号"):
        asked.segment([TextPrompt(text)])


def test_a_place_outside_is_named() -> None:
    reason = answerer(shown="none").verify(TextPrompt("Nodule in the right lower lobe."))[0].reason
    assert reason == "The scan does not show the right lower lobe."
    assert answerer(shown="none").verify(TextPrompt("Lung nodule."))[0].reason == "The scan does not show the lungs."


@pytest.mark.parametrize("text", ["Lung mass.", "A 60 mm mass in the right lung.", "右肺肿块。", "No lung mass."])
def test_dense_lung_that_merges_may_be_the_mass(text: str) -> None:
    dense = dataclasses.replace(lesion(1.0, longest=120.0), concept="consolidation", attributes=())
    asked = answerer(dense)
    verdict = asked.verify(TextPrompt(text))[0]
    assert (verdict.answer, verdict.code) == ("maybe", "not_supported")
    assert ("实变" if text == "右肺肿块。" else "consolidation") in verdict.reason
    assert asked.verify(TextPrompt("Mass in the left lung."))[0].code == "wrong_side"
    assert asked.verify(TextPrompt("Lung nodule."))[0].code == "not_found"
    if not text.startswith("No"):
        assert 0.5 <= asked.rank(TextPrompt(text), top_k=10, threshold=0.0, spread=True).slices[0].score < 0.7


@pytest.mark.parametrize("text", ["Lung mass.", "右肺肿块。"])
def test_dense_lung_that_a_vessel_explains_is_no_mass(text: str) -> None:
    vessel = dataclasses.replace(lesion(0.45, longest=60.0), concept="consolidation", attributes=())
    verdict = answerer(vessel).verify(TextPrompt(text))[0]
    assert (verdict.answer, verdict.code) == ("maybe", "not_found") and re.search(
        "may miss it|可能漏检", verdict.reason
    )
    with_mass = answerer(vessel, dataclasses.replace(lesion(0.9, longest=45.0, first=7), concept="pulmonary_mass"))
    assert with_mass.verify(TextPrompt("Mass in the left lung."))[0].code == "wrong_side"


def test_the_consolidation_that_is_the_mass_does_not_excuse_its_size() -> None:
    mass = dataclasses.replace(lesion(0.9, longest=42.0), concept="pulmonary_mass")
    dense = dataclasses.replace(lesion(0.9, longest=44.0), concept="consolidation", attributes=())
    verdict = answerer(mass, dense).verify(TextPrompt("A 90 mm mass in the right lung."))[0]
    assert (verdict.answer, verdict.code) == ("no", "wrong_size")


def test_a_mass_that_was_found_is_not_outlined_a_second_time_as_consolidation() -> None:
    dense = dataclasses.replace(lesion(1.0, longest=120.0), concept="consolidation", attributes=())
    mass = dataclasses.replace(lesion(1.0, longest=40.0, first=7), concept="pulmonary_mass")
    assert len(answerer(dense, mass).segment([TextPrompt("lung mass")]).segments) == 1


@pytest.mark.parametrize("text", ["Lung nodule.", "No lung nodule.", "右肺结节。"])
def test_doubtful_dense_lung_may_be_the_nodule(text: str) -> None:
    """It is told of, neither outlined nor ranked; what is far larger than the nodule, or certain, is not it."""
    dense = dataclasses.replace(lesion(0.45, longest=80.0), concept="consolidation", attributes=())
    verdict = answerer(dense).verify(TextPrompt(text))[0]
    assert verdict.answer == "maybe" and ("实变" if text == "右肺结节。" else "consolidation") in verdict.reason
    assert answerer(dense).segment([TextPrompt("lung nodule")]).segments == ()
    assert answerer(dense).verify(TextPrompt("An 8 mm nodule in the right lung."))[0].answer == "no"
    assert answerer(dense).verify(TextPrompt("Ground-glass nodule."))[0].answer == "no"
    assert "consolidation" not in answerer(dataclasses.replace(dense, score=0.9)).verify(TextPrompt(text))[0].reason


@pytest.mark.parametrize("text", ["The lungs are clear.", "No acute findings.", "双肺清晰。", "两肺未见异常。"])
def test_a_denial_in_general_names_no_single_finding(text: str) -> None:
    verdict = answerer().verify(TextPrompt(text))[0]
    assert (verdict.answer, verdict.code) == ("maybe", "vague")
    assert "no single finding to check" in verdict.reason
    assert "no single finding" not in answerer().verify(TextPrompt("The weather is nice."))[0].reason


def test_a_place_that_cannot_be_told_is_said_to_be() -> None:
    for text in ("Nodule in the right lower lobe bronchus.", "No nodule in the right lower lobe bronchus."):
        for asked in (answerer(lesion(0.9)), answerer()):
            verdict = asked.verify(TextPrompt(text))[0]
            assert verdict.answer == "maybe" and "cannot tell where 'bronchus' is" in verdict.reason
    assert answerer(lesion(0.9)).verify(TextPrompt("Nodule in the left lower lobe bronchus."))[0].code == "wrong_side"
    assert "cannot tell" not in answerer(lesion(0.9)).verify(TextPrompt("Nodule in the right lung."))[0].reason


@pytest.mark.parametrize("text", ["Nodule at the right hilum.", "No nodule at the right hilum.", "右肺门结节。"])
def test_nothing_found_at_the_hilum_proves_nothing(text: str) -> None:
    """A small lesion there is not told from the vessels."""
    verdict = answerer().verify(TextPrompt(text))[0]
    assert (verdict.answer, verdict.code) == ("maybe", "not_found")
