"""Reads a phrase or a whole report, English or Chinese or mixed, into the findings it claims."""

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Sequence

from radfind.language.adjectives import merged_adjectives
from radfind.language.attributes import find_attributes, find_counts
from radfind.language.claims import Claim
from radfind.language.concepts import Concept
from radfind.language.described import attach_attributes, attach_counts, attach_references
from radfind.language.discourse import is_earlier, is_item, is_purpose, tells_before, with_verdicts
from radfind.language.ellipsis import mentions
from radfind.language.findings import Finding, ImageReference, Reading, Span
from radfind.language.lexicon import Lexicon, Match, default_lexicon
from radfind.language.lymph_nodes import Mention, measured_nodes
from radfind.language.measured import attach_sizes
from radfind.language.place_words import PlaceWord, find_place_words
from radfind.language.placed import attach_places
from radfind.language.places import place_of
from radfind.language.references import references_in
from radfind.language.scope import clauses, find_cues, holds, presence_of
from radfind.language.sections import split_sections
from radfind.language.sharing import share_with_brackets, share_with_interpretation, share_with_neighbour
from radfind.language.sizes import Size, find_sizes
from radfind.language.special import is_diagnosis, keep_to_own_organ, without_heading, without_repeats, without_vague
from radfind.language.suggestions import suggestions
from radfind.language.text import Piece, fold, sentences, span_of
from radfind.language.told import Told
from radfind.language.widths import Width, by_widening, too_wide, widths, with_widths
from radfind.language.wording import (
    ASKS,
    AT_THAT_LEVEL,
    GOES_ON,
    QUERY_WORDS,
    QUERY_ZH,
    RECOMMENDS,
    in_chinese,
    is_plural,
    languages,
)


def read(text: str, lexicon: Lexicon | None = None) -> Reading:
    """Reads what a text claims.

    Arguments:
        text: a phrase ("part-solid nodule, right apex, 12 mm") or a report with sections.
        lexicon: the concepts to know; the shipped ones by default.

    Returns:
        Findings in reading order, every span an index range of `text` as given; what could not be read is said.
        Time grows linearly with the length of the text.

    Example:
        >>> reading = read("No pleural effusion. 12 mm nodule in the right upper lobe.")
        >>> [(finding.concept.id, finding.presence) for finding in reading.findings]
        [('pleural_effusion', 'absent'), ('pulmonary_nodule', 'present')]
    """
    return _Reader(text, lexicon or default_lexicon()).read()


# Changes that mean nothing without the organ they are of.
_OF_ONE_ORGAN = frozenset(("wall_thickening", "dilatation", "stenosis", "stone", "polyp"))
_NODE = re.compile("node|淋巴结")
_VERB = re.compile(r"\b(?:is|are|was|were)\b")  # "there are lymph nodes in both axillae" of a report asks for nothing


class _Reader:
    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.text = text
        self.folded = fold(text)
        self.lexicon = lexicon
        self.matches = lexicon.find(text)
        self.match_starts = [match.span.start for match in self.matches]
        self.references = references_in(text, self.folded)
        self.reference_starts = [r.span.start for r in self.references if r.span is not None]
        self.widths: list[Width] = []
        self.nodes: tuple[list[Match], list[PlaceWord], Piece] | None = None  # lymph nodes only named, last sentence
        self.organs: list[PlaceWord] = []  # where the sentence before is about, if it names no finding
        self.unread: list[Span] = []
        about_chest = any(
            lexicon.is_a(match.concept, part)
            for match in self.matches
            for part in ("lung", "mediastinum", "pleura", "thorax")
        )
        self.told = Told(text, self.folded, lexicon, about_chest)

    def read(self) -> Reading:
        for section in split_sections(self.folded):
            self.told.last, self.organs = (), []
            parts = sentences(self.folded, section.piece.start, section.piece.stop, self.text)
            for sentence in with_verdicts(self.folded, parts):
                self._read_sentence(sentence, section.name)
        fitting = by_widening(self.widths, self.lexicon)
        findings = [
            whole
            for finding in self.told.findings
            for whole in with_widths(finding, fitting.get(finding.concept.id, ()), self.lexicon)
        ]
        findings += too_wide(self.widths, findings, self.lexicon)
        return Reading(
            text=self.text,
            findings=tuple(findings),
            unread=tuple(self.unread),
            suggestions=suggestions(self.text, self.folded, self.matches, self.lexicon),
            languages=languages(self.text),
        )

    def _matches_in(self, piece: Piece) -> list[Match]:
        first = bisect.bisect_left(self.match_starts, piece.start)
        last = bisect.bisect_left(self.match_starts, piece.stop)
        return [match for match in self.matches[first:last] if match.span.stop <= piece.stop]

    def _references_in(self, piece: Piece) -> tuple[ImageReference, ...]:
        first = bisect.bisect_left(self.reference_starts, piece.start)
        last = bisect.bisect_left(self.reference_starts, piece.stop)
        return self.references[first:last]

    def _read_sentence(self, sentence: Piece, section: str | None) -> None:
        folded = self.folded
        matches = merged_adjectives(folded, sentence, self._matches_in(sentence))
        references = self._references_in(sentence)
        named = mentions(folded, sentence, matches, self.lexicon)
        sizes = find_sizes(folded, sentence.start, sentence.stop)
        named = sorted(
            [*named, *measured_nodes(folded, matches, sizes, self.lexicon, named)], key=lambda m: (m.start, m.stop)
        )
        attributes = find_attributes(folded, sentence.start, sentence.stop)
        organs = [match for match in matches if match.concept.kind == "anatomy"]
        words = find_place_words(folded, sentence.start, sentence.stop, organs, self.lexicon)
        words = [word for word in words if not any(_overlaps(word.start, word.stop, r.span) for r in references)]
        words = [word for word in words if not self._used_up(word, named)]
        if not named:
            self._read_without_finding(sentence, section, organs, sizes, references)
            self.organs = words if organs else self.organs
            return
        self.nodes = None
        chinese = in_chinese(folded[sentence.start : sentence.stop])
        spans = [Piece(mention.start, mention.stop) for mention in named]
        cues = find_cues(folded, sentence.start, sentence.stop)
        if ASKS.match(folded[sentence.start : sentence.stop]):
            cues = [cue for cue in cues if folded[cue.start : cue.stop] not in ("?",)]
        parts = clauses(folded, sentence, spans, chinese)
        claims = [claim for mention in named if (claim := self._claim(mention, sentence, parts, cues, spans))]
        attach_places(folded, parts, claims, words, chinese, self._fits)
        keep_to_own_organ(claims, self.lexicon)
        self._take_organ_before(claims, sentence)
        nodes = [o for o in organs if _NODE.search(folded, o.span.start, o.span.stop)]
        left = attach_sizes(folded, claims, sizes, _pieces(organs), _pieces(nodes))
        self.widths += widths(self.text, folded, organs, left, sentence, section)
        said = [a for a in attributes if holds(folded, a.start, a.stop, parts, cues, spans)]
        attach_attributes(folded, claims, said)
        attach_counts(folded, claims, find_counts(folded, sentence.start, sentence.stop))
        attach_references(folded, claims, references)
        share_with_brackets(folded, claims)
        share_with_interpretation(folded, claims)
        self.told.refer_back(claims, sentence)
        self.told.lobe_of_before(claims, sentence)
        self.told.point_back(claims, section)
        share_with_neighbour(folded, claims, self.lexicon)
        claims = without_heading(folded, without_vague(folded, claims, self.lexicon), self.lexicon)
        self.told.add_all(without_repeats(folded, claims, self.lexicon), sentence, section)

    def _claim(
        self, mention: Mention, sentence: Piece, parts: Sequence[Piece], cues: Sequence, spans: Sequence[Piece]
    ) -> Claim | None:
        clause = next(part for part in parts if part.start <= mention.start < part.stop or part is parts[-1])
        diagnosis = is_diagnosis(mention.concept, self.lexicon)
        presence, kinds = presence_of(self.folded, clause, mention.start, mention.stop, cues, spans, diagnosis)
        if "normal" in kinds and presence == "present":
            return None
        if is_purpose(self.folded, sentence, mention.start):
            return None
        if "other" in kinds and mention.concept.id in self.told.present:
            return None  # "no other nodule" does not deny the one described before
        claim = Claim(mention.concept, mention.start, mention.stop, clause, presence)
        claim.past = "past" in kinds or is_earlier(self.folded, sentence, mention.start, mention.stop)
        claim.multiple = is_plural(self.folded[mention.start : mention.stop])
        return claim

    def _take_organ_before(self, claims: Sequence[Claim], sentence: Piece) -> None:
        """ "The esophagus is normal. No wall thickening is seen": the organ is that of the sentence before."""
        before, self.organs = self.organs, []
        fitting = [word for word in before if word.concept is not None]
        for claim in claims:
            if claim.words or not before:
                continue
            if AT_THAT_LEVEL.match(self.folded, sentence.start):
                claim.words = list(before)
            elif claim.concept.id in _OF_ONE_ORGAN and len(fitting) == 1 and self._fits(claim.concept, fitting[0]):
                claim.words = fitting

    def _fits(self, concept: Concept, word: PlaceWord) -> bool:
        return word.concept is not None and self.lexicon.specialise(concept, word.concept) is not concept

    def _used_up(self, word: PlaceWord, named: Sequence[Mention]) -> bool:
        """Whether an organ is part of a finding's name ("pleural or pericardial effusion"), so no place of others."""
        holders = [mention for mention in named if mention.start <= word.start and word.stop <= mention.stop]
        return word.kind == "anatomy" and bool(holders) and not any(self._fits(m.concept, word) for m in holders)

    def _read_without_finding(
        self,
        sentence: Piece,
        section: str | None,
        organs: Sequence[Match],
        sizes: Sequence[Size],
        references: Sequence[ImageReference],
    ) -> None:
        words = self.folded[sentence.start : sentence.stop]
        nodes, self.nodes = self.nodes, None
        # a size told of nothing is that of the finding before: "In its widest part 6 cm", "Approximate size is 6 cm"
        of_nothing = not organs and any(size.role == "lesion" for size in sizes)
        goes_on = (of_nothing or GOES_ON.match(words)) and not tells_before(words)
        if nodes and goes_on and (named := measured_nodes(self.folded, nodes[0], sizes, self.lexicon)):
            self.told.add_nodes(named[0], nodes, sizes, section)
            return
        if self.told.last and is_item(words) and self.told.add_item(sentence, organs, sizes, references, section):
            return
        if self.told.last and goes_on and self.told.go_on(sentence, organs, sizes, references):
            return
        if any(self.lexicon.is_a(organ.concept, "lymph_node") for organ in organs):
            places = find_place_words(self.folded, sentence.start, sentence.stop, organs, self.lexicon)
            self.nodes = (list(organs), places, sentence)
        if organs:
            self.told.last = ()  # "Lymph nodes are seen. The largest ..." does not go on about the finding before them
        if organs and self._only_anatomy(sentence, organs) and not (section and _VERB.search(words)):
            first = len(self.told.findings)
            self._anatomy_findings(sentence, section, organs)
            self.told.last = tuple(range(first, len(self.told.findings)))
            return
        lesion = [size for size in sizes if size.role == "lesion"]
        self.widths += widths(self.text, self.folded, organs, lesion, sentence, section)
        kinds = {cue.kind for cue in find_cues(self.folded, sentence.start, sentence.stop)}
        if section in ("history", "technique") or "normal" in kinds or RECOMMENDS.search(words):
            return
        if not organs or section is None:
            self.unread.append(span_of(self.text, sentence.start, sentence.stop))

    def _only_anatomy(self, sentence: Piece, organs: Sequence[Match]) -> bool:
        rest = list(self.folded[sentence.start : sentence.stop])
        words = find_place_words(self.folded, sentence.start, sentence.stop, organs, self.lexicon)
        for start, stop in [(m.span.start, m.span.stop) for m in organs] + [(w.start, w.stop) for w in words]:
            rest[start - sentence.start : stop - sentence.start] = [" "] * (stop - start)
        remaining = QUERY_ZH.sub(" ", "".join(rest))
        tokens = re.findall(r"[^\W_]+", remaining)
        return all(
            token in QUERY_WORDS or token in ("lobe", "lobes", "lobar", "segment", "segments", "肺") for token in tokens
        )

    def _anatomy_findings(self, sentence: Piece, section: str | None, organs: Sequence[Match]) -> None:
        words = find_place_words(self.folded, sentence.start, sentence.stop, organs, self.lexicon)
        for index, match in enumerate(organs):
            later = organs[index + 1].span.start if index + 1 < len(organs) else sentence.stop
            earlier = organs[index - 1].span.stop if index else sentence.start
            mine = [w for w in words if earlier <= w.start < (later if index + 1 == len(organs) else match.span.stop)]
            place = place_of(mine, self.folded, self.lexicon)
            self.told.add(
                Finding(
                    concept=match.concept,
                    presence="present",
                    place=dataclasses.replace(place, sites=tuple(s for s in place.sites if s.id != match.concept.id)),
                    span=match.span,
                    sentence=span_of(self.text, sentence.start, sentence.stop),
                    section=section,
                ),
                mine,
            )


def _pieces(matches: Sequence[Match]) -> list[Piece]:
    return [Piece(match.span.start, match.span.stop) for match in matches]


def _overlaps(start: int, stop: int, span: Span | None) -> bool:
    return span is not None and start < span.stop and span.start < stop
