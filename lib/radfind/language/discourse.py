"""What a sentence owes to those around it: a lesion named before, an earlier examination, a recommendation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from radfind.language.text import Piece

_DEFINITE = re.compile(
    r"(?:\b(?:the|this|these|those|that|said|described|aforementioned|above-?mentioned)\s"
    r"(?:(?:described|aforementioned|above-?mentioned|same|mentioned|known)\s)?|上述|该|此|前述)\Z"
)
_RECOMMENDING = re.compile(r"\b(?:recommend|advis|suggested|follow-?up|correlat|further)|建议|请结合|复查|随访")
_PURPOSE = re.compile(
    r"\b(?:in terms of|to (?:exclude|rule out|confirm|look for)|for (?:the )?(?:exclusion|differential|possibilit)"
    r"|(?:recommended|advised|suggested|required|appropriate) for|regarding"
    r"|with (?:regard|respect) to)\b|(?<![不未能全])(?:除外|排除)|排查|以明确|明确有无|了解有无"
)
_EARLIER = re.compile(
    r"\s*(?:however,? |but )?(?:in|on|at) (?:the |her |his |an? |this patient's )?"
    r"(?:previous|prior|last|old|earlier|former)\s(?:[a-z]+\s){0,3}?(?:examination|exam|study|scan|ct|mr|x-ray|imaging|review)s?\b"
)
_VERB = re.compile(r"\b(?:is|are|has|have|was|were|had)\b")
_NOW = re.compile(r"\b(?:current|now|today|present (?:examination|study|exam|ct|scan)|this (?:examination|study|exam))")


def is_definite(folded: str, start: int) -> bool:
    """Whether the words at `start` are pointed back at: "the effusion", "these nodules", "该结节"."""
    return bool(_DEFINITE.search(folded, max(0, start - 40), start))


_ITEM = re.compile(
    r"\s*(?:(?:and |the )?(?:another|other|others|a second|second|a third|third|one|also)\b"
    r"|r[uml]l\b|l[ul]l\b|(?:right|left)\b"
    r"|on the (?:left|right)\b|in the |at the |[0-9]|[左右]|另|其余)"
)
_MOST_WORDS = 14


def is_item(words: str) -> bool:
    """Whether a sentence without a name is one more of a list: "2) RML 5 mm", "Another of 4 mm in the left lobe"."""
    return bool(_ITEM.match(words)) and len(words.split()) <= _MOST_WORDS


def tells_before(words: str) -> bool:
    """Whether a whole sentence is about an earlier examination: "In the previous CT, their diameter reaches 1 cm"."""
    return bool(_EARLIER.match(words)) and not _NOW.search(words)


_VERDICT = re.compile(
    r"\s*(?:it|they|this|these|which|and)\s(?:(?:is|are|was|were|has|have|had|been|appears?|shows?)\s){1,2}"
    r"(?:(?:slight|mild|moderate|significant|minimal|marked)?(?:ly)?\s?)"
    r"(?:(?:wider|larger|greater) than (?:the )?normal|above (?:the )?normal|dilat(?:ed|ation)|ectatic|widened"
    r"|increased)"
    r"(?![a-z])[^.;]{0,30}\Z"
)
_ENDS_MEASURED = re.compile(r"[0-9]\s?(?:mm|cm)[^.;]{0,20}\Z")


def with_verdicts(folded: str, sentences: Iterable[Piece]) -> Iterator[Piece]:
    """ "The aortic arch is 33 mm. It is wider than normal.": a measure and what it means, read as one sentence."""
    last: Piece | None = None
    for sentence in sentences:
        if (
            last is not None
            and _VERDICT.match(folded[sentence.start : sentence.stop])
            and _ENDS_MEASURED.search(folded[last.start : last.stop])
        ):
            last = Piece(last.start, sentence.stop)
            continue
        if last is not None:
            yield last
        last = sentence
    if last is not None:
        yield last


def is_purpose(folded: str, sentence: Piece, start: int) -> bool:
    """Whether the words at `start` say what a recommended examination is for: "MRI advised to exclude metastasis".

    They claim nothing about these images.
    """
    if not _RECOMMENDING.search(folded, sentence.start, sentence.stop):
        return False
    purposes = [match.end() for match in _PURPOSE.finditer(folded, sentence.start, start)]
    return bool(purposes) and not re.search(r"[;。]|待", folded[purposes[-1] : start])


# "... was seen in the previous examination" at the end of a clause; what is still there is told so.
_SEEN_BEFORE = re.compile(
    r"\b(?:was|were|had been)\s(?:[a-z]+ly\s)?(?:observed|seen|noted|detected|found|described)\s[^,;()]{0,40}?"
    r"\b(?:in|on|at) (?:the |her |his )?(?:previous|prior|last|old|earlier|former)\s(?:[a-z]+\s){0,2}"
    r"(?:examination|exam|study|scan|ct|mr|review)\s*(?=[,;.]|\Z)"
)
_STILL = re.compile(r"\b(?:which|that|it|they|also|is|are|has|have|now|current|stable|not|no)\b|[,;]")


def is_earlier(folded: str, sentence: Piece, start: int, stop: int) -> bool:
    """Whether the words in [start, stop) tell of an earlier examination.

    "In the previous CT, consolidation was seen", "consolidation was seen at this level in the previous examination".
    """
    seen = _SEEN_BEFORE.search(folded, stop, sentence.stop)
    if seen and not _STILL.search(folded, stop, seen.start()) and not _STILL.search(folded, seen.end(), sentence.stop):
        return True
    lead = _EARLIER.match(folded, sentence.start, sentence.stop)
    if lead is None or _NOW.search(folded, sentence.start, start):
        return False
    verbs = _VERB.findall(folded, lead.end(), sentence.stop)
    return bool(verbs) and verbs[-1] in ("was", "were", "had")  # "are seen" in a translation tells of these images
