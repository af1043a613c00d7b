"""What kind of sentence this is: one that goes on, asks, recommends, only names; its language and number."""

from __future__ import annotations

import re

from radfind.language.normal import is_chinese

GOES_ON = re.compile(
    r"\s*(?:-\s*)?(?:however,? )?(?:(?:on|in) the (?:left|right),? (?:it\b|[0-9])|the (?:[a-z-]+ ){0,2}(?:diameter"
    r"|dimension|size|thickness) (?!of)|it|its|this|these|they|their|(?:one|two|some|another) of (?:these|them|which)"
    r"|(?:the )?(?:[a-z-]+ ){0,2}(?:diameter|dimension|size|thickness|axis) of (?:the )?"
    r"(?:larg|bigg|lesion|nodule|mass|form|latt)"
    r"|the (?:lesion|nodule|mass"
    r"|largest|larger|biggest|former|latter|one|described)|largest|measur|size|dimension|diameter"
    r"|margin|border"
    r"|the (?:[a-z]+ )?wall (?:thickness )?(?:is|was|measur)"
    r"|approximately|about|with|showing|located|see |\(|series|ser\b|se\b|image|ima?g?\b|[0-9]"
    r"|[左右]侧[^,。;]{0,4}[厚深宽][^,。;]{0,3}[0-9]|其|该|此|大者|较大|最大|大小|直径|长径|边界|边缘|形态|密度|约|位于|内|序列|图|见于|第|伴)"
)
OF_WALL = re.compile(r"\s*the (?:[a-z]+ )?wall\b")
# What such a sentence claims is where the finding before it was.
REFERS_BACK = re.compile(
    r"\b(?:it|they|these|those)\s(?:\w+\s)?(?:is|are|was|were|has|have|may|might|could|can(?:not)?|suggests?"
    r"|primarily|first|tend)\b"
    r"|\b(?:this|these|those|the described) (?:lesions?|nodules?|findings?|appearances?|areas?|changes?"
    r"|densit(?:y|ies))\b"
    r"|(?<![a-z])the (?:appearances?|findings?) (?:is|are|was|were|may|might|could|can|suggests?)\b"
    r"|\bin (?:its|their|the) (?:etiology|aetiology)\b|(?<![\u4e00-\u9fff])(?:其|该病灶|上述病灶|此病灶|上述)"
)
AT_THAT_LEVEL = re.compile(
    r"\s*(?:at|in) (?:this|that|the same) (?:level|locali[sz]ation|location|area|region)\b|该处|此处"
)
# "There is another nodule slightly more caudally": where the finding before it was.
NEAR_BEFORE = re.compile(
    r"\b(?:more|just|immediately|little|slightly)\s(?:caudal|cranial|inferior|superior|anterior|posterior|medial|lateral)"
    r"(?:ly)?(?!\s(?:to|of|segment|bas))|\bat the same (?:level|location|site)|\bin the same (?:lobe|lung|segment)"
    r"|\badjacent (?:lung|parenchyma|pulmonary)"
)
RECOMMENDS = re.compile(
    r"recommend|advis|suggested that|follow-?up|correlat|further (?:examination|evaluation)"
    r"|clinical|please|thank|dear|建议|请结合|随访|复查|定期|必要时"
)
QUERY_WORDS = frozenset(
    [
        "show",
        "me",
        "find",
        "the",
        "a",
        "an",
        "of",
        "in",
        "and",
        "or",
        "segment",
        "outline",
        "please",
        "where",
        "is",
        "are",
        "all",
        "any",
        "whole",
        "entire",
        "locate",
        "mark",
        "label",
        "both",
        "structure",
        "organ",
        "region",
        "area",
        "at",
        "on",
        "level",
        "to",
        "there",
        "for",
        "look",
        "patient",
        "patients",
        "s",
        "body",
        "with",
        "part",
    ]
)
QUERY_ZH = re.compile(
    r"请|分割|显示|查找|找到|标出|勾画|的|和|与|及|、|所有|全部|哪里|在哪|位置|区域|部位|一下|内|处|侧|段|叶|区"
)
ASKS = re.compile(
    r"\s*(?:is|are|was|were|does|do|did|can|where|any|has|have|which|what)\b|.*(?:吗|有无|有没有|是否|哪里|哪儿|何处)"
)


_NOT_PLURAL = ("is", "us", "ss", "ous", "as", "changes", "ies of", "ics", "bronchiectasis", "atelectasis", "os")


def is_plural(words: str) -> bool:
    """Whether an English name is in the plural and so tells of several."""
    if not words.isascii():
        return False
    head = words.split(" of ")[0].split(" in ")[0].split(" with ")[0]
    if words.endswith(("atelectases", "metastases", "lymphadenopathies", "masses", "bullae", "calculi", "diverticula")):
        return True
    return (head.endswith("s") and not head.endswith(_NOT_PLURAL)) or head.endswith(("bullae", "metastases", "masses"))


_VERB_ZH = re.compile("见|示|考虑|符合|位于")


def in_chinese(words: str) -> bool:
    """Whether a sentence is built as Chinese ones are: a Chinese verb ("RUL 可见 nodule"), or mostly Chinese words."""
    chinese = sum(map(is_chinese, words))
    latin = sum(character.isascii() and character.isalpha() for character in words)
    return bool(_VERB_ZH.search(words)) or chinese * 2 > latin


def languages(text: str) -> tuple[str, ...]:
    """Languages seen: "en" for a Latin word of three letters, "zh" for any Chinese character."""
    found = []
    if re.search(r"[A-Za-z]{3}", text):
        found.append("en")
    if any(map(is_chinese, text)):
        found.append("zh")
    return tuple(found)
