"""Verdicts from matches put together by hand: each rule of the judge by itself, and what must hold for all of them."""

from __future__ import annotations

import dataclasses
import functools
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.coverage import Coverage
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.matching import Match
from radfind.engines.builtin.verifying import Judgement, judge_statement, judge_unseen
from radfind.language.findings import Finding
from radfind.language.lexicon import default_lexicon
from radfind.language.reader import read

LEXICON = default_lexicon()
NOWHERE = cast(Analysis, SimpleNamespace(anatomy=SimpleNamespace(frames={})))  # a scan in which no lobe can be placed


def lesion(score: float = 1.0, longest: float = 14.0, concept: str = "solid_nodule") -> Lesion:
    return Lesion(
        concept=concept,
        box=(slice(0, 1), slice(0, 1), slice(0, 1)),
        mask=np.ones((1, 1, 1), bool),
        centre=(0.0, 0.0, 0.0),
        side="right",
        score=score,
        longest_mm=longest,
        perpendicular_mm=longest,
        volume_mm3=longest**3 / 2,
        mean_hu=20.0,
        attributes=("solid",) if concept == "solid_nodule" else (),
    )


def match(score: float = 1.0, **parts: float) -> Match:
    return Match(lesion(score), **parts)


@functools.cache
def finding(text: str) -> Finding:
    found = read(text).findings
    assert len(found) == 1, found
    return found[0]


def judge(text: str, *matches: Match, whole: bool = True, **rest: Any) -> Judgement:
    return judge_statement(finding(text), matches, NOWHERE, LEXICON, whole=whole, **rest)


@pytest.mark.parametrize(
    ("text", "parts", "answer", "code"),
    [
        ("14 mm nodule in the right lung.", {}, "yes", "supported"),
        ("14 mm nodule in the left lung.", {"side": 0.05}, "no", "wrong_side"),
        ("14 mm nodule in the right lower lobe.", {"place": 0.1}, "no", "wrong_place"),
        ("30 mm nodule in the right lung.", {"size": 0.0}, "no", "wrong_size"),
        ("14 mm ground-glass nodule in the right lung.", {"kind": 0.1}, "no", "wrong_kind"),
        ("20 mm nodule in the right lung.", {"size": 0.45}, "maybe", "wrong_size"),  # borderline
        ("14 mm nodule in the right lung.", {"score": 0.4}, "maybe", "not_found"),  # nobody should rely on it
        ("14 mm nodule in the right lung.", {"score": 0.1}, "no", "not_found"),
        ("No nodule in the right lung.", {}, "no", "found_though_denied"),
        ("No nodule in the right lung.", {"score": 0.4}, "maybe", "found_though_denied"),
        ("No nodule in the right lung.", {"score": 0.1}, "yes", "supported"),
        ("No nodule in the left lung.", {"side": 0.05}, "yes", "supported"),  # it lies elsewhere
        ("A nodule in the right lung cannot be excluded.", {}, "maybe", "hedged"),
        ("Cavitary nodule in the right lung.", {}, "maybe", "not_supported"),  # the kind cannot be told
        ("No cavitary nodule in the right lung.", {}, "maybe", "not_supported"),
    ],
)
def test_one_lesion(text: str, parts: dict[str, float], answer: str, code: str) -> None:
    result = judge(text, match(**parts))
    assert (result.answer, result.code) == (answer, code), result.reason
    assert result.reason


@pytest.mark.parametrize(
    ("text", "answer", "code"),
    [
        ("Pulmonary nodule.", "no", "not_found"),
        ("No pulmonary nodule.", "yes", "supported"),
        ("3 mm pulmonary nodule.", "maybe", "not_found"),  # too small for its absence to prove anything
        ("Emphysema.", "maybe", "not_found"),  # mild emphysema is missed
        ("Centrilobular emphysema.", "maybe", "not_found"),
        ("No emphysema.", "maybe", "not_found"),
        ("Tree-in-bud pattern.", "maybe", "not_found"),
        ("Hemothorax.", "no", "not_found"),  # without fluid there is no blood
    ],
)
def test_nothing_found(text: str, answer: str, code: str) -> None:
    result = judge(text)
    assert (result.answer, result.code) == (answer, code), result.reason
    assert result.matches == ()


def test_what_is_only_partly_shown_is_not_absent() -> None:
    for text in ("Pulmonary nodule.", "No pulmonary nodule."):
        result = judge(text, whole=False)
        assert (result.answer, result.code) == ("maybe", "not_covered")
    assert judge("Pulmonary nodule.", match(), whole=False).answer == "yes"  # seen is seen


def test_a_wrong_size_outweighs_a_speck_of_the_right_size() -> None:
    result = judge("25 mm nodule in the right lung.", match(size=0.0), match(score=0.35))
    assert (result.answer, result.code) == ("no", "wrong_size")


def test_the_right_size_on_the_other_side_is_the_wrong_side() -> None:
    here, there = match(size=0.0), match(side=0.05)
    assert judge("Solid nodule in the left lung, 14 mm.", here, there).code == "wrong_side"
    assert judge("Solid nodule in the left lung, 14 mm.", here, match(side=0.05, kind=0.1)).code == "wrong_size"


@pytest.mark.parametrize(("apart_mm", "answer"), [(2.0, "no"), (8.0, "no"), (10.0, "maybe")])
def test_what_may_lie_between_two_slices_is_not_refuted(apart_mm: float, answer: str) -> None:
    judgement = judge("Solid nodule in the left lung, 9 mm.", match(size=0.0), apart_mm=apart_mm)
    assert judgement.answer == answer and ("escape" in judgement.reason) == (answer == "maybe")


def test_another_kind_elsewhere_is_not_what_the_text_speaks_of() -> None:
    there = match(side=0.05, kind=0.1)
    assert judge("Ground-glass nodule in the left lung.", there).code == "not_found"
    assert judge("Ground-glass nodule in the left lung.", match(kind=0.1)).code == "wrong_kind"


def test_what_may_be_of_another_kind_contradicts_less_surely() -> None:
    alike, unlike = (judge("Nodule in the left lung.", match(side=0.0, kind=kind)) for kind in (1.0, 0.6))
    assert (alike.code, unlike.code) == ("wrong_side", "wrong_side") and unlike.confidence < alike.confidence


def test_a_lesion_described_elsewhere_contradicts_no_size() -> None:
    other = match(size=0.0)
    result = judge("25 mm nodule in the right lung.", other, match(score=0.35), spoken_for=(other.lesion,))
    assert (result.answer, result.code) == ("maybe", "not_found")


def test_the_gravest_disagreement_is_named() -> None:
    """Half the size is worse than a name a little off; a wrong side is named before anything else."""
    assert judge("26 mm nodule in the right lung.", match(kind=0.45, size=0.0)).code == "wrong_size"
    assert judge("26 mm nodule in the left lung.", match(side=0.05, size=0.0)).code == "wrong_side"


def test_another_kind_refutes_nothing_that_the_search_misses() -> None:
    assert judge("Tree-in-bud pattern.", match(kind=0.1)).code == "not_found"
    assert judge("Tree-in-bud pattern.", match(kind=0.1)).answer == "maybe"


def test_a_mass_that_was_not_found_is_not_denied() -> None:
    """It may merge with the mediastinum; a small nodule elsewhere says nothing about it."""
    for text in ("Mass in the left lung.", "No lung mass."):
        assert judge(text).answer == "maybe"
        assert judge(text, match(kind=0.1, side=0.05)).answer == "maybe"
    assert judge("Mass in the left lung.", match(side=0.05)).code == "wrong_side"  # a mass, but on the right


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Pneumothorax on the right side.", "on the right side, of which the scan shows only a part"),
        ("Bilateral pleural effusion.", "on both sides, of which the scan shows only a part"),
        ("Nodule in the right upper lobe.", "in the right upper lobe, of which the scan shows only a part"),
        ("No pneumothorax.", "in the part of the chest this scan shows, but not all of it is in the scan"),
    ],
)
def test_what_was_searched_is_said(text: str, words: str) -> None:
    assert words in judge(text, whole=False).reason


def test_sizes_that_differ_are_both_said() -> None:
    result = judge("10 mm nodule in the right lung.", match(size=0.7))
    assert result.answer == "yes"
    assert "14 x 14 mm" in result.reason and "the text says 10 mm" in result.reason


def test_fewer_than_the_text_counts() -> None:
    assert judge("Two nodules in the right lung.", match()).answer == "maybe"
    assert judge("Two nodules in the right lung.", match(), match()).answer == "yes"


@pytest.mark.parametrize("text", ["Nodules in both lungs.", "双肺结节。"])
def test_one_side_is_not_both(text: str) -> None:
    right, left = match(), Match(dataclasses.replace(lesion(), side="left"))
    assert judge(text, right, right).answer == "maybe"
    assert judge(text, right, left).answer == "yes"
    assert judge(text.replace("Nodules", "No nodules").replace("双肺", "双肺未见"), right).answer == "no"


@pytest.mark.parametrize(
    ("text", "shown", "answer", "code"),
    [
        ("Right lung.", "whole", "no", "not_found"),
        ("No calcification.", "whole", "yes", "supported"),
        ("Trachea.", "part", "maybe", "not_found"),
        ("No calcification.", "part", "maybe", "not_found"),
        ("Trachea.", "none", "maybe", "not_covered"),
        ("Trachea.", "unknown", "maybe", "not_covered"),
    ],
)
def test_structure_that_is_not_seen(text: str, shown: Coverage, answer: str, code: str) -> None:
    stated = finding(text)
    result = judge_unseen(stated, shown, denied=stated.presence == "absent")
    assert (result.answer, result.code) == (answer, code)


SHARE = st.floats(0.0, 1.0)
MATCHES = st.lists(
    st.builds(match, score=SHARE, kind=SHARE, side=st.sampled_from((0.05, 1.0)), place=SHARE, size=SHARE), max_size=4
)


@settings(max_examples=60, deadline=None)
@given(MATCHES)
def test_a_claim_and_its_denial_are_never_both_true(matches: list[Match]) -> None:
    claim = judge("Nodule in the right lung.", *matches)
    denial = judge("No nodule in the right lung.", *matches)
    assert {claim.answer, denial.answer} != {"yes"}
    for result in (claim, denial):
        assert 0.0 <= result.confidence <= 1.0
        assert result.reason.endswith(".")


@settings(max_examples=60, deadline=None)
@given(MATCHES)
def test_a_claim_is_affirmed_only_by_a_sure_lesion_that_fits_it(matches: list[Match]) -> None:
    result = judge("14 mm nodule in the right lung.", *matches)
    if result.answer == "yes":
        best = result.matches[0]
        assert best.lesion.score >= 0.5
        assert min(best.kind, best.side, best.place, best.size) >= 0.5


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("Minimal pneumothorax.", "thinner than about 10 mm may escape"),
        ("Small right pneumothorax.", "thinner than about 10 mm may escape"),
        ("Trace bilateral pleural effusions.", "thinner than about 10 mm may escape"),
        ("Right pneumothorax, 6 mm.", "thinner than about 10 mm may escape"),
        ("右侧少量胸腔积液。", "厚度不足约10 mm者可能漏检"),
        ("左侧微量气胸。", "厚度不足约10 mm者可能漏检"),
        ("右侧气胸，厚约6mm。", "厚度不足约10 mm者可能漏检"),
    ],
)
def test_a_slight_layer_that_was_not_found_may_have_been_missed(text: str, limit: str) -> None:
    judged = judge(text)
    assert (judged.answer, judged.code) == ("maybe", "not_found")
    assert limit in judged.reason


@pytest.mark.parametrize("text", ["Right pneumothorax, 25 mm.", "Small nodule with a large pleural effusion."])
def test_a_thick_layer_is_not_missed(text: str) -> None:
    layer = next(f for f in read(text).findings if f.concept.id in ("pneumothorax", "pleural_effusion"))
    assert judge_statement(layer, (), NOWHERE, LEXICON, whole=True).answer == "no"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Large pleural effusion.", "no"), ("No pneumothorax.", "yes"), ("No small pneumothorax.", "yes")],
)
def test_what_escapes_the_search_is_said_with_the_answer(text: str, answer: str) -> None:
    judged = judge(text)
    assert judged.answer == answer
    assert "thinner than about 10 mm may escape" in judged.reason
    assert judged.confidence < judge("No pulmonary nodule.").confidence
