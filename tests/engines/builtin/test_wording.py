"""What the engine says of lesions and places, in English and in Chinese."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from radfind.engines.builtin import phrases
from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.wording import _ZONES, Wording
from radfind.language.findings import Finding, Place
from radfind.language.lexicon import default_lexicon
from radfind.language.place_words import _zones
from radfind.language.reader import read

NOWHERE = cast(Analysis, SimpleNamespace(anatomy=SimpleNamespace(frames={})))  # a scan in which no lobe can be placed
LESION = Lesion(
    concept="solid_nodule",
    box=(slice(0, 1), slice(0, 1), slice(0, 1)),
    mask=np.ones((1, 1, 1), bool),
    centre=(0.0, 0.0, 0.0),
    side="right",
    score=1.0,
    longest_mm=14.0,
    perpendicular_mm=11.0,
    volume_mm3=800.0,
    mean_hu=22.0,
    attributes=("part_solid", "calcified"),
)


def finding(text: str) -> Finding:
    (found,) = read(text).findings
    return found


def words(text: str) -> Wording:
    return Wording.of(finding(text), NOWHERE, default_lexicon())


@pytest.mark.parametrize(
    ("changed", "english", "chinese"),
    [
        (
            {},
            "calcified part-solid nodule, right lung, 14 x 11 mm, mean 22 HU",
            "右肺钙化部分实性结节，14 x 11 mm，平均22 HU",
        ),
        (
            {"concept": "pulmonary_mass", "attributes": ("solid",), "side": "left"},
            "solid mass, left lung, 14 x 11 mm, mean 22 HU",
            "左肺实性肿块，14 x 11 mm，平均22 HU",
        ),
        (
            {"concept": "pleural_effusion", "attributes": (), "volume_mm3": 120_400.0, "side": "left"},
            "pleural effusion, left pleural space, 120 ml, mean 22 HU",
            "左侧胸腔积液，120 ml，平均22 HU",
        ),
        (
            {"concept": "pneumothorax", "attributes": (), "side": "both", "mean_hu": -0.4},
            "pneumothorax, both pleural spaces, 0.8 ml, mean 0 HU",
            "双侧气胸，0.8 ml，平均0 HU",
        ),
        (
            {"concept": "emphysema", "attributes": (), "side": "both"},
            "emphysema, both lungs, 0.8 ml, mean 22 HU",
            "双肺肺气肿，0.8 ml，平均22 HU",
        ),
    ],
)
def test_a_lesion_is_told_in_the_language_of_the_statement(changed: dict[str, Any], english: str, chinese: str) -> None:
    lesion = dataclasses.replace(LESION, **changed)
    assert words("Nodule in the right lung.").sentence(lesion) == english
    assert words("右肺结节。").sentence(lesion) == chinese


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("nodule in the right upper lobe", "右肺上叶结节"),
        ("nodule in the left lung", "左肺结节"),
        ("apical nodule in the left upper lobe", "左肺上叶尖部结节"),
        ("pleural effusion on the right", "右侧胸腔积液"),
        ("effusion on both sides", "双侧胸腔积液"),
    ],
)
def test_a_place_is_told_back_as_it_was_read(english: str, chinese: str) -> None:
    """What the engine says of a place is read again as the same place."""
    for text in (english, chinese):
        place = finding(text).place
        again = read(words(text).place(place) + ("结节" if text == chinese else " nodule")).findings[-1].place
        assert (again.side, again.lobes, again.zones) == (place.side, place.lobes, place.zones)


def test_every_sentence_is_there_twice_with_the_same_blanks() -> None:
    for key, (english, chinese) in phrases._PHRASES.items():
        blanks = [sorted(re.findall(r"{(\w+)", text)) for text in (english, chinese)]
        assert blanks[0] == blanks[1], key
        assert english.isascii(), key
        assert not chinese.isascii() or chinese == "{organ}{asked}", key


def test_every_zone_that_is_read_can_be_told() -> None:
    assert set(_zones()[1].values()) <= set(_ZONES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A nodule of 14 x 11 mm.", "14 x 11 mm"),
        ("Nodules up to 5 mm.", "up to 5 mm"),
        ("Nodule larger than 8 mm.", "more than 8 mm"),
        ("结节，小于5mm。", "不超过5 mm"),
        ("结节，大于8mm。", "大于8 mm"),
    ],
)
def test_sizes(text: str, said: str) -> None:
    assert words(text).sizes(finding(text)) == said


def test_what_the_scan_does_not_show() -> None:
    assert words("Nodule.").unseen(Place()) == "the lungs" and words("结节。").unseen(Place()) == "肺"
    assert words("结节。").unseen(Place(side="left")) == "左侧"
    lung = default_lexicon().get("lung")
    assert [words("结节。").unseen(Place(sites=(lung,), side=side)) for side in ("right", "both")] == ["右肺", "双肺"]
