"""Present, absent, uncertain: English and Chinese wordings written from language knowledge."""

from __future__ import annotations

import pytest

from radfind.language.reader import read

Expected = dict[str, str]

CASES: list[tuple[str, Expected]] = [
    ("Pleural effusion is present.", {"pleural_effusion": "present"}),
    ("No evidence of pneumothorax or pleural effusion.", {"pneumothorax": "absent", "pleural_effusion": "absent"}),
    ("Pneumothorax and pleural effusion were not detected.", {"pneumothorax": "absent", "pleural_effusion": "absent"}),
    ("There is no pneumothorax.", {"pneumothorax": "absent"}),
    ("The lungs are free of consolidation.", {"consolidation": "absent"}),
    (
        "Lungs clear without pneumothorax, effusion or consolidation.",
        {"pneumothorax": "absent", "consolidation": "absent"},
    ),
    ("Negative for pneumothorax.", {"pneumothorax": "absent"}),
    ("CT does not show atelectasis.", {"atelectasis": "absent"}),
    ("Neither pneumothorax nor pleural effusion is seen.", {"pneumothorax": "absent", "pleural_effusion": "absent"}),
    ("The pleural effusion has resolved.", {"pleural_effusion": "absent"}),
    ("The pneumothorax is no longer seen.", {"pneumothorax": "absent"}),
    ("Pneumothorax has been ruled out.", {"pneumothorax": "absent"}),
    (
        "Pericardial effusion-thickening was not observed.",
        {"pericardial_effusion": "absent", "pericardial_thickening": "absent"},
    ),
    ("No pleural or pericardial effusion.", {"pleural_effusion": "absent", "pericardial_effusion": "absent"}),
    (
        "No pneumothorax but consolidation in the left lower lobe.",
        {"pneumothorax": "absent", "consolidation": "present"},
    ),
    ("No pneumothorax; atelectasis at the left base.", {"pneumothorax": "absent", "atelectasis": "present"}),
    (
        "No pneumothorax, a small pleural effusion on the left.",
        {"pneumothorax": "absent", "pleural_effusion": "present"},
    ),
    (
        "Consolidation is seen and pneumothorax was not detected.",
        {"consolidation": "present", "pneumothorax": "absent"},
    ),
    (
        "Pneumothorax was not detected and consolidation is seen.",
        {"consolidation": "present", "pneumothorax": "absent"},
    ),
    ("No change in the consolidation of the right lower lobe.", {"consolidation": "present"}),
    ("Atelectasis without significant change.", {"atelectasis": "present"}),
    ("Pneumothorax cannot be excluded.", {"pneumothorax": "uncertain"}),
    ("Pneumothorax is not excluded.", {"pneumothorax": "uncertain"}),
    ("Cannot exclude a pneumothorax.", {"pneumothorax": "uncertain"}),
    ("Possible atelectasis.", {"atelectasis": "uncertain"}),
    ("Suspicious for metastasis.", {"metastasis": "uncertain"}),
    ("Findings compatible with pneumonia.", {"pneumonia": "uncertain"}),
    ("Pneumonia?", {"pneumonia": "uncertain"}),
    ("Consolidation, pneumonia?", {"consolidation": "present", "pneumonia": "uncertain"}),
    ("Density compatible with consolidation.", {"consolidation": "present"}),
    ("Consolidation may represent pneumonia.", {"consolidation": "present", "pneumonia": "uncertain"}),
    ("Is there a pneumothorax?", {"pneumothorax": "present"}),
    ("Heart size is normal.", {}),
    ("Lymph nodes are not enlarged.", {"lymphadenopathy": "absent"}),
    ("No pathological lymph nodes.", {"lymphadenopathy": "absent"}),
    ("未见气胸。", {"pneumothorax": "absent"}),
    ("未见气胸及胸腔积液。", {"pneumothorax": "absent", "pleural_effusion": "absent"}),
    ("双肺未见实变、气胸。", {"consolidation": "absent", "pneumothorax": "absent"}),
    ("无气胸，左侧胸腔积液。", {"pneumothorax": "absent", "pleural_effusion": "present"}),
    ("胸腔积液已吸收。", {"pleural_effusion": "absent"}),
    ("气胸未见显示。", {"pneumothorax": "absent"}),
    ("双侧胸腔未见积液。", {"pleural_effusion": "absent"}),
    ("胸腔及心包未见积液。", {"pleural_effusion": "absent", "pericardial_effusion": "absent"}),
    ("不除外肺不张。", {"atelectasis": "uncertain"}),
    ("肺不张不能除外。", {"atelectasis": "uncertain"}),
    ("考虑肺炎可能。", {"pneumonia": "uncertain"}),
    ("可疑气胸。", {"pneumothorax": "uncertain"}),
    ("右肺下叶实变，考虑肺炎。", {"consolidation": "present", "pneumonia": "uncertain"}),
    ("有无气胸？", {"pneumothorax": "present"}),
    ("实变较前无明显变化。", {"consolidation": "present"}),
    ("心影大小正常。", {}),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text for text, _ in CASES])
def test_presence(text: str, expected: Expected) -> None:
    found = {finding.concept.id: finding.presence for finding in read(text).findings}
    for id, presence in expected.items():
        assert found.get(id) == presence, found
    if not expected:
        assert not found


def test_sections_keep_history_and_technique_apart() -> None:
    text = (
        "CLINICAL INFORMATION: pneumothorax in the past.\nTECHNIQUE: 1.5 mm sections, no contrast.\n"
        "FINDINGS: Consolidation in the right lower lobe.\nIMPRESSION: Consolidation."
    )
    assert [(f.concept.id, f.section) for f in read(text).findings] == [
        ("pneumothorax", "history"),
        ("consolidation", "findings"),
        ("consolidation", "impression"),
    ]
    text = "临床：气胸？\n检查方法：层厚5mm。\n影像所见：右肺下叶实变。\n诊断意见：右肺下叶实变。"
    assert [(f.concept.id, f.section) for f in read(text).findings] == [
        ("pneumothorax", "history"),
        ("consolidation", "findings"),
        ("consolidation", "impression"),
    ]


def test_history_named_in_a_sentence_is_history() -> None:
    (finding,) = read("History of pneumothorax.").findings
    assert finding.section == "history"
