"""The command that plans: margin, remnant, distances and ways around one lesion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radfind.cli.ask import Engine, Json, Scan, Series, Text, TextFile
from radfind.cli.hand_on import Names, Segments, segments_of
from radfind.cli.output import print_json

if TYPE_CHECKING:
    from radfind.results import Segment, Segmentation


def register(app: typer.Typer) -> None:
    """Add this file's command to `app`."""
    app.command(
        epilog="Example: radfind plan ct-folder --segmentation all.seg.nrrd --lesion 'liver lesion' --organ liver "
        "--margin 10 --spare 'vein,aorta,rib' --output plan"
    )(plan)


def plan(
    path: Scan,
    lesion: Annotated[str, typer.Option(help="Name of the segment to remove or to reach.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")],
    segmentation: Segments = None,
    names: Names = None,
    text: Text = None,
    text_file: TextFile = None,
    organ: Annotated[str | None, typer.Option(help="Segment that clips the margin; its remnant is stated.")] = None,
    margin: Annotated[str, typer.Option(help="Millimetres, or per direction: left=5,superior=12.")] = "10",
    spare: Annotated[
        str | None,
        typer.Option(help="What must not be hit: comma-separated words of segment names; left out, all others."),
    ] = None,
    max_length: Annotated[float, typer.Option(min=1.0, help="Longest way, mm.")] = 150.0,
    min_clearance: Annotated[float, typer.Option(min=0.0, help="Least room to what is spared, mm.")] = 3.0,
    ways: Annotated[int, typer.Option(min=0, help="At most this many ways; 0 looks for none.")] = 5,
    formats: Annotated[
        str | None, typer.Option(help="As of 'export'; left out: seg.nrrd, stl, csv, and for DICOM seg, sr, rtstruct.")
    ] = None,
    series: Series = None,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Plan a resection or a puncture: safety margin, remnant, distances, and straight ways in from the skin."""
    from radfind.exports.package import asked_formats
    from radfind.exports.plan_files import plan_numbers, write_plan
    from radfind.measure.planning import directions_of
    from radfind.measure.planning import plan as make_plan

    size = directions_of(margin)
    volume, found = segments_of(path, segmentation, names, text, text_file, series, engine)
    target = _named(found, lesion)
    around = _named(found, organ) if organ is not None else None
    spared = _spared(found, spare, [target] if around is None else [target, around])
    made = make_plan(
        volume,
        target,
        organ=around,
        spared=spared,
        margin_mm=size,
        max_length_mm=max_length,
        min_clearance_mm=min_clearance,
        ways=ways,
    )
    usual = ["seg", "sr", "rtstruct"] * bool(volume.slices) + ["seg.nrrd", "stl", "csv"]
    files = write_plan(made, volume, output, asked_formats(formats) if formats else usual, spared=spared)
    told = plan_numbers(made, volume)
    if json:
        print_json(told)
        return
    print(f"{target.name}: {told['lesion']['volume_mm3'] / 1000:.1f} ml; {told['margin']}: {told['margin_ml']:.1f} ml")
    if around is not None:
        print(f"Resected {told['resected_ml']} ml of {around.name}; {told['remnant_share']:.0%} of it stays.")
    for name, distance in told["distance_mm"].items():
        print(f"  {distance:6.1f} mm to {name}")
    for number, way in enumerate(told["ways"], start=1):
        room = f", {way['clearance_mm']} mm from {way['nearest']}" if way["nearest"] else ""
        print(f"Way {number}: {way['length_mm']} mm from {way['entry_lps']} (LPS mm){room}")
    for line in told["notes"]:
        print(f"Note: {line}")
    for file in files:
        print(f"Wrote {file}")


def _words(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


def _named(found: Segmentation, name: str) -> Segment:
    """The segment of that name; of all that hold its words when exactly one does."""
    from radfind.errors import InputError

    there = [s for s in found.segments if s.mask.any()]
    exact = [s for s in there if _words(s.name) == _words(name)]
    matching = exact or [s for s in there if _words(name) in _words(s.name)]
    if len(matching) != 1:
        what = f"{len(matching)} segments are called" if matching else "There is no segment"
        raise InputError(f"{what} '{name}'. Name one of: {', '.join(s.name for s in there) or 'none has voxels'}.")
    return matching[0]


def _spared(found: Segmentation, words: str | None, planned: list[Segment]) -> list[Segment]:
    """The segments to keep clear of. Each word must name one, or a vessel would be missed by a slip of the pen."""
    from radfind.errors import InputError

    others = [s for s in found.segments if s.mask.any() and s not in planned]
    if words is None:
        return others
    asked = [_words(word) for word in words.split(",") if word.strip()]
    for word in asked:
        if not any(word in _words(s.name) for s in others):
            raise InputError(
                f"No segment is called '{word}', so it cannot be spared. There are: "
                f"{', '.join(s.name for s in others) or 'no other segments'}."
            )
    return [s for s in others if any(word in _words(s.name) for word in asked)]
