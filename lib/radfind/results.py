"""What engines give back: segments, ranked slices, verdicts, and the evidence behind each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from radfind.language.concepts import Concept
from radfind.language.findings import Finding, Span
from radfind.volume import Geometry

Answer = Literal["yes", "no", "maybe"]


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """Why a score or an answer is what it is, for a person to check.

    Arguments:
        text: one sentence ("solid nodule, right apex, 14 x 11 mm, mean 22 HU").
        span: the words of the query it answers, or None.
        concept: what was found or looked for.
        mask: boolean (k, j, i) on the volume's grid of the voxels it rests on, or None.
        slices: (first, last) k, inclusive, or None.
        center_kji: where to look, or None.
        place: where that is in the patient, in words ("right upper lobe"); empty when not told.
        values: named numbers with their unit in the name, e.g. ``{"longest_diameter_mm": 14.2}``.
        heat: (rows, columns) grid laid evenly over the slice `slices` names, non-negative, sum 1: where a
            vision model's answer comes from. Or None.
    """

    text: str
    span: Span | None = None
    concept: Concept | None = None
    mask: npt.NDArray[np.bool_] | None = None
    slices: tuple[int, int] | None = None
    center_kji: tuple[float, float, float] | None = None
    place: str = ""
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    heat: npt.NDArray[np.float32] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Segment:
    """One named region: `mask` is boolean (k, j, i) on the grid of its `Segmentation`."""

    name: str
    mask: npt.NDArray[np.bool_]
    concept: Concept | None = None
    color: tuple[int, int, int] = (230, 180, 60)
    score: float = 1.0
    prompt: str = ""
    finding: Finding | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """Segments on one grid; they may overlap.

    Arguments:
        geometry: the grid, always that of the volume asked about.
        segments: what was found.
        not_found: what was looked for and is not there, in the user's words.
        not_supported: what was asked but cannot be answered, each with the reason.
        engine: which engine answered (and why it was chosen, under ``auto``).
        notes: anything a user should know.
    """

    geometry: Geometry
    segments: tuple[Segment, ...] = ()
    not_found: tuple[str, ...] = ()
    not_supported: tuple[str, ...] = ()
    engine: str = ""
    notes: tuple[str, ...] = ()

    def labelmap(self) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """Labels 1..N in the order of `segments`, contiguous; where segments overlap the later one wins."""
        labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
        if len(self.segments) < 256:
            labels = np.zeros(self.geometry.shape, np.uint8)
        else:
            labels = np.zeros(self.geometry.shape, np.uint16)
        for value, segment in enumerate(self.segments, start=1):
            labels[segment.mask] = value
        return labels


@dataclasses.dataclass(frozen=True, eq=False)
class RankedSlice:
    """One bookmark. `rank` is 1-based, `index` the 0-based k of the volume, `score` in [0, 1]."""

    rank: int
    index: int
    score: float
    sop_instance_uid: str | None = None
    position_lps: tuple[float, float, float] | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Ranking:
    """Slices best first.

    Arguments:
        slices: the slices returned, after `top_k`, `threshold` and spreading.
        scores: the score of every slice of the volume, (k,), in [0, 1].
        findings: what the text was read as.
        not_found, not_supported, engine, notes: as in `Segmentation`.
    """

    slices: tuple[RankedSlice, ...]
    scores: npt.NDArray[np.float64]
    findings: tuple[Finding, ...] = ()
    not_found: tuple[str, ...] = ()
    not_supported: tuple[str, ...] = ()
    engine: str = ""
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Verdict:
    """The answer to one statement.

    Arguments:
        statement: the words judged.
        answer: does the scan support the statement as written?
        confidence: 0..1, in the answer given.
        reason: one or two sentences a person can check.
        finding: how the statement was read, or None when nothing could be read from it.
        evidence: what was found where.
        code: machine-readable reason: "supported", "wrong_side", "wrong_place", "wrong_size", "wrong_kind",
            "not_found", "found_though_denied", "not_covered", "not_supported", "vague", "hedged".
    """

    statement: Span
    answer: Answer
    confidence: float
    reason: str
    code: str
    finding: Finding | None = None
    evidence: tuple[Evidence, ...] = ()
    engine: str = ""
