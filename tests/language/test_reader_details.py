"""Places, sizes, numbers and attributes; English and Chinese say the same."""

from __future__ import annotations

import math

import pytest

from radfind.language.findings import Finding
from radfind.language.reader import read
from radfind.language.sizes import find_sizes
from radfind.language.text import fold


def one(text: str) -> Finding:
    findings = read(text).findings
    assert len(findings) == 1, [f.concept.id for f in findings]
    return findings[0]


@pytest.mark.parametrize(
    ("text", "mm", "bounds"),
    [
        ("12 mm", (12.0,), None),
        ("12-mm", (12.0,), None),
        ("1.2 cm", (12.0,), None),
        ("1,5 cm", (15.0,), None),
        ("1.1 x 1.4 cm", (14.0, 11.0), None),
        ("12x9x8mm", (12.0, 9.0, 8.0), None),
        ("10 mm × 8 mm × 5 mm", (10.0, 8.0, 5.0), None),
        ("5x4x5 cm", (50.0, 50.0, 40.0), None),
        ("约12mm×9mm", (12.0, 9.0), None),
        ("直径约1.2cm", (12.0,), None),
        ("1.2厘米", (12.0,), None),
        ("up to 5 mm", (), (0.0, 5.0)),
        ("less than 5 mm", (), (0.0, 5.0)),
        ("5 mm or less", (), (0.0, 5.0)),
        ("小于5mm", (), (0.0, 5.0)),
        ("larger than 3 cm", (), (30.0, math.inf)),
        ("大于3cm", (), (30.0, math.inf)),
        ("between 3 and 5 mm", (), (3.0, 5.0)),
        ("3–5 mm", (), (3.0, 5.0)),
        ("millimetric nodule", (), (0.0, 10.0)),
        ("微小结节", (), (0.0, 5.0)),
    ],
)
def test_sizes(text: str, mm: tuple[float, ...], bounds: tuple[float, float] | None) -> None:
    (size,) = find_sizes(fold(text))
    assert (size.mm, size.range_mm, size.role) == (mm, bounds, "lesion")


@pytest.mark.parametrize(
    "text",
    [
        "1.5 mm slice thickness",
        "slice thickness of 1.5 mm",
        "sections 1.5 mm thick sections",
        "层厚5mm",
        "5 mm sections",
    ],
)
def test_slice_thickness_is_no_lesion(text: str) -> None:
    assert [size.role for size in find_sizes(fold(text))] == ["technique"]


@pytest.mark.parametrize(
    "text",
    [
        "12 mm nodule in the right upper lobe, previously 8 mm",
        "nodule in the right upper lobe, 12 mm (was 8 mm)",
        "nodule in the right upper lobe measuring 12 mm, 8 mm in the previous examination",
        "nodule in the right upper lobe increased from 8 mm to 12 mm",
        "右肺上叶结节，大小约12mm，原8mm",
        "右肺上叶结节，现约12mm，前片约8mm",
    ],
)
def test_earlier_sizes_are_not_current(text: str) -> None:
    assert one(text).sizes_mm == (12.0,)


PLACES = [
    ("right upper lobe", "right", ("upper",), ()),
    ("RUL", "right", ("upper",), ()),
    ("upper lobe of the right lung", "right", ("upper",), ()),
    ("右肺上叶", "right", ("upper",), ()),
    ("右上肺", "right", ("upper",), ()),
    ("both lower lobes", "both", ("lower",), ()),
    ("双肺下叶", "both", ("lower",), ()),
    ("right upper and left lower lobe", "both", ("upper", "lower"), ()),
    ("lingula", "left", ("lingula",), ()),
    ("apical segment of the right upper lobe", "right", ("upper",), ("S1",)),
    ("右肺上叶尖段", "right", ("upper",), ("S1",)),
    ("apicoposterior segment of the left upper lobe", "left", ("upper",), ("S1+2",)),
    ("左肺上叶尖后段", "left", ("upper",), ("S1+2",)),
    ("posterior segment of the right upper lobe", "right", ("upper",), ("S2",)),
    ("medial segment of the right middle lobe", "right", ("middle",), ("S5",)),
    ("右肺中叶外侧段", "right", ("middle",), ("S4",)),
    ("superior segment of the left lower lobe", "left", ("lower",), ("S6",)),
    ("左肺下叶背段", "left", ("lower",), ("S6",)),
    ("mediobasal segment of the right lower lobe", "right", ("lower",), ("S7",)),
    ("left lung lower lobe anteromediobasal segment", "left", ("lower",), ("S7+8",)),
    ("右肺下叶外基底段", "right", ("lower",), ("S9",)),
    ("laterobasal segment of the right lower lobe", "right", ("lower",), ("S9",)),
    ("posterobasal segment of the left lower lobe", "left", ("lower",), ("S10",)),
    ("左肺下叶后基底段", "left", ("lower",), ("S10",)),
]


@pytest.mark.parametrize(("where", "side", "lobes", "segments"), PLACES, ids=[p[0] for p in PLACES])
def test_places(where: str, side: str, lobes: tuple[str, ...], segments: tuple[str, ...]) -> None:
    text = f"{where}结节" if not where.isascii() else f"Nodule in the {where}."
    place = one(text).place
    assert (place.side, place.lobes, place.segments) == (side, lobes, segments)


def test_listed_lobes_name_the_right_structures() -> None:
    place = one("Nodules in the right upper and left lower lobe.").place
    assert {site.id for site in place.sites} >= {"right_upper_lobe", "left_lower_lobe"}
    assert {site.id for site in place.sites} & {"right_lower_lobe", "left_upper_lobe"} == set()


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("fracture of T12", ("T12",)),
        ("fracture of L1-L2", ("L1", "L2")),
        ("disc herniation at C5/6", ("C5", "C6")),
        ("胸12椎体骨折", ("T12",)),
        ("腰1、2椎体骨折", ("L1", "L2")),
        ("第12胸椎骨折", ("T12",)),
        ("第11、12胸椎骨折", ("T11", "T12")),
        ("hemorrhage on T2-weighted images", ()),
    ],
)
def test_vertebral_levels(text: str, levels: tuple[str, ...]) -> None:
    assert read(text).findings[0].place.levels == levels


def test_liver_segments_are_couinaud() -> None:
    assert one("Cyst in segment 4 of the liver.").place.segments == ("IV",)
    assert one("Cyst in liver segment VI.").place.segments == ("VI",)


PAIRS = [
    ("12 mm part-solid nodule in the right upper lobe", "右肺上叶12mm混合磨玻璃结节"),
    (
        "solid nodule in the apical segment of the right upper lobe, 1.2 x 0.9 cm, spiculated",
        "右肺上叶尖段实性结节，大小约1.2×0.9cm，可见毛刺",
    ),
    ("lobulated mass in the left lower lobe", "左肺下叶分叶状肿块"),
    ("atelectasis of the right middle lobe", "右肺中叶肺不张"),
    ("lung collapse", "肺不张"),
    ("left pleural effusion", "左侧胸腔积液"),
    ("bilateral pleural effusion", "双侧胸腔积液"),
    ("no pneumothorax", "未见气胸"),
    ("multiple solid nodules in both lungs", "双肺多发实性结节"),
    ("two solid nodules in the left lung", "左肺2枚实性结节"),
    ("emphysema of both lungs", "双肺肺气肿"),
    ("right upper lobe ground-glass nodule (series 3 image 42)", "右肺上叶磨玻璃结节（序列3图像42）"),
]


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=[p[0] for p in PAIRS])
def test_both_languages_read_alike(english: str, chinese: str) -> None:
    def shape(text: str) -> list[object]:
        return [
            (
                f.concept.id,
                f.presence,
                f.place.side,
                f.place.lobes,
                f.place.segments,
                f.sizes_mm,
                f.size_range_mm,
                f.count,
                f.multiple,
                sorted(f.attributes),
                [(r.series, r.image) for r in f.references],
            )
            for f in read(text).findings
        ]

    assert shape(english) == shape(chinese)
    assert shape(english)


SYNONYMS = [
    ("atelectasis in the right lower lobe", "lung collapse in the right lower lobe", "collapsed lung in the RLL"),
    ("pleural effusion on the right", "right-sided pleural effusion", "Right pleural effusion."),
    ("ground-glass opacity in the left upper lobe", "GGO in the left upper lobe", "ground glass opacity in the LUL"),
]


@pytest.mark.parametrize("texts", SYNONYMS)
def test_synonyms_read_alike(texts: tuple[str, ...]) -> None:
    read_as = [[(f.concept.id, f.presence, f.place.side, f.place.lobes) for f in read(text).findings] for text in texts]
    assert all(other == read_as[0] for other in read_as)
    assert read_as[0]


def test_site_makes_a_finding_special() -> None:
    assert one("Nodule in the right lung.").concept.id == "pulmonary_nodule"
    assert one("Part-solid nodule in the right lung.").concept.id == "part_solid_nodule"
    assert one("Nodule in the thyroid gland.").concept.id == "thyroid_nodule"


def test_each_lesion_is_a_finding() -> None:
    text = "Nodules measuring 8 mm in the right lower lobe and 7 mm in the left upper lobe."
    assert [(f.sizes_mm, f.place.side, f.place.lobes) for f in read(text).findings] == [
        ((8.0,), "right", ("lower",)),
        ((7.0,), "left", ("upper",)),
    ]
    text = "右肺上叶见结节，约8mm。左肺下叶见结节，约7mm。"
    assert [(f.sizes_mm, f.place.side) for f in read(text).findings] == [((8.0,), "right"), ((7.0,), "left")]


def test_a_later_sentence_goes_on_about_the_lesion() -> None:
    finding = one("Nodule in the right upper lobe. It measures 12 x 9 mm and is spiculated (series 3 image 42).")
    assert finding.sizes_mm == (12.0, 9.0)
    assert finding.attributes == ("spiculated",)
    assert [(r.series, r.image) for r in finding.references] == [(3, 42)]


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("Small right pneumothorax.", ("mild",)),
        ("Trace pleural effusion on the left.", ("mild",)),
        ("微量气胸。", ("mild",)),
        ("Small nodule in the right lung.", ()),
        ("Thin-walled cavity in the left lung.", ()),
    ],
)
def test_small_is_an_amount_of_what_has_no_longest_axis(text: str, attributes: tuple[str, ...]) -> None:
    assert one(text).attributes == attributes


def test_denied_attributes_are_not_claimed() -> None:
    assert "spiculated" not in read("Nodule in the right upper lobe without spiculation.").findings[0].attributes
    assert "spiculated" not in read("右肺上叶结节，未见毛刺。").findings[0].attributes


@pytest.mark.parametrize(
    ("text", "id", "side"),
    [
        ("urinary bladder", "urinary_bladder", None),
        ("both kidneys", "kidney", "both"),
        ("股骨", "femur", None),
        ("lung bases", "lung_base", None),
        ("show me the liver", "liver", None),
        ("右肾", "kidney", "right"),
    ],
)
def test_anatomy_alone(text: str, id: str, side: str | None) -> None:
    finding = one(text)
    assert (finding.concept.id, finding.presence, finding.place.side) == (id, "present", side)


def test_unknown_words_are_said_and_corrected() -> None:
    reading = read("pnuemothorax on the left")
    assert reading.findings == ()
    assert [span.text for span in reading.unread] == ["pnuemothorax on the left"]
    assert reading.suggestions[0][0].text == "pnuemothorax"
    assert "pneumothorax" in reading.suggestions[0][1]
    assert read("something odd here").unread


def test_a_lesion_without_enhancement_is_not_said_to_enhance() -> None:
    (finding,) = read("肝内见无强化低密度影。").findings
    assert "enhancing" not in finding.attributes
