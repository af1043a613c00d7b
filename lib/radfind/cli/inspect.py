"""Commands that show what is there: info, engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radfind.cli.output import print_json, progress


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command(epilog="Example: radfind info ct-folder")(info)
    app.command(epilog="Example: radfind engines --json")(engines)


def info(
    path: Annotated[Path, typer.Argument(help="DICOM folder, zip or file; or an image file.", metavar="PATH")],
    series: Annotated[str | None, typer.Option("--series", help="SeriesInstanceUID to describe in full.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Describe a scan: its series, size, spacing, orientation and anything odd about it."""
    import dataclasses

    import radfind
    from radfind.imaging import list_series
    from radfind.protocol import volume_to_wire

    with progress("Reading"):
        listed = list_series(path)
        volume = radfind.load(path, series=series) if series or len(listed) <= 1 else None
    if json:
        print_json(
            {
                "series": [
                    {name: value for name, value in dataclasses.asdict(item).items() if name != "files"}
                    for item in listed
                ],
                "volume": volume_to_wire(volume) if volume else None,
            }
        )
        return
    for item in listed:
        print(item)
    if volume is None:
        print("Several series: add --series UID to describe one.")
        return
    geometry = volume.geometry
    k, j, i = geometry.shape
    dk, dj, di = geometry.spacing
    print(f"{volume.modality}  {k} slices of {j} x {i}, spacing {dk:.3f} x {dj:.3f} x {di:.3f} mm (k, j, i)")
    print(f"orientation {geometry.orientation} (i, j, k grow towards), first voxel at LPS {geometry.origin} mm")
    for warning in volume.warnings:
        print(f"Scan: {warning}")


def engines(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the engines: what each can do, its licence, and what is missing when it cannot answer."""
    import dataclasses

    from radfind.engines.registry import infos

    if json:
        print_json(
            {
                "engines": [
                    {**dataclasses.asdict(item), "concepts": sorted(item.concepts) if item.concepts else None}
                    for item in infos()
                ]
            }
        )
        return
    rows = [("engine", "answers", "licence (code/weights)", "state")]
    for item in infos():
        state = "ready" if item.available else f"not available: {item.unavailable_reason}"
        rows.append((item.name, ", ".join(item.tasks), item.licence, state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for *cells, state in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), state]))
