"""The lexicon: size, codes against pydicom's table, synonyms from medical knowledge, offsets, suggestions."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr._concepts_dict import concepts as pydicom_concepts

from radfind.language.concepts import Concept
from radfind.language.lexicon import Lexicon, default_lexicon
from radfind.language.normal import normal_form, normalise

LEXICON = default_lexicon()
WINDOWS = {
    "lung", "mediastinum", "bone", "abdomen", "brain", "liver", "subdural", "stroke", "soft_tissue", "angio",
}  # fmt: skip
REGIONS = {"head", "neck", "chest", "abdomen", "pelvis", "spine", "limbs"}

# Written from medical knowledge, not read out of the data: every wording of a row names one concept.
SYNONYMS = {
    "atelectasis": ["lung collapse", "atelectasis", "肺不张", "collapsed lung", "atelectatic", "肺不張", "atelectesis"],
    "pulmonary_nodule": ["lung nodule", "pulmonary nodules", "肺结节", "肺結節", "solitary pulmonary nodule"],
    "ground_glass_opacity": [
        "ground-glass opacity", "ground glass opacities", "groundglass", "GGO", "GGOs", "磨玻璃影", "frosted glass",
        "ground glass densities", "毛玻璃影", "ＧＧＯ",
    ],
    "ground_glass_nodule": ["GGN", "ground glass nodule", "磨玻璃结节", "pure ground-glass nodules"],
    "part_solid_nodule": ["part solid nodule", "subsolid nodule", "混合磨玻璃结节", "部分实性结节"],
    "solid_nodule": ["solid nodule", "实性结节"],
    "consolidation": ["consolidation", "consolidations", "consolidation areas", "airspace consolidation", "肺實變"],
    "emphysema": ["emphysema", "emphysematous changes", "肺气肿", "肺氣腫"],
    "bulla": ["bulla", "bullae", "肺大疱", "肺大泡", "blebs"],
    "pleural_effusion": ["pleural effusion", "pleural fluid", "胸腔积液", "胸水", "胸腔積液"],
    "pneumothorax": ["pneumothorax", "pneumothoraces", "气胸", "氣胸"],
    "pericardial_effusion": ["pericardial effusion", "心包积液"],
    "pulmonary_embolism": ["pulmonary embolism", "pulmonary embolus", "肺栓塞", "pulmonary thromboembolism"],
    "lymphadenopathy": ["lymphadenopathy", "enlarged lymph nodes", "adenopathy", "淋巴结肿大", "LAP"],
    "bronchiectasis": ["bronchiectasis", "bronchiectases", "支气管扩张", "支扩"],
    "calcification": ["calcification", "calcifications", "钙化", "calcified", "钙化灶"],
    "hiatal_hernia": ["hiatal hernia", "hiatus hernia", "食管裂孔疝"],
    "hepatic_steatosis": ["fatty liver", "hepatic steatosis", "脂肪肝", "hepatosteatosis"],
    "gallstone": ["gallstones", "cholelithiasis", "胆囊结石"],
    "renal_stone": ["kidney stone", "nephrolithiasis", "renal calculi", "肾结石"],
    "subdural_hematoma": ["subdural hematoma", "subdural haematoma", "SDH", "硬膜下血肿"],
    "intracranial_hemorrhage": ["intracranial haemorrhage", "intracranial hemorrhage", "颅内出血", "脑出血"],
    "cerebral_edema": ["cerebral oedema", "brain edema", "脑水肿"],
    "vertebral_fracture": ["compression fracture", "vertebral compression fractures", "椎体压缩性骨折"],
    "disc_herniation": ["disc herniation", "herniated disc", "椎间盘突出"],
    "right_upper_lobe": ["right upper lobe", "RUL", "右肺上叶", "upper lobe of the right lung", "右肺上葉", "右上叶"],
    "left_lower_lobe": ["left lower lobe", "LLL", "左肺下叶"],
    "lingula": ["lingula", "舌叶"],
    "esophagus": ["esophagus", "oesophagus", "食管", "食道"],
    "cecum": ["caecum", "cecum", "盲肠"],
    "celiac_trunk": ["coeliac trunk", "celiac axis", "腹腔干"],
    "urinary_bladder": ["bladder", "urinary bladder", "膀胱"],
    "vertebra": ["vertebra", "vertebrae", "vertebral bodies", "椎体"],
    "tumor": ["tumor", "tumour", "tumours", "neoplasm", "肿瘤"],
}  # fmt: skip
REQUIRED = """\
body lung right_upper_lobe right_middle_lobe right_lower_lobe left_upper_lobe left_lower_lobe lingula
lung_base lung_apex trachea main_bronchus airway bone rib vertebra sacrum femur subcutaneous_fat visceral_fat muscle
bowel_gas heart aorta liver spleen kidney urinary_bladder pleura mediastinum pulmonary_nodule solid_nodule
part_solid_nodule ground_glass_nodule pulmonary_mass ground_glass_opacity consolidation atelectasis emphysema
pleural_effusion pneumothorax calcification lymphadenopathy nodule mass lesion cyst effusion thyroid_nodule
renal_cyst"""


def sct_table() -> dict[str, set[str]]:
    """SNOMED CT code -> its meanings, from pydicom's dictionary of DICOM PS3.16 context groups."""
    table: dict[str, set[str]] = {}
    keywords: Any = pydicom_concepts["SCT"]  # pydicom's own hint is too narrow for a scheme of codes by keyword
    for entries in keywords.values():
        for code, (meaning, _) in entries.items():
            table.setdefault(code, set()).add(meaning)
    return table


def test_it_is_large_enough_and_bilingual() -> None:
    kinds = Counter(concept.kind for concept in LEXICON)
    assert kinds["anatomy"] >= 180
    assert kinds["finding"] >= 130
    for region in REGIONS - {"limbs"}:
        assert sum(region in concept.region for concept in LEXICON) >= 20, region
    for concept in LEXICON:
        assert re.search("[A-Za-z]", concept.english) and re.search("[一-鿿]", concept.chinese), concept.id
        assert re.fullmatch(r"[a-z][a-z0-9_]*", concept.id)


@pytest.mark.parametrize("id", REQUIRED.split())
def test_ids_that_engines_rely_on_exist(id: str) -> None:
    assert LEXICON.get(id).id == id


def test_every_field_is_in_its_vocabulary() -> None:
    for concept in LEXICON:
        assert concept.window in WINDOWS, concept.id
        assert concept.region and set(concept.region) <= REGIONS, concept.id
        assert all(0 <= channel <= 255 for channel in concept.color) and len(concept.color) == 3, concept.id
        if concept.density is not None:
            low, high = concept.density
            assert -1100 <= low < high <= 3100, concept.id
        for site in concept.sites:
            assert LEXICON.get(site).kind == "anatomy", concept.id
        if concept.parent is not None:
            assert LEXICON.get(concept.parent).kind == concept.kind, concept.id


def test_codes_and_meanings_agree_with_the_table_of_pydicom() -> None:
    table = sct_table()
    coded = [concept for concept in LEXICON if concept.code is not None]
    assert len(coded) >= 200
    for concept in coded:
        assert concept.code in table, concept.id
        assert concept.meaning in table[concept.code], concept.id
    assert all((concept.code is None) == (concept.meaning is None) for concept in LEXICON)


def test_each_code_means_what_the_concept_is_called() -> None:
    """Every coded concept shares a word stem with its code's meaning in the table."""
    table = sct_table()

    def stems(text: str) -> set[str]:
        return {word[:4] for word in re.findall(r"[a-z0-9]{2,}", text.lower())} - {"stru", "of", "body", "find"}

    for concept in LEXICON:
        if concept.code is not None:
            own = stems(" ".join(t for t in (concept.english, *concept.terms) if t.isascii()))
            meant = set().union(*(stems(meaning) for meaning in table[concept.code]))
            assert own & meant, (concept.id, table[concept.code])


def test_a_term_belongs_to_one_concept() -> None:
    owner: dict[str, str] = {}
    for concept in LEXICON:
        for term in (concept.english, concept.chinese, *concept.terms):
            key = normal_form(term)
            assert owner.setdefault(key, concept.id) == concept.id, term


def test_a_shared_term_or_an_unknown_relation_is_refused() -> None:
    one = Concept("one", "finding", "blob", "一个")
    with pytest.raises(ValueError, match="blob"):
        Lexicon([one, Concept("two", "finding", "two", "二个", terms=("Blobs",))])
    with pytest.raises(ValueError, match="unknown"):
        Lexicon([Concept("one", "finding", "blob", "一个", parent="nowhere")])
    with pytest.raises(ValueError, match="id"):
        Lexicon([one, one])


@pytest.mark.parametrize(("id", "wording"), [(id, wording) for id, row in SYNONYMS.items() for wording in row])
def test_synonyms_reach_one_concept(id: str, wording: str) -> None:
    concept = LEXICON.lookup(wording)
    assert concept is not None and concept.id == id
    assert [match.concept.id for match in LEXICON.find(f"({wording}).")] == [id]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the carinal thing called cardialgia", ["carina"]),
        ("Pulmonary artery aneurysm", ["pulmonary_artery", "aneurysm"]),
        ("双肺门淋巴结肿大", ["lung_hilum", "lymphadenopathy"]),
        ("肺動脈瘤", ["lung", "aneurysm"]),
        ("lung window and bone window; 肺窗 骨窗 肝功能正常", []),
        ("ground-\nglass opacity", ["ground_glass_opacity"]),
        ("ground\n\nglass", []),
        ("磨 玻\n璃 影", ["ground_glass_opacity"]),
        ("右肺GGO影", ["lung", "ground_glass_opacity"]),
        ("PE is suspected; a pe nodule; MS", ["pulmonary_embolism", "nodule"]),
        ("it may lap the edge; LAP is not seen", ["lymphadenopathy"]),
        ("renal cyst, thyroid nodules", ["renal_cyst", "thyroid_nodule"]),
        ("手术后, 充盈不足", []),
        ("a dish of LN, no Ln", ["lymph_node"]),
    ],
)
def test_find_takes_the_longest_wording_between_word_bounds(text: str, expected: list[str]) -> None:
    assert [match.concept.id for match in LEXICON.find(text)] == expected


def test_nothing_in_empty_text() -> None:
    assert LEXICON.find("") == [] and LEXICON.find("   \n") == [] and Lexicon([]).find("lung") == []


WORDINGS = st.sampled_from([w for row in SYNONYMS.values() for w in row if w != "LAP"])
FILLER = st.text(st.sampled_from("，。；、,.;:()0123456789 \n\t　%\u200bçé～×"), min_size=1, max_size=6)


def restyled(term: str, style: int) -> str:
    """The term as it may stand in a report: capitals, hyphens, full width, wrapped lines."""
    if style == 1:
        return term.upper()
    if style == 2:
        return term.replace(" ", "-")
    if style == 3:
        return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in term)
    return term.replace(" ", "\n  ") if style == 4 else term


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(FILLER, WORDINGS, st.integers(0, 4)), min_size=1, max_size=6), FILLER)
def test_spans_index_the_original_text(parts: list[tuple[str, str, int]], tail: str) -> None:
    text, planted = "", []
    for filler, wording, style in parts:
        text += f"{filler}; "
        written = restyled(wording, style)
        concept = LEXICON.lookup(wording)
        assert concept is not None
        planted.append((len(text), len(text) + len(written), concept.id))
        text += f"{written} ;"
    text += tail
    found = [(match.span.start, match.span.stop, match.concept.id) for match in LEXICON.find(text)]
    assert found == planted
    assert all(text[match.span.start : match.span.stop] == match.span.text for match in LEXICON.find(text))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_ordered_spans_inside_it(text: str) -> None:
    position = 0
    for match in LEXICON.find(text):
        assert position <= match.span.start < match.span.stop <= len(text)
        assert text[match.span.start : match.span.stop] == match.span.text
        position = match.span.stop


@given(st.one_of(st.text(max_size=30), st.text(st.characters(max_codepoint=126), max_size=30)))
def test_the_fast_normal_form_is_the_normal_form(text: str) -> None:
    assert normal_form(text) == normalise(text).text


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("pneumothorx", "pneumothorax"), ("emphisema", "emphysema"), ("consolidaton", "consolidation"),
        ("plueral effusion", "pleural effusion"), ("calcificaton", "calcification"), ("nodlue", "nodule"),
        ("bronchiectasys", "bronchiectasis"), ("fibrosys", "fibrosis"), ("肺接节", "肺结节"), ("Thiroid", "thyroid"),
    ],
)  # fmt: skip
def test_suggestions(slip: str, meant: str) -> None:
    assert LEXICON.suggest(slip)[0] == meant


@pytest.mark.parametrize("word", ["the", "river", "right", "lived", "month", "of", "qwertyuiop", "nodule", "lung", ""])
def test_no_suggestion_for_common_known_or_hopeless_words(word: str) -> None:
    assert LEXICON.suggest(word) == ()


def test_relations() -> None:
    assert LEXICON.is_a("solid_nodule", "pulmonary_nodule") and LEXICON.is_a("solid_nodule", "nodule")
    assert LEXICON.is_a(LEXICON.get("right_upper_lobe"), "lung")
    assert not LEXICON.is_a("pulmonary_nodule", "solid_nodule")
    below = {concept.id for concept in LEXICON.descendants("pulmonary_nodule")}
    assert {"solid_nodule", "part_solid_nodule", "ground_glass_nodule"} <= below and "pulmonary_nodule" not in below
    assert len(LEXICON) == len(list(LEXICON)) and "lung" in LEXICON and "unheard_of" not in LEXICON
    with pytest.raises(KeyError):
        LEXICON.get("unheard_of")


@pytest.mark.parametrize(
    ("general", "site", "special"),
    [
        ("nodule", "right_upper_lobe", "pulmonary_nodule"), ("nodule", "lung", "pulmonary_nodule"),
        ("nodule", "thyroid_gland", "thyroid_nodule"), ("effusion", "pleura", "pleural_effusion"),
        ("effusion", "pericardium", "pericardial_effusion"), ("cyst", "kidney", "renal_cyst"),
        ("cyst", "liver", "hepatic_cyst"), ("calcification", "lung", "calcification"), ("mass", "muscle", "mass"),
        ("fracture", "rib", "rib_fracture"), ("stone", "gallbladder", "gallstone"),
    ],
)  # fmt: skip
def test_a_finding_takes_the_name_it_has_at_its_site(general: str, site: str, special: str) -> None:
    assert LEXICON.specialise(LEXICON.get(general), LEXICON.get(site)).id == special
    assert LEXICON.specialise(LEXICON.get(general), site).id == special


def test_a_bare_finding_is_read_by_the_region_of_the_study() -> None:
    nodule = LEXICON.get("nodule")
    assert LEXICON.default_for_region(nodule, "chest").id == "pulmonary_nodule"
    assert LEXICON.default_for_region(nodule, "limbs").id == "nodule"


@pytest.mark.parametrize("term", ["hypodense nodule", "低密度结节"])
def test_a_nodule_named_by_its_density_still_takes_its_name_from_the_site(term: str) -> None:
    concept = LEXICON.lookup(term)
    assert concept is not None and LEXICON.specialise(concept, "thyroid_lobe").id == "thyroid_nodule"
