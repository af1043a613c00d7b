"""Adjectives that the lexicon also knows as findings: "hypodense", "nodular", before the noun they describe.

"A 6 x 4 mm hyperdense stone" is one stone and no hyperdense lesion beside it; its size is that of the stone. Read as a
finding of its own, the adjective would take the size, the place and the question mark away from its noun.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from radfind.language.lexicon import Match
from radfind.language.text import Piece, span_of

_ADJECTIVE = re.compile(
    r"hypo-?dense|hyper-?dense|iso-?dense|hypo-?attenuating|hyper-?attenuating|hyper-?vascular|hypodense nodular"
    r"|(?:low|high)[- ](?:density|attenuation)|nodular[iy]?|cystic|enhancing|sclerotic|lytic|tumoral|calcific nodular"
)
_DENSITY = re.compile(r"(?:hypo|hyper|iso)-?(?:dense|attenuating)|(?:low|high)[- ]")
# Words between an adjective and its noun: further adjectives, no verb, preposition, noun or conjunction.
_FURTHER = re.compile(
    r"well|ill|poorly|non|mm|cm|x|[0-9.]+(?:mm|cm)?|round|oval|small|large|tiny|thin|style"
    r"|[a-z]+(?:al|ar|ic|ous|ed|ent|ant|oid|id|ive|form|ly|like)"
)
_MOST_FURTHER = 8
_VERB = re.compile(
    r"\b(?:observed|detected|seen|identified|noted|noticed|visuali[sz]ed|demonstrated|considered|evaluated|located"
    r"|present|measured|followed|monitored|accompanied|associated)\b"
)
_PREDICATE = re.compile(r"\b(?:is|are|was|were|be|appears?|remains?|seems?)\s(?:[a-z]+ly\s)?\Z")
# "no nodular space-occupying lesion" denies nodules and masses
_SECOND = re.compile("mass|space|infiltrat")
_SEQUELA = re.compile(r"(?:pleuroparenchymal )?(?:fibrotic )?sequel(?:a|ae)?")
# Nouns that say no more than that something is there.
_GENERIC = ("lesion", "pulmonary_opacity")


def merged_adjectives(folded: str, sentence: Piece, matches: Sequence[Match]) -> list[Match]:
    """The lexicon's matches of a sentence, adjectives joined to their nouns.

    A noun that says no more than "lesion" takes the adjective's concept ("nodular cortical lesion" is a nodule); any
    other noun keeps its own.
    """
    kept: list[Match] = []
    noun: Match | None = None
    for match in reversed([match for match in matches if match.concept.kind == "finding"]):
        if noun is None or not _describes(folded, sentence, match, noun):
            noun = match
            kept.append(match)
        elif noun.concept.id in _GENERIC:
            noun = kept[-1] = Match(match.concept, span_of(folded, match.span.start, noun.span.stop))
    return sorted(
        [*kept, *(match for match in matches if match.concept.kind != "finding")], key=lambda match: match.span.start
    )


def _describes(folded: str, sentence: Piece, match: Match, noun: Match) -> bool:
    gap = folded[match.span.stop : noun.span.start]
    further = [word for word in re.split(r"[\s,-]+", gap) if word]
    if len(further) > _MOST_FURTHER or not all(map(_FURTHER.fullmatch, further)):
        return False
    words = folded[match.span.start : match.span.stop]
    # "nodular, cystic" may be a list of two; "hypodense, well-defined cyst" is none
    listed = "," in gap and noun.concept.id != "lesion" and not (further and _DENSITY.match(words))
    if listed or _VERB.search(gap):
        return False
    if words.startswith("nodul") and _SECOND.search(folded, noun.span.start, noun.span.stop):
        return False
    if _SEQUELA.fullmatch(words):
        return noun.concept.id in ("calcification", "pulmonary_opacity")
    # not "the liver is hypodense"
    before = folded[max(sentence.start, match.span.start - 30) : match.span.start]
    return bool(_ADJECTIVE.fullmatch(words)) and not _PREDICATE.search(before)
