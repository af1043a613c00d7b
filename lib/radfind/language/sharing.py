"""What two findings of a sentence share: the thing and what it is taken for, a finding and its neighbour, brackets."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from radfind.language.claims import Claim, order, sided
from radfind.language.discourse import is_definite
from radfind.language.lexicon import Lexicon
from radfind.language.placed import INTERPRETED

_BESIDE = re.compile(
    r"(?:adjacent|next|close) to|accompan(?:y|ied)|associated with|around|surrounding|neighbou?ring|beside"
    r"|(?:secondary|due) to|(?:vicinity|neighbou?rhood) of"
)
# "fluid extending to the fissure at this level", "ground glass is observed around them"
_AT_ITS_PLACE = re.compile(
    r"\bat (?:this|that|the same) level\b|\bin (?:this|that|the same) (?:area|region|segment|lobe|locali[sz]ation)\b"
    r"|\baround (?:it|them|the|these|this)\b|\bin (?:its|their) (?:vicinity|neighbou?rhood|surroundings)\b"
)


def share_with_neighbour(folded: str, claims: Sequence[Claim], lexicon: Lexicon) -> None:
    """ "Atelectasis adjacent to the effusion on the left": what lies beside a finding is on its side."""
    for claim, neighbour in itertools.pairwise(claims):
        gap = folded[claim.stop : neighbour.start]
        if sided(claim.words) or not _BESIDE.search(gap) or re.search(r"[;.]|\bno\b|without", gap):
            continue
        beside = neighbour.words
        if not sided(beside) and is_definite(folded, neighbour.start):  # "the effusion" told of in this sentence
            same = (c for c in claims if lexicon.is_a(c.concept, neighbour.concept.id))
            beside = [word for c in same for word in c.words]
        claim.words = sorted({*claim.words, *(w for w in beside if w.kind == "side" or w.side)}, key=order)
    for earlier, claim in itertools.pairwise(claims):
        if not sided(claim.words) and _AT_ITS_PLACE.search(folded, claim.stop, claim.clause.stop):
            claim.words = sorted({*claim.words, *(w for w in earlier.words if w.kind == "side" or w.side)}, key=order)


_READ_AS = re.compile(
    rf"(?:{INTERPRETED.pattern}|\b(?:(?:most )?likely|probably|possibly|suspected|may (?:be|represent))"
    r"|favou?red to (?:be|represent)"
    r"|\b(?:evaluated|considered|interpreted|assessed|regarded|thought)\s(?:[a-z]+ly\s)?(?:as(?: being)?|to be)"
    r"|考虑|可能|疑|倾向|符合|提示)为?\s*(?:an?\s)?(?:[a-z-]+\s){0,2}\Z"
)
_MEASURED = frozenset(
    (
        "cyst",
        "mass",
        "nodule",
        "stone",
        "tumor",
        "malignancy",
        "metastasis",
        "hemangioma",
        "abscess",
        "hematoma",
        "granuloma",
    )
)


def _taken_for(claim: Claim, gap: str) -> bool:
    return bool(_READ_AS.search(gap)) or (claim.presence == "uncertain" and bool(re.search(r"[,(]\s*\Z", gap)))


def _weighed(folded: str, claim: Claim, gap: str) -> bool:
    """ "Opacity in the right base, atelectasis versus pneumonia", "..., pneumonia?"."""
    return bool(re.search(r",\s*\Z", gap) and re.compile(r"\s?\?|\s(?:versus|vs)\b").match(folded, claim.stop))


def has_size(claim: Claim) -> bool:
    """Whether what a thing is taken for is a lesion, so that it has the size of the thing."""
    return bool(_MEASURED.intersection((claim.concept.id, claim.concept.parent, (claim.concept.parent or "")[-4:])))


def share_with_interpretation(folded: str, claims: Sequence[Claim]) -> None:
    """ "a lesion compatible with an adenoma of 13 mm": what is seen and what it is taken for have one size."""
    for earlier, claim in itertools.pairwise(claims):
        gap = folded[earlier.stop : claim.start]
        read_as = _READ_AS.search(gap)
        if read_as and not sided(earlier.words):  # "opacity in the right lower lobe may represent an infarct"
            begin = earlier.stop + read_as.start()
            aside = gap[: read_as.start()].strip() == "," and folded.startswith(",", claim.stop)
            # "nodules, thought to be metastatic, were observed in both lungs"
            mine = [w for w in claim.words if earlier.stop <= w.start and (aside or w.start < begin)]
            earlier.words = sorted({*earlier.words, *mine}, key=order)
        interpreted = INTERPRETED.search(gap) and not re.search("accompan|associated", gap)
        if not sided(claim.words) and (read_as or _weighed(folded, claim, gap)):
            claim.words = sorted({*earlier.words, *claim.words}, key=order)
        if earlier.sizes and not claim.sizes and has_size(claim) and _taken_for(claim, gap):
            claim.sizes, claim.anchor = list(earlier.sizes), earlier.start
        elif not earlier.sizes and (
            (read_as and folded.startswith(",", claim.stop))
            or (interpreted and re.fullmatch(r"[\s,]*(?:an?|the)?\s*", INTERPRETED.sub("", gap)))
        ):
            earlier.sizes = list(claim.sizes)


def share_with_brackets(folded: str, claims: Sequence[Claim]) -> None:
    """ "a 6 mm lesion in the left kidney (cyst?)": what stands in brackets is the same thing at the same place."""
    for earlier, claim in itertools.pairwise(claims):
        if not re.search(r"\(\s*(?:[a-z-]+\s)?\Z", folded[max(0, claim.start - 14) : claim.start]):
            continue
        if not claim.sizes:
            claim.sizes, claim.anchor = list(earlier.sizes), earlier.start
        elif not earlier.sizes and claim.concept.id in (earlier.concept.id, earlier.concept.parent):
            earlier.sizes = list(claim.sizes)  # "cholelithiasis (largest stone 14 mm)"
        if not sided(claim.words):
            claim.words = sorted({*earlier.words, *claim.words}, key=order)
        close = folded.find(")", claim.stop)
        inside = [c for c in claims if claim.start <= c.start < close]
        behind = {word for c in inside for word in c.words if word.start > close}
        if not sided(earlier.words) and behind:  # "opacities (pneumonia? infarct?) in the right upper lobe"
            earlier.words = sorted({*earlier.words, *behind}, key=order)
