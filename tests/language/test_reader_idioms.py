"""Idioms of dictated reports: split names, denied pairs, hedges that carry the place; English and Chinese."""

from __future__ import annotations

import pytest

from radfind.language.findings import Place
from radfind.language.reader import read


def claims(text: str) -> dict[str, str]:
    return {finding.concept.id: finding.presence for finding in read(text).findings}


def sides(text: str) -> dict[str, str | None]:
    return {finding.concept.id: finding.place.side for finding in read(text).findings}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # a denied pair of effusion and thickening
        *(
            (text, {"pleural_effusion": "absent", "pleural_thickening": "absent"})
            for text in (
                "Pleural effusion - no thickening was seen.",
                "Pleural effusion-no thickening.",
                "No pleural effusion-thickening.",
                "胸膜未见积液及增厚。",
            )
        ),
        ("Nodule in the lung - no calcification.", {"pulmonary_nodule": "present", "calcification": "absent"}),
        ("Pleural effusion, no thickening.", {"pleural_effusion": "present", "pleural_thickening": "absent"}),
        # two organs share one effusion
        (
            "Pericardial and bilateral pleural effusion is not present.",
            {"pericardial_effusion": "absent", "pleural_effusion": "absent"},
        ),
        (
            "Pericardial pleural effusion is not seen.",
            {"pericardial_effusion": "absent", "pleural_effusion": "absent"},
        ),
        ("胸腔及心包未见积液。", {"pleural_effusion": "absent", "pericardial_effusion": "absent"}),
        # a sign "in favour of" something that is itself a sign is there; a diagnosis stays a guess
        ("Changes in favor of steatosis in the liver.", {"hepatic_steatosis": "present"}),
        ("Findings in favor of scoliosis.", {"scoliosis": "present"}),
        ("Findings in favor of pneumonia.", {"pneumonia": "uncertain"}),
        ("Effusion evaluated in favor of empyema, may be due to pneumonia.", {"pneumonia": "uncertain"}),
        # a cause weighed after the list leaves the list present
        (
            "There are consolidation and ground-glass opacity, and pneumonia is considered in the etiology.",
            {"consolidation": "present", "ground_glass_opacity": "present", "pneumonia": "uncertain"},
        ),
        # nodes of 10 mm in short axis are enlarged (RECIST 1.1), whether or not the words say so
        ("Lymph nodes, the largest 17 mm.", {"lymphadenopathy": "present"}),
        ("Lymph nodes up to 9 mm.", {}),
        ("A lymph node of 16 x 8 mm.", {}),
        ("淋巴结，短径约17mm。", {"lymphadenopathy": "present"}),
        ("淋巴结，短径约7mm。", {}),
        ("A 17 mm lymph node of normal appearance, not pathologically enlarged.", {"lymphadenopathy": "absent"}),
        (
            "Lymph nodes are not observed in pathological sizes at both hilar levels.",
            {"hilar_lymphadenopathy": "absent"},
        ),
        # a denial ends where "there are" begins
        (
            "No mass lesion is detected, and there are sequelae changes and a few nodules in both lungs.",
            {"pulmonary_mass": "absent", "sequela": "present", "pulmonary_nodule": "present"},
        ),
        # a list goes on with a place of its own
        (
            "Mediastinal lymphadenopathies, mass in the left adrenal gland.",
            {"mediastinal_lymphadenopathy": "present", "adrenal_nodule": "present"},
        ),
        # rivals are both weighed; what an appearance can be seen in is weighed too, what can be seen is there
        ("Scarring versus atelectasis at the left base.", {"sequela": "uncertain", "atelectasis": "uncertain"}),
        ("The appearance can be seen in viral pneumonia.", {"pneumonia": "uncertain"}),
        ("As far as can be seen in these sections, there is steatosis of the liver.", {"hepatic_steatosis": "present"}),
        ("双肺弥漫结节，需与肺结核鉴别。", {"pulmonary_nodule": "present", "tuberculosis": "uncertain"}),
        # a nodule that looks like cancer is there; what is suspected may not be
        ("Suspicious part-solid nodule of the left apex.", {"part_solid_nodule": "present"}),
        ("Suspected nodule in the left lung.", {"pulmonary_nodule": "uncertain"}),
        (
            "Opacity in the left lung suspicious for pneumonia.",
            {"pulmonary_opacity": "present", "pneumonia": "uncertain"},
        ),
        ("左肺可疑结节。", {"pulmonary_nodule": "uncertain"}),
        ("No suspicious nodule in the lungs.", {"pulmonary_nodule": "absent"}),
        ("肝内见无强化低密度影。", {"hypodense_lesion": "present"}),
        ("左肺未见强化结节。", {"pulmonary_nodule": "absent"}),
        # dictation
        (
            "b/l pleural effusions w/o PTX, c/w pneumonia",
            {"pleural_effusion": "present", "pneumothorax": "absent", "pneumonia": "uncertain"},
        ),
        # the heart told by its ratio to the chest
        *(
            (text, {"cardiomegaly": "present"})
            for text in (
                "CTO increased in favor of the heart.",
                "The cardiothoracic index is slightly increased.",
                "An increase in the cardiothoracic ratio.",
                "心胸比增大。",
            )
        ),
        ("The cardiothoracic ratio is normal.", {}),
        # where something is denied is itself there
        ("No cavity is seen in the consolidation.", {"cavity": "absent", "consolidation": "present"}),
        (
            "Pneumothorax and pleural effusion cannot be differentiated.",
            {"pneumothorax": "uncertain", "pleural_effusion": "uncertain"},
        ),
        # what brackets ask is not what stands before them
        (
            "Nodule (metastasis?) in the right lung.",
            {"pulmonary_nodule": "present", "pulmonary_metastasis": "uncertain"},
        ),
        ("右肺结节（转移？）。", {"pulmonary_nodule": "present", "metastasis": "uncertain"}),
        ("Pneumothorax (?)", {"pneumothorax": "uncertain"}),
        # one word, two findings; two words, one finding
        ("Fibroatelectatic changes.", {"pulmonary_fibrosis": "present", "atelectasis": "present"}),
        ("Pleural effusion forming a phantom tumor.", {"pleural_effusion": "present"}),
        ("A lesion of fluid density in the liver.", {"liver_mass": "present"}),
        ("Nodular consolidation.", {"consolidation": "present"}),
        ("No solid-cystic mass in the pelvis.", {"mass": "absent"}),
        ("盆腔未见囊实性肿块。", {"mass": "absent"}),
        ("Centrilobular nodules.", {"centrilobular_nodule": "present"}),
        ("双肺小叶中心结节。", {"centrilobular_nodule": "present"}),
        ("Increased interlobular septal thickness.", {"septal_thickening": "present"}),
        ("Wall calcification of the brachiocephalic artery.", {"atherosclerosis": "present"}),
        ("颈动脉钙化。", {"atherosclerosis": "present"}),
        # a question mark before its word
        ("Lingular consolidation, ?pneumonia.", {"consolidation": "present", "pneumonia": "uncertain"}),
        ("Consolidation (?infarct).", {"consolidation": "present", "infarction": "uncertain"}),
        # doubt beside advice; advice alone
        ("右肺下叶不除外肺炎，建议复查。", {"pneumonia": "uncertain"}),
        ("未除外早期肺癌，请结合临床。", {"lung_cancer": "uncertain"}),
        ("建议增强CT除外肺癌。", {}),
        ("The consolidation has cleared.", {"consolidation": "absent"}),
        ("The consolidation has nearly cleared.", {"consolidation": "present"}),
        ("Nodules: 5 mm solid nodule in the right lower lobe.", {"solid_nodule": "present"}),
        ("Nodules: none.", {"nodule": "absent"}),
        ("Apart from a 4 mm nodule in the middle lobe the lungs are clear.", {"pulmonary_nodule": "present"}),
        ("Except for atelectasis, the lungs are clear.", {"atelectasis": "present"}),
        # denied in other words
        ("积液完全吸收。", {"effusion": "absent"}),
        ("暂不考虑肺癌。", {"lung_cancer": "absent"}),
        ("首先考虑肺癌。", {"lung_cancer": "uncertain"}),
        ("CT is negative for PE.", {"pulmonary_embolism": "absent"}),
        ("The finding is unlikely to represent malignancy.", {"malignancy": "absent"}),
        # asked, answered, questioned
        ("左肺有没有结节", {"pulmonary_nodule": "present"}),
        ("气胸：无。积液：左侧少量。", {"pneumothorax": "absent", "effusion": "present"}),
        ("气胸（-），实变（+）", {"pneumothorax": "absent", "consolidation": "present"}),
        ("? PE", {"pulmonary_embolism": "uncertain"}),
        ("Cyst? Abscess?", {"cyst": "uncertain", "abscess": "uncertain"}),
        # not large, not thick
        ("心影不大，脾不大。", {"cardiomegaly": "absent", "splenomegaly": "absent"}),
        ("膀胱充盈良好，壁不厚。", {"bladder_wall_thickening": "absent"}),
        ("纵隔淋巴结不大于5mm。", {}),
        ("No PE to the segmental level.", {"pulmonary_embolism": "absent"}),
        (
            "右肺门及纵隔4R区淋巴结肿大。",
            {"hilar_lymphadenopathy": "present", "mediastinal_lymphadenopathy": "present"},
        ),
        ("L5/S1椎间盘向左后方突出。", {"disc_herniation": "present"}),
        ("RUL 可见 nodule；LLL 未见 consolidation。", {"pulmonary_nodule": "present", "consolidation": "absent"}),
    ],
)
def test_presence(text: str, expected: dict[str, str]) -> None:
    found = claims(text)
    found.pop("lymph_node", None)  # named only
    assert {id: found.get(id) for id in expected} == expected
    if expected.keys() != {"pneumonia"}:
        assert found.keys() == expected.keys()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Consolidation compatible with pneumonia in both lungs.", {"consolidation": "both", "pneumonia": "both"}),
        ("双肺实变，符合肺炎。", {"consolidation": "both", "pneumonia": "both"}),
        ("Bilateral bronchiectasis and accompanying bronchial wall thickening.", {"bronchial_wall_thickening": "both"}),
        ("Atelectasis accompanied by effusion in the left lung.", {"atelectasis": "left"}),
        ("Small pericardial and left pleural effusion.", {"pericardial_effusion": None, "pleural_effusion": "left"}),
        (
            "Right upper - bilateral lower paratracheal, subcarinal lymph nodes of pathological size.",
            {"mediastinal_lymphadenopathy": "both"},
        ),
        ("Scoliosis with the opening facing left.", {"scoliosis": None}),
        ("Scoliosis convex to the right.", {"scoliosis": None}),
        ("心包及双侧胸腔积液。", {"pericardial_effusion": None, "pleural_effusion": "both"}),
        (
            "Tree-in-bud in the middle lobe and lingula suggests infectious bronchiolitis.",
            {"tree_in_bud": "both"},
        ),
        ("RUL 可见 nodule；LLL 未见 consolidation。", {"pulmonary_nodule": "right", "consolidation": "left"}),
        ("胸椎向左侧弯。", {"scoliosis": None}),
        ("Hypodense lesion in the right kidney. It was evaluated in favor of a cyst.", {"renal_cyst": "right"}),
    ],
)
def test_sides(text: str, expected: dict[str, str | None]) -> None:
    found = sides(text)
    assert expected.keys() <= found.keys()
    assert {id: found[id] for id in expected} == expected


def test_that_on_the_other_side_is_a_finding_of_its_own() -> None:
    found = read("Effusion on the left, 28 mm deep, is larger than that in the right pleural space.").findings
    assert [(f.place.side, f.sizes_mm) for f in found] == [("left", (28.0,)), ("right", ())]


def test_the_other_side_named_by_its_amount_alone() -> None:
    found = read("右侧胸腔大量积液，左侧少量。").findings
    assert [(f.concept.id, f.place.side) for f in found] == [
        ("pleural_effusion", "right"),
        ("pleural_effusion", "left"),
    ]


def test_what_a_distance_is_taken_from_is_not_where_it_lies() -> None:
    (found,) = read("Nodule in the right upper lobe, 15 mm from the pleura.").findings
    assert (found.concept.id, found.place.side, found.sizes_mm) == ("pulmonary_nodule", "right", ())


def test_the_one_excepted_is_there() -> None:
    denied, there = read("No nodule other than the 6 mm one in the right upper lobe.").findings
    assert (denied.presence, denied.place.side, denied.sizes_mm) == ("absent", None, ())
    assert (there.presence, there.place.side, there.sizes_mm) == ("present", "right", (6.0,))


@pytest.mark.parametrize(
    ("text", "id", "mm"),
    [
        ("Pericardial 1 cm thick effusion.", "pericardial_effusion", (10.0,)),
        ("Pleural 12 mm effusion on the left.", "pleural_effusion", (12.0,)),
        ("左侧胸腔12mm积液。", "pleural_effusion", (12.0,)),
        ("右肺空洞，壁厚薄不均，直径约2.5cm。", "cavity", (25.0,)),
        ("左肺片状影，其内见支气管充气征，范围约45*38mm。", "pulmonary_opacity", (45.0, 38.0)),
        ("A nodular lesion compatible with an adenoma of 13 mm in the left adrenal gland.", "adrenal_nodule", (13.0,)),
    ],
)
def test_sizes(text: str, id: str, mm: tuple[float, ...]) -> None:
    first = read(text).findings[0]
    assert (first.concept.id, first.sizes_mm, first.presence) == (id, mm, "present")


@pytest.mark.parametrize("text", ["A 7 mm nodule with pleural retraction.", "7mm结节伴胸膜凹陷。"])
def test_a_pleural_tag_describes_its_nodule(text: str) -> None:
    first, second = read(text).findings
    assert "pleural_tag" in first.attributes
    assert second.concept.id == "pleural_tag"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Bilateral pleural effusion is seen. It measures 25 mm on the right and 18 mm on the left.",
            [("right", (25.0,)), ("left", (18.0,))],
        ),
        (
            "Hypodense lesions of 25 mm in the left kidney and 40 mm in the right kidney (cyst?).",
            [("left", (25.0,)), ("right", (40.0,))],
        ),
        ("Right 12 mm and left 8 mm pleural effusion.", [("right", (12.0,)), ("left", (8.0,))]),
        ("左肾25mm囊肿，右肾40mm囊肿。", [("left", (25.0,)), ("right", (40.0,))]),
    ],
)
def test_each_size_at_its_place(text: str, expected: list[tuple[str, tuple[float, ...]]]) -> None:
    findings = read(text).findings
    assert [(f.place.side, f.sizes_mm) for f in findings if f.concept.id == findings[-1].concept.id] == expected


def test_a_rim_has_no_diameter() -> None:
    nodule, rim = read("A nodule with 7 mm diameter rim calcification.").findings
    assert (nodule.sizes_mm, rim.sizes_mm) == ((7.0,), ())


def test_a_segment_number_is_no_size() -> None:
    assert [f.sizes_mm for f in read("Hepatic cysts of 12 mm in segment 6 and 9 mm in segment 2.").findings] == [
        (12.0,),
        (9.0,),
    ]


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("A solid lesion of 25 mm in the right upper lobe.", "pulmonary_nodule"),
        ("A solid lesion of 35 mm in the right upper lobe.", "pulmonary_mass"),
        ("A solid lesion in the right upper lobe.", "lesion"),
        ("右肺上叶25mm病变。", "pulmonary_nodule"),
    ],
)
def test_thirty_millimetres_divide_nodule_and_mass(text: str, id: str) -> None:
    (finding,) = read(text).findings
    assert finding.concept.id == id


@pytest.mark.parametrize("text", ["Right hilar mass.", "Mass at the right hilum.", "右肺门肿块。", "右肺门占位。"])
def test_a_hilar_mass_is_a_mass_at_the_hilum(text: str) -> None:
    (finding,) = read(text).findings
    assert finding.concept.id == "pulmonary_mass" and finding.place.side == "right"
    assert [site.id for site in finding.place.sites] == ["lung_hilum"]


def test_a_lobe_told_of_both_sides_is_that_of_each() -> None:
    findings = read("Bilateral upper lobe nodules, 6 mm on the right and 4 mm on the left.").findings
    assert [(f.place.side, f.place.lobes, f.sizes_mm) for f in findings] == [
        ("right", ("upper",), (6.0,)),
        ("left", ("upper",), (4.0,)),
    ]


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("Both centrilobular and paraseptal emphysema.", None),
        ("Both old and acute rib fractures on the left.", "left"),
        ("Nodules in both upper and lower lobes.", "both"),
        ("Both kidneys and ureters are dilated.", "both"),
    ],
)
def test_both_joins_two_kinds_or_names_two_sides(text: str, side: str | None) -> None:
    assert {f.place.side for f in read(text).findings if f.concept.kind == "finding"} == {side}


@pytest.mark.parametrize(
    ("text", "id"),
    [("Doubt pneumonia.", "pneumonia"), ("Favor atelectasis.", "atelectasis"), ("左肺癌性空洞？", "lung_cancer")],
)
def test_what_is_doubted_or_favoured_is_uncertain(text: str, id: str) -> None:
    assert ("uncertain", id) in [(f.presence, f.concept.id) for f in read(text).findings]


def test_disc_levels_are_no_lung_segments() -> None:
    (finding,) = read("L5/S1椎间盘向左后突出约5mm。").findings
    assert finding.place.levels == ("L5", "S1") and not finding.place.segments


def test_a_new_item_of_a_list_is_not_where_the_one_before_was() -> None:
    hematoma, hemorrhage = read("左侧额颞部硬膜下血肿，最厚约11mm；蛛网膜下腔出血不除外。").findings
    assert (hematoma.place.side, hemorrhage.place.side, hemorrhage.presence) == ("left", None, "uncertain")


@pytest.mark.parametrize("text", ["New left basilar opacity.", "Patchy left basilar airspace disease."])
def test_basilar_is_the_base_of_a_lung_unless_it_is_an_artery(text: str) -> None:
    (finding,) = read(text).findings
    assert finding.place.zones == ("basal",) and not finding.place.sites
    assert [site.id for site in read("Basilar artery aneurysm.").findings[0].place.sites] == ["basilar_artery"]


@pytest.mark.parametrize(
    ("text", "lobes"),
    [
        ("Bilateral nodules, the largest in the right middle lobe measuring 11 mm.", ()),
        ("Nodules in both lungs, the largest of which is seen in the right middle lobe, 11 mm.", ()),
        ("Nodules, the largest in the right middle lobe measuring 11 mm.", ("middle",)),  # the only place named
    ],
)
def test_where_the_largest_is_the_others_are_not(text: str, lobes: tuple[str, ...]) -> None:
    (finding,) = read(text).findings
    assert finding.place.lobes == lobes and finding.sizes_mm == (11.0,)


def test_a_place_that_is_hard_to_judge_is_not_where_a_finding_is_denied() -> None:
    (finding,) = read("No definite nodule; however, evaluation of the lung bases is limited by motion.").findings
    assert finding.presence == "absent" and finding.place == Place()


@pytest.mark.parametrize(
    "text", ["5.6 cm AP x 4.9 cm TR x 6.0 cm CC right lower lobe mass.", "Mass, 5.6 (AP) x 4.9 (TR) x 6.0 (CC) cm."]
)
def test_sizes_may_name_their_axes(text: str) -> None:
    assert [f.sizes_mm for f in read(text).findings] == [(60.0, 56.0, 49.0)]
