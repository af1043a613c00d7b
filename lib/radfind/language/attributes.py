"""Describing words ("spiculated", "毛刺") and numbers of lesions ("two", "2枚", "多发") in a text."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from pathlib import Path

_DATA = Path(__file__).parent / "data" / "attributes.json"

_NUMBER_WORDS = {
    **{word: value for value, word in enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight"), 1)},
    **{word: value for value, word in enumerate(("nine", "ten", "eleven", "twelve"), 9)},
    **{word: value for value, word in enumerate("一二三四五六七八九十", 1)},
    **{"single": 1, "solitary": 1, "单个": 1, "单发": 1, "孤立": 1, "a pair of": 2, "two": 2, "both": 2, "两": 2},
}
_MEASURE = r"(?:枚|个|颗|处|粒|块|灶)"
_COUNT = re.compile(
    r"(?<![a-z0-9.,/-])(?P<word>one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
    r"|single|solitary|a pair of)(?![a-z-])"
    r"(?!\s(?:third|half|side|of the|previous|year|month|week|day|more))"
    r"|(?<![a-z0-9.,/-])(?P<digits>[1-9][0-9]?)(?=\s(?![0-9])[a-z-]*\s?(?:[a-z-]+\s){0,3}[a-z-]+s\b)(?!\s?(?:mm"
    r"|cm|x|years?|months?|weeks?|days?|hu|-|\+|%))"
    rf"|(?P<zh>[1-9][0-9]?|[一二两三四五六七八九十])\s?{_MEASURE}|(?P<single>单发|孤立|单个)"
)
_MANY = re.compile(
    r"(?<![a-z])(?:several|multiple|numerous|a few|few|many|various|innumerable|countless|multifocal"
    r"|a number of|some|scattered|more than one|bilateral multiple|at least two)(?![a-z])"
    r"|[0-9一二三四五六七八九十]+[余多](?:枚|个|处|颗)|多发|多个|多枚|数枚|数个|数处|多处|散在|若干|几个|几枚|大小不等|(?:多|数)颗"
)


@dataclasses.dataclass(frozen=True)
class Attribute:
    """A describing word: where it stands and its canonical English name."""

    start: int
    stop: int
    name: str


@dataclasses.dataclass(frozen=True)
class Count:
    """How many: a number, or None for "several"."""

    start: int
    stop: int
    number: int | None


@functools.cache
def _names() -> dict[str, str]:
    table: dict[str, list[str]] = json.loads(_DATA.read_text("utf-8"))
    return {term: name for name, terms in table.items() for term in terms}


_NOT_ENHANCING = r"(?!(?<=无)强化的?(?:[低等]密度|囊))"  # "无强化低密度影" does not enhance


@functools.cache
def _pattern() -> re.Pattern[str]:
    terms = sorted(_names(), key=len, reverse=True)
    latin = "|".join(re.escape(term).replace(r"\-", "[- ]?").replace(r"\ ", "[- ]") for term in terms if term.isascii())
    chinese = "|".join(re.escape(term) for term in terms if not term.isascii())
    return re.compile(
        rf"(?<![a-z])(?<!non-)(?<!not )(?P<latin>{latin})(?![a-z])|{_NOT_ENHANCING}(?P<chinese>{chinese})"
    )


def find_attributes(folded: str, start: int, stop: int) -> list[Attribute]:
    """Describing words in ``folded[start:stop]``, in reading order."""
    found = []
    for match in _pattern().finditer(folded, start, stop):
        words = match.group()
        name = _names().get(words) or _respelled().get(re.sub("[- ]", "", words))
        if name is not None:
            found.append(Attribute(match.start(), match.end(), name))
    return found


@functools.cache
def _respelled() -> dict[str, str]:
    return {re.sub("[- ]", "", term): name for term, name in _names().items()}


def find_counts(folded: str, start: int, stop: int) -> list[Count]:
    """Numbers of things in ``folded[start:stop]``, in reading order; "several" counts as None."""
    counts = []
    for match in _COUNT.finditer(folded, start, stop):
        word = match["word"] or match["single"] or match["zh"] or match["digits"]
        number = int(word) if word.isdigit() else _NUMBER_WORDS[word]
        counts.append(Count(match.start(), match.end(), number))
    counts += [Count(match.start(), match.end(), None) for match in _MANY.finditer(folded, start, stop)]
    return sorted(counts, key=lambda count: count.start)
