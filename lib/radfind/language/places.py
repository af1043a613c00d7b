"""Place words put together to a Place.

Lung segments are numbered after Boyden (S1 .. S10, with S1+2 and S7+8 on the left), liver segments after Couinaud
(I .. VIII). A segment's name means another number in another lobe ("posterior" is S2 above and S10 below), so
names become numbers only when the lobe is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from radfind.language.concepts import Concept, Side
from radfind.language.findings import Place
from radfind.language.lexicon import Lexicon
from radfind.language.place_words import PlaceWord, segments

_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII")
_ROMAN_CHARACTERS = "ⅰⅱⅲⅳⅴⅵⅶⅷ"

_OF = re.compile(
    r"\s*(?:lobes?|segments?|zones?|parts?|portions?|levels?|aspects?|apex)?\s*(?:of|in|on|at)\s(?:the\s)?\s*\Z"
)
_AND = re.compile(r"\s*(?:lobes?|segments?)?\s*(?:,|and|or|/|&|-|、|及|和|与)?\s*(?:and\s)?(?:the\s|in the\s)?\s*\Z")
_CLOSE = re.compile(r"\s*(?:-sided|sided|lungs?(?: parenchyma)?(?:'s)?|hemithorax|肺|侧|侧肺|-)?\s*(?:the\s)?\Z")


def place_of(words: Sequence[PlaceWord], folded: str, lexicon: Lexicon) -> Place:
    """Combines place words that belong to one finding; sides are distributed over lists of lobes.

    Arguments:
        words: place words in reading order.
        folded: the text they index.
        lexicon: gives the concepts of lobes.
    """
    organs = [word.concept for word in words if word.concept is not None]
    liver = any(lexicon.is_a(organ, "liver") for organ in organs)
    lobed = liver or any(lexicon.is_a(organ, "thyroid_gland") for organ in organs)
    # the "superior right lobe" of a liver is not one of the lung
    lobes = [] if lobed and not any(lexicon.is_a(organ, "lung") for organ in organs) else _bind_lobes(words, folded)
    sides: list[str] = [word.value for word in words if word.kind == "side"]
    sides += [side for _, side in lobes if side]
    side: Side | None = None
    if "both" in sides or ("left" in sides and "right" in sides):
        side = "both"
    elif sides:
        side = "left" if "left" in sides else "right"
    sites: dict[str, Concept] = {}
    for lobe, lobe_side in lobes:
        for id in _lobe_ids(lobe, lobe_side or side):
            sites[id] = lexicon.get(id)
    for word in words:
        # "right upper lobe" of the lexicon says no more than the lobe words inside it
        if word.concept is not None and not (lobes and lexicon.is_a(word.concept, "lung") and _is_lobe(word.concept)):
            sites.setdefault(word.concept.id, word.concept)
    ordered = sorted(sites.values(), key=lambda concept: -len(lexicon.ancestry(concept)))
    return Place(
        sites=tuple(ordered),
        side=side,
        lobes=tuple(dict.fromkeys(lobe for lobe, _ in lobes)),
        segments=tuple(dict.fromkeys(_segment_numbers(words, folded, liver))),
        zones=tuple(dict.fromkeys(word.value for word in words if word.kind == "zone")),
        levels=tuple(dict.fromkeys(level for word in words if word.kind == "level" for level in word.value.split(","))),
    )


def _is_lobe(concept: Concept) -> bool:
    return concept.id.endswith("_lobe") or concept.id == "lingula"


def _lobe_ids(lobe: str, side: str | None) -> tuple[str, ...]:
    if lobe == "lingula":
        return ("lingula",)
    if lobe == "middle":
        return ("right_middle_lobe",)
    if side == "both":
        return (f"right_{lobe}_lobe", f"left_{lobe}_lobe")
    return (f"{side}_{lobe}_lobe",) if side else (f"{lobe}_lobe",)


def _bind_lobes(words: Sequence[PlaceWord], folded: str) -> list[tuple[str, str | None]]:
    """(lobe, side) of every lobe word. A side just before it wins, then "of the left lung" behind it, then the
    side of the next lobe in a list, then the last side named."""
    relevant = [word for word in words if word.kind in ("side", "lobe")]
    sides: list[str | None] = [word.side for word in relevant]
    forward = [False] * len(relevant)
    for index in range(len(relevant) - 1, -1, -1):
        word = relevant[index]
        if word.kind != "lobe" or word.side:
            continue
        before = relevant[index - 1] if index else None
        if before is not None and before.kind == "side" and _CLOSE.match(folded[before.stop : word.start]):
            sides[index] = before.value
            continue
        after = relevant[index + 1] if index + 1 < len(relevant) else None
        if after is None:
            continue
        gap = folded[word.stop : after.start]
        if after.kind == "side" and _OF.match(gap):
            sides[index], forward[index] = after.value, True
        elif after.kind == "lobe" and forward[index + 1] and _AND.match(gap):
            sides[index], forward[index] = sides[index + 1], True
    last: str | None = None
    bound = []
    for word, side in zip(relevant, sides, strict=True):
        if word.kind == "side":
            last = word.value
        else:
            bound.append((word.value, side or last))
    first = next((word.value for word in relevant if word.kind == "side"), None)
    # only the right lung has a middle lobe, whatever side is named beside it
    return [(lobe, "right" if lobe == "middle" else side or first) for lobe, side in bound]


def _segment_numbers(words: Sequence[PlaceWord], folded: str, liver: bool) -> list[str]:
    _, _, numbers = segments()
    lobes = [word for word in words if word.kind == "lobe"]
    result: list[str] = []
    for word in words:
        if word.kind == "number":
            result += _written_numbers(word.value, liver)
        elif word.kind == "segment":
            lobe = _lobe_of(word, lobes, folded)
            table = numbers[word.value]
            number = table.get(lobe, table.get(""))
            if number and not liver:
                result.append(number)
    return result


def _lobe_of(word: PlaceWord, lobes: Sequence[PlaceWord], folded: str) -> str:
    before = [lobe for lobe in lobes if lobe.stop <= word.start]
    after = [lobe for lobe in lobes if lobe.start >= word.stop]
    if after and (not before or re.match(r"\s*(?:sub)?segments?\s(?:of|in)\s", folded[word.stop : word.stop + 20])):
        return after[0].value
    return before[-1].value if before else ""


def _written_numbers(value: str, liver: bool) -> list[str]:
    if value.startswith("s") and "segment" not in value:
        plus = "+".join(re.findall(r"[0-9]+", value))
        return [_ROMAN[int(plus) - 1]] if liver and plus.isdigit() and int(plus) <= 8 else [f"S{plus}"]
    result = []
    for token in re.findall(rf"[0-9]+|[ivx]+|[{_ROMAN_CHARACTERS}]", value):
        if token.isdigit():
            number = int(token)
            result.append(_ROMAN[number - 1] if liver and number <= 8 else f"S{number}")
        elif token in _ROMAN_CHARACTERS:
            result.append(_ROMAN[_ROMAN_CHARACTERS.index(token)])
        else:
            result.append(token.upper())
    return result
