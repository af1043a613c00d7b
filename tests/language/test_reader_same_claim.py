"""The same claim in other units, another language or other words is the same finding; distances are no sizes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radfind.language.reader import read

SIDES = {"left": "左", "right": "右"}
LOBES = {"upper": "上", "lower": "下"}
THINGS = {
    "nodule": "结节",
    "consolidation": "实变",
    "ground-glass opacity": "磨玻璃影",
    "atelectasis": "不张",
    "bronchiectasis": "支气管扩张",
}
PRESENCE = {
    "There is {thing} in the {side} {lobe} lobe.": "{side}肺{lobe}叶见{thing}。",
    "No {thing} is seen in the {side} {lobe} lobe.": "{side}肺{lobe}叶未见{thing}。",
    "{thing} in the {side} {lobe} lobe cannot be excluded.": "{side}肺{lobe}叶{thing}不除外。",
    "Possible {thing} in the {side} {lobe} lobe.": "{side}肺{lobe}叶可疑{thing}。",
}
TENTHS = st.integers(21, 290).map(lambda tenths: tenths / 10)


def shape(text: str) -> list[tuple[Any, ...]]:
    """What is claimed, without where it stands in the text."""
    return [(f.concept.id, f.presence, f.place.side, f.place.lobes, f.sizes_mm) for f in read(text).findings]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("lobe", LOBES)
@pytest.mark.parametrize("thing", THINGS)
def test_both_languages_claim_the_same(side: str, lobe: str, thing: str) -> None:
    for english, chinese in PRESENCE.items():
        one = shape(english.format(thing=thing, side=side, lobe=lobe))
        other = shape(chinese.format(thing=THINGS[thing], side=SIDES[side], lobe=LOBES[lobe]))
        assert one == other
        assert [(finding[2], finding[3]) for finding in one] == [(side, (lobe,))]


@settings(max_examples=60, deadline=None)
@given(TENTHS, TENTHS, st.sampled_from(sorted(SIDES)), st.sampled_from(["x", " x ", "×", "*", " by "]))
def test_a_size_is_the_same_in_every_unit_and_language(a: float, b: float, side: str, times: str) -> None:
    expected = tuple(sorted((round(a, 3), round(b, 3)), reverse=True))
    lengths = [f"{a:g}{times}{b:g} mm", f"{a / 10:.2f}{times}{b / 10:.2f} cm", f"{a / 10:.2f} cm{times}{b / 10:.2f} cm"]
    for length in lengths:
        for text in (
            f"Nodule in the {side} upper lobe, {length}.",
            f"A {length} nodule in the {side} upper lobe.",
            f"In the {side} upper lobe, a nodule measuring {length} is observed.",
            f"{SIDES[side]}肺上叶结节，大小约{length.replace('mm', '毫米').replace('cm', '厘米')}。",
        ):
            assert shape(text) == [("pulmonary_nodule", "present", side, ("upper",), expected)], text


NO_SIZES = (
    "Nodule in the right upper lobe, {n} cm from the carina.",
    "Nodule in the right upper lobe, {n} mm from the pleura.",
    "Nodule in the right upper lobe at a distance of {n} mm to the fissure.",
    "Images of {n} mm slice thickness show a nodule in the right upper lobe.",
    "A nodule is seen in the right upper lobe on {n} mm slices.",
    "The nodule in the right upper lobe has grown by {n} mm.",
    "Nodule in the right upper lobe, previously {n} mm.",
    "右肺上叶结节，距胸膜约{n}mm。",
    "层厚{n}mm扫描，右肺上叶见结节。",
    "右肺上叶结节，位于隆突上方约{n}mm。",
)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 29), st.sampled_from(NO_SIZES))
def test_distances_slices_and_earlier_sizes_are_no_sizes(number: int, text: str) -> None:
    found = read(text.format(n=number)).findings
    assert [(f.concept.id, f.place.side, f.sizes_mm, f.size_range_mm) for f in found] == [
        ("pulmonary_nodule", "right", (), None)
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 14), st.integers(15, 29), st.booleans())
def test_of_an_earlier_and_a_present_size_the_present_one_counts(one: int, other: int, grown: bool) -> None:
    before, now = (one, other) if grown else (other, one)
    verb, zh = ("increased", "增大") if grown else ("decreased", "缩小")
    for text in (
        f"Nodule in the left lower lobe, previously {before} mm, now {now} mm.",
        f"Nodule in the left lower lobe, {now} mm (previously {before} mm).",
        f"The nodule in the left lower lobe has {verb} from {before} mm to {now} mm.",
        f"The nodule in the left lower lobe measures {now} mm compared with {before} mm on the prior study.",
        f"Left lower lobe nodule, {before} mm --> {now} mm.",
        f"Nodule in the left lower lobe, {before} mm previously, {now} mm currently.",
        f"LLL nodule {now} mm (prev {before} mm).",
        f"左肺下叶结节由{before}mm{zh}至{now}mm。",
        f"左肺下叶结节，原{before}mm，现{now}mm。",
        f"左肺下叶结节，约{now}mm（前{before}mm）。",
    ):
        assert [f.sizes_mm for f in read(text).findings] == [(float(now),)], text


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 99), st.integers(0, 9), st.booleans())
def test_a_size_in_chinese_numerals_is_that_in_digits(whole: int, tenth: int, full_width: bool) -> None:
    digits = "零一二三四五六七八九"
    tens, ones = divmod(whole, 10)
    words = (digits[tens] * (tens > 1) + "十" * (tens > 0) + digits[ones] * (ones > 0 or not tens)) + (
        f"点{digits[tenth]}" if tenth else ""
    )
    number = f"{whole}.{tenth}" if tenth else str(whole)
    if full_width:
        number = number.translate({ord(c): ord(c) + 0xFEE0 for c in "0123456789."})
    for unit, mm in (("毫米", 1.0), ("厘米", 10.0)):
        expected = [(round((whole + tenth / 10) * mm, 3),)]
        for text in (f"右肺上叶肿块，直径约{words}{unit}。", f"右肺上叶肿块，直径约{number}{unit}。"):
            assert [f.sizes_mm for f in read(text).findings] == expected, text


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 29), st.integers(3, 29))
def test_each_size_of_a_list_keeps_its_side(right: int, left: int) -> None:
    for text in (
        f"Nodules, {right} mm in the right upper lobe and {left} mm in the left lower lobe.",
        f"Nodules in the right upper lobe {right} mm and in the left lower lobe {left} mm.",
        f"{right} mm and {left} mm nodules in the right upper and left lower lobes, respectively.",
        f"A {right} mm nodule in the right upper lobe. Another, {left} mm, is in the left lower lobe.",
        f"右肺上叶结节，约{right}mm；左肺下叶结节，约{left}mm。",
        f"右肺上叶及左肺下叶结节，直径分别约{right}mm、{left}mm。",
    ):
        assert [(f.place.side, f.place.lobes, f.sizes_mm) for f in read(text).findings] == [
            ("right", ("upper",), (float(right),)),
            ("left", ("lower",), (float(left),)),
        ], text
