"""The built-in engine's sentences, each in English and in Chinese: a statement is answered in its own language."""

from __future__ import annotations

_PHRASES: dict[str, tuple[str, str]] = {
    # what was not found
    "not_found": ("No {asked} was found {where}{escape}.", "{where}未见{asked}{escape}。"),
    "none_as_said": (
        "No {asked} was found {where}, as the text says{escape}.",
        "{where}未见{asked}，与报告一致{escape}。",
    ),
    "partly_shown": ("No {asked} was found {where}, {rest}.", "{where}未见{asked}，{rest}。"),
    "rest_of_place": ("of which the scan shows only a part", "但扫描仅包括该部位的一部分"),
    "rest_of_chest": ("but not all of it is in the scan", "但扫描未包括全部"),
    "in_chest": ("in the part of the chest this scan shows", "扫描所及胸部"),
    "may_be_missed": (
        "No {asked} was found, but the search may miss it where it is slight or merges with what it touches.",
        "未见{asked}，但轻微或与邻近结构融合者可能漏检。",
    ),
    "may_be_too_small": (
        "No {asked} was found, but one this small may escape the search.",
        "未见{asked}，但如此小者可能漏检。",
    ),
    "thin_may_escape": (
        "; one thinner than about {mm:.0f} mm may escape the search",
        "；厚度不足约{mm:.0f} mm者可能漏检",
    ),
    "place_not_shown": ("The scan does not show {where}.", "扫描未包括{where}。"),
    "missing": ("'{text}': not found.", "“{text}”：未找到。"),
    "missing_unseen": ("'{text}': the scan does not show the place.", "“{text}”：扫描未包括该部位。"),
    "missing_nearest": ("'{text}': not found; nearest is {seen}.", "“{text}”：未找到；最接近者为{seen}。"),
    "missing_weak": (
        "'{text}': not found; what comes nearest is too weak to be outlined: {seen}.",
        "“{text}”：未找到；最接近者证据不足，未勾画：{seen}。",
    ),
    # what was found
    "found": ("Found: {seen}{more}{said}.", "可见：{seen}{more}{said}。"),
    "more": (" and {count} more", "，另有{count}处"),
    "text_says": ("; the text says {words}", "；报告为{words}"),
    "found_one_side": (
        "The text speaks of both sides; found on the {side} only: {seen}.",
        "报告为双侧；仅{side}可见：{seen}。",
    ),
    "found_fewer": ("The text speaks of {wanted}; {count} found: {seen}.", "报告为{wanted}；可见{count}处：{seen}。"),
    "several": ("several", "多发"),
    "doubtful": ("Something that may be it: {seen}; the evidence is weak.", "可疑：{seen}；证据不足。"),
    "general_kind": (
        "Found: {seen}; density and shape alone do not tell whether it is {kind}.",
        "可见：{seen}；仅凭密度和形态不能判断是否为{kind}。",
    ),
    "denied_but_found": ("The text denies it, but this was found: {seen}.", "报告否认，但可见：{seen}。"),
    "instead": ("{found} found in the {where}, {size}; {wrong}.", "{where}可见{found}，{size}；{wrong}。"),
    "instead_borderline": (
        "{found} found in the {where}, {size}; {wrong}: borderline.",
        "{where}可见{found}，{size}；{wrong}：处于临界。",
    ),
    "wrong": ("the text says {words}", "报告为{words}"),
    "unfit": ("it does not fit the text", "与报告不符"),
    # what limits an answer
    "hedged": ("The text is not certain itself. {reason}", "报告本身不肯定。{reason}"),
    "place_untold": (
        "{reason} The built-in engine cannot tell where '{places}' is on the scan.",
        "{reason}内置引擎不能在扫描上确定“{places}”的位置。",
    ),
    "levels_untold": (
        "The built-in engine does not number vertebrae, so it cannot tell {levels} from the others.",
        "内置引擎不能给椎体编号，因此不能确定{levels}。",
    ),
    "not_known": (
        "The built-in engine does not know '{words}'{meant}: density and shape alone do not show it. "
        "An engine with an open vocabulary (yoloe, qwen3vl) would look for it.",
        "内置引擎不认识“{words}”{meant}：仅凭密度和形态不能显示。可改用开放词汇引擎（yoloe、qwen3vl）。",
    ),
    "in_organ": ("{asked} in the {organ}", "{organ}{asked}"),
    "meant": (" ({asked})", "（{asked}）"),
    # structures
    "structure_none": (
        "The scan shows where the {name} would be, and none was found.",
        "扫描包括{name}所在部位，但未见。",
    ),
    "structure_none_as_said": (
        "The scan shows where the {name} would be, and none was found, as the text says.",
        "扫描包括{name}所在部位，未见，与报告一致。",
    ),
    "structure_part": (
        "No {name} was found in the part of its place that is shown.",
        "扫描所及部位未见{name}。",
    ),
    "structure_outside": ("The scan does not show the place of the {name}.", "扫描未包括{name}所在部位。"),
    "structure_unknown": (
        "No {name} is seen on this scan; it may lie outside.",
        "扫描未见{name}；可能位于扫描范围之外。",
    ),
    "structure_seen": ("The {name} is seen.", "可见{name}。"),
    "structure_denied": ("The text denies it, but the {name} is seen.", "报告否认，但可见{name}。"),
    "dense": (
        "Something as dense as {name} is seen outside bone; density alone does not tell it from contrast.",
        "骨外可见与{name}密度相当者；仅凭密度不能与对比剂区分。",
    ),
}


def say(key: str, chinese: bool, **parts: object) -> str:
    """One sentence, or a part of one, with its blanks filled in."""
    return _PHRASES[key][chinese].format(**parts)
