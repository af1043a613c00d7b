"""Results from their wire form: the inverse of `radfind.protocol`'s ``*_to_wire`` functions.

Readers take what they know and ignore added fields, so an older client understands a newer server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from radfind.language.concepts import Concept
from radfind.language.findings import Finding, ImageReference, Place, Span
from radfind.language.lexicon import Lexicon, default_lexicon
from radfind.results import Evidence, RankedSlice, Ranking, Segment, Segmentation, Verdict
from radfind.volume import Geometry
from radfind.wire_masks import WireHeat, WireMask


def ranking_from_wire(data: Mapping[str, Any], shape: tuple[int, int, int]) -> Ranking:
    """A `Ranking` for a volume of `shape` (k, j, i); slices that were not returned score 0."""
    slices = tuple(
        RankedSlice(
            rank=int(item["rank"]),
            index=int(item["index"]),
            score=float(item["score"]),
            sop_instance_uid=item["sop_instance_uid"],
            position_lps=_triple(item["position_lps"]),
            evidence=tuple(evidence_from_wire(e, shape) for e in item["evidence"]),
        )
        for item in data["slices"]
    )
    scores: npt.NDArray[np.float64] = np.zeros(shape[0])
    for item in slices:
        scores[item.index] = item.score
    return Ranking(
        slices=slices,
        scores=scores,
        findings=tuple(finding_from_wire(f) for f in data["findings"]),
        not_found=tuple(data["not_found"]),
        not_supported=tuple(data["not_supported"]),
        engine=data["engine"],
        notes=tuple(data["notes"]),
    )


def verdicts_from_wire(data: Mapping[str, Any], shape: tuple[int, int, int]) -> tuple[Verdict, ...]:
    """The verdicts of a reply about a volume of `shape` (k, j, i)."""
    return tuple(
        Verdict(
            statement=_required_span(item["statement"]),
            answer=item["answer"],
            confidence=float(item["confidence"]),
            reason=item["reason"],
            code=item["code"],
            finding=finding_from_wire(item["finding"]) if item["finding"] else None,
            evidence=tuple(evidence_from_wire(e, shape) for e in item["evidence"]),
            engine=item["engine"],
        )
        for item in data["verdicts"]
    )


def segmentation_from_wire(data: Mapping[str, Any], geometry: Geometry) -> Segmentation:
    """The segments of a reply that was asked for with ``masks``, on the grid of the volume asked about."""
    segments = tuple(
        Segment(
            name=item["name"],
            mask=WireMask.model_validate(item["mask"]).unpack(geometry.shape),
            concept=concept_from_wire(item["concept"]) if item["concept"] else None,
            color=_color(item["color"]),
            score=float(item["score"]),
            prompt=item["prompt"],
            finding=finding_from_wire(item["finding"]) if item["finding"] else None,
            evidence=tuple(evidence_from_wire(e, geometry.shape) for e in item["evidence"]),
        )
        for item in data["segments"]
    )
    return Segmentation(
        geometry=geometry,
        segments=segments,
        not_found=tuple(data["not_found"]),
        not_supported=tuple(data["not_supported"]),
        engine=data["engine"],
        notes=tuple(data["notes"]),
    )


def evidence_from_wire(data: Mapping[str, Any], shape: tuple[int, int, int]) -> Evidence:
    mask = WireMask.model_validate(data["mask"]).unpack(shape) if data.get("mask") else None
    return Evidence(
        text=data["text"],
        span=_span(data["span"]),
        concept=concept_from_wire(data["concept"]) if data["concept"] else None,
        mask=mask,
        slices=(int(data["slices"][0]), int(data["slices"][1])) if data["slices"] else None,
        center_kji=_triple(data["center_kji"]),
        place=data.get("place", ""),
        values=dict(data["values"]),
        heat=WireHeat.model_validate(data["heat"]).unpack() if data.get("heat") else None,
    )


def finding_from_wire(data: Mapping[str, Any]) -> Finding:
    place, lexicon = data["place"], default_lexicon()
    size_range = data["size_range_mm"]
    return Finding(
        concept=concept_from_wire(data["concept"]),
        presence=data["presence"],
        place=Place(
            sites=tuple(_known(lexicon, site) for site in place["sites"]),
            side=place["side"],
            lobes=tuple(place["lobes"]),
            segments=tuple(place["segments"]),
            zones=tuple(place["zones"]),
            levels=tuple(place["levels"]),
        ),
        span=_required_span(data["span"]),
        sentence=_required_span(data["sentence"]),
        sizes_mm=tuple(data["sizes_mm"]),
        size_range_mm=(size_range[0], float("inf") if size_range[1] is None else size_range[1]) if size_range else None,
        count=data["count"],
        multiple=data["multiple"],
        attributes=tuple(data["attributes"]),
        references=tuple(ImageReference(r["image"], r["series"]) for r in data["references"]),
        section=data["section"],
    )


def concept_from_wire(data: Mapping[str, Any]) -> Concept:
    """The lexicon's concept of that id; for an id this version does not know, a concept with the names sent."""
    lexicon = default_lexicon()
    try:
        return lexicon.get(data["id"])
    except KeyError:
        return Concept(
            id=data["id"],
            kind="finding",
            english=data["english"],
            chinese=data["chinese"],
            code=data["code"],
            meaning=data["meaning"],
        )


def _known(lexicon: Lexicon, site: str) -> Concept:
    try:
        return lexicon.get(site)
    except KeyError:
        return Concept(id=site, kind="anatomy", english=site.replace("_", " "), chinese="")


def _span(data: Mapping[str, Any] | None) -> Span | None:
    return _required_span(data) if data else None


def _required_span(data: Mapping[str, Any]) -> Span:
    return Span(int(data["start"]), int(data["stop"]), data["text"])


def _color(values: Any) -> tuple[int, int, int]:
    return int(values[0]), int(values[1]), int(values[2])


def _triple(values: Any) -> tuple[float, float, float] | None:
    return (float(values[0]), float(values[1]), float(values[2])) if values else None
