"""The bilingual coded lexicon: what can be named, and where a text names it.

The concepts are data (``data/concepts/*.json``); this module loads them, finds them in text and relates them.

A written term is compared in normal form (`radfind.language.normal`), with plural, British and hyphen variants
made by rule (`radfind.language.variants`). Latin terms must stand between non-letters and non-digits, Chinese ones
may stand anywhere. Abbreviations that are another word in lower case (LAP, SAT, DISH) match only as written.
Abbreviations with two common readings in radiology (PE: pulmonary embolism or pleural effusion; MS: multiple
sclerosis or mitral stenosis; RA, PA, AC, CVA, AML) are left out on purpose.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import ahocorasick

from radfind.language.concepts import Concept
from radfind.language.findings import Span
from radfind.language.normal import is_chinese, normal_form, normalise
from radfind.language.variants import english_variants

_DATA = Path(__file__).parent / "data"

_Candidate: TypeAlias = tuple[int, int, Concept | None]
"""Normalised start and stop of a wording, and what it names."""


@dataclasses.dataclass(frozen=True)
class Match:
    """A concept named in a text, with the words that name it."""

    concept: Concept
    span: Span


@dataclasses.dataclass(frozen=True)
class _Pattern:
    """One normalised wording: its concept (None: a decoy), the exact spellings it is limited to (empty: any), and
    whether it was made by rule from another wording."""

    concept: Concept | None
    length: int
    exact: tuple[str, ...] = ()
    derived: bool = False


class Lexicon:
    """Concepts, the words for them and how they relate.

    Iterating gives every `Concept`; ``id in lexicon`` tells whether an id is known.

    Arguments:
        concepts: the concepts; a term may belong to one of them only.
        specialisations: general finding id -> {site id: the finding's id when it is at that site}.
        region_defaults: body region -> {general finding id: the finding's id when the text names no site}.
        exact_case: abbreviations matched only as written, not in another case.
        decoys: phrases that contain a term but name nothing in the image ("lung window", "肝功能").
        common_words: lower-case words that `suggest` never corrects.

    Raises:
        ValueError: an id or a term occurs twice, or a relation names an unknown id.
    """

    def __init__(
        self,
        concepts: Sequence[Concept],
        specialisations: Mapping[str, Mapping[str, str]] | None = None,
        region_defaults: Mapping[str, Mapping[str, str]] | None = None,
        exact_case: frozenset[str] = frozenset(),
        decoys: Sequence[str] = (),
        common_words: frozenset[str] = frozenset(),
    ) -> None:
        self._concepts = {concept.id: concept for concept in concepts}
        if len(self._concepts) != len(concepts):
            raise ValueError("Two concepts of the lexicon share an id.")
        self._specialisations = specialisations or {}
        self._region_defaults = region_defaults or {}
        self._exact_case = exact_case
        self._common_words = common_words
        self._check_relations()
        self._patterns: dict[str, _Pattern] = {}
        for concept in concepts:
            for term in (concept.english, concept.chinese, *concept.terms):
                self._add(term, concept)
        for decoy in decoys:
            self._add(decoy, None)
        self._automaton = ahocorasick.Automaton()
        for key, pattern in self._patterns.items():
            self._automaton.add_word(key, pattern)
        if self._patterns:
            self._automaton.make_automaton()

    def __iter__(self) -> Iterator[Concept]:
        return iter(self._concepts.values())

    def __len__(self) -> int:
        return len(self._concepts)

    def __contains__(self, id: object) -> bool:
        return id in self._concepts

    def get(self, id: str) -> Concept:
        """The concept of that id.

        Raises:
            KeyError: no concept has it.
        """
        return self._concepts[id]

    def find(self, text: str) -> list[Match]:
        """Every concept that the text names, in reading order, without overlaps.

        Where wordings overlap, the choice covers as many characters as possible with as few matches as possible,
        so a longer term hides the shorter ones inside it ("pulmonary artery" is not "pulmonary" something), and
        of two equal covers the one naming more findings wins ("肺门" + "淋巴结肿大", not "肺门淋巴结" + rest).
        """
        normal = normalise(text)
        found: list[_Candidate] = []
        if self._patterns:
            for last, pattern in self._automaton.iter(normal.text):
                start, stop = last + 1 - pattern.length, last + 1
                if _inside_word(normal.text, start, stop):
                    continue
                begin, end = normal.original(start, stop)
                if pattern.exact and text[begin:end] not in pattern.exact:
                    continue
                found.append((start, stop, pattern.concept))
        matches = []
        for start, stop, concept in _best_cover(found):
            if concept is None:
                continue
            begin, end = normal.original(start, stop)
            matches.append(Match(concept, Span(begin, end, text[begin:end])))
        return matches

    def lookup(self, term: str) -> Concept | None:
        """The concept that the whole term names in any of its written forms, or None."""
        pattern = self._patterns.get(normal_form(term))
        if pattern is None or (pattern.exact and term.strip() not in pattern.exact):
            return None
        return pattern.concept

    def suggest(self, word: str, limit: int = 3) -> tuple[str, ...]:
        """The known terms nearest to an unknown word, of which it may be a slip; empty when none is near.

        Words of fewer than five letters (three Chinese characters), common words and words that occur in the
        lexicon are never corrected. One slip (insertion, deletion, substitution, swap of neighbours) is allowed
        up to seven letters, two up to eleven, three beyond.
        """
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        key = normal_form(word)
        chinese = any(map(is_chinese, key))
        if len(key) < (3 if chinese else 5) or key in self._patterns or key in self._known_words:
            return ()
        slips = 1 if chinese or len(key) < 8 else 2 if len(key) < 12 else 3
        pool = self._patterns if chinese or " " in key else self._single_words
        near = process.extract(key, pool.keys(), scorer=OSA.distance, score_cutoff=slips, limit=None)
        nearest = min((slip for _, slip, _ in near), default=0)
        near = [item for item in near if item[1] == nearest]
        near.sort(key=lambda item: (self._patterns[item[0]].derived, item[0][:1] != key[:1], len(item[0]), item[0]))
        seen: dict[str, str] = {}
        for candidate, _, _ in near:
            if (concept := self._patterns[candidate].concept) is not None:
                seen.setdefault(concept.id, candidate)
        return tuple(seen.values())[:limit]

    def is_a(self, concept: Concept | str, ancestor: str) -> bool:
        """Whether the concept is the ancestor, a kind of it, or (anatomy) a part of it."""
        return any(c.id == ancestor for c in self.ancestry(concept))

    def ancestry(self, concept: Concept | str) -> tuple[Concept, ...]:
        """The concept, its parent, its parent's parent and so on."""
        current: Concept | None = self._concepts[concept] if isinstance(concept, str) else concept
        chain: list[Concept] = []
        while current is not None:
            chain.append(current)
            current = self._concepts[current.parent] if current.parent else None
        return tuple(chain)

    def descendants(self, id: str) -> tuple[Concept, ...]:
        """Every concept below the given one, itself left out, in the order of the data."""
        return tuple(c for c in self if c.id != id and self.is_a(c, id))

    def specialise(self, concept: Concept, site: Concept | str) -> Concept:
        """The finding as it is called at that site: "nodule" at the right upper lobe is "pulmonary_nodule".

        The site's own entry counts first, then those of the structures it is part of. A concept without an
        entry stays what it is ("calcification").
        """
        for place in self.ancestry(site):
            special = self._specialisations.get(concept.id, {}).get(place.id)
            if special is not None:
                return self._concepts[special]
        return concept

    def default_for_region(self, concept: Concept, region: str) -> Concept:
        """What a finding without any site means in a study of that body region: a bare "nodule" in a chest CT
        report is a pulmonary nodule. Unchanged where the data name no default."""
        special = self._region_defaults.get(region, {}).get(concept.id)
        return concept if special is None else self._concepts[special]

    def _check_relations(self) -> None:
        for concept in self:
            if unknown := [i for i in (concept.parent, *concept.sites) if i is not None and i not in self]:
                raise ValueError(f"Concept {concept.id} refers to unknown ids {unknown}.")
        for table in (self._specialisations, self._region_defaults):
            for outer, entries in table.items():
                names = {*entries, *entries.values()} | ({outer} if table is self._specialisations else set())
                if unknown := sorted(name for name in names if name not in self):
                    raise ValueError(f"Relations of {outer} refer to unknown ids {unknown}.")

    def _add(self, term: str, concept: Concept | None) -> None:
        forms: dict[str, tuple[str, ...]]
        if term in self._exact_case:
            forms = {normal_form(form): (form,) for form in (term, term + "s")}
        elif term.isascii():
            forms = dict.fromkeys(english_variants(term.lower()), ())
        else:
            forms = {normal_form(term): ()}
        for number, (key, exact) in enumerate(forms.items()):
            known = self._patterns.get(key)
            if known is None:
                self._patterns[key] = _Pattern(concept, len(key), exact, derived=number > 0)
            elif known.concept is not concept:
                owners = [owner.id if owner else "a decoy" for owner in (known.concept, concept)]
                raise ValueError(f"The term {key!r} names both {' and '.join(owners)}.")

    @functools.cached_property
    def _single_words(self) -> dict[str, _Pattern]:
        return {key: pattern for key, pattern in self._patterns.items() if len(key) > 4 and " " not in key}

    @functools.cached_property
    def _known_words(self) -> frozenset[str]:
        return self._common_words.union(*(key.split() for key in self._patterns))


def _inside_word(text: str, start: int, stop: int) -> bool:
    """Whether [start, stop) begins or ends in the middle of a Latin word or number."""
    return (start > 0 and _latin(text[start]) and _latin(text[start - 1])) or (
        stop < len(text) and _latin(text[stop - 1]) and _latin(text[stop])
    )


def _latin(character: str) -> bool:
    return character.isalnum() and not is_chinese(character)


def _best_cover(found: list[_Candidate]) -> list[_Candidate]:
    """Weighted interval scheduling: most characters covered, then fewest matches, then most findings."""
    found.sort(key=lambda item: (item[1], item[0]))
    stops = [stop for _, stop, _ in found]
    best: list[tuple[int, int, int]] = [(0, 0, 0)]
    previous: list[int] = []
    for index, (start, stop, concept) in enumerate(found):
        before = bisect.bisect_right(stops, start, 0, index)
        previous.append(before)
        covered, count, findings = best[before]
        take = (covered + stop - start, count - 1, findings + (concept is not None and concept.kind == "finding"))
        best.append(max(take, best[-1]))
    chosen: list[_Candidate] = []
    index = len(found)
    while index > 0:
        if best[index] == best[index - 1]:
            index -= 1
        else:
            chosen.append(found[index - 1])
            index = previous[index - 1]
    return chosen[::-1]


def _concept(entry: Mapping[str, Any], defaults: Mapping[str, Any]) -> Concept:
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in {**defaults, **entry}.items()}
    return Concept(**values)


@functools.cache
def default_lexicon() -> Lexicon:
    """The lexicon that ships with RadFind, loaded once."""
    concepts: list[Concept] = []
    for path in sorted((_DATA / "concepts").glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        concepts += [_concept(entry, content["defaults"]) for entry in content["concepts"]]
    relations = json.loads((_DATA / "relations.json").read_text("utf-8"))
    words = json.loads((_DATA / "common_words.json").read_text("utf-8"))
    return Lexicon(
        concepts,
        relations["specialisations"],
        relations["region_defaults"],
        frozenset(relations["exact_case"]),
        relations["decoys"],
        frozenset(words),
    )
