"""From text to answers on one scan: reads the findings, looks each one up, and words the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.evidence import lesion_evidence
from radfind.engines.builtin.lesion import Lesion, overlap
from radfind.engines.builtin.matching import ENOUGH, Match, best_matches
from radfind.engines.builtin.ranking import Exhibit, bookmarks, exhibit, slice_scores
from radfind.engines.builtin.regions import unresolved
from radfind.engines.builtin.structures import structure_mask, structure_supported
from radfind.engines.builtin.verifying import DOUBTFUL, SURE, Judgement, judge_statement, judge_unseen, supporting
from radfind.engines.builtin.vocabulary import family_of, may_be_lump, may_be_mass, may_merge
from radfind.engines.builtin.whereabouts import covered, covered_structure
from radfind.engines.builtin.wording import Wording
from radfind.errors import NotSupportedError, PromptError
from radfind.language.findings import Finding, Reading, Span
from radfind.language.lexicon import Lexicon
from radfind.language.reader import read
from radfind.language.scope import says_all_is_normal
from radfind.prompts import TextPrompt
from radfind.results import Evidence, Ranking, Segment, Segmentation, Verdict
from radfind.volume import Volume

_ELSEWHERE = ("history", "technique")  # sections that do not describe this scan's findings


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """What one finding led to: lesions with their match, or an anatomical structure, or nothing."""

    finding: Finding
    matches: tuple[Match, ...] = ()
    structure: npt.NDArray[np.bool_] | None = None


class Answerer:
    """Answers text prompts about one volume from its analysis."""

    def __init__(self, analysis: Analysis, volume: Volume, lexicon: Lexicon, context: Context, engine: str) -> None:
        self._analysis = analysis
        self._volume = volume
        self._lexicon = lexicon
        self._context = context
        self._engine = engine

    def segment(self, prompts: Sequence[TextPrompt]) -> Segmentation:
        segments: list[Segment] = []
        not_found: list[str] = []
        not_supported: list[str] = []
        notes: list[str] = []
        asked = 0
        for prompt in prompts:
            reading = self._read(prompt.text)
            notes += _reading_notes(reading)
            for finding in self._claims(reading):
                asked += 1
                reason = self._unsupported(finding)
                if reason is not None:
                    not_supported.append(reason)
                    continue
                found = self._look_up(finding)
                new = self._segments(found)
                segments += new
                if not new:
                    not_found.append(self._missing(finding, found))
        _refuse_if_nothing_supported(asked, not_supported)
        self._context.step(1.0, "done")
        return Segmentation(
            geometry=self._volume.geometry,
            segments=_numbered(_without_repeats(segments)),
            not_found=_unique(not_found),
            not_supported=_unique(not_supported),
            engine=self._engine,
            notes=_unique([*self._volume.warnings, *notes]),
        )

    def rank(self, prompt: TextPrompt, *, top_k: int, threshold: float, spread: bool) -> Ranking:
        reading = self._read(prompt.text)
        exhibits: list[Exhibit] = []
        not_found: list[str] = []
        not_supported: list[str] = []
        claims = self._claims(reading)
        for finding in claims:
            reason = self._unsupported(finding)
            if reason is not None:
                not_supported.append(reason)
                continue
            found = self._look_up(finding)
            new = [exhibit(weight, evidence) for weight, evidence in self._evidence(found)]
            exhibits += new
            if not new:
                not_found.append(self._missing(finding, found))
        _refuse_if_nothing_supported(len(claims), not_supported)
        self._context.step(1.0, "done")
        return Ranking(
            slices=bookmarks(exhibits, self._volume, top_k=top_k, threshold=threshold, spread=spread),
            scores=slice_scores(exhibits, self._volume.geometry.shape[0]),
            findings=reading.findings,
            not_found=_unique(not_found),
            not_supported=_unique(not_supported),
            engine=self._engine,
            notes=_unique([*self._volume.warnings, *_reading_notes(reading)]),
        )

    def verify(self, prompt: TextPrompt) -> tuple[Verdict, ...]:
        reading = read(prompt.text)
        stated = [f for f in reading.findings if f.section not in _ELSEWHERE]
        rightly = {id(f): lesion for f in stated if (lesion := self._described(f)) is not None}
        verdicts = [self._verdict(f, [lesion for key, lesion in rightly.items() if key != id(f)]) for f in stated]
        if not verdicts:
            whole = Span(0, len(prompt.text), prompt.text)
            verdicts = [Verdict(whole, "maybe", 0.0, _nothing_read(reading), "vague", engine=self._engine)]
        self._context.step(1.0, "done")
        return tuple(verdicts)

    def _read(self, text: str) -> Reading:
        reading = read(text)
        if not reading.findings:
            raise PromptError(_nothing_read(reading))
        return reading

    def _claims(self, reading: Reading) -> list[Finding]:
        """The findings to look for: what is stated absent, or is history, draws no attention."""
        return [f for f in reading.findings if f.presence != "absent" and f.section not in _ELSEWHERE]

    def _unsupported(self, finding: Finding) -> str | None:
        """Why a finding cannot be looked for, or None when it can."""
        if self._family(finding) is not None:
            return None
        place = finding.place
        concept = finding.concept
        named = place.sites or place.lobes or place.segments or place.zones or place.levels
        # A finding that is a structure to this engine (calcification) is known by density, not by organ.
        if structure_supported(concept) and (concept.kind == "anatomy" or not named):
            if not place.levels:
                return None
            return self._words(finding).say("levels_untold", levels=", ".join(place.levels))
        words = self._words(finding)
        asked = words.concept(finding)
        if concept.kind == "finding" and place.sites:
            organ = place.sites[0].chinese if words.chinese else place.sites[0].english
            asked = words.say("in_organ", asked=asked, organ=organ)
        meant = "" if asked == finding.span.text else words.say("meant", asked=asked)
        return words.say("not_known", words=finding.span.text, meant=meant)

    def _words(self, finding: Finding) -> Wording:
        return Wording.of(finding, self._analysis, self._lexicon)

    def _family(self, finding: Finding) -> str | None:
        return family_of(finding, self._lexicon) if finding.concept.kind == "finding" else None

    def _look_up(self, finding: Finding) -> Found:
        family = self._family(finding)
        if family is not None:
            lesions = self._analysis.lesions(family, self._context.part(0.1, 0.9))
            if may_be_mass(finding):
                lesions = self._analysis.masses(self._context)
            matches = best_matches(finding, lesions, self._analysis.anatomy)
            if not supporting(matches) and (merged := self._merged(finding)):
                sure = [lesion for lesion in lesions if lesion.score >= SURE]
                apart = tuple(d for d in merged if not any(overlap(d, lesion) >= 0.5 for lesion in sure))
                matches = best_matches(finding, lesions + apart, self._analysis.anatomy)
            return Found(finding, tuple(matches))
        return Found(finding, structure=structure_mask(self._analysis, finding, self._volume))

    def _merged(self, finding: Finding) -> tuple[Lesion, ...]:
        """Consolidations that may be what a text names, merged with what they touch."""
        if may_merge(finding):
            return self._analysis.mass_like(self._context)
        if may_be_lump(finding):
            dense = self._analysis.lesions("opacity", self._context)
            return tuple(d for d in dense if d.concept == "consolidation" and d.score < SURE)
        return ()

    def _evidence(self, found: Found) -> list[tuple[float, Evidence]]:
        """Everything that answers a finding, with its weight 0..1."""
        finding = found.finding
        if found.structure is not None:
            if not found.structure.any():
                return []
            return [(1.0, _structure_evidence(finding, found.structure))]
        kept = [m for m in found.matches if m.total >= ENOUGH]
        return [
            (m.total, lesion_evidence(self._words(finding), self._volume, finding, m)) for m in kept[:_MOST_LESIONS]
        ]

    def _segments(self, found: Found) -> list[Segment]:
        finding = found.finding
        evidence = self._evidence(found)
        if found.structure is None:
            least = _least_score(finding)
            evidence = [(weight, item) for weight, item in evidence if item.values["detector_score"] >= least]
            evidence = [(weight, item) for weight, item in evidence if weight >= _chosen_above(finding, evidence)]
            if finding.count is not None:
                evidence = evidence[: finding.count]
        result = []
        for weight, item in evidence:
            if item.mask is None:
                continue
            side = f"{finding.place.side} " if finding.place.side and found.structure is not None else ""
            concept = item.concept or finding.concept
            result.append(
                Segment(
                    name=f"{side}{concept.english}",
                    mask=item.mask,
                    concept=concept,
                    color=concept.color,
                    score=weight,
                    prompt=finding.sentence.text,
                    finding=finding,
                    evidence=(item,),
                )
            )
        return result

    def _missing(self, finding: Finding, found: Found) -> str:
        """One sentence: what was looked for and is not there, and what is there instead."""
        text = finding.sentence.text.strip() or finding.span.text
        words, anatomy = self._words(finding), self._analysis.anatomy
        is_finding = finding.concept.kind == "finding"
        shown = covered(anatomy, finding.place) if is_finding else covered_structure(anatomy, finding)
        if shown == "none":
            return words.say("missing_unseen", text=text)
        near = [m for m in found.matches if m.lesion.score >= SURE]
        if near:
            best = max(near, key=lambda m: m.total)
            return words.say("missing_nearest", text=text, seen=words.sentence(best.lesion))
        weak = [m for m in found.matches if m.total >= ENOUGH]
        if weak:
            return words.say("missing_weak", text=text, seen=words.sentence(weak[0].lesion))
        return words.say("missing", text=text)

    def _described(self, finding: Finding) -> Lesion | None:
        """The lesion that a statement describes rightly, if any."""
        if finding.presence == "absent" or self._family(finding) is None:
            return None
        best = supporting(self._look_up(finding).matches)
        return best[0].lesion if best else None

    def _verdict(self, finding: Finding, spoken_for: Sequence[Lesion]) -> Verdict:
        reason = self._unsupported(finding)
        if reason is not None:
            judgement = Judgement("maybe", "not_supported", 0.0, reason)
            return self._worded(finding, judgement, ())
        if self._family(finding) is None:
            return self._structure_verdict(finding)
        shown = covered(self._analysis.anatomy, finding.place)
        if shown == "none":
            words = self._words(finding)
            text = words.say("place_not_shown", where=words.unseen(finding.place))
            return self._worded(finding, Judgement("maybe", "not_covered", 0.0, text), ())
        found = self._look_up(finding)
        judgement = judge_statement(
            finding,
            found.matches,
            self._analysis,
            self._lexicon,
            whole=shown == "whole",
            spoken_for=spoken_for,
            apart_mm=max(self._volume.geometry.spacing),
        )
        evidence = tuple(lesion_evidence(self._words(finding), self._volume, finding, m) for m in judgement.matches)
        return self._worded(finding, _place_untold(judgement, finding, self._words(finding)), evidence)

    def _structure_verdict(self, finding: Finding) -> Verdict:
        mask = self._look_up(finding).structure
        denied = finding.presence == "absent"
        if mask is None or not mask.any():
            judgement = judge_unseen(finding, covered_structure(self._analysis.anatomy, finding), denied=denied)
            return self._worded(finding, judgement, ())
        words = self._words(finding)
        name = words.concept(finding)
        evidence = (_structure_evidence(finding, mask),)
        if finding.concept.kind == "finding":
            return self._worded(
                finding, Judgement("maybe", "not_supported", 0.5, words.say("dense", name=name)), evidence
            )
        if denied:
            judgement = Judgement("no", "found_though_denied", 0.7, words.say("structure_denied", name=name))
            return self._worded(finding, judgement, evidence)
        return self._worded(
            finding, Judgement("yes", "supported", 0.8, words.say("structure_seen", name=name)), evidence
        )

    def _worded(self, finding: Finding, judgement: Judgement, evidence: tuple[Evidence, ...]) -> Verdict:
        return Verdict(
            statement=finding.sentence,
            answer=judgement.answer,
            confidence=float(np.clip(judgement.confidence, 0.0, 1.0)),
            reason=judgement.reason,
            code=judgement.code,
            finding=finding,
            evidence=evidence,
            engine=self._engine,
        )


_MOST_LESIONS = 20


def _place_untold(judgement: Judgement, finding: Finding, words: Wording) -> Judgement:
    """The judgement where the text names a place that the engine cannot tell: nothing is certain about that place."""
    untold = unresolved(finding.place)
    if not untold:
        return judgement
    reason = words.say("place_untold", reason=judgement.reason, places=", ".join(untold))
    if judgement.answer != "maybe" and judgement.code in ("supported", "not_found", "found_though_denied"):
        return dataclasses.replace(judgement, answer="maybe", code="not_supported", confidence=0.5, reason=reason)
    return dataclasses.replace(judgement, reason=reason)


def _least_score(finding: Finding) -> float:
    """The detector's score from which a lesion is outlined. A name alone must not turn a vessel into a lesion; a size
    or a place that fits is evidence of its own, so less is asked of the voxels."""
    place = finding.place
    told = finding.sizes_mm or finding.size_range_mm or place.lobes or place.segments or place.zones
    return DOUBTFUL if told else SURE


def _chosen_above(finding: Finding, evidence: list[tuple[float, Evidence]]) -> float:
    """The weight above which lesions are outlined: all that are sure, or the best alone when the text means one."""
    if not evidence:
        return 1.0
    best = max(weight for weight, _ in evidence)
    means_one = bool(finding.sizes_mm) and not finding.multiple and finding.count in (None, 1)
    return best if means_one else min(SURE, best)


def _structure_evidence(finding: Finding, mask: npt.NDArray[np.bool_]) -> Evidence:
    present = np.flatnonzero(mask.any(axis=(1, 2)))
    return Evidence(
        text=f"{finding.concept.english}, slices {present[0]} to {present[-1]}",
        span=finding.span,
        concept=finding.concept,
        mask=mask,
        slices=(int(present[0]), int(present[-1])),
    )


def _reading_notes(reading: Reading) -> list[str]:
    notes = [f"Not understood: '{span.text.strip()}'." for span in reading.unread]
    return notes + [_suggestion(span, terms) for span, terms in reading.suggestions]


def _suggestion(span: Span, terms: tuple[str, ...]) -> str:
    return f"'{span.text}' is not known; did you mean {' or '.join(repr(term) for term in terms)}?"


def _nothing_read(reading: Reading) -> str:
    shown = reading.text.strip()
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    if says_all_is_normal(reading.text):
        return (
            f"'{shown}' says in general that nothing is wrong: there is no single finding to check. "
            "Name what is denied, e.g. 'No pulmonary nodule.' or '无胸腔积液。'"
        )
    hints = " ".join(_suggestion(span, terms) for span, terms in reading.suggestions)
    advice = hints or "Name a finding or a structure, e.g. 'nodule in the right upper lobe' or '右肺上叶结节'."
    return f"'{shown}' names nothing that can be looked for. {advice}"


def _refuse_if_nothing_supported(asked: int, not_supported: list[str]) -> None:
    if asked and len(not_supported) == asked:
        raise NotSupportedError(" ".join(_unique(not_supported)))


def _without_repeats(segments: list[Segment]) -> list[Segment]:
    """One segment per lesion: a report that speaks of the same nodule twice outlines it once."""
    kept: list[Segment] = []
    for segment in segments:
        if not any(np.array_equal(segment.mask, other.mask) for other in kept):
            kept.append(segment)
    return kept


def _numbered(segments: list[Segment]) -> tuple[Segment, ...]:
    """Names made unique by a number."""
    names = [segment.name for segment in segments]
    seen: dict[str, int] = {}
    result = []
    for segment in segments:
        seen[segment.name] = seen.get(segment.name, 0) + 1
        several = names.count(segment.name) > 1
        name = f"{segment.name} {seen[segment.name]}" if several else segment.name
        result.append(dataclasses.replace(segment, name=name))
    return tuple(result)


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
