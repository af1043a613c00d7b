"""The whole built-in engine on phantoms, whose truth is exact, and on a real scan, read by a person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from radfind.engines.api import Context
from radfind.engines.builtin.engine import BuiltinEngine
from radfind.errors import ImageError, NotSupportedError, PromptError
from radfind.phantom import LesionSpec, Phantom, make_phantom
from radfind.prompts import TextPrompt
from radfind.results import Verdict
from radfind.volume import Geometry, Volume


@pytest.fixture(scope="module")
def made() -> Phantom:
    return make_phantom(
        seed=34,
        lesions=(LesionSpec("solid_nodule", side="left", diameter_mm=18.0),),
        shape=(90, 200, 200),
    )


@pytest.fixture(scope="module")
def engine() -> BuiltinEngine:
    return BuiltinEngine()


def verdict(engine: BuiltinEngine, volume: Volume, text: str) -> Verdict:
    return engine.verify(volume, TextPrompt(text), context=Context())[0]


def test_nodule_is_outlined_and_ranked_first(engine: BuiltinEngine, made: Phantom) -> None:
    truth = made.truth["lesion_1"]
    segments = engine.segment(made.volume, [TextPrompt("solid nodule in the left lung")], context=Context()).segments
    dice = 2 * (segments[0].mask & truth).sum() / (segments[0].mask.sum() + truth.sum())
    assert dice >= 0.8
    ranking = engine.rank(made.volume, TextPrompt("nodule in the left lung"), context=Context())
    assert truth[ranking.slices[0].index].any()
    assert 0.0 <= ranking.scores.min() <= ranking.scores.max() <= 1.0
    assert ranking.slices[0].evidence[0].span is not None


@pytest.mark.parametrize("other", ["left pulmonary nodule", "左肺结节", "左肺见一结节"])
def test_synonym_and_language_change_nothing(engine: BuiltinEngine, made: Phantom, other: str) -> None:
    first = engine.rank(made.volume, TextPrompt("nodule in the left lung"), context=Context())
    second = engine.rank(made.volume, TextPrompt(other), context=Context())
    assert np.array_equal(first.scores, second.scores)
    assert [s.index for s in first.slices] == [s.index for s in second.slices]


@pytest.mark.parametrize(
    ("text", "answer", "code"),
    [
        ("18 mm solid nodule in the left lung.", "yes", "supported"),
        ("18 mm solid nodule in the right lung.", "no", "wrong_side"),
        ("6 mm nodule in the left lung.", "no", "wrong_size"),
        ("No pulmonary nodule.", "no", "found_though_denied"),
        ("A nodule in the left lung cannot be excluded.", "maybe", "hedged"),
        ("No pneumothorax.", "yes", "supported"),
        ("Fracture of the left rib.", "maybe", "not_supported"),
    ],
)
def test_verdicts(engine: BuiltinEngine, made: Phantom, text: str, answer: str, code: str) -> None:
    result = verdict(engine, made.volume, text)
    assert (result.answer, result.code) == (answer, code), result.reason
    assert 0.0 <= result.confidence <= 1.0


def test_flipped_scan_gives_the_mirrored_mask(engine: BuiltinEngine, made: Phantom) -> None:
    turned = made.volume.oriented("RAI")
    prompts = [TextPrompt("solid nodule in the left lung")]
    straight = engine.segment(made.volume, prompts, context=Context()).segments[0].mask
    flipped = engine.segment(turned, prompts, context=Context()).segments[0].mask
    assert np.array_equal(flipped, straight[::-1, ::-1, ::-1])


def test_absent_findings_draw_no_slices(engine: BuiltinEngine, made: Phantom) -> None:
    ranking = engine.rank(made.volume, TextPrompt("No pulmonary nodule."), context=Context())
    assert ranking.slices == ()


def test_refusals(engine: BuiltinEngine, made: Phantom) -> None:
    geometry = Geometry.from_parts((10, 16, 16))
    magnetic = Volume(np.zeros((10, 16, 16), np.int16), geometry, modality="MR")
    with pytest.raises(NotSupportedError, match="CT"):
        engine.rank(magnetic, TextPrompt("nodule"), context=Context())
    thin = Volume(np.zeros((1, 16, 16), np.int16), Geometry.from_parts((1, 16, 16)), modality="CT")
    with pytest.raises(ImageError, match="slices"):
        engine.rank(thin, TextPrompt("nodule"), context=Context())
    empty = Volume(np.full((10, 16, 16), np.nan, np.float32), geometry, modality="CT")
    with pytest.raises(ImageError, match="no image"):
        engine.verify(empty, TextPrompt("nodule"), context=Context())
    with pytest.raises(NotSupportedError, match="does not know"):
        engine.segment(made.volume, [TextPrompt("pancreatic duct")], context=Context())
    with pytest.raises(PromptError):
        engine.rank(made.volume, TextPrompt("qwertz"), context=Context())


@pytest.fixture(scope="module")
def chest(shared_data: Callable[[str], Path]) -> Volume:
    from radfind.imaging import load

    return load(shared_data("chest-ct"))


@pytest.mark.parametrize(
    "text", ["Part-solid nodule in the apex of the right upper lobe.", "右肺上叶尖段见一混合磨玻璃结节。"]
)
def test_real_nodule_is_first(engine: BuiltinEngine, chest: Volume, text: str) -> None:
    ranking = engine.rank(chest, TextPrompt(text), context=Context())
    assert 56 <= ranking.slices[0].index <= 67  # read by eye
    mask = engine.segment(chest, [TextPrompt(text)], context=Context()).segments[0].mask
    assert mask[60:66, 278:290, 177:188].any()


@pytest.mark.parametrize(
    "text",
    [
        "A 25 mm solid mass in the middle third of the right lung.",
        "Large right pneumothorax.",
        "右肺尖大片实变影，伴空气支气管征。",
    ],
)
def test_what_the_real_scan_does_not_show_is_never_affirmed(engine: BuiltinEngine, chest: Volume, text: str) -> None:
    answers = engine.verify(chest, TextPrompt(text), context=Context())
    assert all(answer.answer in ("no", "maybe") for answer in answers)
