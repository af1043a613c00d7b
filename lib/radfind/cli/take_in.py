"""The command that takes in what other tools made of a scan: import."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radfind.cli.ask import Json, Scan, Series
from radfind.cli.output import print_json

if TYPE_CHECKING:
    from radfind.exports.dicom_sr_reading import ReportedMeasurement


def take_in(
    path: Scan,
    files: Annotated[
        list[Path], typer.Argument(help="DICOM SEG, RTSTRUCT or SR (TID 1500), or labelmaps.", metavar="FILE...")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write all segments to this file (.seg.nrrd keeps overlaps).")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the reported measurements to this CSV file.")] = None,
    series: Series = None,
    json: Json = False,
) -> None:
    """Take in segments and measurements that other tools made of a scan."""
    import radfind
    from radfind.exports.dicom_sr_reading import read_measurement_report
    from radfind.imaging.dicom_origins import read_object
    from radfind.imaging.labelmap_reading import read_segmentation
    from radfind.imaging.writing import write_labelmap
    from radfind.measure.quantity import unit_in_words
    from radfind.results import Segment, Segmentation

    volume = radfind.load(path, series=series)
    segments: list[Segment] = []
    measured: list[ReportedMeasurement] = []
    notes: list[str] = []
    for file in files:
        dataset = read_object(file)
        if dataset is not None and dataset.get("Modality") == "SR":
            report = read_measurement_report(file, volume)
            measured += report.measurements
            notes += report.notes
        else:
            found = read_segmentation(file, volume)
            segments += found.segments
            notes += [*found.notes, *(f"Not taken in: {line}." for line in found.not_supported)]
    if output is not None and segments:
        write_labelmap(Segmentation(volume.geometry, tuple(segments), engine="import"), output, volume)
    if csv is not None:
        from radfind.exports.table import write_measurements

        write_measurements(csv, [_row(item) for item in measured])
    if json:
        wire = [
            {
                "name": s.name,
                "concept": s.concept.id if s.concept is not None else None,
                "code": s.concept.code if s.concept is not None else None,
                "volume_ml": float(s.mask.sum()) * volume.geometry.voxel_volume / 1000.0,
            }
            for s in segments
        ]
        print_json({"segments": wire, "measurements": [dataclasses.asdict(m) for m in measured], "notes": notes})
        return
    for s in segments:
        print(f"{s.name:<40}{s.mask.sum() * volume.geometry.voxel_volume / 1000.0:>12.2f} ml")
    for m in measured:
        what = " ".join(filter(None, [m.tracking_id, m.finding.meaning if m.finding else "", *m.sites]))
        derived = m.derivation.meaning + " " if m.derivation else ""
        print(f"{what}: {derived}{m.name.meaning} {m.value:g} {unit_in_words(m.unit.value)}".rstrip())
    for line in notes:
        print(f"Note: {line}")
    if output is not None and segments:
        print(f"Wrote {output}")


def _row(item: ReportedMeasurement) -> dict[str, str | int | float | None]:
    return {
        "tracking_id": item.tracking_id,
        "finding": item.finding.meaning if item.finding else None,
        "site": "; ".join(item.sites),
        "measurement": item.name.meaning,
        "derivation": item.derivation.meaning if item.derivation else None,
        "value": item.value,
        "unit": item.unit.value,
        "code": item.name.value,
        "code_scheme": item.name.scheme,
        "tracking_uid": item.tracking_uid,
    }
