"""Findings: what a text claims, each tied to the words that claim it."""

from __future__ import annotations

import dataclasses
from typing import Literal

from radfind.language.concepts import Concept, Side

Presence = Literal["present", "absent", "uncertain"]


@dataclasses.dataclass(frozen=True)
class Span:
    """A half-open character range [start, stop) of the text that was read."""

    start: int
    stop: int
    text: str


@dataclasses.dataclass(frozen=True)
class ImageReference:
    """A slice the report points at: ``series 3 image 42``, ``(IMA 8-34)``. Numbers as written (1-based)."""

    image: int
    series: int | None = None
    span: Span | None = None


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the text puts a finding.

    Arguments:
        sites: anatomical concepts named ("lung", "right_upper_lobe", "pleura", "liver" ...), most specific first.
        side: "left", "right", "both", or None when the text names none.
        lobes: "upper", "middle", "lower", "lingula"; more than one when the text lists several.
        segments: Boyden-style numbers of lung segments, e.g. ``("S1",)``, ``("S1+2",)``; Couinaud for the
            liver (``("VI",)``).
        zones: "apical", "basal", "perihilar", "peripheral", "subpleural", "central", "anterior",
            "posterior", "medial", "lateral", "upper", "middle", "lower" (thirds of the organ).
        levels: vertebral levels, e.g. ``("T12", "L1")``.
    """

    sites: tuple[Concept, ...] = ()
    side: Side | None = None
    lobes: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Finding:
    """One claim of a text about one concept.

    Arguments:
        concept: what is claimed; a finding, or an anatomical structure when the text only names one.
        presence: "present", "absent", or "uncertain" (hedged: "cannot be excluded", "考虑…可能").
        place: where.
        sizes_mm: the dimensions of one lesion as written, converted to millimetres, longest first
            (``(14.0, 11.0)`` for "1.1 x 1.4 cm"); empty when none is given.
        size_range_mm: (low, high) when the text gives a range or a bound ("up to 5 mm" is (0, 5),
            "larger than 3 cm" is (30, inf), "millimetric" is (0, 10)); None otherwise.
        count: how many, when stated; 2 for "two", None for "several" or unstated.
        multiple: the text speaks of more than one.
        attributes: canonical English words: "solid", "part_solid", "ground_glass", "spiculated",
            "lobulated", "calcified", "cavitary", "smooth", ... ("毛刺" is "spiculated").
        references: series / image numbers attached to this finding.
        span: the exact words naming the concept.
        sentence: the clause or sentence it came from.
        section: "findings", "impression", "history", "technique" or None.
    """

    concept: Concept
    presence: Presence
    place: Place
    span: Span
    sentence: Span
    sizes_mm: tuple[float, ...] = ()
    size_range_mm: tuple[float, float] | None = None
    count: int | None = None
    multiple: bool = False
    attributes: tuple[str, ...] = ()
    references: tuple[ImageReference, ...] = ()
    section: str | None = None


@dataclasses.dataclass(frozen=True)
class Reading:
    """Everything read from one text.

    Arguments:
        text: the text as given; all spans index into it.
        findings: in reading order.
        unread: clauses that name nothing known but look like a claim, for honest reporting.
        suggestions: (unknown word, nearest known terms): "did you mean".
        languages: subset of ("en", "zh") seen.
    """

    text: str
    findings: tuple[Finding, ...]
    unread: tuple[Span, ...] = ()
    suggestions: tuple[tuple[Span, tuple[str, ...]], ...] = ()
    languages: tuple[str, ...] = ()
