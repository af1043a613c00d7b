"""Reads a phrase or a whole report, English or Chinese or mixed, into the findings it claims."""

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Sequence

from radfind.language import attach
from radfind.language.adjectives import merged_adjectives
from radfind.language.apart import lesions
from radfind.language.attach import Claim
from radfind.language.attributes import find_attributes, find_counts
from radfind.language.concepts import Concept
from radfind.language.discourse import is_definite, is_earlier, is_item, is_purpose
from radfind.language.ellipsis import Mention, measured_nodes, mentions
from radfind.language.findings import Finding, ImageReference, Reading, Span
from radfind.language.lexicon import Lexicon, Match, default_lexicon
from radfind.language.measured import attach_sizes
from radfind.language.places import PlaceWord, find_place_words, place_of
from radfind.language.references import references_in
from radfind.language.scope import clauses, find_cues, presence_of
from radfind.language.sections import split_sections
from radfind.language.sharing import share_with_brackets, share_with_interpretation, share_with_neighbour
from radfind.language.sizes import Size, find_sizes
from radfind.language.special import is_diagnosis, keep_to_own_organ, measured_lesion, specials, without_vague
from radfind.language.suggestions import suggestions
from radfind.language.text import Piece, fold, sentences, span_of
from radfind.language.widths import Width, too_wide, widths, with_widths
from radfind.language.wording import (
    ASKS,
    GOES_ON,
    QUERY_WORDS,
    QUERY_ZH,
    RECOMMENDS,
    REFERS_BACK,
    is_plural,
    languages,
    mostly_chinese,
)

# How many findings a pointing word ("the effusion") may reach back; keeps time linear in the length of the text.
_BACK = 12


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


class _Reader:
    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.text = text
        self.folded = fold(text)
        self.lexicon = lexicon
        self.matches = lexicon.find(text)
        self.match_starts = [match.span.start for match in self.matches]
        self.references = references_in(text, self.folded)
        self.reference_starts = [r.span.start for r in self.references if r.span is not None]
        self.findings: list[Finding] = []
        self.places: list[list[PlaceWord]] = []
        self.widths: list[Width] = []
        self.nodes: tuple[list[Match], list[PlaceWord], Piece] | None = None  # lymph nodes only named, last sentence
        self.unread: list[Span] = []
        self.last: tuple[int, ...] = ()
        self.about_chest = any(
            lexicon.is_a(match.concept, part)
            for match in self.matches
            for part in ("lung", "mediastinum", "pleura", "thorax")
        )

    def read(self) -> Reading:
        for section in split_sections(self.folded):
            self.last = ()
            for sentence in sentences(self.folded, section.piece.start, section.piece.stop, self.text):
                self._read_sentence(sentence, section.name)
        self.findings = [w for finding in self.findings for w in with_widths(finding, self.widths, self.lexicon)]
        self.findings += too_wide(self.widths, self.findings, self.lexicon)
        return Reading(
            text=self.text,
            findings=tuple(self.findings),
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
        named = named or measured_nodes(matches, sizes, self.lexicon)
        attributes = find_attributes(folded, sentence.start, sentence.stop)
        organs = [match for match in matches if match.concept.kind == "anatomy"]
        words = find_place_words(folded, sentence.start, sentence.stop, organs, self.lexicon)
        words = [word for word in words if not any(_overlaps(word.start, word.stop, r.span) for r in references)]
        words = [word for word in words if not self._used_up(word, named)]
        if not named:
            self._read_without_finding(sentence, section, organs, sizes, references)
            return
        self.nodes = None
        chinese = mostly_chinese(folded[sentence.start : sentence.stop])
        spans = [Piece(mention.start, mention.stop) for mention in named]
        cues = find_cues(folded, sentence.start, sentence.stop)
        if ASKS.match(folded[sentence.start : sentence.stop]):
            cues = [cue for cue in cues if folded[cue.start : cue.stop] not in ("?",)]
        parts = clauses(folded, sentence, spans, chinese)
        claims = [claim for mention in named if (claim := self._claim(mention, sentence, parts, cues, spans))]
        attach.attach_places(folded, parts, claims, words, chinese, self._fits)
        keep_to_own_organ(claims, self.lexicon)
        left = attach_sizes(folded, claims, sizes, [Piece(o.span.start, o.span.stop) for o in organs])
        self.widths += widths(self.text, folded, organs, left, sentence, section)
        said = [a for a in attributes if self._holds(a.start, a.stop, parts, cues, spans)]
        attach.attach_attributes(folded, claims, said)
        attach.attach_counts(folded, claims, find_counts(folded, sentence.start, sentence.stop))
        attach.attach_references(claims, references)
        share_with_brackets(folded, claims)
        share_with_interpretation(folded, claims)
        self._refer_back(claims, sentence)
        self._point_back(claims, section)
        share_with_neighbour(folded, claims)
        first = len(self.findings)
        for claim in without_vague(claims, self.lexicon):
            self._add(claim, sentence, section)
        self.last = tuple(range(first, len(self.findings))) or self.last

    def _refer_back(self, claims: Sequence[Claim], sentence: Piece) -> None:
        """ "It was evaluated in favor of a cyst": the place is that of the finding told of before."""
        goes_with = self.folded.startswith("accompany", sentence.start)
        if not goes_with and not REFERS_BACK.search(self.folded, sentence.start, sentence.stop):
            return
        places = [self.places[i] for i in self.last if self.findings[i].presence != "absent"]
        for claim in claims:
            if places and claim.presence != "absent" and not attach.sided(claim.words):
                claim.words = [*places[-1], *claim.words]

    def _point_back(self, claims: Sequence[Claim], section: str | None) -> None:
        """ "Atelectasis adjacent to the effusion": the place is that of the effusion told of before."""
        for claim in claims:
            if claim.presence == "absent" or attach.sided(claim.words) or not is_definite(self.folded, claim.start):
                continue
            near = range(len(self.findings) - 1, max(-1, len(self.findings) - 1 - _BACK), -1)
            for i in near:
                earlier = self.findings[i]
                same = earlier.concept.id == claim.concept.id or self.lexicon.is_a(earlier.concept, claim.concept.id)
                if same and earlier.presence != "absent" and earlier.section == section:
                    claim.words = [*self.places[i], *claim.words]
                    break

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
        if "other" in kinds and any(
            f.concept.id == mention.concept.id and f.presence == "present" for f in self.findings
        ):
            return None  # "no other nodule" does not deny the one described before
        claim = Claim(mention.concept, mention.start, mention.stop, clause, presence)
        claim.past = "past" in kinds or is_earlier(self.folded, sentence, mention.start)
        claim.multiple = is_plural(self.folded[mention.start : mention.stop])
        return claim

    def _holds(self, start: int, stop: int, parts: Sequence[Piece], cues: Sequence, spans: Sequence[Piece]) -> bool:
        """Whether an attribute is claimed, not denied."""
        if any(cue.start <= start < cue.stop for cue in cues if cue.kind != "neutral"):
            return True
        clause = next(part for part in parts if part.start <= start < part.stop or part is parts[-1])
        inside = next((span for span in spans if span.start <= start and stop <= span.stop), None)
        if inside is not None:
            return True
        after = next((span for span in spans if span.start >= stop), None)
        if after is not None and after.start - stop < 40 and not re.search(r"[,;]|见", self.folded[stop : after.start]):
            return True
        return presence_of(self.folded, clause, start, stop, cues, [*spans, Piece(start, stop)])[0] != "absent"

    def _add(self, claim: Claim, sentence: Piece, section: str | None) -> None:
        parts = lesions(claim, self.folded)
        for index, (words, sizes) in enumerate(parts):
            place = place_of(words, self.folded, self.lexicon)
            exact = [size.mm for size in sizes if size.mm]
            # "millimetric nodules up to 6 mm": the number says more than the word
            ranged = sorted(sizes, key=lambda size: not self.folded[size.start : size.stop][:1].isdigit())
            ranges = [size.range_mm for size in ranged if size.range_mm]
            several = sizes is not claim.sizes
            for concept in specials(claim.concept, place, claim.attributes, self.lexicon, self.about_chest):
                concept = measured_lesion(concept, place, max(exact, default=()), claim.attributes, self.lexicon)
                self.places.append(list(words))
                self.findings.append(
                    Finding(
                        concept=concept,
                        presence=claim.presence,
                        place=place,
                        span=span_of(self.text, claim.start, claim.stop),
                        sentence=span_of(self.text, sentence.start, sentence.stop),
                        sizes_mm=max(exact, default=()),
                        size_range_mm=ranges[0] if ranges else None,
                        count=None if several else claim.count,
                        multiple=False if several else claim.multiple,
                        attributes=tuple(claim.attributes),
                        references=_references_of(index, parts, claim) if several else tuple(claim.references),
                        section="history" if claim.past else section,
                    )
                )

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
        if nodes and GOES_ON.match(words) and (named := measured_nodes(nodes[0], sizes, self.lexicon)):
            self._add_nodes(named[0], nodes, sizes, section)
            return
        if self.last and is_item(words) and self._another(sentence, organs, sizes, references, section):
            return
        if self.last and GOES_ON.match(words) and self._go_on(sentence, organs, sizes, references):
            return
        if any(self.lexicon.is_a(organ.concept, "lymph_node") for organ in organs):
            places = find_place_words(self.folded, sentence.start, sentence.stop, organs, self.lexicon)
            self.nodes = (list(organs), places, sentence)
        if organs:
            self.last = ()  # "Lymph nodes are seen. The largest ..." does not go on about the finding before them
        if organs and self._only_anatomy(sentence, organs):
            first = len(self.findings)
            self._anatomy_findings(sentence, section, organs)
            self.last = tuple(range(first, len(self.findings)))
            return
        lesion = [size for size in sizes if size.role == "lesion"]
        self.widths += widths(self.text, self.folded, organs, lesion, sentence, section)
        kinds = {cue.kind for cue in find_cues(self.folded, sentence.start, sentence.stop)}
        if section in ("history", "technique") or "normal" in kinds or RECOMMENDS.search(words):
            return
        if not organs or section is None:
            self.unread.append(span_of(self.text, sentence.start, sentence.stop))

    def _add_nodes(
        self,
        mention: Mention,
        nodes: tuple[list[Match], list[PlaceWord], Piece],
        sizes: Sequence[Size],
        section: str | None,
    ) -> None:
        """ "Lymph nodes are seen in the mediastinum. The largest is 14 mm": only the second tells they are enlarged."""
        _, words, sentence = nodes
        claim = Claim(mention.concept, mention.start, mention.stop, sentence, "present", words)
        claim.sizes, claim.multiple = [size for size in sizes if size.role == "lesion"], True
        first = len(self.findings)
        self._add(claim, sentence, section)
        self.last = tuple(range(first, len(self.findings)))

    def _another(
        self,
        sentence: Piece,
        organs: Sequence[Match],
        sizes: Sequence[Size],
        references: Sequence[ImageReference],
        section: str | None,
    ) -> bool:
        """ "Nodules: RUL 8 mm. RML 5 mm": one more lesion of the kind named last, at a place of its own."""
        finding = self.findings[self.last[-1]]
        homes = [*finding.concept.sites, *(site.id for site in finding.place.sites)]
        words = find_place_words(self.folded, sentence.start, sentence.stop, organs, self.lexicon)
        lesion = [size for size in sizes if size.role == "lesion" and size.mm]
        foreign = any(not any(self.lexicon.is_a(organ.concept, home) for home in homes) for organ in organs)
        if (
            finding.presence == "absent"
            or not finding.sizes_mm
            or foreign
            or len(lesion) != 1
            or not attach.sided(words)
        ):
            return False
        item = Claim(finding.concept, sentence.start, sentence.stop, sentence, finding.presence, words, lesion)
        item.references = list(references)
        first = len(self.findings)
        self._add(item, sentence, section)
        self.last = tuple(range(first, len(self.findings)))
        return True

    def _go_on(
        self, sentence: Piece, organs: Sequence[Match], sizes: Sequence[Size], references: Sequence[ImageReference]
    ) -> bool:
        """A sentence that goes on about the finding before it: "It measures 12 mm (image 42)." """
        index = next((i for i in reversed(self.last) if self.findings[i].presence != "absent"), None)
        if index is None:
            return False
        finding = self.findings[index]
        lesion = [size for size in sizes if size.role == "lesion"]
        cues = find_cues(self.folded, sentence.start, sentence.stop)
        said = [
            a.name
            for a in find_attributes(self.folded, sentence.start, sentence.stop)
            if self._holds(a.start, a.stop, [sentence], cues, [])
        ]
        words = find_place_words(self.folded, sentence.start, sentence.stop, organs, self.lexicon)
        words = [word for word in words if not any(_overlaps(word.start, word.stop, r.span) for r in references)]
        if not (lesion or said or references or words):
            return False
        told = Claim(finding.concept, sentence.start, sentence.start, sentence, finding.presence, words, lesion)
        parts = lesions(told, self.folded)
        if len(parts) > 1 and not finding.sizes_mm:
            self._go_on_apart(index, parts)
            return True
        place = finding.place
        if words and not place.sites and place.side is None:
            place = place_of(words, self.folded, self.lexicon)
        exact = [size for size in lesion if size.mm]
        ranges = [size for size in lesion if size.range_mm]
        attributes = tuple(dict.fromkeys((*finding.attributes, *said)))
        self.findings[index] = dataclasses.replace(
            finding,
            place=place,
            concept=specials(finding.concept, place, attributes, self.lexicon, self.about_chest)[0],
            sizes_mm=finding.sizes_mm or (max(exact, key=lambda size: size.mm).mm if exact else ()),
            size_range_mm=finding.size_range_mm or (ranges[0].range_mm if ranges else None),
            attributes=attributes,
            references=(*finding.references, *references),
        )
        return True

    def _go_on_apart(self, index: int, parts: Sequence[tuple[list[PlaceWord], list[Size]]]) -> None:
        """ "Effusions are seen. They measure 25 mm on the right and 18 mm on the left": one finding each."""
        finding = self.findings[index]
        apart = []
        for words, sizes in parts:
            place = place_of(words, self.folded, self.lexicon)
            place = dataclasses.replace(place, sites=place.sites or finding.place.sites)
            mm = max((size.mm for size in sizes if size.mm), default=())
            apart.append(dataclasses.replace(finding, place=place, sizes_mm=mm, count=None, multiple=False))
        self.findings[index : index + 1] = apart
        self.places[index : index + 1] = [list(words) for words, _ in parts]
        self.last = tuple(range(self.last[0], len(self.findings)))

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
            self.places.append(mine)
            self.findings.append(
                Finding(
                    concept=match.concept,
                    presence="present",
                    place=dataclasses.replace(place, sites=tuple(s for s in place.sites if s.id != match.concept.id)),
                    span=match.span,
                    sentence=span_of(self.text, sentence.start, sentence.stop),
                    section=section,
                )
            )


def _references_of(
    index: int, parts: Sequence[tuple[list[PlaceWord], list[Size]]], claim: Claim
) -> tuple[ImageReference, ...]:
    """References that belong to one lesion of a list: those after its size or place and before the next one's."""
    begins = [
        min([s.start for s in sizes] + [w.start for w in words if w.start > claim.start]) for words, sizes in parts
    ]
    begins[0] = 0
    end = begins[index + 1] if index + 1 < len(begins) else float("inf")
    return tuple(r for r in claim.references if r.span and begins[index] <= r.span.start < end)


def _overlaps(start: int, stop: int, span: Span | None) -> bool:
    return span is not None and start < span.stop and span.start < stop
