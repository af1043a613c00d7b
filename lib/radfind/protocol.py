"""The wire form of prompts and results: the one place where a field name is decided.

Results are plain JSON. Voxel indices are 0-based and in (k, j, i) order; positions are LPS millimetres;
masks travel cropped to their bounding box, bit-packed and deflated (`WireMask`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from radfind.errors import ImageError, PromptError
from radfind.language.concepts import Concept
from radfind.language.findings import Finding, Span
from radfind.prompts import (
    BoxPrompt,
    EverythingPrompt,
    ExemplarPrompt,
    LassoPrompt,
    MaskPrompt,
    PointPrompt,
    Prompt,
    ScribblePrompt,
    TextPrompt,
)
from radfind.refine import outlines
from radfind.results import Evidence, RankedSlice, Ranking, Segmentation, Verdict
from radfind.volume import Geometry, Volume
from radfind.wire_masks import Wire, WireHeat, WireMask

VERSION = 1
"""Raised when a field changes meaning; added fields do not raise it."""

MAX_SCRIBBLE = 1_000_000
"""Most scribbled voxels taken in one request."""

MAX_LASSO = 10_000
"""Most corners of one lasso."""

MAX_EXAMPLES = 8
"""Most examples taken in one request: each costs a registration."""


# --- prompts -----------------------------------------------------------------------------------------------


class _Placed(Wire):
    """Positions in `kji` voxel indices or in `lps` millimetres; exactly one of the two."""

    space: Literal["kji", "lps"] = "kji"

    def _index(self, position: tuple[float, float, float], geometry: Geometry) -> tuple[float, float, float]:
        k, j, i = geometry.to_index(position) if self.space == "lps" else position
        return float(k), float(j), float(i)


class WireText(Wire):
    type: Literal["text"] = "text"
    text: str


class WirePoint(_Placed):
    type: Literal["point"] = "point"
    position: tuple[float, float, float]
    positive: bool = True


class WireBox(_Placed):
    type: Literal["box"] = "box"
    start: tuple[float, float, float]
    stop: tuple[float, float, float]


class WireLasso(_Placed):
    """The corners of a closed line on one slice, the last joined to the first."""

    type: Literal["lasso"] = "lasso"
    positions: list[tuple[float, float, float]] = Field(min_length=3, max_length=MAX_LASSO)


class WireScribble(_Placed):
    type: Literal["scribble"] = "scribble"
    positions: list[tuple[float, float, float]] = Field(min_length=1, max_length=MAX_SCRIBBLE)
    positive: bool = True


class WireMaskPrompt(Wire):
    type: Literal["mask"] = "mask"
    mask: WireMask


class WireGrid(Wire):
    """The grid a mask lies on, in the names and conventions of a reply's ``volume``."""

    shape_kji: tuple[int, int, int]
    affine_ijk_to_lps: tuple[tuple[float, float, float, float], ...] = Field(min_length=4, max_length=4)

    def geometry(self) -> Geometry:
        """Raises PromptError: it is no grid."""
        try:
            return Geometry(self.shape_kji, np.array(self.affine_ijk_to_lps))
        except ImageError as error:
            raise PromptError(f"The grid of an example's mask is unusable: {error}") from error


class WireExample(Wire):
    """An annotated case: find what its mask shows on the image asked about, and call it `name`.

    The example's image is one of: `image`, the id of an image the server has; `session`, the id of a session;
    `image_file`, the number (from 0) of a file sent with the request as ``example_image``. What is shown on it is one
    of: `mask`, on the image's own grid as the server describes it or on the same voxels in the order of `grid`;
    `label_file`, the number of a file sent as ``example_label``; `label_tag`, the tag of the label saved with `image`.
    `value` is the label value that counts in these two; without it every voxel above 0 does.
    """

    type: Literal["example"] = "example"
    name: str = Field(min_length=1, max_length=200)
    image: str | None = None
    session: str | None = None
    image_file: int | None = Field(None, ge=0)
    mask: WireMask | None = None
    grid: WireGrid | None = None
    label_file: int | None = Field(None, ge=0)
    label_tag: str | None = None
    value: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _one_of_each(self) -> WireExample:
        if sum(part is not None for part in (self.image, self.session, self.image_file)) != 1:
            raise ValueError("an example names its image by exactly one of image, session and image_file")
        if sum(part is not None for part in (self.mask, self.label_file, self.label_tag)) != 1:
            raise ValueError("an example shows the structure by exactly one of mask, label_file and label_tag")
        if self.label_tag is not None and self.image is None:
            raise ValueError("only an image the server has can have a saved label (label_tag)")
        if self.grid is not None and self.mask is None:
            raise ValueError("a grid belongs to a mask")
        return self


class WireEverything(Wire):
    type: Literal["everything"] = "everything"


ExampleReader = Callable[[WireExample], ExemplarPrompt]
"""Finds the image and the mask an example names."""

WirePrompt = Annotated[
    WireText | WirePoint | WireBox | WireLasso | WireScribble | WireMaskPrompt | WireExample | WireEverything,
    Field(discriminator="type"),
]


class WirePrompts(Wire):
    """What a request asks: any mix of prompts, spoken of one volume."""

    version: int = VERSION
    prompts: list[WirePrompt] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _known_version(self) -> WirePrompts:
        if self.version != VERSION:
            raise ValueError(f"this server speaks prompt version {VERSION}, not {self.version}")
        if sum(isinstance(prompt, WireExample) for prompt in self.prompts) > MAX_EXAMPLES:
            raise ValueError(f"at most {MAX_EXAMPLES} examples are taken in one request")
        return self


def prompts_from_wire(data: Any, geometry: Geometry, example: ExampleReader | None = None) -> list[Prompt]:
    """Prompts for a volume from parsed JSON (a `WirePrompts` object).

    Arguments:
        example: reads examples; None where none can be given.

    Raises:
        PromptError: naming the field that is wrong; and whatever `example` raises.
    """
    try:
        wire = WirePrompts.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "prompts"
        raise PromptError(f"The prompt field {where} is wrong: {first['msg']}.") from error
    return [_prompt(item, geometry, example) for item in wire.prompts]


def _prompt(item: WirePrompt, geometry: Geometry, example: ExampleReader | None) -> Prompt:
    if isinstance(item, WireText):
        return TextPrompt(item.text)
    if isinstance(item, WirePoint):
        return PointPrompt(item._index(item.position, geometry), item.positive)
    if isinstance(item, WireBox):
        corners = np.array([item._index(item.start, geometry), item._index(item.stop, geometry)])
        if item.space == "lps":  # an LPS box on a flipped grid swaps its ends
            corners = np.sort(corners, axis=0)
        (a, b, c), (d, e, f) = corners.tolist()
        return BoxPrompt((a, b, c), (d, e, f))
    if isinstance(item, WireLasso):
        corners = np.asarray(item.positions, np.float64)
        return LassoPrompt(geometry.to_index(corners) if item.space == "lps" else corners)
    if isinstance(item, WireScribble):
        points = np.asarray(item.positions, np.float64)
        index = geometry.to_index(points) if item.space == "lps" else points
        return ScribblePrompt(np.unique(np.rint(index).astype(np.int64), axis=0), item.positive)
    if isinstance(item, WireMaskPrompt):
        return MaskPrompt(item.mask.unpack(geometry.shape))
    if isinstance(item, WireExample):
        if example is None:
            raise PromptError("Examples cannot be given here: send them to the task radfind_segment.")
        return example(item)
    return EverythingPrompt()


# --- results -----------------------------------------------------------------------------------------------


def span_to_wire(span: Span | None) -> dict[str, Any] | None:
    return None if span is None else {"start": span.start, "stop": span.stop, "text": span.text}


def concept_to_wire(concept: Concept | None) -> dict[str, Any] | None:
    if concept is None:
        return None
    return {
        "id": concept.id,
        "english": concept.english,
        "chinese": concept.chinese,
        "code": concept.code,
        "meaning": concept.meaning,
    }


def finding_to_wire(finding: Finding) -> dict[str, Any]:
    place = finding.place
    low, high = finding.size_range_mm or (None, None)
    return {
        "concept": concept_to_wire(finding.concept),
        "presence": finding.presence,
        "place": {
            "sites": [site.id for site in place.sites],
            "side": place.side,
            "lobes": list(place.lobes),
            "segments": list(place.segments),
            "zones": list(place.zones),
            "levels": list(place.levels),
        },
        "sizes_mm": list(finding.sizes_mm),
        "size_range_mm": None if low is None else [low, None if high == float("inf") else high],
        "count": finding.count,
        "multiple": finding.multiple,
        "attributes": list(finding.attributes),
        "references": [{"series": r.series, "image": r.image} for r in finding.references],
        "span": span_to_wire(finding.span),
        "sentence": span_to_wire(finding.sentence),
        "section": finding.section,
    }


def evidence_to_wire(evidence: Evidence, *, masks: bool = False) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "text": evidence.text,
        "span": span_to_wire(evidence.span),
        "concept": concept_to_wire(evidence.concept),
        "slices": list(evidence.slices) if evidence.slices else None,
        "center_kji": [float(x) for x in evidence.center_kji] if evidence.center_kji else None,
        "place": evidence.place,
        "values": {name: float(value) for name, value in evidence.values.items()},
    }
    if masks and evidence.mask is not None:
        wire["mask"] = WireMask.pack(evidence.mask).model_dump()
    if masks and evidence.heat is not None:
        wire["heat"] = WireHeat.pack(evidence.heat).model_dump()
    return wire


def slice_to_wire(item: RankedSlice, *, masks: bool = False) -> dict[str, Any]:
    return {
        "rank": item.rank,
        "index": item.index,
        "score": round(float(item.score), 6),
        "sop_instance_uid": item.sop_instance_uid,
        "position_lps": [float(x) for x in item.position_lps] if item.position_lps else None,
        "evidence": [evidence_to_wire(e, masks=masks) for e in item.evidence],
    }


def ranking_to_wire(ranking: Ranking, *, masks: bool = False) -> dict[str, Any]:
    return {
        "version": VERSION,
        "slices": [slice_to_wire(item, masks=masks) for item in ranking.slices],
        "findings": [finding_to_wire(finding) for finding in ranking.findings],
        "not_found": list(ranking.not_found),
        "not_supported": list(ranking.not_supported),
        "engine": ranking.engine,
        "notes": list(ranking.notes),
    }


def verdict_to_wire(verdict: Verdict, *, masks: bool = False) -> dict[str, Any]:
    return {
        "statement": span_to_wire(verdict.statement),
        "answer": verdict.answer,
        "confidence": round(float(verdict.confidence), 4),
        "reason": verdict.reason,
        "code": verdict.code,
        "finding": finding_to_wire(verdict.finding) if verdict.finding else None,
        "evidence": [evidence_to_wire(e, masks=masks) for e in verdict.evidence],
        "engine": verdict.engine,
    }


def verdicts_to_wire(verdicts: tuple[Verdict, ...], *, masks: bool = False) -> dict[str, Any]:
    return {"version": VERSION, "verdicts": [verdict_to_wire(v, masks=masks) for v in verdicts]}


def segmentation_to_wire(segmentation: Segmentation, *, masks: bool = False, polygons: bool = False) -> dict[str, Any]:
    """Label k of the labelmap is the k-th entry of ``segments`` (1-based).

    The voxels themselves come with `masks`, their outlines with `polygons`: closed lines of (j, i) points on slice k,
    one for each part of it, holes joined by a bridge.
    """
    voxel_ml = segmentation.geometry.voxel_volume / 1000.0
    segments = []
    for label, segment in enumerate(segmentation.segments, start=1):
        voxels = int(np.count_nonzero(segment.mask))
        packed: dict[str, Any] = {"mask": WireMask.pack(segment.mask).model_dump()} if masks else {}
        if polygons:
            packed["polygons"] = [
                {"k": k, "points": np.round(ring, 2).tolist()}
                for k, rings in outlines.polygons(segment.mask).items()
                for ring in rings
            ]
        segments.append(
            {
                **packed,
                "label": label,
                "name": segment.name,
                "concept": concept_to_wire(segment.concept),
                "terminology": terminology(segment.concept),
                "color": list(segment.color),
                "score": round(float(segment.score), 6),
                "prompt": segment.prompt,
                "voxels": voxels,
                "volume_ml": round(voxels * voxel_ml, 4),
                "finding": finding_to_wire(segment.finding) if segment.finding else None,
                "evidence": [evidence_to_wire(e, masks=masks) for e in segment.evidence],
            }
        )
    return {
        "version": VERSION,
        "segments": segments,
        "not_found": list(segmentation.not_found),
        "not_supported": list(segmentation.not_supported),
        "engine": segmentation.engine,
        "notes": list(segmentation.notes),
    }


def terminology(concept: Concept | None) -> str:
    """Slicer's terminology string of a concept (category, type; SNOMED CT), Slicer's "Tissue" when uncoded."""
    category, kind = "85756007^Tissue", "85756007^Tissue"
    if concept is not None and concept.code:
        category = (
            "123037004^Anatomical Structure"
            if concept.kind == "anatomy"
            else "49755003^Morphologically Altered Structure"
        )
        kind = f"{concept.code}^{concept.meaning or concept.english}"
    return (
        f"Segmentation category and type - 3D Slicer General Anatomy list~SCT^{category}~SCT^{kind}~^^"
        "~Anatomic codes - DICOM master list~^^~^^"
    )


def volume_to_wire(volume: Volume) -> dict[str, Any]:
    """What a client needs to place results: sizes, geometry, slice identity. No patient data."""
    geometry = volume.geometry
    return {
        "version": VERSION,
        "name": volume.name,
        "modality": volume.modality,
        "shape_kji": list(geometry.shape),
        "spacing_kji_mm": [round(x, 6) for x in geometry.spacing],
        "origin_lps_mm": [round(x, 6) for x in geometry.origin],
        "orientation": geometry.orientation,
        "affine_ijk_to_lps": [[float(x) for x in row] for row in geometry.affine],
        "series_uid": volume.series_uid,
        "study_uid": volume.study_uid,
        "frame_of_reference_uid": volume.frame_of_reference_uid,
        "reversed_k": volume.reversed_k,
        "sop_instance_uids": [s.sop_instance_uid for s in volume.slices],
        "warnings": list(volume.warnings),
    }
