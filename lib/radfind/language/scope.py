"""Present, absent or uncertain: which words deny or hedge a claim, and how far their effect reaches.

In the manner of NegEx (Chapman et al., J Biomed Inform 2001) and ConText (Harkema et al., 2009): cue phrases act
forwards or backwards inside one clause until a terminating word; phrases that only look like a denial
("no change in") are recognised first and act on nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from radfind.language.findings import Presence
from radfind.language.text import Piece, fold

CueKind = Literal[
    "neutral", "deny_after", "deny_before", "deny_either", "hedge_after", "hedge_before", "hedge_either",
    "suggests", "question", "rival", "stop", "normal", "past", "past_before", "other",
]  # fmt: skip

_DATA = Path(__file__).parent / "data" / "cues.json"


@functools.cache
def _cue_patterns() -> tuple[re.Pattern[str], tuple[CueKind, ...]]:
    """One pattern for all cues, group ``k<i>`` of the i-th kind; of those that match at a place the first wins."""
    content = json.loads(_DATA.read_text("utf-8"))
    alternatives = []
    for index, group in enumerate(content["cues"]):
        joined = "|".join(_expand(pattern, content["macros"]) for pattern in group["patterns"])
        alternatives.append(rf"(?P<k{index}>(?:(?<![a-z])|(?![a-z]))(?:{joined}))")
    return re.compile("|".join(alternatives)), tuple(group["kind"] for group in content["cues"])


def _expand(pattern: str, macros: Mapping[str, str]) -> str:
    for name, value in macros.items():
        pattern = pattern.replace(f"<{name}>", value)
    return pattern


_PREDICATE = re.compile(
    r"there\s+(?:is|are|was|were|has been|have been)\b"
    r"|\b(?:is|are|was|were|has|have|had|could|can)(?:\s+(?:also|not|been|be|[a-z]+ly)){0,4}\s+(?:observed"
    r"|detected|seen|found"
    r"|identified|noted|noticed|visuali[sz]ed|demonstrated|evident|present|appreciated|shown"
    r"|encountered|monitored|followed"
    r"|traced|visible|apparent|reported|evaluated|considered|normal|natural|open|patent|preserved"
    r"|intact|unremarkable|clear"
    r"|measured|stable|dilated|ectatic|enlarged|widened|thickened|increased)\b"
    r"|\b(?:shows?|demonstrates?|reveals?|continues?|persists?|draws?)\b"
)
# What follows a comma and is no clause of its own: "areas are seen in both lungs, consistent with consolidation, and"
_MODIFIES = re.compile(
    r"\s*(?:and\s)?(?:which\s(?:is|are|was|were)\s)?(?:highly\s|most\s)?"
    r"(?:consistent|compatible|in keeping|in favou?r|suggest|accompanied|measuring|the larg|some of|one of"
    r"|more prominent|especially|mostly|predominantly|including)"
)
_JOINT = re.compile(r",\s*(?:and|but|while|whereas)?|;|\b(?:and|while|whereas|but)\b")


@dataclasses.dataclass(frozen=True)
class Cue:
    """A phrase that changes what a clause claims."""

    start: int
    stop: int
    kind: CueKind


def find_cues(folded: str, start: int, stop: int) -> list[Cue]:
    """Cue phrases in ``folded[start:stop]``, in reading order, not overlapping."""
    cues = []
    pattern, kinds = _cue_patterns()
    for match in pattern.finditer(folded, start, stop):
        name = match.lastgroup
        assert name is not None
        if match.end() > match.start():
            cues.append(Cue(match.start(), match.end(), kinds[int(name[1:])]))
    return cues


_ALL_CLEAR = re.compile(
    r"\b(?:no|without)\s(?:\w+\s){0,2}(?:abnormalit(?:y|ies)|findings?|disease)\b"
    r"|\b(?:normal|unremarkable|clear)\b|清晰|(?:未见|无)(?:明显|明确)?异常"
)


def says_all_is_normal(text: str) -> bool:
    """Whether a text without findings denies in general: "The lungs are clear.", "No acute findings", "双肺清晰"."""
    folded = fold(text)
    return bool(_ALL_CLEAR.search(folded)) or any(c.kind == "normal" for c in find_cues(folded, 0, len(folded)))


def clauses(folded: str, sentence: Piece, named: Sequence[Piece], chinese: bool) -> list[Piece]:
    """Cuts a sentence into the clauses inside which cues act.

    Chinese is cut at each comma (lists use 、). English is cut between two predicates ("a nodule is seen | and
    effusion was not detected"), at the first joint after which something is named.

    Arguments:
        folded: folded text.
        sentence: the sentence.
        named: where findings are named in it, in order.
        chinese: whether the sentence is mostly Chinese.
    """
    if chinese:
        cuts = [match.start() for match in re.compile("[,;]").finditer(folded, sentence.start, sentence.stop)]
        cuts = [cut for cut in cuts if not _list_comma(folded, cut)]
    else:
        cuts = _english_cuts(folded, sentence, named)
    edges = [sentence.start, *cuts, sentence.stop]
    return [Piece(a, b) for a, b in itertools.pairwise(edges) if b > a]


def _list_comma(folded: str, cut: int) -> bool:
    """ "1,2" or "1.5cm,2cm": a comma between numbers does not end a clause."""
    return folded[cut - 1 : cut].isdigit() and folded[cut + 1 : cut + 2].isdigit()


def _english_cuts(folded: str, sentence: Piece, named: Sequence[Piece]) -> list[int]:
    predicates = list(_PREDICATE.finditer(folded, sentence.start, sentence.stop))
    cuts: list[int] = []
    for first, second in itertools.pairwise(predicates):
        joints = list(_JOINT.finditer(folded, first.end(), second.start()))
        if not joints:
            continue
        if second.group().startswith("there"):  # "no mass is detected, and there are a few nodules"
            cuts.append(joints[-1].start())
            continue
        listed = first.group().startswith("there")
        if listed:
            # "there are opacities and nodules, and pneumonia is considered": the list ends at the comma
            joints = [j for j in joints if re.match(r",\s*(?:and|but|while|whereas)\b", j.group())] or joints
        modifies = False
        for index, joint in enumerate(joints):
            opens = joint.group().startswith((",", ";"))
            modifies = bool(_MODIFIES.match(folded, joint.end())) or (modifies and not opens)
            end = joints[index + 1].start() if index + 1 < len(joints) else second.end()
            names_next = any(joint.end() <= name.start < end for name in named)
            # after "there is", the first named thing belongs to it
            names_own = any(first.end() <= name.start < joint.start() for name in named)
            if not modifies and names_next and (names_own or not listed):
                cuts.append(joint.start())
                break
    return cuts


def presence_of(
    folded: str,
    clause: Piece,
    start: int,
    stop: int,
    cues: Sequence[Cue],
    named: Sequence[Piece],
    interpretation: bool = True,
) -> tuple[Presence, set[CueKind]]:
    """What the clause claims about the words in [start, stop).

    Arguments:
        folded: folded text.
        clause: the clause the words are in.
        start, stop: the words that name the finding.
        cues: cues of the sentence.
        named: everything named in the clause (for cues that reach either way).
        interpretation: whether the words name a diagnosis rather than a sign: "compatible with pneumonia" is
            hedged, "density compatible with consolidation" is not.

    Returns:
        presence, and the kinds of cue that act on it.
    """
    acting: set[CueKind] = set()
    inside = [cue for cue in cues if clause.start <= cue.start and cue.stop <= clause.stop]
    stops = [cue for cue in inside if cue.kind == "stop"]
    for cue in inside:
        if cue.stop <= start:
            forward = cue.kind in ("deny_after", "hedge_after", "past", "other", "rival") or (
                cue.kind in ("deny_either", "hedge_either") and _points_forward(cue, clause, named)
            )
            forward = forward or (cue.kind == "suggests" and interpretation)
            blocked = any(cue.stop <= mark.start and mark.stop <= start for mark in stops)
            if forward and not blocked and not _list_broken(folded, cue, start):
                acting.add(cue.kind)
        elif cue.stop <= stop:  # "effusion - no thickening" is one name of two parts
            if cue.kind == "deny_after":
                acting.add(cue.kind)
        elif cue.start >= stop:
            if cue.kind == "normal" and _excepted(folded, clause, start):
                continue
            backward = cue.kind in ("deny_before", "hedge_before", "normal") or (
                cue.kind in ("deny_either", "hedge_either") and not _points_forward(cue, clause, named)
            )
            backward = backward or (cue.kind in ("question", "rival") and _just_before(folded, stop, cue, named))
            blocked = any(stop <= mark.start and mark.stop <= cue.start for mark in stops)
            if backward and not blocked:
                acting.add(cue.kind)
            if cue.kind == "past_before" and not blocked:
                acting.add("past")
    if _PAIR_DENIED.match(folded, stop, clause.stop) and folded[start:stop].endswith("effusion"):
        acting.add("deny_after")
    if acting and _presupposed(folded, clause, start, named):
        return "present", acting - {"normal"}
    if acting & {"hedge_before", "question", "rival"}:
        return "uncertain", acting
    if acting & {"deny_after", "deny_before", "deny_either", "other"}:
        return "absent", acting
    if acting & {"hedge_after", "hedge_either", "suggests"}:
        return "uncertain", acting
    return "present", acting


_EXCEPT = re.compile(r"\b(?:apart from|aside from|except(?:ing)?(?: for)?|other than|besides|with the exception of)\b")


def _excepted(folded: str, clause: Piece, start: int) -> bool:
    """ "Apart from a nodule in the middle lobe the lungs are clear": the nodule is there."""
    found = _EXCEPT.search(folded, clause.start, start)
    return found is not None and "," not in folded[found.end() : start]


# "Pericardial effusion - no thickening was detected" denies the pair, as "effusion-thickening was not detected" does.
_PAIR_DENIED = re.compile(r"\s?-\s?(?:and )?no (?:pleural |pericardial )?thick")
_INSIDE = re.compile(
    r"\b(?:in|within|inside|around|surrounding)\s(?:the|this|these|those|described)\s(?:described\s)?\Z"
)


def _presupposed(folded: str, clause: Piece, start: int, named: Sequence[Piece]) -> bool:
    """Whether the words only say where another finding of the clause is denied: "no cavity in the consolidation"."""
    before = [name for name in named if clause.start <= name.start and name.stop <= start]
    if not before:
        return False
    gap = folded[before[-1].stop : start]
    return bool(_INSIDE.search(gap)) and not re.search(r"[,;]|\b(?:and|or)\b", gap)


_QUESTIONED_TOGETHER = re.compile(r"\s*(?:/|,?\s?(?:or|and|versus|vs)\s|[、及和或与])\s*(?:[a-z]+\s)?|性?")


_BRACKETED = re.compile(r"[(\[]\s*[a-z\u4e00-\u9fff][^)\]]*\Z")


def _just_before(folded: str, stop: int, cue: Cue, named: Sequence[Piece]) -> bool:
    """A question mark questions the last thing named and those listed with it, unless many words lie between."""
    later = sorted((name for name in named if stop <= name.start < cue.start), key=lambda name: name.start)
    for name in later:
        if not _QUESTIONED_TOGETHER.fullmatch(folded[stop : name.start]):
            return False
        stop = name.stop
    gap = folded[stop : cue.start]
    if cue.kind == "rival" and re.search(r"\s-\s|:", gap):
        return False  # "lesion of the liver - X versus adenoma" doubts what it is, not that it is there
    near = len(gap.split()) <= 4 or len(named) == 1  # "a 14 mm cyst in the right lobe of the liver?" asks about it
    return near and not _BRACKETED.search(gap)  # "nodule (lymph node?)" is a nodule


def _points_forward(cue: Cue, clause: Piece, named: Sequence[Piece]) -> bool:
    """A cue that can stand before or after its object points at what follows, if anything named does."""
    return any(cue.stop <= name.start < clause.stop for name in named)


_NEW_ITEM = re.compile(
    r",\s*(?:and\s+)?(?:an?\s|mild|minimal|slight|small|moderate|tiny|several|stable|there\b"
    r"|one\b|two\b|three\b|[0-9]+\s?(?:mm|cm))|\band an?\s"
)


def _list_broken(folded: str, cue: Cue, start: int) -> bool:
    """ "no mass, a small nodule": an article or grade after a comma starts something new, unless "or" closes a list."""
    gap = folded[cue.stop : start]
    return bool(_NEW_ITEM.search(gap)) and " or " not in folded[cue.stop : start + 60]


def holds(
    folded: str, start: int, stop: int, parts: Sequence[Piece], cues: Sequence[Cue], spans: Sequence[Piece]
) -> bool:
    """Whether an attribute is claimed, not denied."""
    if any(cue.start <= start < cue.stop for cue in cues if cue.kind != "neutral"):
        return True
    clause = next(part for part in parts if part.start <= start < part.stop or part is parts[-1])
    inside = next((span for span in spans if span.start <= start and stop <= span.stop), None)
    if inside is not None:
        return True
    after = next((span for span in spans if span.start >= stop), None)
    if after is not None and after.start - stop < 40 and not re.search(r"[,;]|见", folded[stop : after.start]):
        return True
    return presence_of(folded, clause, start, stop, cues, [*spans, Piece(start, stop)])[0] != "absent"
