"""Series / image references: wordings and distractors made by grammar, the truth kept by the generator."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from radfind.language.references import find_references

Reference = tuple[int | None, int]

SERIES_FIRST = (
    "series {s} image {i}",
    "series {s}, image {i}",
    "Series {s} Image {i}",
    "SERIES {s} IMAGE {i}",
    "series {s}/image {i}",
    "series {s} (image {i})",
    "series #{s}, image #{i}",
    "series no. {s}, image no. {i}",
    "series number {s}, image number {i}",
    "series {s} slice {i}",
    "series {s}, slice {i}",
    "series: {s}, image: {i}",
    "series {s} and image {i}",
    "se {s} im {i}",
    "se. {s} im. {i}",
    "Se:{s} Im:{i}",
    "SE{s} IM{i}",
    "se{s}/im{i}",
    "se {s}, im {i}",
    "ser {s} img {i}",
    "ser. {s}, img. {i}",
    "Ser {s}/Img {i}",
    "seq {s} img {i}",
    "(series {s}, image {i})",
    "[se {s} im {i}]",
    "S{s} I{i}",
    "S{s}/I{i}",
    "image {s}/{i}",
    "img {s}/{i}",
    "IMA {s}-{i}",
    "(IMA {s}-{i})",
    "({s}:{i})",
    "im {s}/{i}",
    "series/image {s}/{i}",
    "se/im {s}/{i}",
    "序列{s}图像{i}",
    "序列 {s} 图像 {i}",
    "序列{s}，图像{i}",
    "系列{s}图像{i}",
    "序列{s}第{i}层",
    "序列{s}，第{i}幅",
    "第{s}序列第{i}幅图像",
    "第{s}序列第{i}层",
    "{s}号序列图像{i}",
    "（序列{s} 图像{i}）",
    "se{s}, im{i}",
    "series {s}/{i}",
    "serial {s} image{i}",
    "S{s} IM{i}",
    "Se{s}Im{i}",
    "SE{s}-IM{i}",
    "series {s} img. no. {i}",
    "{s}序列{i}层",
)
IMAGE_FIRST = (
    "image {i} of series {s}",
    "image {i}, series {s}",
    "image {i} (series {s})",
    "image {i} in series {s}",
    "slice {i} of series {s}",
    "img {i} ser {s}",
    "im {i} / se {s}",
    "images {i} on series {s}",
)
IMAGE_ONLY = (
    "image {i}",
    "Image {i}",
    "image #{i}",
    "image no. {i}",
    "(image {i})",
    "img {i}",
    "img. {i}",
    "im. {i}",
    "Im:{i}",
    "slice {i}",
    "图像 {i}",
    "图像{i}",
    "图{i}",
    "第{i}层",
    "第{i}幅",
    "第{i}层面",
    "IMA {i}",
    "slice {i}/310",
    "第{i}/310层",
    "层号{i}",
    "section {i}",
    "frame {i}",
)
DISTRACTORS = (
    "on 12.03.2021",
    "on 2021-03-12",
    "on 3/14/2020",
    "1.5 mm slices",
    "slice thickness 5 mm",
    "slice thickness of 1.25 mm",
    "on T2 images",
    "T1 and T2 weighted images",
    "in segment 4",
    "in segment 8 of the liver",
    "S6 segment",
    "第3/4肋",
    "64层螺旋CT",
    "at the level of T12",
    "L4-L5 disc",
    "tel. 555-0142",
    "phone 0712 345 678",
    "12 x 9 mm",
    "measuring 4.2 cm",
    "two nodules",
    "3 of 12 lymph nodes",
    "a 67 year old",
    "SUV max 4.2",
    "35 HU",
    "Lung-RADS 4A",
    "images were reviewed",
    "a series of 12 lesions",
    "2 images of poor quality",
    "1,5 cm",
    "the 5th rib",
    "C5/6",
    "层厚5mm",
    "大小约12mm×9mm",
    "2021年3月12日",
    "第5肋骨",
    "胸12椎体",
    "3枚结节",
    "电话 13800138000",
    "accession 20210312",
    "discussed at 10:30",
    "a ratio of 1:2",
    "(12/05)",
    "MRN 123456",
    "slices of 5 mm",
    "series of 3 examinations",
)
BEFORE = (
    "Nodule in the right upper lobe ",
    "Ground-glass opacity, ",
    "右肺上叶见结节，",
    "stable lesion ",
    "",
    "Seen on ",
)
AFTER = (".", " is stable.", ", 12 mm.", "。", " and unchanged.", "; no effusion.", "")


def _draw(rng: random.Random) -> tuple[str, list[Reference]]:
    """A sentence and the references it holds."""
    truth: list[Reference] = []
    parts = [rng.choice(BEFORE)]
    for _ in range(rng.randint(0, 2)):
        series, image = rng.randint(1, 30), rng.randint(1, 999)
        kind = rng.random()
        if kind < 0.6:
            parts.append(rng.choice(SERIES_FIRST).format(s=series, i=image))
            truth.append((series, image))
        elif kind < 0.75:
            parts.append(rng.choice(IMAGE_FIRST).format(s=series, i=image))
            truth.append((series, image))
        else:
            parts.append(rng.choice(IMAGE_ONLY).format(i=image))
            truth.append((None, image))
        parts.append(rng.choice(AFTER) + " ")
    for _ in range(rng.randint(1, 2)):
        parts.insert(rng.choice([0, len(parts)]), " " + rng.choice(DISTRACTORS) + rng.choice((". ", "; ", "。")))
    return "".join(parts), truth


def test_precision_and_recall_on_constructed_variants() -> None:
    rng = random.Random(20240517)
    hits = false = missed = 0
    for _ in range(3000):
        text, truth = _draw(rng)
        left = list(truth)
        for reference in find_references(text):
            if (reference.series, reference.image) in left:
                left.remove((reference.series, reference.image))
                hits += 1
            else:
                false += 1
        missed += len(left)
    assert hits > 2000
    assert hits / (hits + false) >= 0.97
    assert hits / (hits + missed) >= 0.97


def test_every_form_alone() -> None:
    for form in (*SERIES_FIRST, *IMAGE_FIRST):
        found = [(r.series, r.image) for r in find_references(form.format(s=3, i=42))]
        assert found == [(3, 42)], form
    for form in IMAGE_ONLY:
        assert [(r.series, r.image) for r in find_references(form.format(i=42))] == [(None, 42)], form
    for text in DISTRACTORS:
        assert find_references(text) == (), text


def test_lists_and_ranges_give_one_reference_for_each_image() -> None:
    def images(text: str) -> list[Reference]:
        return [(r.series, r.image) for r in find_references(text)]

    assert images("series 2, images 42, 45 and 47") == [(2, 42), (2, 45), (2, 47)]
    assert images("images 42-45 of series 3") == [(3, 42), (3, 43), (3, 44), (3, 45)]
    assert images("图像42、45") == [(None, 42), (None, 45)]
    assert images("images 10 and 12") == [(None, 10), (None, 12)]


def test_a_hyphen_between_two_close_high_numbers_is_a_range() -> None:
    def images(text: str) -> list[Reference]:
        return [(r.series, r.image) for r in find_references(text)]

    assert images("nodules (im. 42-44)") == [(None, 42), (None, 43), (None, 44)]
    assert images("nodule (IMA 8-34)") == [(8, 34)]
    assert images("nodule (im 3-5)") == [(3, 5)]
    assert images("nodule (im 201-230)") == [(201, 230)]


@given(st.text(max_size=300))
def test_spans_index_the_original_text(text: str) -> None:
    for reference in find_references(text):
        assert reference.span is not None
        assert text[reference.span.start : reference.span.stop] == reference.span.text
        assert any(character.isdigit() for character in reference.span.text)
