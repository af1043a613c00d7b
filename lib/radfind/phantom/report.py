"""The report that goes with a phantom: English and Chinese, true but for one planted contradiction."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from radfind.phantom.make import LesionTruth

_ENGLISH = {
    "solid_nodule": "solid nodule",
    "part_solid_nodule": "part-solid nodule",
    "ground_glass_nodule": "ground-glass nodule",
    "pulmonary_mass": "mass",
    "consolidation": "consolidation",
    "ground_glass_opacity": "ground-glass opacities",
    "emphysema": "emphysema",
    "atelectasis": "atelectasis",
    "pleural_effusion": "pleural effusion",
    "pneumothorax": "pneumothorax",
}
_CHINESE = {
    "solid_nodule": "实性结节",
    "part_solid_nodule": "部分实性结节",
    "ground_glass_nodule": "磨玻璃结节",
    "pulmonary_mass": "肿块",
    "consolidation": "实变",
    "ground_glass_opacity": "磨玻璃影",
    "emphysema": "肺气肿",
    "atelectasis": "肺不张",
    "pleural_effusion": "胸腔积液",
    "pneumothorax": "气胸",
}
_SIDE = {"left": "左", "right": "右"}
_LOBE = {"upper": "上叶", "middle": "中叶", "lower": "下叶"}
_LOOK = {
    "lobulated": ("lobulated", "边缘分叶"),
    "spiculated": ("spiculated", "边缘毛刺"),
    "calcified": ("calcified", "内见钙化"),
}
_FOCAL = ("solid_nodule", "part_solid_nodule", "ground_glass_nodule", "pulmonary_mass")
_DENIED = ("pneumothorax", "pleural_effusion", "consolidation", "emphysema")


@dataclasses.dataclass(frozen=True)
class Statement:
    """One sentence of the report, in both languages, and what is true about it.

    Arguments:
        english, chinese: the sentence, as it stands in the reports.
        kind: concept id.
        expected: "yes" when the scan supports the sentence as written, else "no".
        code: `Verdict.code` that fits: "supported", "wrong_side", "wrong_size" or "not_found".
        why: the reason, for a person.
        lesion: name of the lesion it speaks of, or None for denied and invented findings.
    """

    english: str
    chinese: str
    kind: str
    expected: str
    code: str
    why: str
    lesion: str | None = None


def write_report(lesions: Sequence[LesionTruth], rng: np.random.Generator) -> tuple[str, str, tuple[Statement, ...]]:
    """(English report, Chinese report, statements in the order of both)."""
    statements = [_true(lesion) for lesion in lesions]
    plantable = [n for n, lesion in enumerate(lesions) if lesion.kind in _FOCAL] or list(range(len(lesions)))
    if plantable:
        which = int(rng.choice(plantable))
        statements[which] = _contradict(lesions[which], lesions, rng)
    else:
        side, size = str(rng.choice(["left", "right"])), int(rng.integers(9, 20))
        english, chinese = _sentence("solid_nodule", side, "upper", (size, size - 2), ())
        why = "the scan was made without any lesion"
        statements.append(Statement(english, chinese, "solid_nodule", "no", "not_found", why))
    present = {lesion.kind for lesion in lesions}
    for kind in _DENIED:
        if kind not in present:
            english, chinese = f"No {_ENGLISH[kind]}.", f"未见{_CHINESE[kind]}。"
            statements.append(
                Statement(english, chinese, kind, "yes", "supported", f"the scan has no {_ENGLISH[kind]}")
            )
    text_en = "\n".join(["CT CHEST WITHOUT CONTRAST", "FINDINGS:", *(s.english for s in statements)])
    text_zh = "\n".join(["胸部CT平扫", "影像所见：", *(s.chinese for s in statements)])
    return text_en + "\n", text_zh + "\n", tuple(statements)


def _true(lesion: LesionTruth) -> Statement:
    english, chinese = _sentence(lesion.kind, lesion.side, lesion.lobe, _size(lesion), lesion.attributes, lesion)
    why = f"{lesion.name} is there: {_ENGLISH[lesion.kind]}, {lesion.side} {lesion.lobe or 'pleural space'}"
    return Statement(english, chinese, lesion.kind, "yes", "supported", why, lesion.name)


def _contradict(lesion: LesionTruth, lesions: Sequence[LesionTruth], rng: np.random.Generator) -> Statement:
    other = "left" if lesion.side == "right" else "right"
    family = _FOCAL if lesion.kind in _FOCAL else (lesion.kind,)
    side_is_free = not any(item.kind in family and item.side == other for item in lesions)
    if lesion.kind not in _FOCAL or (side_is_free and rng.random() < 0.5):
        lobe = "upper" if lesion.lobe == "middle" else lesion.lobe
        english, chinese = _sentence(lesion.kind, other, lobe, _size(lesion), lesion.attributes, lesion)
        why = f"{lesion.name} lies on the {lesion.side}; the report says {other}"
        return Statement(english, chinese, lesion.kind, "no", "wrong_side", why, lesion.name)
    long, short = _size(lesion)
    factor = 2.4 if long < 13 else 0.42
    wrong = (max(round(long * factor), 3), max(round(short * factor), 2))
    english, chinese = _sentence(lesion.kind, lesion.side, lesion.lobe, wrong, lesion.attributes, lesion)
    why = f"{lesion.name} measures {long} x {short} mm; the report says {wrong[0]} x {wrong[1]} mm"
    return Statement(english, chinese, lesion.kind, "no", "wrong_size", why, lesion.name)


def _size(lesion: LesionTruth) -> tuple[int, int]:
    return round(lesion.diameter_mm[0]), round(lesion.diameter_mm[1])


def _sentence(
    kind: str,
    side: str,
    lobe: str | None,
    size: tuple[int, int],
    attributes: Sequence[str],
    lesion: LesionTruth | None = None,
) -> tuple[str, str]:
    """(English, Chinese) sentence that claims a finding."""
    if kind == "pleural_effusion":
        ml = lesion.volume_mm3 / 1000 if lesion else 0.0
        amount, amount_zh = (
            ("Small", "少量") if ml < 300 else ("Moderate", "中等量") if ml < 1000 else ("Large", "大量")
        )
        return f"{amount} {side} pleural effusion.", f"{_SIDE[side]}侧{amount_zh}胸腔积液。"
    if kind == "pneumothorax":
        return f"{side.capitalize()} pneumothorax.", f"{_SIDE[side]}侧气胸。"
    place, place_zh = f"in the {side} {lobe} lobe", f"{_SIDE[side]}肺{_LOBE[str(lobe)]}"
    if kind == "consolidation":
        return f"Consolidation {place}.", f"{place_zh}实变。"
    if kind == "ground_glass_opacity":
        return f"Patchy ground-glass opacities {place}.", f"{place_zh}见斑片状磨玻璃影。"
    if kind == "atelectasis":
        return f"Band-like atelectasis {place}.", f"{place_zh}条带状肺不张。"
    if kind == "emphysema":
        return f"Emphysema {place}.", f"{place_zh}肺气肿。"
    looks = [_LOOK[a] for a in attributes if a in _LOOK]
    words = "".join(f"{english} " for english, _ in looks)
    tail = "".join(f"，{chinese}" for _, chinese in looks)
    noun = words + _ENGLISH[kind]
    return (
        f"{noun.capitalize()} {place}, measuring {size[0]} x {size[1]} mm.",
        f"{place_zh}见{_CHINESE[kind]}，大小约{size[0]} mm×{size[1]} mm{tail}。",
    )
