"""Does the scan support a statement? Yes, no or maybe, with a reason a person can check."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np

from radfind.engines.builtin import evidence as words
from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.coverage import Coverage
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.matching import ENOUGH, GOOD, SAME, Match
from radfind.engines.builtin.vocabulary import may_merge, same_kind, told_apart
from radfind.engines.builtin.whereabouts import describe
from radfind.language.findings import Finding
from radfind.language.lexicon import Lexicon
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
    if finding.presence == "absent":
        judgement = _judge_denial(finding, matches, analysis, lexicon)
    else:
        judgement = _judge_claim(finding, matches, analysis, lexicon, spoken_for, apart_mm)
    if not whole and not judgement.matches:
        rest = "of which the scan shows only a part" if words.place(finding) else "but not all of it is in the scan"
        reason = f"No {finding.concept.english} was found {_where_searched(finding)}, {rest}."
        return Judgement("maybe", "not_covered", 0.5, reason)
    if finding.presence == "uncertain" and judgement.code != "not_found":
        return dataclasses.replace(
            judgement,
            answer="maybe",
            code="hedged",
            confidence=0.5,
            reason=f"The text is not certain itself. {judgement.reason}",
        )
    return judgement


def judge_unseen(finding: Finding, shown: Coverage, *, denied: bool) -> Judgement:
    """Judge a statement about a structure of which nothing was found.

    `shown`: how much of its place the scan shows. Only where it shows all of it does "not found" mean "not there".
    """
    name = finding.concept.english
    if shown == "whole":
        text = f"The scan shows where the {name} would be, and none was found"
        if denied:
            return Judgement("yes", "supported", 0.7, f"{text}, as the text says.")
        return Judgement("no", "not_found", 0.7, f"{text}.")
    if shown == "part":
        return Judgement("maybe", "not_found", 0.5, f"No {name} was found in the part of its place that is shown.")
    if shown == "none":
        return Judgement("maybe", "not_covered", 0.5, f"The scan does not show the place of the {name}.")
    return Judgement("maybe", "not_covered", 0.5, f"No {name} is seen on this scan; it may lie outside.")


def _fitting(matches: Sequence[Match], least: float) -> list[Match]:
    """The lesions that are what the text says and that the detector scores at least `least`, best first."""
    return [m for m in matches if m.contradiction is None and m.agreement >= ENOUGH and m.lesion.score >= least]


def supporting(matches: Sequence[Match]) -> list[Match]:
    """The lesions that count as found and are what the text says, best first."""
    return _fitting(matches, SURE)


def _may_be_missed(asked: str) -> Judgement:
    """The answer for an `UNPROVEN` concept that was not found, claimed or denied."""
    return Judgement(
        "maybe",
        "not_found",
        0.5,
        f"No {asked} was found, but the search may miss it where it is slight or merges with what it touches.",
    )


def _unproven(finding: Finding, lexicon: Lexicon) -> bool:
    """Whether "not found" does not mean "not there"; at the hilum nothing small is told from the vessels."""
    at_hilum = any(site.id == "lung_hilum" for site in finding.place.sites)
    return at_hilum or any(same_kind(finding.concept.id, concept, lexicon) for concept in UNPROVEN)


def _shows_the_kind(finding: Finding, best: Match) -> bool:
    """Whether the best lesion is the very kind that the text names, not one that it may be."""
    return told_apart(finding) and not (may_merge(finding) and best.lesion.concept == "consolidation")


def _general_kind(finding: Finding, sure: list[Match], analysis: Analysis, lexicon: Lexicon) -> Judgement:
    """The answer when what was found may or may not be the special kind that the text claims or denies."""
    seen = words.sentence(analysis, sure[0].lesion, lexicon)
    reason = f"Found: {seen}; density and shape alone do not tell whether it is {_kind_words(finding)}."
    return Judgement("maybe", "not_supported", 0.5, reason, tuple(sure[:3]))


def _judge_claim(
    finding: Finding,
    matches: Sequence[Match],
    analysis: Analysis,
    lexicon: Lexicon,
    spoken_for: Collection[Lesion],
    apart_mm: float,
) -> Judgement:
    sure = supporting(matches)
    if sure and not _shows_the_kind(finding, sure[0]):
        return _general_kind(finding, sure, analysis, lexicon)
    if sure:
        return _supported(finding, sure, analysis, lexicon)
    # A lesion nobody can doubt, where the text says and of the kind it says, outweighs a speck of the right size.
    only_size = [
        m for m in matches if m.lesion.score >= SURE and m.contradiction == "wrong_size" and m.lesion not in spoken_for
    ]
    told_mm = finding.sizes_mm[0] if finding.sizes_mm else np.inf
    between = told_mm < apart_mm  # it may lie between two slices, so that what else was found refutes nothing
    if only_size and not finding.multiple and not between:
        # Of the right size, and all but for the side: rather told of the wrong side than measured wrongly.
        mirrored = [m for m in matches if m.lesion.score >= SURE and _other_side(m) and m.lesion not in spoken_for]
        return _contradicted(finding, mirrored or only_size, analysis, lexicon)
    doubtful = _fitting(matches, DOUBTFUL)
    if doubtful:
        best = doubtful[0]
        reason = f"Something that may be it: {words.sentence(analysis, best.lesion, lexicon)}; the evidence is weak."
        return Judgement("maybe", "not_found", 0.5, reason, (best,))
    others = [m for m in matches if m.lesion.score >= SURE]
    asked = finding.concept.english
    if _unproven(finding, lexicon):
        others = [m for m in others if m.kind > COULD_BE and m.contradiction != "wrong_kind"]
        if not others:
            return _may_be_missed(asked)
    if others and not between:
        return _contradicted(finding, others, analysis, lexicon)
    if told_mm < max(SMALLEST_MM, apart_mm):
        return Judgement("maybe", "not_found", 0.5, f"No {asked} was found, but one this small may escape the search.")
    confidence, escape = _unless_thin(finding)
    if escape and "mild" in finding.attributes:
        return Judgement("maybe", "not_found", 0.5, f"No {asked} was found {_where_searched(finding)}{escape}.")
    return Judgement("no", "not_found", confidence, f"No {asked} was found {_where_searched(finding)}{escape}.")


def _other_side(match: Match) -> bool:
    """Whether a lesion is what the text says in everything but the side."""
    return [code for code, value in match.components.items() if value < GOOD] == ["wrong_side"]


def _unless_thin(finding: Finding) -> tuple[float, str]:
    """How sure it is that what was not found is not there, and what to add to the reason."""
    if finding.concept.id in THIN:
        return 0.7, f"; one thinner than about {THIN_MM:.0f} mm may escape the search"
    return 0.8, ""


def _supported(finding: Finding, sure: list[Match], analysis: Analysis, lexicon: Lexicon) -> Judgement:
    wanted = finding.count or (2 if finding.multiple else 1)
    best = sure[0]
    seen = words.sentence(analysis, best.lesion, lexicon)
    sides = {m.lesion.side for m in sure}
    if finding.place.side == "both" and len(sides) == 1 and "both" not in sides:
        reason = f"The text speaks of both sides; found on the {sides.pop()} only: {seen}."
        return Judgement("maybe", "not_found", 0.6, reason, (best,))
    if len(sure) < wanted:
        return Judgement(
            "maybe",
            "not_found",
            0.6,
            f"The text speaks of {finding.count or 'several'}; {len(sure)} found: {seen}.",
            (best,),
        )
    borderline = min(best.place, best.size, best.kind, best.attributes)
    confidence = 0.5 + 0.5 * best.lesion.score * borderline
    more = f" and {len(sure) - 1} more" if len(sure) > 1 else ""
    said = f"; the text says {_size_words(finding)}" if best.size < SAME else ""
    return Judgement("yes", "supported", confidence, f"Found: {seen}{more}{said}.", tuple(sure[: max(wanted, 3)]))


def _contradicted(finding: Finding, others: list[Match], analysis: Analysis, lexicon: Lexicon) -> Judgement:
    """Something was found, but it is not what the text says."""
    nearest = max(others, key=lambda m: m.total)
    code = nearest.contradiction or "not_found"
    lesion = nearest.lesion
    found = f"{words.name(lesion, lexicon)} found in the {describe(analysis.anatomy, lesion)}, {words.size(lesion)}"
    wrong = {
        "wrong_side": f"the text says {finding.place.side}",
        "wrong_place": f"the text says {words.place(finding)}",
        "wrong_size": f"the text says {_size_words(finding)}",
        "wrong_kind": f"the text says {_kind_words(finding)}",
        "not_found": "it does not fit the text",
    }[code]
    value = nearest.components.get(code, 0.0)
    confidence = 0.5 + 0.5 * lesion.score * (1.0 - value / GOOD)
    if value > 0.7 * GOOD:
        return Judgement("maybe", code, 0.5, f"{found[0].upper()}{found[1:]}; {wrong}: borderline.", (nearest,))
    return Judgement("no", code, confidence, f"{found[0].upper()}{found[1:]}; {wrong}.", (nearest,))


def _judge_denial(finding: Finding, matches: Sequence[Match], analysis: Analysis, lexicon: Lexicon) -> Judgement:
    asked = finding.concept.english
    sure = supporting(matches)
    if sure and not _shows_the_kind(finding, sure[0]):
        return _general_kind(finding, sure, analysis, lexicon)
    if sure:
        seen = words.sentence(analysis, sure[0].lesion, lexicon)
        confidence = 0.5 + 0.5 * sure[0].lesion.score
        return Judgement(
            "no", "found_though_denied", confidence, f"The text denies it, but this was found: {seen}.", tuple(sure[:3])
        )
    doubtful = _fitting(matches, DOUBTFUL)
    if doubtful:
        seen = words.sentence(analysis, doubtful[0].lesion, lexicon)
        return Judgement(
            "maybe",
            "found_though_denied",
            0.5,
            f"Something that may be one: {seen}; the evidence is weak.",
            (doubtful[0],),
        )
    if _unproven(finding, lexicon):
        return _may_be_missed(asked)
    confidence, escape = _unless_thin(finding)
    reason = f"No {asked} was found {_where_searched(finding)}, as the text says{escape}."
    return Judgement("yes", "supported", confidence, reason)


def _where_searched(finding: Finding) -> str:
    where = words.place(finding)
    if not where:
        return "in the part of the chest this scan shows"
    return f"{'on' if where.endswith(('side', 'sides')) else 'in'} {'' if where.startswith('both') else 'the '}{where}"


def _size_words(finding: Finding) -> str:
    if finding.sizes_mm:
        return " x ".join(f"{value:g}" for value in finding.sizes_mm) + " mm"
    low, high = finding.size_range_mm or (0.0, 0.0)
    if high == float("inf"):
        return f"more than {low:g} mm"
    return f"up to {high:g} mm" if low <= 0 else f"{low:g} to {high:g} mm"


def _kind_words(finding: Finding) -> str:
    extra = [word for word in (a.replace("_", "-") for a in finding.attributes) if word not in finding.concept.english]
    return " ".join([*extra, finding.concept.english])
