"""Answers as they come off the wire, put on the volume's own grid. Runs on the worker thread."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import Wire
from .Bookmarks import Bookmark, bookmarksOf
from .Errors import ServerError
from .Geometry import Grid, Mask, cropped, moved, sameVoxels
from .Segments import PROMPT_TAG, FoundSegment
from .Verdicts import VerdictRow, verdictRows

_TISSUE = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^85756007^Tissue~SCT^85756007^Tissue~^^"
    "~Anatomic codes - DICOM master list~^^~^^"
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server answered, on the volume's grid.

    Arguments:
        evidence: what was looked at, as (text, mask).
        said: sentences for the user: what was not found, not supported, and the engine's notes.
    """

    engine: str
    said: tuple[str, ...]
    segments: tuple[FoundSegment, ...] = ()
    bookmarks: tuple[Bookmark, ...] = ()
    verdicts: tuple[VerdictRow, ...] = ()
    evidence: tuple[tuple[str, Mask], ...] = ()


def answerOf(wire: Mapping[str, Any], target: Grid, prompt: str) -> Answer:
    """Read any answer of ours, or a stock server's labelmap.

    Raises:
        ServerError: it is malformed; nothing of it is used.
    """
    if "labels" in wire:
        return _stock(wire, target, prompt)
    source = Wire.grid(wire.get("volume") or {})
    said = list(_said(wire))
    if not sameVoxels(source, target):
        said.append("The server's series has another grid than this volume; results were placed by their position.")
    try:
        segments = tuple(_segment(item, source, target) for item in wire.get("segments", ()))
        evidence = tuple(_evidence(wire, source, target))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServerError("A segment in the answer is damaged; nothing was added.") from None
    bookmarks = tuple(bookmarksOf(wire.get("slices", ()), source))
    verdicts = tuple(verdictRows(wire.get("verdicts", ()), source))
    engine = str(wire.get("engine") or next((v.get("engine", "") for v in wire.get("verdicts", ())), ""))
    return Answer(engine, tuple(said), segments, bookmarks, verdicts, evidence)


def _segment(item: Mapping[str, Any], source: Grid, target: Grid) -> FoundSegment:
    red, green, blue = (int(c) for c in item["color"])
    tags = {PROMPT_TAG: str(item.get("prompt") or ""), "RadFind.Score": f"{float(item['score']):.4f}"}
    concept = item.get("concept")
    if concept:
        tags["RadFind.Concept"] = str(concept["id"])
    finding = item.get("finding")
    if finding and finding.get("sizes_mm"):
        tags["RadFind.ReportedSizesMm"] = json.dumps(finding["sizes_mm"])
    mask = moved(Wire.unpackMask(item["mask"], source.shape), source, target)
    return FoundSegment(str(item["name"]), mask, (red, green, blue), str(item["terminology"]), tags)


def _evidence(wire: Mapping[str, Any], source: Grid, target: Grid) -> Iterator[tuple[str, Mask]]:
    """What was looked at; many slices rest on the same mask, which is given once."""
    seen = set()
    for group in ("segments", "slices", "verdicts"):
        for item in wire.get(group, ()):
            for entry in item.get("evidence", ()):
                mask = entry.get("mask")
                if mask and (key := (tuple(mask["start"]), tuple(mask["shape"]), mask["bits"])) not in seen:
                    seen.add(key)
                    yield str(entry["text"]), moved(Wire.unpackMask(mask, source.shape), source, target)


def _said(wire: Mapping[str, Any]) -> Sequence[str]:
    said = [f"Not found: {str(text).rstrip('.')}." for text in wire.get("not_found", ())]
    said += [f"Not supported: {str(text).rstrip('.')}." for text in wire.get("not_supported", ())]
    return said + [str(note) for note in wire.get("notes", ())]


def _stock(wire: Mapping[str, Any], target: Grid, prompt: str) -> Answer:
    labels, source = wire["labels"], wire["grid"]
    names = wire.get("label_names") or {}
    colors = ((128, 174, 128), (241, 214, 145), (177, 122, 101), (111, 184, 210), (216, 101, 79), (221, 130, 101))
    segments = []
    for number, (name, value) in enumerate(sorted(names.items(), key=lambda pair: pair[1])):
        mask = cropped(labels == value)
        if mask.voxels.size:
            color = colors[number % len(colors)]
            placed = moved(mask, source, target)
            segments.append(FoundSegment(str(name), placed, color, _TISSUE, {PROMPT_TAG: prompt}))
    said = [] if segments else ["The labelmap is empty: nothing was found."]
    if prompt.strip():
        said.append("A stock MONAI Label model outlines what it was trained for; it does not read the text.")
    return Answer("MONAI Label", tuple(said), tuple(segments))
