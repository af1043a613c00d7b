"""Words that point at something told elsewhere: a finding, a place, an earlier examination, a purpose."""

from __future__ import annotations

import pytest

from radfind.language.reader import read


def told(text: str) -> list[tuple[str, str, str | None]]:
    """(concept, presence, side) of every finding of these images."""
    return [(f.concept.id, f.presence, f.place.side) for f in read(text).findings if f.section != "history"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # a finding named again only to be pointed at is no second one, and gives its side
        (
            "Effusions of 25 mm on the right and 18 mm on the left, and atelectasis adjacent to the effusion.",
            [("effusion", "present", "right"), ("effusion", "present", "left"), ("atelectasis", "present", "both")],
        ),
        (
            "Nodules are observed in both lungs, and no difference was found in the size of the nodules.",
            [("pulmonary_nodule", "present", "both")],
        ),
        # at the place of the finding before it
        (
            "Consolidation in the left lower lobe and pleural fluid extending to the fissure at this level.",
            [("consolidation", "present", "left"), ("pleural_effusion", "present", "left")],
        ),
        (
            "A nodule in the left upper lobe. There is a 5 mm nodule slightly more caudally.",
            [("pulmonary_nodule", "present", "left"), ("pulmonary_nodule", "present", "left")],
        ),
        # a heading that the place takes back
        (
            "In the evaluation of both lungs; in the upper lobe of the right lung, a nodule is observed.",
            [("pulmonary_nodule", "present", "right")],
        ),
        # what a finding shows is seen where the verb puts the finding
        (
            "Consolidations with air bronchograms are observed in both lungs.",
            [("consolidation", "present", "both"), ("air_bronchogram", "present", "both")],
        ),
        # the sign keeps the place that stands before its interpretation
        (
            "Peripheral opacity in the right lower lobe may represent pulmonary infarct.",
            [("pulmonary_opacity", "present", "right"), ("pulmonary_infarct", "uncertain", "right")],
        ),
        # brackets and a heading do not keep the place from the finding itself
        (
            "Nodules (bronchiolitis?, infection?), more prominent in the upper zones of both lungs.",
            [
                ("pulmonary_nodule", "present", "both"),
                ("bronchiolitis", "uncertain", "both"),
                ("pneumonia", "uncertain", "both"),
            ],
        ),
        (
            "In the evaluation of both lungs; a ground-glass-like density increase is seen in the right middle lobe.",
            [("ground_glass_opacity", "present", "right")],
        ),
        # what a thing shows is part of it; "with a" names another thing
        (
            "Sequelae with nodular formation in the apex of the left lung.",
            [("sequela", "present", "left"), ("pulmonary_nodule", "present", "left")],
        ),
        (
            "Emphysema with a 5 mm nodule in the right upper lobe.",
            [("emphysema", "present", None), ("pulmonary_nodule", "present", "right")],
        ),
        (
            "Bilateral bronchiectasis and increased peribronchial thickness.",
            [("bronchiectasis", "present", "both"), ("bronchial_wall_thickening", "present", "both")],
        ),
        (
            "Metastatic nodules in the left lung.",
            [("pulmonary_metastasis", "present", "left"), ("pulmonary_nodule", "present", "left")],
        ),
        ("Plaques in the left anterior descending coronary artery.", [("coronary_calcification", "present", None)]),
        # an examination's purpose claims nothing
        ("Clinical evaluation is recommended for pneumonia.", []),
        # an earlier examination, told of at the end
        (
            "A nodule is seen in the right lung, and consolidation was observed at this level in the previous CT.",
            [("pulmonary_nodule", "present", "right")],
        ),
        (
            "A nodule was seen in the right lung in the previous CT and is stable.",
            [("pulmonary_nodule", "present", "right")],
        ),
    ],
)
def test_what_is_pointed_at(text: str, expected: list[tuple[str, str, str | None]]) -> None:
    assert told(text) == expected


def test_a_comparison_is_one_sentence() -> None:
    reading = read("Comparison: CT of 3/4/2021. Nodule in the left lower lobe. FINDINGS: No ascites.")
    assert [(f.concept.id, f.section) for f in reading.findings] == [
        ("pulmonary_nodule", None),
        ("ascites", "findings"),
    ]


def test_the_vague_word_of_a_list_is_a_finding() -> None:
    one = read("Increased density areas compatible with consolidation in the left lung.").findings
    three = read("Infiltrates, ground-glass areas and consolidations in the left lung.").findings
    assert [f.concept.id for f in one] == ["consolidation"]
    assert [f.concept.id for f in three] == ["pulmonary_opacity", "ground_glass_opacity", "consolidation"]


def test_an_interpretation_after_a_comma_is_no_clause() -> None:
    text = (
        "Areas are observed in both lungs, consistent with consolidation, and pneumonia is considered in the etiology."
    )
    assert told(text) == [("consolidation", "present", "both"), ("pneumonia", "uncertain", "both")]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Nodule in the lung. Free fluid in the perihepatic region.", ["pulmonary_nodule", "ascites"]),
        ("Free fluid in the right hemithorax.", ["pleural_effusion"]),
        ("Nodule in the lung. No free fluid.", ["pulmonary_nodule", "fluid_collection"]),
        ("Mosaic attenuation in both lungs (small vessel disease?).", ["mosaic_attenuation", "small_vessel_disease"]),
        ("Plaque-like thickening of the pleura.", ["pleural_thickening"]),
        ("右肾见点状高密度影。", ["hyperdense_lesion"]),
        ("右下肺见片状高密度影。", ["pulmonary_opacity"]),
    ],
)
def test_the_organ_decides_what_a_general_word_is(text: str, ids: list[str]) -> None:
    assert [f.concept.id for f in read(text).findings] == ids


def test_each_station_of_enlarged_nodes() -> None:
    text = "Enlarged mediastinal and right hilar lymph nodes: a 16 mm subcarinal node and a 13 mm right hilar node."
    assert [(f.concept.id, f.place.side, f.sizes_mm) for f in read(text).findings] == [
        ("mediastinal_lymphadenopathy", None, (16.0,)),
        ("hilar_lymphadenopathy", "right", ()),
        ("hilar_lymphadenopathy", "right", (13.0,)),
    ]


def test_references_before_the_sizes_go_in_order() -> None:
    text = "左肺上叶（图像56）及右肺下叶（图像89）分别见直径约6mm、8mm结节影。"
    assert [(f.place.side, f.sizes_mm, f.references[0].image) for f in read(text).findings] == [
        ("left", (6.0,), 56),
        ("right", (8.0,), 89),
    ]
