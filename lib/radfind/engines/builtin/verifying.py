"""Does the scan support a statement? Yes, no or maybe, with a reason a person can check."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.coverage import Coverage
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.matching import ENOUGH, GOOD, SAME, Match
from radfind.engines.builtin.phrases import say
from radfind.engines.builtin.vocabulary import may_merge, same_kind, told_apart
from radfind.engines.builtin.wording import Wording
from radfind.language.findings import Finding
from radfind.language.lexicon import Lexicon
from radfind.language.text import fold
from radfind.language.wording import in_chinese
from radfind.results import Answer

SURE = 0.5
"""Lesions the detector scores at least this count as found; between `DOUBTFUL` and this nobody should rely on it."""

DOUBTFUL = 0.3

UNPROVEN = (
    *("emphysema", "miliary_pattern", "tree_in_bud", "centrilobular_nodule", "perifissural_nodule"),
    *("halo_sign", "reversed_halo_sign", "consolidation", "mass"),
)
"""Concepts, and kinds of them, whose search misses too much for "not found" to mean "not there": mild emphysema hides
in the noise, a consolidation or a mass that merges with mediastinum, diaphragm or chest wall is taken for them, the
others are smaller or fainter than what is searched for."""

THIN_MM = 10.0
THIN = frozenset({"pleural_effusion", "pneumothorax"})
"""Layers thinner than `THIN_MM` may be missed, for their voxels are partly lung (of air they mostly are: see
docs/performance.md)."""

COULD_BE = 0.2
"""What fits a name less than this is something else, whose place and size say nothing about what was not found."""

SMALLEST_MM = 4.0
"""Below this a nodule may be missed, so that its absence proves nothing."""


@dataclasses.dataclass(frozen=True, eq=False)
class Judgement:
    """A verdict without its statement: answer, code, confidence 0..1 in the answer, reason, the matches behind it."""

    answer: Answer
    code: str
    confidence: float
    reason: str
    matches: tuple[Match, ...] = ()


def judge_statement(
    finding: Finding,
    matches: Sequence[Match],
    analysis: Analysis,
    lexicon: Lexicon,
    *,
    whole: bool,
    spoken_for: Collection[Lesion] = (),
    apart_mm: float = 1.0,
) -> Judgement:
    """Judge one finding by all lesions of its family, best match first.

    `whole`: the scan shows all of the place. Where it shows a part, not finding something there proves nothing about
    the rest. `spoken_for`: lesions that other statements of the text describe rightly; they contradict nothing.
    `apart_mm`: how far the slices lie apart; a nodule no longer than that may escape between them.
    """
    words = Wording.of(finding, analysis, lexicon)
    if finding.presence == "absent":
        judgement = _judge_denial(finding, matches, words)
    else:
        judgement = _judge_claim(finding, matches, words, spoken_for, apart_mm)
    if not whole and not judgement.matches:
        rest = words.say("rest_of_place" if words.place(finding.place) else "rest_of_chest")
        where = words.searched(finding.place)
        reason = words.say("partly_shown", asked=words.concept(finding), where=where, rest=rest)
        return Judgement("maybe", "not_covered", 0.5, reason)
    if finding.presence == "uncertain" and judgement.code != "not_found":
        return dataclasses.replace(
            judgement,
            answer="maybe",
            code="hedged",
            confidence=0.5,
            reason=words.say("hedged", reason=judgement.reason),
        )
    return judgement


def judge_unseen(finding: Finding, shown: Coverage, *, denied: bool) -> Judgement:
    """Judge a statement about a structure of which nothing was found.

    `shown`: how much of its place the scan shows. Only where it shows all of it does "not found" mean "not there".
    """
    chinese = in_chinese(fold(finding.sentence.text))
    name = finding.concept.chinese if chinese else finding.concept.english
    if shown == "whole":
        if denied:
            return Judgement("yes", "supported", 0.7, say("structure_none_as_said", chinese, name=name))
        return Judgement("no", "not_found", 0.7, say("structure_none", chinese, name=name))
    if shown == "part":
        return Judgement("maybe", "not_found", 0.5, say("structure_part", chinese, name=name))
    key = "structure_outside" if shown == "none" else "structure_unknown"
    return Judgement("maybe", "not_covered", 0.5, say(key, chinese, name=name))


def _fitting(matches: Sequence[Match], least: float) -> list[Match]:
    """The lesions that are what the text says and that the detector scores at least `least`, best first."""
    return [m for m in matches if m.contradiction is None and m.agreement >= ENOUGH and m.lesion.score >= least]


def supporting(matches: Sequence[Match]) -> list[Match]:
    """The lesions that count as found and are what the text says, best first."""
    return _fitting(matches, SURE)


def _may_be_missed(finding: Finding, words: Wording) -> Judgement:
    """The answer for an `UNPROVEN` concept that was not found, claimed or denied."""
    return Judgement("maybe", "not_found", 0.5, words.say("may_be_missed", asked=words.concept(finding)))


def _unproven(finding: Finding, lexicon: Lexicon) -> bool:
    """Whether "not found" does not mean "not there"; at the hilum nothing small is told from the vessels."""
    at_hilum = any(site.id == "lung_hilum" for site in finding.place.sites)
    return at_hilum or any(same_kind(finding.concept.id, concept, lexicon) for concept in UNPROVEN)


def _shows_the_kind(finding: Finding, best: Match) -> bool:
    """Whether the best lesion is the very kind that the text names, not one that it may be."""
    return told_apart(finding) and not (may_merge(finding) and best.lesion.concept == "consolidation")


def _general_kind(finding: Finding, sure: list[Match], words: Wording) -> Judgement:
    """The answer when what was found may or may not be the special kind that the text claims or denies."""
    reason = words.say("general_kind", seen=words.sentence(sure[0].lesion), kind=words.kind(finding))
    return Judgement("maybe", "not_supported", 0.5, reason, tuple(sure[:3]))


def _judge_claim(
    finding: Finding,
    matches: Sequence[Match],
    words: Wording,
    spoken_for: Collection[Lesion],
    apart_mm: float,
) -> Judgement:
    sure = supporting(matches)
    if sure and not _shows_the_kind(finding, sure[0]):
        return _general_kind(finding, sure, words)
    if sure:
        return _supported(finding, sure, words)
    # A lesion nobody can doubt, where the text says and of the kind it says, outweighs a speck of the right size.
    only_size = [
        m for m in matches if m.lesion.score >= SURE and m.contradiction == "wrong_size" and m.lesion not in spoken_for
    ]
    told_mm = finding.sizes_mm[0] if finding.sizes_mm else np.inf
    between = told_mm < apart_mm  # it may lie between two slices, so that what else was found refutes nothing
    if only_size and not finding.multiple and not between:
        # Of the right size, and all but for the side: rather told of the wrong side than measured wrongly.
        mirrored = [m for m in matches if m.lesion.score >= SURE and _other_side(m) and m.lesion not in spoken_for]
        return _contradicted(finding, mirrored or only_size, words)
    doubtful = _fitting(matches, DOUBTFUL)
    if doubtful:
        best = doubtful[0]
        reason = words.say("doubtful", seen=words.sentence(best.lesion))
        return Judgement("maybe", "not_found", 0.5, reason, (best,))
    others = [m for m in matches if m.lesion.score >= SURE and not _something_else(m)]
    asked = words.concept(finding)
    if _unproven(finding, words.lexicon):
        others = [m for m in others if m.kind > COULD_BE and m.contradiction != "wrong_kind"]
        if not others:
            return _may_be_missed(finding, words)
    if others and not between:
        return _contradicted(finding, others, words)
    if told_mm < max(SMALLEST_MM, apart_mm):
        return Judgement("maybe", "not_found", 0.5, words.say("may_be_too_small", asked=asked))
    confidence, escape = _unless_thin(finding, words)
    reason = words.say("not_found", asked=asked, where=words.searched(finding.place), escape=escape)
    if escape and ("mild" in finding.attributes or told_mm < THIN_MM):
        return Judgement("maybe", "not_found", 0.5, reason)
    return Judgement("no", "not_found", confidence, reason)


def _other_side(match: Match) -> bool:
    """Whether a lesion is what the text says in everything but the side."""
    return [code for code, value in match.components.items() if value < GOOD] == ["wrong_side"]


def _something_else(match: Match) -> bool:
    """Whether a lesion is hardly of the kind the text names, and not where or not as large as it says either."""
    wrong = [code for code, value in match.components.items() if value < GOOD]
    return match.kind <= COULD_BE and wrong != ["wrong_kind"]


def _unless_thin(finding: Finding, words: Wording) -> tuple[float, str]:
    """How sure it is that what was not found is not there, and what to add to the reason."""
    if finding.concept.id in THIN:
        return 0.7, words.say("thin_may_escape", mm=THIN_MM)
    return 0.8, ""


def _supported(finding: Finding, sure: list[Match], words: Wording) -> Judgement:
    wanted = finding.count or (2 if finding.multiple else 1)
    best = sure[0]
    seen = words.sentence(best.lesion)
    sides = {m.lesion.side for m in sure}
    if finding.place.side == "both" and len(sides) == 1 and "both" not in sides:
        reason = words.say("found_one_side", side=words.side(sides.pop()), seen=seen)
        return Judgement("maybe", "not_found", 0.6, reason, (best,))
    if len(sure) < wanted:
        reason = words.say("found_fewer", wanted=finding.count or words.say("several"), count=len(sure), seen=seen)
        return Judgement("maybe", "not_found", 0.6, reason, (best,))
    borderline = min(best.place, best.size, best.kind, best.attributes)
    confidence = 0.5 + 0.5 * best.lesion.score * borderline
    more = words.say("more", count=len(sure) - 1) if len(sure) > 1 else ""
    said = words.say("text_says", words=words.sizes(finding)) if best.size < SAME else ""
    reason = words.say("found", seen=seen, more=more, said=said)
    return Judgement("yes", "supported", confidence, reason, tuple(sure[: max(wanted, 3)]))


def _contradicted(finding: Finding, others: list[Match], words: Wording) -> Judgement:
    """Something was found, but it is not what the text says."""
    nearest = max(others, key=lambda m: m.total)
    code = nearest.contradiction or "not_found"
    lesion = nearest.lesion
    said = {
        "wrong_side": words.side(finding.place.side or "both"),
        "wrong_place": words.place(finding.place),
        "wrong_size": words.sizes(finding),
        "wrong_kind": words.kind(finding),
    }
    wrong = words.say("wrong", words=said[code]) if code in said else words.say("unfit")
    value = nearest.components.get(code, 0.0)
    alike = 1.0 if code == "wrong_kind" else nearest.components["wrong_kind"]  # else it may be something else
    confidence = 0.5 + 0.5 * lesion.score * (1.0 - value / GOOD) * alike
    unclear = value > 0.7 * GOOD
    name = words.name(lesion)
    reason = words.say(
        "instead_borderline" if unclear else "instead",
        found=f"{name[0].upper()}{name[1:]}",
        where=words.where(lesion),
        size=words.size(lesion),
        wrong=wrong,
    )
    if unclear:
        return Judgement("maybe", code, 0.5, reason, (nearest,))
    return Judgement("no", code, confidence, reason, (nearest,))


def _judge_denial(finding: Finding, matches: Sequence[Match], words: Wording) -> Judgement:
    sure = supporting(matches)
    if sure and not _shows_the_kind(finding, sure[0]):
        return _general_kind(finding, sure, words)
    if sure:
        reason = words.say("denied_but_found", seen=words.sentence(sure[0].lesion))
        return Judgement("no", "found_though_denied", 0.5 + 0.5 * sure[0].lesion.score, reason, tuple(sure[:3]))
    doubtful = _fitting(matches, DOUBTFUL)
    if doubtful:
        reason = words.say("doubtful", seen=words.sentence(doubtful[0].lesion))
        return Judgement("maybe", "found_though_denied", 0.5, reason, (doubtful[0],))
    if _unproven(finding, words.lexicon):
        return _may_be_missed(finding, words)
    confidence, escape = _unless_thin(finding, words)
    where = words.searched(finding.place)
    reason = words.say("none_as_said", asked=words.concept(finding), where=where, escape=escape)
    return Judgement("yes", "supported", confidence, reason)
