"""Measurements as a CSV table, units in the column names."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from radfind.results import Evidence, Segmentation, Verdict
from radfind.volume import Volume

Row = Mapping[str, str | int | float | None]


def write_measurements(path: Path | str, rows: Iterable[Row]) -> None:
    """Write rows as UTF-8 CSV with a byte order mark (spreadsheets then read Chinese right).

    The columns are the union of all keys in order of appearance. Texts that a spreadsheet would run as a formula
    are quoted with an apostrophe (OWASP, CSV injection).
    """
    table = list(rows)
    columns = list(dict.fromkeys(key for row in table for key in row))
    with Path(path).open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in table)


def _cell(value: str | int | float | None) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if np.isfinite(value) else ""
    if isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@"):
        return "'" + value
    return value


def verdict_rows(verdicts: Sequence[Verdict], volume: Volume) -> list[Row]:
    """One row per statement: what the report says beside what was measured."""
    rows: list[Row] = []
    for number, verdict in enumerate(verdicts, start=1):
        finding, evidence = verdict.finding, main_evidence(verdict)
        sizes = finding.sizes_mm if finding else ()
        row: dict[str, str | int | float | None] = {
            "statement": number,
            "text": verdict.statement.text.strip(),
            "answer": verdict.answer,
            "confidence": float(verdict.confidence),
            "code": verdict.code,
            "reason": verdict.reason,
            "concept": finding.concept.id if finding else None,
            "snomed_ct": finding.concept.code if finding else None,
            "reported_side": finding.place.side if finding else None,
            "reported_long_mm": sizes[0] if sizes else None,
            "reported_short_mm": sizes[1] if len(sizes) > 1 else None,
        }
        values = dict(evidence.values) if evidence else {}
        row["measured_long_mm"] = values.get("longest_diameter_mm")
        row["measured_short_mm"] = values.get("perpendicular_diameter_mm")
        row["volume_ml"] = values["volume_mm3"] / 1000 if "volume_mm3" in values else None
        row["mean_HU"] = values.get("mean_hu")
        first, last = evidence.slices if evidence and evidence.slices else (None, None)
        row["first_slice_index"], row["last_slice_index"] = first, last
        centre = volume.geometry.to_lps(evidence.center_kji) if evidence and evidence.center_kji else (None,) * 3
        for axis, value in zip(("L", "P", "S"), centre, strict=True):
            row[f"centre_{axis}_mm"] = None if value is None else float(value)
        rows.append(row)
    return rows


def segment_rows(segmentation: Segmentation) -> list[Row]:
    """One row per segment: name, code, volume."""
    voxel = segmentation.geometry.voxel_volume / 1000
    return [
        {
            "label": number,
            "segment": segment.name,
            "snomed_ct": segment.concept.code if segment.concept else None,
            "volume_ml": float(np.count_nonzero(segment.mask) * voxel),
            "score": float(segment.score),
        }
        for number, segment in enumerate(segmentation.segments, start=1)
    ]


def main_evidence(verdict: Verdict) -> Evidence | None:
    """The evidence to show first: one with a mask, else one that points somewhere, else any."""
    ranked = sorted(verdict.evidence, key=lambda e: (e.mask is None, e.center_kji is None and e.slices is None))
    return ranked[0] if ranked else None
