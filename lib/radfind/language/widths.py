"""Widths of organs and vessels: told beside a dilatation, or wide enough to be one without the word."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from radfind.language.concepts import Concept
from radfind.language.findings import Finding, Place, Span
from radfind.language.lexicon import Lexicon, Match
from radfind.language.measured import measured_organ
from radfind.language.sizes import Size
from radfind.language.text import Piece, span_of

# Findings whose size is the width of the organ they are told of.
_WIDENINGS = ("dilatation", "aneurysm")
# Organ -> (limit in mm above which it is wide, the general finding it then has). Thoracic aorta: "aortic diameters do
# not usually exceed 40 mm"; abdominal aorta: an aneurysm from 30 mm on (2014 ESC guidelines on aortic diseases, Eur
# Heart J 2014;35:2873). Pulmonary trunk: wide from 30 mm on (2022 ESC/ERS guidelines on pulmonary hypertension, Eur
# Heart J 2022;43:3618).
_LIMITS = {
    "thoracic_aorta": (40.0, "dilatation"),
    "abdominal_aorta": (29.9, "aneurysm"),
    "pulmonary_trunk": (29.9, "dilatation"),
}

_MOST = 20  # widths of one kind in a report; more are noise, and would cost time


@dataclasses.dataclass(frozen=True)
class Width:
    """A measured organ: which, where it is named, its dimensions in mm, the sentence and its section."""

    organ: Concept
    span: Span
    mm: tuple[float, ...]
    sentence: Span
    section: str | None


def widths(
    text: str, folded: str, organs: Sequence[Match], sizes: Sequence[Size], sentence: Piece, section: str | None
) -> list[Width]:
    """The widths a sentence tells ("the ascending aorta measures 38 mm"), of sizes that belong to no finding."""
    spans = [Piece(organ.span.start, organ.span.stop) for organ in organs]
    found = []
    for size in sizes:
        index = measured_organ(folded, spans, size)
        # "the aorta measures up to 37 mm" gives its width
        mm = size.mm or ((size.range_mm[1],) if size.range_mm and size.range_mm[0] == 0 else ())
        if index is not None and mm:
            whole = span_of(text, sentence.start, sentence.stop)
            found.append(Width(organs[index].concept, organs[index].span, mm, whole, section))
    return found


def by_widening(told: Sequence[Width], lexicon: Lexicon) -> dict[str, list[Width]]:
    """The widths that may be the size of a finding, by its concept id; no more than `_MOST` each, none twice."""
    table: dict[str, dict[tuple[str, tuple[float, ...]], Width]] = {}
    for width in told:
        for id in _WIDENINGS:
            fitting = table.setdefault(lexicon.specialise(lexicon.get(id), width.organ).id, {})
            if len(fitting) < _MOST:
                fitting.setdefault((width.organ.id, width.mm), width)
    return {id: list(fitting.values()) for id, fitting in table.items()}


def with_widths(finding: Finding, told: Sequence[Width], lexicon: Lexicon) -> list[Finding]:
    """The finding with the width of its organ; one for each part where several parts were measured.

    Arguments:
        finding: what was told.
        told: the widths `by_widening` gives for its concept.
        lexicon: tells which organ is part of which.
    """
    if finding.sizes_mm or finding.size_range_mm or finding.presence == "absent":
        return [finding]
    sites = finding.place.sites
    fitting = [
        width
        for width in told
        if not sites or any(lexicon.is_a(width.organ, s.id) or lexicon.is_a(s, width.organ.id) for s in sites)
    ]
    return [
        dataclasses.replace(
            finding,
            sizes_mm=width.mm,
            place=dataclasses.replace(finding.place, sites=tuple(dict.fromkeys((width.organ, *sites)))),
        )
        for width in fitting
    ] or [finding]


def too_wide(told: Sequence[Width], findings: Sequence[Finding], lexicon: Lexicon) -> list[Finding]:
    """Findings for organs told to be wider than is normal, where the text claims and denies nothing of the kind."""
    said = {finding.concept.id for finding in findings}
    said_of = {(finding.concept.id, site.id) for finding in findings for site in finding.place.sites}
    added: dict[tuple[str, tuple[float, ...]], Finding] = {}
    for width in told:
        limit = next((_LIMITS[part.id] for part in lexicon.ancestry(width.organ) if part.id in _LIMITS), None)
        if limit is None or max(width.mm) <= limit[0] or width.section in ("history", "technique"):
            continue
        concept = lexicon.specialise(lexicon.get(limit[1]), width.organ)
        kinds = [lexicon.specialise(lexicon.get(id), width.organ).id for id in _WIDENINGS]
        if concept.id not in said and not any((kind, width.organ.id) in said_of for kind in kinds):
            added[width.organ.id, width.mm] = Finding(
                concept=concept,
                presence="present",
                place=Place(sites=(width.organ,)),
                span=width.span,
                sentence=width.sentence,
                sizes_mm=width.mm,
                section=width.section,
            )
    return list(added.values())
