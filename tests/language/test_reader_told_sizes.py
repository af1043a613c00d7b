"""Sizes told apart from the words they belong to: in the next sentence, behind a place, beside other things."""

from __future__ import annotations

import pytest

from radfind.language.reader import read


def sizes(text: str) -> list[tuple[str, str, tuple[float, ...]]]:
    """(concept, presence, dimensions) of every measured finding."""
    return [(f.concept.id, f.presence, f.sizes_mm) for f in read(text).findings if f.sizes_mm]


@pytest.mark.parametrize(
    "sentence",
    [
        "In its widest part it is 62x48 mm.",
        "At its widest point, it is measured as 62x48 mm.",
        "Approximate size is 62x48 mm.",
        "Dimensions measured 62x48 mm.",
        "The long axis of the lesion is 62 mm and the short axis is 48 mm.",
        "In the current examination, it measured 62x48 mm.",
    ],
)
def test_a_size_told_of_nothing_is_that_of_the_finding_before(sentence: str) -> None:
    told = sizes(f"FINDINGS: A mass is observed in the left upper lobe. {sentence}")
    assert told == [("pulmonary_mass", "present", (62.0, 48.0))]


@pytest.mark.parametrize(
    "sentence",
    ["In the previous CT, its diameter reaches 5 cm.", "Images were taken with a slice thickness of 5 mm."],
)
def test_a_size_of_another_examination_or_of_the_slices_is_not(sentence: str) -> None:
    assert sizes(f"FINDINGS: A mass is observed in the left upper lobe. {sentence}") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The aortic arch calibration is 33 mm. It is slightly wider than normal.", ("aortic_dilatation", (33.0,))),
        ("The ascending aorta diameter has increased by 42 mm.", ("aortic_dilatation", (42.0,))),
        (
            "Diameter increase is observed in the thoracic aorta. The AP diameter at its widest point was 36 mm.",
            ("aortic_dilatation", (36.0,)),
        ),
        ("A cyst is seen in the left lower lobe with a diameter of 7 mm.", ("lung_cyst", (7.0,))),
        ("Esophageal wall thickness is increased and is 8 mm.", ("esophageal_wall_thickening", (8.0,))),
        ("The wall thickness of the distal esophagus was 8 mm and increased.", ("esophageal_wall_thickening", (8.0,))),
        (
            "In the esophagus, a wall thickness increase is seen along a 6 cm segment. The wall measures 9 mm.",
            ("esophageal_wall_thickening", (9.0,)),
        ),
        ("An effusion measuring 6 mm in the deepest part of the heart.", ("pericardial_effusion", (6.0,))),
        ("The mass, which was 45x30 mm, is measured as 30x20 mm today.", ("mass", (30.0, 20.0))),
        ("A 7 mm calcific nodule was observed in the right lobe of the thyroid.", ("thyroid_nodule", (7.0,))),
        (
            "Nodules in the left lung, the largest 7 mm (the largest was 8 mm in size in the previous examination).",
            ("pulmonary_nodule", (7.0,)),
        ),
        ("A 12 mm nodular lesion compatible with an adenoma in the left adrenal gland.", ("adrenal_nodule", (12.0,))),
    ],
)
def test_one_measured_finding(text: str, expected: tuple[str, tuple[float, ...]]) -> None:
    assert [(concept, mm) for concept, _, mm in sizes(f"FINDINGS: {text}")] == [expected]


def test_what_a_lesion_is_taken_for_in_the_next_sentence_has_its_size_and_place() -> None:
    text = "FINDINGS: A hypodense lesion of 18 mm in the right kidney. It cannot be clearly characterized (cyst?)."
    cyst = read(text).findings[-1]
    assert (cyst.concept.id, cyst.presence, cyst.sizes_mm) == ("renal_cyst", "uncertain", (18.0,))
    assert cyst.place.side == "right"


def test_nodes_of_normal_size_give_their_size_to_no_neighbour() -> None:
    text = "FINDINGS: Misty mesentery and several lymph nodes, the largest of which is 8 mm, are seen."
    assert sizes(text) == []
    assert sizes("FINDINGS: Volume loss in the right lower lobe and an area of 27x65 mm with a calcific focus.") == []


def test_each_vessel_has_its_own_width() -> None:
    told = sizes("FINDINGS: The ascending aorta is 43 mm and the right pulmonary artery is wider than normal at 30 mm.")
    assert told == [("aortic_dilatation", "present", (43.0,)), ("pulmonary_artery_dilatation", "present", (30.0,))]
    told = sizes(
        "FINDINGS: The ascending aorta is 40 mm and ectatic. The right pulmonary artery is 30 mm, and it is ectatic."
    )
    assert told == [("aortic_dilatation", "present", (40.0,)), ("pulmonary_artery_dilatation", "present", (30.0,))]


def test_nodes_not_pathological_in_size_are_no_lymphadenopathy() -> None:
    text = "FINDINGS: Lymph nodes that are not pathological in size are observed, the largest of which is 8 mm."
    assert [f.presence for f in read(text).findings] == ["absent"]


def test_what_an_earlier_examination_did_not_show_is_new() -> None:
    text = "FINDINGS: A 6 mm nodule in the right upper lobe was not detected in the previous examination."
    assert sizes(text) == [("pulmonary_nodule", "present", (6.0,))]


def placed(text: str) -> list[tuple[str, str | None, tuple[float, ...]]]:
    """(concept, side, dimensions) of every finding."""
    return [(f.concept.id, f.place.side, f.sizes_mm) for f in read(text).findings]


def test_a_sentence_about_the_other_side_is_another_lesion() -> None:
    text = "FINDINGS: Pleural effusion reaching 8 cm is seen on the right. On the left, it measures 26 mm."
    assert placed(text) == [("pleural_effusion", "right", (80.0,)), ("pleural_effusion", "left", (26.0,))]


def test_a_sentence_about_the_same_side_is_the_same_lesion() -> None:
    text = "FINDINGS: Pleural effusion is seen on the right. On the right, it measures 26 mm."
    assert placed(text) == [("pleural_effusion", "right", (26.0,))]


def test_both_lesions_of_a_general_word_are_at_its_organ() -> None:
    text = (
        "Free fluid is observed between the pleural leaves on the right, 24 mm thick, and on the left, measuring 5 mm."
    )
    assert placed(text) == [("pleural_effusion", "right", (24.0,)), ("pleural_effusion", "left", (5.0,))]


def test_a_long_list_keeps_every_size() -> None:
    """Lists of which places and sizes are not told in pairs: as many lesions as sizes, each at the place before it."""
    text = (
        "Two of 3 mm in the right middle lobe, in the left upper lobe nodules with a diameter of 4 mm in the anterior "
        "segment, 7x5 mm in the lingula, 6 and 2 mm in the lower lobe."
    )
    assert placed(text) == [
        ("pulmonary_nodule", side, size)
        for side, size in (
            ("right", (3.0,)),
            ("left", (4.0,)),
            ("left", (7.0, 5.0)),
            ("left", (6.0,)),
            ("left", (2.0,)),
        )
    ]


def test_an_aside_does_not_take_place_and_size() -> None:
    text = "Nodules, thought to be metastatic, were observed in both lungs, the largest 8 mm in diameter."
    assert placed(text)[0] == ("pulmonary_nodule", "both", (8.0,))


def test_findings_taken_for_stones_have_their_size() -> None:
    findings = read("Hyperdense findings in the gallbladder, up to 14 mm, were evaluated in favor of stones.").findings
    assert [(f.presence, f.size_range_mm) for f in findings if f.concept.id == "gallstone"] == [
        ("present", (0.0, 14.0))
    ]


def test_the_organ_of_the_sentence_before() -> None:
    text = "FINDINGS: The thyroid extends into the chest on the right. At this level, there is a nodule of 55x45 mm."
    assert placed(text) == [("thyroid_nodule", "right", (55.0, 45.0))]
    text = "FINDINGS: The esophagus is of normal calibre. No wall thickening is seen."
    assert [(f.concept.id, f.presence) for f in read(text).findings] == [("esophageal_wall_thickening", "absent")]


@pytest.mark.parametrize(
    ("text", "mm"),
    [
        ("Right effusion, now 1.8 cm in depth from 3.5 cm.", (18.0,)),
        ("Nodule measuring 14 mm, up from 9 mm.", (14.0,)),
        ("右肺中叶实变，约4.5cm×3.0cm，较前（6.0cm×4.8cm）吸收。", (45.0, 30.0)),
        ("A 9 mm nodule, 12 mm from the pleura.", (9.0,)),
    ],
)
def test_the_size_it_comes_from_is_of_before(text: str, mm: tuple[float, ...]) -> None:
    assert [f.sizes_mm for f in read(text).findings] == [mm]
