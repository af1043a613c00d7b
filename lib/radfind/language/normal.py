"""Text in the one form that terms are compared in, with the way back to the original characters.

Full-width letters become half-width and traditional Chinese simplified, case and accents go, hyphens and runs of
white space become one space, and white space between two Chinese characters goes altogether (reports copied out
of PDF files are full of it). A blank line stays a barrier that no term crosses.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import unicodedata
from pathlib import Path

BARRIER = "\n"
"""Stands for a paragraph break in normalised text; no term contains it."""

_DASHES = frozenset("-‐‑‒–—―−_")
_APOSTROPHES = frozenset("'’‘ʼ`´")
_INVISIBLE = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")


@dataclasses.dataclass(frozen=True)
class NormalText:
    """Normalised text and where each of its characters came from.

    Arguments:
        text: the normalised text.
        starts: for each character of `text`, index of the original character it came from.
        stops: the same, index just past the original characters it came from.
    """

    text: str
    starts: tuple[int, ...]
    stops: tuple[int, ...]

    def original(self, start: int, stop: int) -> tuple[int, int]:
        """The original half-open range behind the normalised half-open, non-empty range [start, stop)."""
        return self.starts[start], self.stops[stop - 1]


def is_chinese(character: str) -> bool:
    """Whether the character is a CJK ideograph (Unicode blocks URO, extension A and compatibility)."""
    return "㐀" <= character <= "鿿" or "豈" <= character <= "\ufaff"


@functools.cache
def simplified() -> dict[str, str]:
    """Traditional -> simplified for the characters that radiology uses (data/traditional.json)."""
    pairs: dict[str, str] = json.loads((Path(__file__).parent / "data" / "traditional.json").read_text("utf-8"))
    return pairs


@functools.lru_cache(maxsize=8192)
def _fold(character: str) -> str:
    """One character in normal form; may be empty, a space, or several characters (ligatures)."""
    if character in _INVISIBLE:
        return ""
    if character in _APOSTROPHES:
        return "'"
    if character in _DASHES or character.isspace():
        return " "
    folded = unicodedata.normalize("NFKD", character).casefold()
    folded = "".join(c for c in folded if not unicodedata.combining(c))
    folded = "".join(" " if c in _DASHES or c.isspace() else c for c in folded)
    return "".join(simplified().get(c, c) for c in unicodedata.normalize("NFC", folded))


def normalise(text: str) -> NormalText:
    """Normalises a text for matching.

    Returns:
        The normalised text with its map back; equal terms of either script have equal normal forms.
    """
    characters: list[str] = []
    starts: list[int] = []
    stops: list[int] = []
    gap: tuple[int, int] | None = None
    barrier = False
    for index, character in enumerate(text):
        folded = _fold(character)
        if folded == " ":
            gap = (gap[0] if gap else index, index + 1)
            barrier = barrier or (character == "\n" and "\n" in text[gap[0] : index])
            continue
        for piece in folded:
            if gap is not None and characters:
                if barrier:
                    characters.append(BARRIER)
                    starts.append(gap[0])
                    stops.append(gap[1])
                elif not (is_chinese(characters[-1]) and is_chinese(piece)):
                    characters.append(" ")
                    starts.append(gap[0])
                    stops.append(gap[1])
            gap, barrier = None, False
            characters.append(piece)
            starts.append(index)
            stops.append(index + 1)
    return NormalText("".join(characters), tuple(starts), tuple(stops))


def normal_form(term: str) -> str:
    """The normal form alone; the same as ``normalise(term).text``, several times faster for plain ASCII."""
    if term.isascii() and term.isprintable():
        return " ".join(term.lower().replace("-", " ").replace("_", " ").replace("`", "'").split())
    return normalise(term).text
