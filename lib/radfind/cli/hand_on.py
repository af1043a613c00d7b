"""Commands that hand results on and take them in: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radfind.cli.ask import Engine, Scan, Series, Text, TextFile
from radfind.cli.output import progress
from radfind.cli.take_in import take_in

if TYPE_CHECKING:
    from radfind.results import Segmentation
    from radfind.volume import Volume

Segments = Annotated[
    Path | None,
    typer.Option(
        "--segmentation", help="Labelmap of the scan (.seg.nrrd, .nrrd, .nii.gz, .mha), DICOM SEG or RTSTRUCT."
    ),
]
Names = Annotated[Path | None, typer.Option("--names", help="JSON file: label value to name, for plain labelmaps.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command(epilog="Example: radfind export ct-folder --text 'both lungs' --formats seg,sr,stl --output out")(
        export
    )
    app.command(
        name="import", epilog="Example: radfind import ct-folder other.seg.dcm sizes.sr.dcm --output all.seg.nrrd"
    )(take_in)


def export(
    path: Scan,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")],
    formats: Annotated[
        str,
        typer.Option(
            help="Comma-separated: seg, seg-labelmap, sr, ko, rtstruct (DICOM); stl, ply, obj, vtk, 3mf, glb, gltf; "
            "seg.nrrd, nrrd, nii.gz, mha; csv, fhir."
        ),
    ] = "seg,sr",
    segmentation: Segments = None,
    names: Names = None,
    text: Text = None,
    text_file: TextFile = None,
    anonymous_key: Annotated[
        str | None, typer.Option(help="Write no patient identity; UIDs are replaced by ones made with this secret.")
    ] = None,
    series: Series = None,
    engine: Engine = "auto",
) -> None:
    """Write segments as DICOM objects, meshes, labelmaps, tables or FHIR."""
    from radfind.cli.output import query_text
    from radfind.exports.package import asked_formats, linked_answers, write_package

    wanted = asked_formats(formats)
    volume, found = segments_of(path, segmentation, names, text, text_file, series, engine)
    query = query_text(text, text_file) if text is not None or text_file is not None else ""
    ranking, verdicts = linked_answers(volume, query, wanted, engine=engine)
    key = anonymous_key.encode() if anonymous_key else None
    for file in write_package(
        volume, found, output, wanted, ranking=ranking, verdicts=verdicts, text=query, anonymous_key=key
    ):
        print(f"Wrote {file}")


def segments_of(
    path: Path,
    labelmap: Path | None,
    names: Path | None,
    text: str | None,
    text_file: Path | None,
    series: str | None,
    engine: str,
) -> tuple[Volume, Segmentation]:
    """The scan, and the segments a command works on: those of a file, or what a text asks for.

    Raises:
        InputError: neither was given.
    """
    import radfind
    from radfind.cli.output import query_text
    from radfind.errors import InputError

    volume = radfind.load(path, series=series)
    if labelmap is not None:
        from radfind.imaging.labelmap_reading import read_names, read_segmentation

        given = read_names(names) if names is not None else None
        return volume, read_segmentation(labelmap, volume, names=given)
    if text is None and text_file is None:
        raise InputError("Say what to work on: --segmentation FILE, or --text with what to outline.")
    with progress("Segmenting") as context:
        return volume, radfind.segment(volume, query_text(text, text_file), engine=engine, context=context)
