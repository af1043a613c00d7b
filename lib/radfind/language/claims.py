"""A claim: a finding of one sentence while it is being put together, and which claim some words go on about."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from radfind.language.concepts import Concept
from radfind.language.findings import ImageReference, Presence
from radfind.language.place_words import PlaceWord
from radfind.language.sizes import Size
from radfind.language.text import Piece

# Findings that describe another one ("nodule with calcification"); later words go on describing that other one.
_DESCRIBING = frozenset(
    ("calcification", "cavity", "necrosis", "air_bronchogram", "pleural_tag", "halo_sign", "mass_effect")
)


@dataclasses.dataclass
class Claim:
    """A finding of one sentence while it is being put together."""

    concept: Concept
    start: int
    stop: int
    clause: Piece
    presence: Presence
    words: list[PlaceWord] = dataclasses.field(default_factory=list)
    sizes: list[Size] = dataclasses.field(default_factory=list)
    attributes: list[str] = dataclasses.field(default_factory=list)
    count: int | None = None
    multiple: bool = False
    references: list[ImageReference] = dataclasses.field(default_factory=list)
    past: bool = False
    before: list[PlaceWord] = dataclasses.field(default_factory=list)  # all place words between it and what it follows
    anchor: int | None = None  # where the finding whose sizes these are is named, if they were taken over

    @property
    def describes(self) -> bool:
        return self.concept.id in _DESCRIBING


def order(word: PlaceWord) -> tuple[int, int]:
    """Sort key: reading order."""
    return word.start, word.stop


def sided(words: Sequence[PlaceWord]) -> bool:
    """Whether one of the words tells a side."""
    return any(word.kind == "side" or word.side for word in words)


def host(claims: Sequence[Claim], position: int) -> Claim | None:
    """The finding that words at this position go on describing: the nearest before, describing findings passed over."""
    before = [claim for claim in claims if claim.start <= position]
    for claim in reversed(before):
        if claim.presence != "absent" and not claim.describes:
            return claim
    return before[-1] if before else None


def following(folded: str, claims: Sequence[Claim], position: int, stopper: re.Pattern[str]) -> Claim | None:
    """The finding that words ending here directly modify: "12 mm (spiculated) nodule"."""
    for claim in claims:
        if claim.start >= position:
            return None if stopper.search(folded[position : claim.start]) else claim
        if claim.start <= position <= claim.stop:
            return claim
    return None
