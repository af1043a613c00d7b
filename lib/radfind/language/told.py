"""The findings told so far, and the sentences that go on about them without naming them again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from radfind.language.apart import lesions
from radfind.language.attributes import find_attributes
from radfind.language.claims import Claim, sided
from radfind.language.discourse import is_definite
from radfind.language.findings import Finding, ImageReference, Place, Span
from radfind.language.lexicon import Lexicon, Match
from radfind.language.lymph_nodes import Mention
from radfind.language.place_words import PlaceWord, find_place_words
from radfind.language.placed import LOBE_ALONE
from radfind.language.places import place_of
from radfind.language.scope import find_cues, holds
from radfind.language.sharing import has_size
from radfind.language.sizes import Size
from radfind.language.special import measured_lesion, specials
from radfind.language.text import Piece, span_of
from radfind.language.wording import NEAR_BEFORE, OF_WALL, REFERS_BACK

# How many findings a pointing word ("the effusion") may reach back; keeps time linear in the length of the text.
_BACK = 12
# Organs whose lobes are left and right; those of the lungs are told by name.
_LOBED = ("thyroid_gland", "liver")


class Told:
    """Findings in reading order, with the place words each was told with.

    Arguments:
        text, folded: the text as given and folded.
        lexicon: the concepts.
        about_chest: whether the text is about the chest, for findings told without a place.
    """

    def __init__(self, text: str, folded: str, lexicon: Lexicon, about_chest: bool) -> None:
        self.text, self.folded, self.lexicon, self.about_chest = text, folded, lexicon, about_chest
        self.findings: list[Finding] = []
        self.places: list[list[PlaceWord]] = []
        self.present: set[str] = set()
        self.last: tuple[int, ...] = ()  # the findings of the sentence before

    def add_all(self, claims: Sequence[Claim], sentence: Piece, section: str | None) -> None:
        """Adds the findings of one sentence."""
        first = len(self.findings)
        for claim in claims:
            start = len(self.findings)
            self._add(claim, sentence, section)
            self._drop_same(first, start)
        self.last = tuple(range(first, len(self.findings))) or self.last

    def add(self, finding: Finding, words: Sequence[PlaceWord]) -> None:
        """Adds one finding."""
        self.findings.append(finding)
        self.places.append(list(words))
        if finding.presence == "present":
            self.present.add(finding.concept.id)

    def _drop_same(self, first: int, start: int) -> None:
        """ "A 22 mm nodular lesion compatible with an adenoma, left adrenal": one finding under two names."""
        if start > first and all(any(self._same(old, new) for old in range(first, start)) for new in self._from(start)):
            del self.findings[start:], self.places[start:]

    def _from(self, start: int) -> range:
        return range(start, len(self.findings))

    def _same(self, old: int, new: int) -> bool:
        one, two = self.findings[old], self.findings[new]
        first, second = (self.folded[finding.span.start : finding.span.stop] for finding in (one, two))
        if first == second or one.concept is not two.concept:
            return False
        # without a size, only another term: "compression fracture of T12 with height loss", not "nodule ... nodules"
        if not (one.sizes_mm or one.size_range_mm or first[:4] != second[:4]):
            return False
        return dataclasses.replace(two, span=one.span, attributes=one.attributes, multiple=one.multiple) == one

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
                self.add(
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
                    ),
                    words,
                )

    def refer_back(self, claims: Sequence[Claim], sentence: Piece) -> None:
        """ "It was evaluated in favor of a cyst": the place is that of the finding told of before."""
        goes_with = self.folded.startswith("accompany", sentence.start)
        refers = REFERS_BACK.search(self.folded, sentence.start, sentence.stop)
        refers = refers or NEAR_BEFORE.search(self.folded, sentence.start, sentence.stop)
        told = [i for i in self.last if self.findings[i].presence != "absent"]
        if not told or not (goes_with or refers):
            return
        for claim in claims:
            named_before = refers and any(word.concept and word.start < refers.start() for word in claim.words)
            if claim.presence == "absent" or named_before:  # "the arteries are 30 mm, and it is ectatic"
                continue
            if not sided(claim.words):
                claim.words = [*self.places[told[-1]], *claim.words]
            if claim.presence == "uncertain" and not claim.sizes and has_size(claim):
                claim.sizes = [
                    Size(claim.start, claim.start, earlier.sizes_mm, earlier.size_range_mm, "lesion")
                    for earlier in (self.findings[i] for i in told)
                    if earlier.sizes_mm or earlier.size_range_mm
                ][-1:]

    def lobe_of_before(self, claims: Sequence[Claim], sentence: Piece) -> None:
        """ "The thyroid is enlarged. A nodule is seen in the right lobe": the lobe of the organ told of before."""
        if not LOBE_ALONE.search(self.folded, sentence.start, sentence.stop):
            return
        earlier = [word for i in self.last[-1:] for word in self.places[i]]
        for claim in claims:
            lobed = [w for w in earlier if w.concept and any(self.lexicon.is_a(w.concept, id) for id in _LOBED)]
            if lobed and sided(claim.words) and all(w.concept is None and w.kind != "lobe" for w in claim.words):
                claim.words = [lobed[-1], *claim.words]
            earlier = claim.words

    def point_back(self, claims: Sequence[Claim], section: str | None) -> None:
        """ "Atelectasis adjacent to the effusion": the place is that of the effusion told of before."""
        for claim in claims:
            if claim.presence == "absent" or not is_definite(self.folded, claim.start):
                continue
            whole = next((i for i in reversed(self.last) if self.findings[i].presence != "absent"), None)
            if claim.concept.id == "lesion" and claim.sizes and whole is not None:
                # "A mass in the left upper lobe. The long axis of the lesion is 62 mm"
                claim.concept = self.findings[whole].concept
                claim.words = claim.words or list(self.places[whole])
            if sided(claim.words):
                continue
            near = range(len(self.findings) - 1, max(-1, len(self.findings) - 1 - _BACK), -1)
            for i in near:
                earlier = self.findings[i]
                same = earlier.concept.id == claim.concept.id or self.lexicon.is_a(earlier.concept, claim.concept.id)
                if same and earlier.presence != "absent" and earlier.section == section:
                    claim.words = [*self.places[i], *claim.words]
                    break

    def add_nodes(
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
        self.add_all([claim], sentence, section)

    def add_item(
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
        if finding.presence == "absent" or foreign or len(lesion) != 1 or not sided(words):
            return False
        if not finding.sizes_mm and not sided(self.places[self.last[-1]]):  # "Nodules:" was only the heading
            return self.go_on(sentence, organs, sizes, references)
        if not finding.sizes_mm:
            return False
        if place_of(words, self.folded, self.lexicon) == Place(side=finding.place.side):
            return False  # "On the right, it measures": no place of its own
        item = Claim(finding.concept, sentence.start, sentence.stop, sentence, finding.presence, words, lesion)
        item.references = list(references)
        self.add_all([item], sentence, section)
        return True

    def go_on(
        self, sentence: Piece, organs: Sequence[Match], sizes: Sequence[Size], references: Sequence[ImageReference]
    ) -> bool:
        """A sentence that goes on about the finding before it: "It measures 12 mm (image 42)." """
        index = next((i for i in reversed(self.last) if self.findings[i].presence != "absent"), None)
        if index is None:
            return False
        finding = self.findings[index]
        if OF_WALL.match(self.folded, sentence.start) and not self.lexicon.is_a(finding.concept, "wall_thickening"):
            return False
        lesion = [size for size in sizes if size.role == "lesion"]
        cues = find_cues(self.folded, sentence.start, sentence.stop)
        said = [
            a.name
            for a in find_attributes(self.folded, sentence.start, sentence.stop)
            if holds(self.folded, a.start, a.stop, [sentence], cues, [])
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


def _references_of(
    index: int, parts: Sequence[tuple[list[PlaceWord], list[Size]]], claim: Claim
) -> tuple[ImageReference, ...]:
    """References that belong to one lesion of a list: those after its size or place and before the next one's."""
    first = min(size.start for _, sizes in parts for size in sizes)
    if len(claim.references) == len(parts) and all(r.span and r.span.stop <= first for r in claim.references):
        return (claim.references[index],)  # "left upper (image 56) and right lower lobe (image 89), 6 and 8 mm"
    begins = [
        min([s.start for s in sizes] + [w.start for w in words if w.start > claim.start]) for words, sizes in parts
    ]
    begins[0] = 0
    end = begins[index + 1] if index + 1 < len(begins) else float("inf")
    return tuple(r for r in claim.references if r.span and begins[index] <= r.span.start < end)


def _overlaps(start: int, stop: int, span: Span | None) -> bool:
    return span is not None and start < span.stop and span.start < stop
