"""The command that measures segments, and compares them with a report and with an earlier scan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radfind.cli.ask import Engine, Json, Scan, Series, Text, TextFile
from radfind.cli.hand_on import Names, Segments, segments_of
from radfind.cli.output import print_json

if TYPE_CHECKING:
    from radfind.measure import Measured
    from radfind.volume import Volume


def register(app: typer.Typer) -> None:
    """Add this file's command to `app`."""
    app.command(epilog="Example: radfind measure ct-folder --segmentation liver.seg.nrrd --csv sizes.csv")(measure)


def measure(
    path: Scan,
    segmentation: Segments = None,
    names: Names = None,
    text: Text = None,
    text_file: TextFile = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this CSV file.")] = None,
    distances: Annotated[bool, typer.Option("--distances", help="Also the distances between all segments.")] = False,
    prior: Annotated[
        Path | None,
        typer.Option(help="What --json printed of an earlier scan: growth and doubling time of segments so named."),
    ] = None,
    series: Series = None,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Measure segments: volume, diameters, surface, density, each with its unit and uncertainty."""
    from radfind.measure.growth import changes, date_of, read_prior
    from radfind.measure.placement import placed
    from radfind.measure.quantities import measure_segments
    from radfind.measure.quantity import unit_in_words

    earlier = read_prior(prior) if prior is not None else None
    volume, found = segments_of(path, segmentation, names, text, text_file, series, engine)
    measured = placed(measure_segments(volume, found), volume)
    if csv is not None:
        from radfind.exports.measurement_table import measured_rows
        from radfind.exports.table import write_measurements

        write_measurements(csv, measured_rows(measured, volume))
    apart = _distances(measured, volume) if distances else []
    grown = changes(measured, date_of(volume), earlier) if earlier is not None else []
    date = date_of(volume)
    if json:
        print_json(
            {
                "date": date.isoformat() if date is not None else None,
                "segments": [_wire(item) for item in measured],
                "distances": apart,
                "changes": [change.wire() for change in grown],
                "not_found": list(found.not_found),
                "not_supported": list(found.not_supported),
            }
        )
        return
    for item in measured:
        print(item.segment.name + (f" ({item.place})" if item.place else ""))
        for q in item.quantities:
            range_ = f" ± {q.uncertainty:.3g}" if q.uncertainty is not None else ""
            print(f"  {q.name:<28}{q.value:>12.2f}{range_} {unit_in_words(q.unit.value)}".rstrip())
        if (told := _reported(item)) is not None:
            sizes = " x ".join(f"{value:g}" for value in told["reported_mm"])
            verdict = "agrees" if told["agrees"] else f"differs by {told['difference_mm']:+.1f} mm"
            print(f"  the report says {sizes} mm: {verdict} (tolerance {told['tolerance_mm']:.1f} mm)")
        for line in item.notes:
            print(f"  Note: {line}")
    for d in apart:
        print(f"{d['from']} to {d['to']}: {d['minimum_mm']:.1f} mm, centres {d['centre_mm']:.1f} mm")
    for change in grown:
        print(change.text())
    for line in (*found.not_found, *found.not_supported):
        print(f"Not measured: {line}")
    for line in (*volume.warnings, *found.notes):
        print(f"Note: {line}")


def _wire(item: Measured) -> dict[str, Any]:
    return {
        "name": item.segment.name,
        "place": item.place,
        "slice_index": item.slice_index,
        "quantities": [
            {"name": q.name, "value": q.value, "unit": q.unit.value, "uncertainty": q.uncertainty}
            for q in item.quantities
        ],
        "reported": _reported(item),
        "notes": list(item.notes),
    }


def _reported(item: Measured) -> dict[str, Any] | None:
    """The size the text names of this segment beside the measured one."""
    import dataclasses

    from radfind.measure import compare_sizes

    compared = compare_sizes(item, item.segment.finding) if item.segment.finding is not None else None
    return dataclasses.asdict(compared) if compared is not None else None


def _distances(measured: list[Measured], volume: Volume) -> list[dict[str, Any]]:
    import itertools

    from radfind.measure.distances import distance_between

    told = []
    for one, other in itertools.combinations(measured, 2):
        found = distance_between(one.segment.mask, other.segment.mask, volume.geometry)
        told.append(
            {
                "from": one.segment.name,
                "to": other.segment.name,
                "minimum_mm": found.minimum_mm,
                "centre_mm": found.centre_mm,
            }
        )
    return told
