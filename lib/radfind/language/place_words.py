"""Words of a text that say where: sides, lobes, segments, zones, vertebral levels."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from radfind.language.concepts import Concept, Side
from radfind.language.lexicon import Lexicon, Match

TokenKind = Literal["side", "lobe", "segment", "number", "zone", "level", "anatomy"]

_DATA = Path(__file__).parent / "data"


@dataclasses.dataclass(frozen=True)
class PlaceWord:
    """One word that says where: its characters, what kind of word it is, and its value.

    ``value`` is "left" / "right" / "both" for a side, "upper" .. for a lobe or zone, a segment's name, a written
    number ("S3", "IV"), or comma-separated levels; `concept` is the structure of an "anatomy" word; `side` is the
    side that comes with the word itself ("RUL").
    """

    start: int
    stop: int
    kind: TokenKind
    value: str
    concept: Concept | None = None
    side: Side | None = None


# What follows the side in dictation: "sm L effusion", "R femur".
_ONE_LETTER = (
    r"\s(?:(?:upper|lower|mid|middle|base|basal|lung|hilar|hilum|apical|apex|pleural|sided?|renal|kidney|adrenal|ureter"
    r"|frontal|parietal|temporal|occipital|mca|aca|pca|ica|ovary|breast|axilla|axillary|hip|femur|knee|shoulder|wrist|rib)"
    r"|effusion|ptx|pneumothorax|atelectasis|hydronephrosis)"
)
_SIDE = re.compile(
    r"(?<![a-z])(?:(?P<both>both(?!\s(?:are|were|of which|unchanged|stable|similar|new|enlarged|being|have|measur))"
    r"|each|bilateral|bilaterally|bilat|b/l|either side|two-sided|bibasilar|bibasal|biapical"
    r"|all (?:lung )?(?:lobes|zones)(?! of the (?:left|right)))|(?P<right>right"
    rf"|rt|dextra|r(?={_ONE_LETTER}))|(?P<left>left|lt|sinistra|l(?={_ONE_LETTER})))(?![a-z])"
    r"|(?P<zh_both>双侧|两侧|各肺?叶|左右(?=[肺侧肾叶两])|双(?=[侧肺肾上下叶胸髋膝肩腋锁颈颌乳眼耳卵输股手足肘腕踝])|两(?=[侧肺肾上下叶胸髋膝肩腋锁颈乳]))"
    r"|(?P<zh_right>右)|(?P<zh_left>左(?!右))"
)
_MORE_THERE = re.compile(
    r"\b(?:more|most|prominent(?:ly)?|dominant|especially|particularly|marked(?:ly)?|evident"
    r"|pronounced|greater|larger|worse)"
    r"(?:\s(?!in\b|than\b)[a-z]+){0,2}\s(?:on|at)\s(?:the\s)?\Z|以\Z"
)
_DIRECTION = re.compile(
    r"[- ]?(?:opening|facing|convex(?!ity)|concav|ward|deviat|shift)|(?:侧)?(?:明显|为著|为主|显著|凸|偏|移)"
)
_TOWARDS = re.compile(
    r"\b(?:opening|facing|convex(?:ity)?|concav(?:e|ity)|looking|directed|deviat[a-z]+|shift(?:ed|ing)?|displaced)"
    r"(?:\s(?:is|facing|looking|directed|to|towards?|on|the|side)){0,4}\s\Z|[向偏]\Z"
)
# "extending towards the mediastinum" does not put a thyroid nodule there
_EXTENDING = re.compile(r"\bexten(?:d|ds|ding|sion)\s(?:\w+\s){0,2}(?:to|towards?|into|up to)\s(?:the\s)?\Z")
# "15 mm from the pleura" is not in it
_MEASURED_FROM = re.compile(
    r"[0-9]\s?(?:mm|cm)\s(?:from|above|below|(?:deep|distal|proximal|lateral|medial|anterior|posterior) to)\s"
    r"(?:the\s)?(?:[a-z]+\s)?\Z"
)
_CORONARY = re.compile(r"\s(?:[a-z]+\s){0,2}coronary")  # the left coronary artery has branches on either side
_OTHER_WORD = r"(?:\s|,|/|&|-|and\b|or\b|the\b|right\b|left\b|both\b|upper\b|middle\b|lower\b|lungs?\b)"
_LOBE = re.compile(
    rf"(?<![a-z])(?P<position>upper|middle|lower|superior|inferior)(?=(?:{_OTHER_WORD}){{1,14}}(?:lobes?"
    rf"|lobar)\b|\s?-?lobes?\b)"
    r"|(?<![a-z])(?P<short>rul|rml|rll|lul|lll)s?(?![a-z])"
    r"|(?<![a-z])(?P<lingula>lingula|lingular)(?![a-z])|(?P<zh_lingula>舌(?=叶|段)|(?<=[上下])舌(?=段))"
    r"|(?P<zh>[上中下])(?=(?:[、,/及和与]?[上中下]){0,3}肺?叶|肺(?!静|动|野|门|韧))"
)
_SHORT: dict[str, tuple[Side, str]] = {
    "rul": ("right", "upper"),
    "rml": ("right", "middle"),
    "rll": ("right", "lower"),
    "lul": ("left", "upper"),
    "lll": ("left", "lower"),
}
_ZH_POSITION = {"上": "upper", "中": "middle", "下": "lower", "superior": "upper", "inferior": "lower"}

_MRI_OR_TNM = (
    r"(?!\s?-?\s?(?:w\b|wi\b|weighted|signal|hyper|hypo|iso|flair|images?|sequences?|relax|map"
    r"|加权|信号|高|低|等|像|相|n[0-3x]|[a-d]?n[0-3x]m))"
)
_ORDINAL_ZH = "(?:1[0-2]|[1-9]|十[一二]?|[一二三四五六七八九])"
_LEVEL = re.compile(
    rf"(?<![a-z0-9])(?P<letter>[ctdl])(?P<first>1[0-2]|[1-9])(?![0-9])(?:\s?(?P<to>-|/|–|to"
    rf"|至|、)\s?(?P<letter2>[ctdls])?(?P<second>1[0-2]|[1-9])(?![0-9]))?(?![a-z]){_MRI_OR_TNM}"
    r"|第?(?P<zh>[颈胸腰])(?P<zh_first>1[0-2]|[1-9])(?:\s?(?P<zh_to>-|/|~|至|、)\s?(?P<zh2>[颈胸腰骶])?(?P<zh_second>1[0-2]"
    r"|[1-9]))?(?=\s?(?:椎|水平|棘突|横突|节段|平面|间盘|,|\Z|[^0-9a-z]))"
    rf"|第(?P<ordinal>{_ORDINAL_ZH})(?:[、及和与,]第?(?P<ordinal2>{_ORDINAL_ZH}))?(?P<ordinal_part>[颈胸腰])椎"
    r"|(?<![a-z0-9])(?P<en_ordinal>1[0-2]|[1-9])(?:st|nd|rd|th)\s(?P<en_part>cervical|thoracic"
    r"|dorsal|lumbar)(?=\s(?:vertebr|body|corpus|spin|disc))"
)
_PART = {
    "颈": "C",
    "胸": "T",
    "腰": "L",
    "骶": "S",
    "d": "T",
    "cervical": "C",
    "thoracic": "T",
    "dorsal": "T",
    "lumbar": "L",
}
_HIGHEST = {"C": 7, "T": 12, "L": 5, "S": 5}
_ZH_DIGIT = {digit: value for value, digit in enumerate("一二三四五六七八九十", 1)} | {"十一": 11, "十二": 12}

_NUMBERED = re.compile(
    r"(?<![a-z0-9])s\s?(?P<s>(?:10|[1-9])(?:\s?\+\s?(?:10|[1-9])){0,2})[ab]?(?![0-9a-z])(?!\s?[,/]?\s?i(?:m"
    r"|mg|ma)?\s?[0-9])"
    r"|(?<![a-z])segments?\s(?P<segment>(?:(?:viii|vii|vi|iv|v|iii|ii|i|10|[1-9])[ab]?)(?:\s?(?:,"
    r"|/|and|or|\+|-)\s?(?:viii|vii|vi|iv|v|iii|ii|i|10|[1-9])[ab]?(?![a-z0-9])){0,4})(?![a-z0-9]"
    r"|\s?(?:mm|cm))"
    r"|(?P<zh>(?:[ⅰⅱⅲⅳⅴⅵⅶⅷ]|viii|vii|vi|iv|iii|ii|[1-8])(?:\s?[、,/]\s?(?:[ⅰⅱⅲⅳⅴⅵⅶⅷ]|viii|vii"
    r"|vi|iv|iii|ii|[1-8]))*)\s?段"
)
# Only one of these words is a lung segment by itself; the others need "segment" after them.
_NEEDS_SEGMENT = ("apical", "posterior", "anterior", "lateral", "medial", "superior", "inferior")


@functools.cache
def segments() -> tuple[re.Pattern[str], dict[str, str], dict[str, dict[str, str]]]:
    """The pattern of segment names, written name -> name, name -> {lobe: Boyden number}."""
    content = json.loads((_DATA / "segments.json").read_text("utf-8"))
    written = {word: name for name, words in content["names"].items() for word in words}
    written["inferior"] = "inferior"
    free = sorted((w for w in written if w.isascii() and w not in _NEEDS_SEGMENT), key=len, reverse=True)
    chinese = sorted((w for w in written if not w.isascii()), key=len, reverse=True)
    bound = "|".join(_NEEDS_SEGMENT)
    free_pattern = "|".join(re.escape(word).replace(r"\-", "[- ]?").replace(r"\ ", "[- ]") for word in free)
    following = rf"(?:\s|,|/|&|-|and\b|or\b|{bound}|medial|lateral|basal){{1,10}}(?:sub)?segments?\b"
    pattern = re.compile(
        rf"(?<![a-z])(?:(?P<free>{free_pattern})|(?P<bound>{bound})(?={following}))(?![a-z])"
        rf"|(?P<zh>{'|'.join(chinese)})|(?P<zh_listed>[尖前后])(?=(?:[、,/及和与][尖前后内外背]){{1,3}}段)"
    )
    plain = {re.sub("[- ]", "", word): name for word, name in written.items()}
    plain.update({"尖": "apical", "前": "anterior", "后": "posterior"})
    return pattern, plain, content["numbers"]


@functools.cache
def _zones() -> tuple[re.Pattern[str], dict[str, str]]:
    content: dict[str, list[str]] = json.loads((_DATA / "zones.json").read_text("utf-8"))
    written = {word: zone for zone, words in content.items() for word in words}
    words = sorted(written, key=len, reverse=True)
    latin = "|".join(re.escape(word) for word in words if word.isascii())
    chinese = "|".join(re.escape(word) for word in words if not word.isascii())
    return re.compile(
        rf"(?<![a-z])(?:{latin})(?![a-z])(?!\s(?:segment|chamber|view|plane|mediastin))|(?<!小叶)(?:{chinese})(?!基底段|段)"
    ), written


def find_place_words(folded: str, start: int, stop: int, anatomy: Iterable[Match], lexicon: Lexicon) -> list[PlaceWord]:
    """Every word in ``folded[start:stop]`` that says where, in reading order.

    Arguments:
        folded: text after `radfind.language.text.fold`.
        start, stop: the sentence.
        anatomy: anatomical matches of the lexicon in that sentence.
        lexicon: where they come from.
    """
    words: list[PlaceWord] = []
    named = list(anatomy)
    own_side = [
        m
        for m in named
        if any(lexicon.is_a(m.concept, part) for part in ("heart", "blood_vessel", "cerebral_hemisphere"))
    ]
    curved = "scolio" in folded[start:stop]  # only then is a convexity no part of the brain
    for match in _SIDE.finditer(folded, start, stop):
        if any(m.span.start <= match.start() < m.span.stop for m in own_side):
            continue  # the right atrium is not on the right
        if any(_CORONARY.match(folded, match.end(), m.span.stop) for m in own_side):
            continue
        if match["both"] == "both" and _pairs_words(folded, match.end(), stop, named):
            continue
        before = folded[max(start, match.start() - 40) : match.start()]
        after = folded[match.end() : match.end() + 16]
        towards = _TOWARDS.search(before) or _DIRECTION.match(after) or (curved and "convexity" in after)
        if towards or _MORE_THERE.search(before):
            continue  # "more on the right" and "open to the left" are no places
        kind = match.lastgroup or ""
        words.append(PlaceWord(match.start(), match.end(), "side", kind.removeprefix("zh_")))
    for match in _LOBE.finditer(folded, start, stop):
        words.append(_lobe_word(match))
    pattern, plain, _ = segments()
    taken: list[tuple[int, int]] = []
    for match in pattern.finditer(folded, start, stop):
        name = plain[re.sub("[- ]", "", match.group())]
        if name == "lingular":
            continue  # a lobe word
        taken.append(match.span())
        if name == "basal":
            words.append(PlaceWord(match.start(), match.end(), "zone", "basal"))
        else:
            words.append(PlaceWord(match.start(), match.end(), "segment", name))
    levels = [
        PlaceWord(match.start(), match.end(), "level", ",".join(named_levels))
        for match in _LEVEL.finditer(folded, start, stop)
        if (named_levels := _levels(match))
    ]
    words += levels
    for match in _NUMBERED.finditer(folded, start, stop):
        if any(level.start <= match.start() < level.stop for level in levels):
            continue  # "L5/S1" names no segment of the lung
        words.append(
            PlaceWord(
                match.start(),
                match.end(),
                "number",
                (match["s"] and "s" + match["s"]) or match["segment"] or match["zh"],
            )
        )
    zone_pattern, zone_of = _zones()
    for match in zone_pattern.finditer(folded, start, stop):
        inside = any(a <= match.start() < b for a, b in taken)
        covered = any(
            m.span.start < match.start() < m.span.stop and m.concept.kind == "anatomy" and "lung" not in m.concept.id
            for m in named
        )
        if not inside and not covered:
            words.append(PlaceWord(match.start(), match.end(), "zone", zone_of[match.group()]))
    words += [
        PlaceWord(m.span.start, m.span.stop, "anatomy", m.concept.id, m.concept)
        for m in named
        if not _EXTENDING.search(folded, max(start, m.span.start - 40), m.span.start)
        and not _MEASURED_FROM.search(folded, max(start, m.span.start - 40), m.span.start)
    ]
    return sorted(_without_largest(words, folded, start, stop), key=lambda word: (word.start, word.stop))


_OF_LARGEST = re.compile(
    r"\b(?:largest|biggest)\b(?:\s(?:ones?|of|which|these|them|is|being|measuring|located|seen|situated|noted|nodules?"
    r"|lesions?))*\s(?:in|at|within|on)\s(?P<place>[^,;.()0-9]+)"
)


def _without_largest(words: list[PlaceWord], folded: str, start: int, stop: int) -> list[PlaceWord]:
    """ "Nodules in both lungs, the largest in the left upper lobe": where the largest is, the others are not."""
    for match in _OF_LARGEST.finditer(folded, start, stop):
        if any(word.start < match.start() and (word.kind == "side" or word.side) for word in words):
            first, last = match.span("place")
            words = [word for word in words if not first <= word.start < last]
    return words


# "both centrilobular and paraseptal emphysema" names two kinds; "both upper and middle zones" two sides
_BOTH_AND = re.compile(r"\s(?P<first>[a-z]+(?:[- ](?!and\b)[a-z]+)?)\sand\s")
_NAMES_PLACE = re.compile(
    r"(?:upper|middle|lower|superior|inferior|apical|basal|perihilar|side|zone|region|area|right|left)"
)


def _pairs_words(folded: str, start: int, stop: int, anatomy: Iterable[Match]) -> bool:
    """Whether "both" that ends at `start` only joins two words of which the first is no place."""
    pair = _BOTH_AND.match(folded, start, stop)
    if pair is None or _NAMES_PLACE.match(pair["first"]):
        return False
    return not any(start <= m.span.start < pair.end("first") for m in anatomy)


def _lobe_word(match: re.Match[str]) -> PlaceWord:
    if match["short"]:
        side, lobe = _SHORT[match["short"]]
        return PlaceWord(match.start(), match.end(), "lobe", lobe, side=side)
    if match["lingula"] or match["zh_lingula"]:
        return PlaceWord(match.start(), match.end(), "lobe", "lingula", side="left")
    word = match["position"] or match["zh"]
    return PlaceWord(match.start(), match.end(), "lobe", _ZH_POSITION.get(word, word))


def _levels(match: re.Match[str]) -> list[str]:
    groups = match.groupdict()
    if groups["ordinal"]:
        numbers = [number for number in (groups["ordinal"], groups["ordinal2"]) if number]
        part = _PART[groups["ordinal_part"]]
        return _valid([(part, int(n) if n.isdigit() else _ZH_DIGIT[n]) for n in numbers])
    if groups["en_ordinal"]:
        return _valid([(_PART[groups["en_part"]], int(groups["en_ordinal"]))])
    letter = groups["letter"] or groups["zh"]
    part = _PART.get(letter, letter.upper())
    first = int(groups["first"] or groups["zh_first"])
    second = groups["second"] or groups["zh_second"]
    if second is None:
        return _valid([(part, first)])
    letter2 = groups["letter2"] or groups["zh2"]
    part2 = _PART.get(letter2, letter2.upper()) if letter2 else part
    joint = groups["to"] or groups["zh_to"]
    if part == part2 and joint not in ("/", "、") and first < int(second):
        return _valid([(part, value) for value in range(first, int(second) + 1)])
    return _valid([(part, first), (part2, int(second))])


def _valid(levels: list[tuple[str, int]]) -> list[str]:
    return [f"{part}{number}" for part, number in levels if 1 <= number <= _HIGHEST[part]]
