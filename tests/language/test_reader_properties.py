"""What must hold for any text: spans, determinism, no crash, linear work."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radfind.language.reader import read
from radfind.language.sections import split_sections
from radfind.language.text import fold, sentences

PIECES = st.sampled_from(
    [
        "nodule",
        "right upper lobe",
        "no ",
        " and ",
        "12 mm",
        "未见",
        "结节",
        "右肺",
        "，",
        "。",
        ". ",
        "; ",
        "\n",
        "?",
        "FINDINGS: ",
        "印象：",
        "series 3 image 42",
        "(",
        ")",
        "pleural effusion",
        "but",
        "S1+2",
        "T12",
        "İ",
        "ﬁ",
        "\x00",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=200), st.lists(PIECES, max_size=30).map(" ".join), st.lists(PIECES, max_size=30).map("".join)
)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_spans_index_the_text_as_given(text: str) -> None:
    reading = read(text)
    assert reading.text == text
    spans = [f.span for f in reading.findings] + [f.sentence for f in reading.findings] + list(reading.unread)
    spans += [span for span, _ in reading.suggestions]
    spans += [r.span for f in reading.findings for r in f.references if r.span is not None]
    for span in spans:
        assert 0 <= span.start < span.stop <= len(text)
        assert text[span.start : span.stop] == span.text
    for finding in reading.findings:
        assert finding.sentence.start <= finding.span.start and finding.span.stop <= finding.sentence.stop
        assert list(finding.sizes_mm) == sorted(finding.sizes_mm, reverse=True)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_fold_keeps_every_character_in_place(text: str) -> None:
    assert len(fold(text)) == len(text)
    pieces = sentences(fold(text))
    assert all(a.stop <= b.start for a, b in itertools.pairwise(pieces))
    assert all(section.piece.start <= section.piece.stop for section in split_sections(fold(text)))


@given(st.sampled_from(["nodule in the right upper lobe", "no pleural effusion", "右肺上叶结节"]))
def test_upper_case_and_surrounding_blanks_do_not_matter(text: str) -> None:
    def shape(words: str) -> list[object]:
        return [(f.concept.id, f.presence, f.place.side, f.place.lobes) for f in read(words).findings]

    assert shape(text) == shape(text.upper()) == shape(f"  {text}  \n")


@pytest.mark.parametrize(
    "unit",
    [
        "A 12 mm nodule in the right upper lobe. ",
        "nodule and ",
        ".",
        "😀",
        "\x00\x01",
        "مرحبا ",
        "1",
        "12 x ",
        "series 3 ",
        "not ",
        "hypodense al-al-",
        "the nodule ",
        "升主动脉直径约45mm,胆总管扩张。",
    ],
)
def test_100_kilobytes_are_read_in_seconds(unit: str) -> None:
    """Quadratic or exponential work would take minutes; the bound is ten times what it takes on one slow core."""
    text = unit * (100_000 // len(unit))
    begin = time.process_time()
    read(text)
    assert time.process_time() - begin < 25
