"""Text preparation that keeps every character in its place, so spans index the text as it was given."""

from __future__ import annotations

import dataclasses
import re
import unicodedata

from radfind.language.findings import Span
from radfind.language.normal import simplified

# Longer "sentences" (text without punctuation) are cut at a blank, so that work per sentence stays bounded.
LONGEST_SENTENCE = 600

# A full stop after one of these does not end a sentence.
ABBREVIATIONS = frozenset(
    [
        "approx",
        "ca",
        "cf",
        "dr",
        "e.g",
        "eg",
        "fig",
        "i.e",
        "im",
        "ima",
        "img",
        "imgs",
        "nr",
        "no",
        "prof",
        "resp",
        "se",
        "seq",
        "ser",
        "vs",
        "dia",
        "diam",
        "max",
        "min",
        "pos",
        "st",
        "lt",
        "rt",
        "b/l",
        "bilat",
    ]
)

_SPECIAL = {
    **dict.fromkeys("‐‑‒–—―−﹣~～〜", "-"),
    **dict.fromkeys("×✕✖⨯", "x"),
    **dict.fromkeys("’‘`´", "'"),
    **dict.fromkeys("“”„«»「」『』", '"'),
    **dict.fromkeys("【〔［", "["),
    **dict.fromkeys("】〕］", "]"),
    "\n": "\n",
    "。": "。",
    "、": "、",
}


def _fold_character(character: str) -> str:
    special = _SPECIAL.get(character)
    if special is not None:
        return special
    if unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp", "Cs"):
        return " "
    plain = simplified().get(character, unicodedata.normalize("NFKC", character))
    if len(plain) != 1:
        plain = character
    lower = plain.lower()
    return lower if len(lower) == 1 else plain


_LOST_BREAK = re.compile(r"(?<! ) {2,8}(?=[A-Z])")


def fold(text: str) -> str:
    """Lower case, half-width, plain dashes and quotes; exactly as long as `text`."""
    # Two blanks before a capital stand for a lost line break, as in impressions pasted from a list.
    text = _LOST_BREAK.sub(lambda match: "\n" * len(match.group()), text)
    table = {ord(character): _fold_character(character) for character in set(text)}
    return text.translate(table)


@dataclasses.dataclass(frozen=True)
class Piece:
    """A half-open character range [start, stop)."""

    start: int
    stop: int


def span_of(text: str, start: int, stop: int) -> Span:
    """The words of `text` in [start, stop), as a Span."""
    return Span(start, stop, text[start:stop])


_END = re.compile(r"[.!?。\n]")
_ITEM = re.compile(r"\s*(?:[-*•·]|\(?\d{1,2}[.)、])\s*")
_OPEN_WORD = re.compile(
    r"(?:\b(?:of|in|the|a|an|and|or|with|no|without|to|for|at|on|is|are|was|were|by|from)|[,、(-])\s*\Z"
)


_SMALL = re.compile(r"[ \t]*(?:in|of|at|on|with|within|measuring|located|and|or)\b")


def sentences(folded: str, start: int = 0, stop: int | None = None, written: str = "") -> list[Piece]:
    """Sentences of ``folded[start:stop]``; decimal points, abbreviations and wrapped lines do not end one.

    Arguments:
        folded: text after `fold`.
        start, stop: the part to cut.
        written: the text as written, if at hand: what goes on in small letters after a question mark is one sentence.

    Returns:
        pieces in reading order, trimmed of blanks, without the closing mark except a question mark (it is a hedge).
    """
    stop = len(folded) if stop is None else stop
    pieces: list[Piece] = []
    begin = start
    for match in _END.finditer(folded, start, stop):
        at, mark = match.start(), match.group()
        if at < begin or not _ends_sentence(folded, begin, at, stop, mark):
            continue
        if mark == "?" and _SMALL.match(written, at + 1):
            continue
        _add(pieces, folded, begin, at + 1 if mark == "?" else at)
        begin = at + 1
    _add(pieces, folded, begin, stop)
    return pieces


def _ends_sentence(folded: str, begin: int, at: int, stop: int, mark: str) -> bool:
    after = folded[at + 1] if at + 1 < stop else " "
    before = folded[at - 1] if at > begin else " "
    if mark == ".":
        if before.isdigit() and after.isdigit():
            return False
        if folded[begin:at].strip(" [(").isdigit():  # "1. Nodule": a list number, not a sentence
            return False
        word = re.search(r"[a-z./]+\Z", folded[max(begin, at - 8) : at])
        if word and word.group() in ABBREVIATIONS:
            # "im. 42", "no. 3" go on; a sentence may still end in "rt." or "no."
            return not re.match(r"\s*[\da-z(]", folded[at + 1 : stop][:3])
        return not (after.isalnum() and after.isascii())
    if mark in "!?" and after in "),]":
        return False
    said = folded[begin:at].rstrip()
    if mark == "?" and (not said or said[-1] in ",(/;:" or (before == " " and after.isalpha())):
        return False  # "consolidation, ?pneumonia" questions what follows
    if mark == "\n":
        rest = folded[at + 1 : min(stop, at + 60)]
        if not rest.strip() or rest.startswith("\n") or _ITEM.match(rest):
            return True
        if _OPEN_WORD.search(folded[max(begin, at - 12) : at]):
            return False
        # A wrapped line: plain prose long enough to have been broken by an editor.
        return not (at - begin >= 50 and rest[:1].isalpha() and before.isalnum())
    return True


def _add(pieces: list[Piece], folded: str, begin: int, end: int) -> None:
    while end - begin > LONGEST_SENTENCE:
        window = folded[begin : begin + LONGEST_SENTENCE]
        cut = max(window.rfind(" "), window.rfind(","), window.rfind("、")) + 1
        cut = cut if cut > LONGEST_SENTENCE // 2 else LONGEST_SENTENCE
        _trim(pieces, folded, begin, begin + cut)
        begin += cut
    _trim(pieces, folded, begin, end)


def _trim(pieces: list[Piece], folded: str, begin: int, end: int) -> None:
    window = folded[begin:end]
    left = len(window) - len(window.lstrip())
    item = _ITEM.match(window)
    if item and item.end() < len(window) and not re.match(r"\d|mm|cm|x", window[item.end() :]):
        left = item.end()
    right = len(window.rstrip())
    if right > left and any(character.isalnum() for character in window[left:right]):
        pieces.append(Piece(begin + left, begin + right))
