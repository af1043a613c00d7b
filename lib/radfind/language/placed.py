"""Which place words belong to which finding of a sentence."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

from radfind.language.claims import Claim, order, sided
from radfind.language.concepts import Concept
from radfind.language.place_words import PlaceWord
from radfind.language.text import Piece

_LINK = (
    r"\b(?:causing|leading|resulting|creating|producing|forming|compressing|extending|surrounding"
    r"|accompanying|in|of|at|on|within|near|adjacent|along|to|from|involving|affecting|is|are|was"
    r"|were|has|have|with|showing|there|measuring|that|including|into|over|around|between|by|for|suggests?|indicates?)\b"
    r"|,|;|:|\("
)
_BREAK = re.compile(_LINK + r"|\b(?:and|or)\b|[,;:(]|见|示|有|呈|、|及|和|与|伴|位于|于")
_CLAUSE_BREAK = re.compile(_LINK + r"|[,;:(]|见|示|有|呈|伴|位于")
_VERB_OR_LINK = re.compile(
    _LINK.replace("|,|", "|") + r"|\b(?:but|however|no|without|than|except|measured?s?)\b|见|示|呈|位于|但|而|无"
)
_OF_SIZE = re.compile(r"\b(?:of|measuring|with a diameter of)\s(?:about |approximately )?[0-9][0-9.,x\s]*(?:mm|cm)\b")
# "Consolidations with air bronchograms are observed in both lungs": the verb is that of the first.
_HAVING = re.compile(r"\b(?:with|including|containing|accompanied by)\b(?: areas of)?")
_PART = re.compile(r"s?\s(?:with|including|containing)\s(?!an?\b|[0-9])(?:[a-z-]+\s){0,2}")
_SUBJECT = re.compile(
    r"\b(?:is|are|was|were)\s(?:[a-z]+ly\s)?(?:observed|seen|noted|detected|found|identified|present)\b"
)
_CHANGE_OF = re.compile(r"\b(?:increases?|decreases?|changes?|reduction) (?:in|of)\b")
_WITH = re.compile(
    r"\b(?:with|accompanied by|containing|including|showing|associated|and its|within it)\b|伴|内见|其内|内可见|并"
)
_ZH_AFTER = re.compile(r"(?:位于|见于|于|在|\()\s*\Z")
# "infiltration compatible with pneumonia in both lungs": what comes after the interpretation is where the sign is.
INTERPRETED = re.compile(
    r"(?:\b(?:and|which|that|being|is|are|was|were|been|highly|primarily|most|first|likely|,)\s)*"
    r"(?:\b(?:evaluated|considered|interpreted|assessed|thought)\s(?:[a-z]+ly\s)?(?:as\s(?:being\s)?)?)?"
    r"\b(?:compatible with|consistent with|in keeping with|in favou?r of|suggest(?:ive of|ing)"
    r"|(?:suspicious|concerning|worrisome) (?:for|of)"
    r"|representing|indicative of|accompanied by|associated with|accompanying)\b"
)
_ACCOMPANIES = re.compile(r"[\s,]*(?:and\s)?(?:the\s)?accompanying\s(?:[a-z]+[\s-]){0,2}\Z")
_STATIONS = re.compile(r"\b(?:in|on|at|of|within|to|from|is|are|was|were|with)\b|[;:(]")
_NEW_LEAD = re.compile(r"[,;]\s*(?:and\s)?(?:in|at|on|within)\s(?:the\s)?\Z")
_ACCOMPANYING = re.compile(
    r"[,;\s]*(?:伴|其|内|边缘|周围|并|局部|部分|可见|见"
    r"|考虑|符合|提示|可能|可疑|疑|倾向|大小|邻近|远端|近端|继发|增强|密度)"
)


def attach_places(
    folded: str,
    clauses: Sequence[Piece],
    claims: Sequence[Claim],
    words: Sequence[PlaceWord],
    chinese: bool,
    fits: Callable[[Concept, PlaceWord], bool],
) -> None:
    """Gives every claim the place words that are about it.

    Arguments:
        folded: folded text.
        clauses: clauses of one sentence.
        claims: its findings, in order; their `words` are set.
        words: its place words, in order.
        chinese: whether the sentence is Chinese.
        fits: whether a structure turns a general finding into one of its own ("thickening", oesophagus).
    """
    words = _without_heading(folded, claims, words)
    words = [word for word in words if not _of_normal_part(folded, word, clauses, claims)]
    waiting: list[PlaceWord] = []
    previous: Claim | None = None
    fronted = [] if chinese else _fronted(folded, claims, words)
    for clause in clauses:
        inside = [claim for claim in claims if clause.start <= claim.start < clause.stop]
        here = [word for word in words if clause.start <= word.start < clause.stop]
        if not inside:
            if previous is not None and re.match(
                r"[,;\s]*(?:位于|于|在|以|见于|主要|[左右][^,。;]{0,8}[0-9])", folded[clause.start : clause.stop]
            ):
                previous.words += here
            else:
                waiting = here or waiting
            continue
        _attach_in_clause(folded, clause, inside, here, chinese)
        first = inside[0]
        for claim in inside:
            subject = [w for w in waiting if chinese or fits(claim.concept, w)]
            if subject and not sided(claim.words) and (chinese or not any(fits(claim.concept, w) for w in claim.words)):
                claim.words = [*subject, *claim.words]
            if fronted and not sided(claim.words):
                claim.words = [*fronted, *(word for word in claim.words if word not in fronted)]
        if chinese and previous is not None and not here and not waiting:
            goes_on = _ACCOMPANYING.match(folded[clause.start : clause.stop])
            parted = folded[clause.start] == ";"  # "硬膜下血肿;蛛网膜下腔出血不除外": the next item of a list
            for claim in inside:
                if goes_on or (claim.presence == "uncertain" and not parted):
                    claim.words = list(previous.words)
        if not chinese:
            _take_lobed_organ(folded, clause, inside, [w for w in words if w.start < clause.start], fits)
        waiting = [] if chinese else waiting
        if first.words or not chinese:
            previous = inside[-1]
        elif previous is None:
            previous = first


# "In the left lobe": of an organ named elsewhere.
LOBE_ALONE = re.compile(r"\b(?:left|right|both|each|either)\s(?:of the )?lobes?\b")


def _take_lobed_organ(
    folded: str,
    clause: Piece,
    claims: Sequence[Claim],
    earlier: Sequence[PlaceWord],
    fits: Callable[[Concept, PlaceWord], bool],
) -> None:
    """ "The thyroid is enlarged, and a nodule is seen in the left lobe": the lobe of the organ named before."""
    if not LOBE_ALONE.search(folded, clause.start, clause.stop):
        return
    for claim in claims:
        fitting = [word for word in earlier if word.concept is not None and fits(claim.concept, word)]
        if fitting and all(word.concept is None for word in claim.words):
            claim.words = [fitting[-1], *claim.words]


_NORMAL_PART = re.compile(
    r"\b(?:is|are|was|were|appears?|remains?)\s(?:\w+ly\s)?"
    r"(?:clear|normal|unremarkable|intact|patent|limited|obscured|degraded|suboptimal)\b|正常|清晰|未见异常"
)


def _of_normal_part(folded: str, word: PlaceWord, clauses: Sequence[Piece], claims: Sequence[Claim]) -> bool:
    """ "Trace right effusion; left angle is clear": the part told to be normal says nothing of the finding's place."""
    begin = max(folded.rfind(mark, clauses[0].start, word.start) for mark in ",;") + 1 or clauses[0].start
    ends = [end for mark in ",;" if (end := folded.find(mark, word.stop, clauses[-1].stop)) >= 0]
    end = min(ends, default=clauses[-1].stop)
    if any(begin <= claim.start < end for claim in claims) or not any(claim.start < begin for claim in claims):
        return False
    return bool(_NORMAL_PART.search(folded, word.stop, end))


def _without_heading(folded: str, claims: Sequence[Claim], words: Sequence[PlaceWord]) -> Sequence[PlaceWord]:
    """ "In the evaluation of both lungs; in the right lung, a nodule": a heading that the place itself takes back."""
    lead = [word for word in words if claims and word.stop <= claims[0].start]
    for index in range(len(lead) - 1, 0, -1):
        if re.search("[;:]", folded[lead[index - 1].stop : lead[index].start]):
            head = [word.value for word in lead[:index] if word.kind == "side"]
            return words[index:] if head and set(head) == {"both"} and sided(lead[index:]) else words
    return words


def _fronted(folded: str, claims: Sequence[Claim], words: Sequence[PlaceWord]) -> list[PlaceWord]:
    """Place words set before the whole sentence: "In both lungs; no mass is seen, but nodules are"."""
    if not claims:
        return []
    lead = [word for word in words if word.stop <= claims[0].start]
    if not lead or not re.match(r"[^,;:.]{0,30}[,;:]", folded[lead[-1].stop : claims[0].start]):
        return []
    opening = folded[max(0, lead[0].start - 40) : lead[0].start]
    return lead if re.search(r"(?:\A|[.\n]|\b)(?:in|on|at|within|of|examined in)\s(?:the\s)?\Z", opening) else []


def _attach_in_clause(
    folded: str, clause: Piece, claims: Sequence[Claim], words: Sequence[PlaceWord], chinese: bool
) -> None:
    own: list[list[PlaceWord]] = [[] for _ in claims]
    after: list[list[PlaceWord]] = [[] for _ in claims]
    lead: list[PlaceWord] = []
    leads: list[list[PlaceWord]] = []
    slots: list[list[PlaceWord]] = [[] for _ in range(len(claims) + 1)]
    for word in words:
        holder = next((i for i, claim in enumerate(claims) if claim.start <= word.start < claim.stop), None)
        if holder is not None:
            for index, claim in enumerate(claims):
                if claim.start <= word.start < claim.stop:
                    own[index].append(word)
        else:
            slots[sum(claim.start <= word.start for claim in claims)].append(word)
    for index, claim in enumerate(claims):
        claim.before = slots[index]
        run, rest = _modifiers(folded, slots[index], claim.start, first=index == 0)
        own[index] = run + own[index]
        if index == 0 and rest and not _STATIONS.search(folded[clause.start : claim.start]):
            own[index] = rest + own[index]  # "right upper, bilateral lower paratracheal, subcarinal lymph nodes"
        elif index == 0:
            lead = rest
        elif rest:
            before = folded[claims[index - 1].stop : rest[0].start]
            gap = folded[rest[-1].stop : claim.start]
            if (chinese and not _ZH_AFTER.search(before)) or (
                not chinese and _NEW_LEAD.search(before) and not re.search(r",|\band\b", gap)
            ):
                lead = rest
            else:
                after[index - 1] += rest
        leads.append(list(lead))
    if slots[-1]:
        after[-1] += slots[-1]
    for index in range(len(claims) - 2, -1, -1):
        gap = folded[claims[index].stop : claims[index + 1].start]
        if after[index + 1] and _SUBJECT.search(folded, claims[index + 1].stop, after[index + 1][0].start):
            gap = _HAVING.sub(" ", gap)
        linked = _VERB_OR_LINK.search(_CHANGE_OF.sub(" ", INTERPRETED.sub(" ", _OF_SIZE.sub(" ", gap))))
        free = not after[index] and not slots[index + 1] and not linked
        if free and not (sided(leads[index]) and sided(after[index + 1])):
            after[index] = list(after[index + 1])
    for index, claim in enumerate(claims):
        mine = own[index] + after[index]
        if not mine and index and not leads[index]:
            gap = folded[claims[index - 1].stop : claim.start]
            carried = not _VERB_OR_LINK.search(gap) and claims[index - 1].describes
            if _WITH.search(gap) or carried or (not _VERB_OR_LINK.search(gap) and own[index - 1]):
                mine = list(claims[index - 1].words)
        if index and not sided(mine) and _listed_under_both(folded, claims[index - 1], own[index - 1], claim, mine):
            mine = [*(word for word in own[index - 1] if word.kind == "side"), *mine]
        if index and not sided(mine) and INTERPRETED.search(folded, claims[index - 1].stop, claim.start):
            mine = [*mine, *(word for word in claims[index - 1].words if word not in mine)]
        if index and not sided(mine) and _ACCOMPANIES.search(folded[claims[index - 1].stop : claim.start]):
            mine = [word for word in claims[index - 1].words if word.kind == "side" or word.side] + mine
        if leads[index] and not sided(mine):
            mine = leads[index] + mine
        elif leads[index] and not any(w.kind in ("lobe", "anatomy") for w in mine):
            mine = [
                w
                for w in leads[index]
                if w.kind == "anatomy" and not w.side and w.concept and not w.concept.id.startswith(("left_", "right_"))
            ] + mine
        claim.words = sorted(mine, key=order)
    for earlier, claim in itertools.pairwise(claims):
        if _in_both_lungs(folded, earlier) and _may_share(folded, claim):
            claim.words = sorted({*claim.words, *earlier.words}, key=order)
    for earlier, claim in itertools.pairwise(claims):
        if claim.describes and not sided(earlier.words):  # "nodules, some of them calcified, in both lungs"
            earlier.words = sorted({*earlier.words, *claim.words}, key=order)
        elif not sided(earlier.words) and _PART.fullmatch(folded, earlier.stop, claim.start):
            earlier.words = sorted({*earlier.words, *claim.words}, key=order)  # "sequelae with nodularity in the apex"
        elif claim.describes and not claim.words and claim.presence == earlier.presence:
            claim.words = list(earlier.words)  # "nodules in both lungs, many of them calcified"


def _listed_under_both(
    folded: str, earlier: Claim, fronted: Sequence[PlaceWord], claim: Claim, words: Sequence[PlaceWord]
) -> bool:
    """ "Bilateral bronchiectasis and peribronchial thickening": two changes of one organ on both sides."""
    both = any(word.kind == "side" and word.value == "both" and word.start < earlier.start for word in fronted)
    listed = re.fullmatch(r"(?:\s?,)?\s(?:and\s)?(?:[a-z]+\s){0,2}", folded[earlier.stop : claim.start])
    organs = {*claim.concept.sites, *(word.concept.id for word in words if word.concept is not None)}
    return both and bool(listed) and not organs.isdisjoint(earlier.concept.sites)


def _in_both_lungs(folded: str, claim: Claim) -> bool:
    """Whether the finding is told of both lungs as a whole."""
    both = any(word.kind == "side" and word.value == "both" for word in claim.words)
    parts = any(word.kind in ("lobe", "segment", "number") for word in claim.words)
    return both and not parts and claim.presence == "present" and "lung" in claim.concept.sites


def _may_share(folded: str, claim: Claim) -> bool:
    """ "Fibrosis in both lungs, emphysema and nodules in the basal segments": no place of its own, or a plural."""
    if sided(claim.words) or claim.presence != "present" or "lung" not in claim.concept.sites:
        return False
    return all(
        (word.concept is not None and word.concept.id == "lung")
        or word.kind == "zone"
        or (word.kind in ("lobe", "segment") and re.match(r"\s?(?:lobes|segments)", folded[word.stop : word.stop + 12]))
        for word in claim.words
    )


def _modifiers(
    folded: str, words: Sequence[PlaceWord], start: int, first: bool
) -> tuple[list[PlaceWord], list[PlaceWord]]:
    """(words directly before the finding: "left pleural effusion", the rest)."""
    pattern = _CLAUSE_BREAK if first else _BREAK
    edge, index = start, len(words)
    while index and not pattern.search(folded[words[index - 1].stop : edge]):
        index -= 1
        edge = min(edge, words[index].start)
    return list(words[index:]), list(words[:index])
