"""Commands that hand results on and take them in: measure, export, import, pacs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radfind.cli.ask import Engine, Json, Scan, Series, Text, TextFile
from radfind.cli.output import print_json, progress
from radfind.cli.take_in import take_in

if TYPE_CHECKING:
    from radfind.pacs import Pacs
    from radfind.results import Segmentation
    from radfind.volume import Volume

Segments = Annotated[
    Path | None,
    typer.Option(
        "--segmentation", help="Labelmap of the scan (.seg.nrrd, .nrrd, .nii.gz, .mha), DICOM SEG or RTSTRUCT."
    ),
]
Names = Annotated[Path | None, typer.Option("--names", help="JSON file: label value to name, for plain labelmaps.")]
Address = Annotated[
    str,
    typer.Argument(
        help="http(s)://host/dicom-web, or dimse://AETITLE@host:port (add ?move=PORT for C-MOVE).", metavar="ARCHIVE"
    ),
]
User = Annotated[str | None, typer.Option(help="User name, for DICOMweb.", envvar="RADFIND_PACS_USER")]
Password = Annotated[
    str | None,
    typer.Option(help="Password, for DICOMweb; better set as RADFIND_PACS_PASSWORD.", envvar="RADFIND_PACS_PASSWORD"),
]
OwnTitle = Annotated[str, typer.Option("--ae-title", help="Our own AE title, for DIMSE.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command(epilog="Example: radfind measure ct-folder --segmentation liver.seg.nrrd --csv sizes.csv")(measure)
    app.command(epilog="Example: radfind export ct-folder --text 'both lungs' --formats seg,sr,stl --output out")(
        export
    )
    app.command(
        name="import", epilog="Example: radfind import ct-folder other.seg.dcm sizes.sr.dcm --output all.seg.nrrd"
    )(take_in)
    pacs = typer.Typer(name="pacs", no_args_is_help=True, help="Find, fetch and store series of an archive.")
    pacs.command(epilog="Example: radfind pacs find http://127.0.0.1:8042/dicom-web --patient-id 123")(find)
    pacs.command(epilog="Example: radfind pacs fetch dimse://PACS@10.0.0.5:104 1.2.3 --output ct-folder")(fetch)
    pacs.command(epilog="Example: radfind pacs store http://127.0.0.1:8042/dicom-web out/segmentation.dcm")(store)
    app.add_typer(pacs)


def measure(
    path: Scan,
    segmentation: Segments = None,
    names: Names = None,
    text: Text = None,
    text_file: TextFile = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table to this CSV file.")] = None,
    series: Series = None,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Measure segments: volume, diameters, surface, density, each with its unit and uncertainty."""
    from radfind.measure import measure as measure_segment

    volume, found = _segments(path, segmentation, names, text, text_file, series, engine)
    measured = [measure_segment(volume, segment) for segment in found.segments if segment.mask.any()]
    if csv is not None:
        from radfind.exports.measurement_table import measured_rows
        from radfind.exports.table import write_measurements

        write_measurements(csv, measured_rows(measured, volume))
    if json:
        print_json(
            {
                "segments": [
                    {
                        "name": item.segment.name,
                        "slice_index": item.slice_index,
                        "quantities": [
                            {"name": q.name, "value": q.value, "unit": q.unit.value, "uncertainty": q.uncertainty}
                            for q in item.quantities
                        ],
                    }
                    for item in measured
                ],
                "not_found": list(found.not_found),
                "not_supported": list(found.not_supported),
            }
        )
        return
    for item in measured:
        print(item.segment.name)
        for q in item.quantities:
            range_ = f" ± {q.uncertainty:.3g}" if q.uncertainty is not None else ""
            print(f"  {q.name:<28}{q.value:>12.2f}{range_} {'' if q.unit.value == '1' else q.unit.value}")
    for line in (*found.not_found, *found.not_supported):
        print(f"Not measured: {line}")
    for line in found.notes:
        print(f"Note: {line}")


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
    from radfind.exports.package import linked_answers, write_package

    wanted = [part.strip().lower().lstrip(".") for part in formats.split(",") if part.strip()]
    volume, found = _segments(path, segmentation, names, text, text_file, series, engine)
    query = query_text(text, text_file) if text is not None or text_file is not None else ""
    ranking, verdicts = linked_answers(volume, query, wanted, engine=engine)
    key = anonymous_key.encode() if anonymous_key else None
    for file in write_package(
        volume, found, output, wanted, ranking=ranking, verdicts=verdicts, text=query, anonymous_key=key
    ):
        print(f"Wrote {file}")


def find(
    archive: Address,
    patient_id: Annotated[str, typer.Option(help="Patient ID; * stands for any text.")] = "",
    accession: Annotated[str, typer.Option(help="Accession number.")] = "",
    date: Annotated[str, typer.Option(help="Study date, 20250131 or 20250101-20250131.")] = "",
    study: Annotated[str, typer.Option(help="StudyInstanceUID.")] = "",
    modality: Annotated[str, typer.Option(help="CT, MR, SEG ...")] = "",
    user: User = None,
    password: Password = None,
    ae_title: OwnTitle = "RADFIND",
    json: Json = False,
) -> None:
    """List the series of an archive."""
    import dataclasses

    found = _archive(archive, user, password, ae_title).find_series(
        PatientID=patient_id, AccessionNumber=accession, StudyDate=date, StudyInstanceUID=study, Modality=modality
    )
    if json:
        print_json([dataclasses.asdict(record) for record in found])
        return
    for r in found:
        print(f"{r.series_uid}  {r.modality:<8} {r.study_date}  {r.patient_id}  {r.description}  {r.count or '?'}")
    if not found:
        print("The archive has no such series.")


def fetch(
    archive: Address,
    series: Annotated[str, typer.Argument(help="SeriesInstanceUID.", metavar="UID")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder; the series goes into one of its own in it.")],
    study: Annotated[str, typer.Option(help="StudyInstanceUID, where the archive wants it.")] = "",
    user: User = None,
    password: Password = None,
    ae_title: OwnTitle = "RADFIND",
) -> None:
    """Fetch a series; run again, it goes on where it broke off."""
    from radfind.pacs import SeriesCache

    with progress("Fetching") as context:
        folder = SeriesCache(output, capacity_bytes=1 << 62).get(
            _archive(archive, user, password, ae_title), series, study_uid=study, context=context
        )
    print(f"Wrote {sum(1 for _ in folder.iterdir())} files to {folder}")


def store(
    archive: Address,
    files: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.", metavar="FILE...")],
    user: User = None,
    password: Password = None,
    ae_title: OwnTitle = "RADFIND",
) -> None:
    """Send DICOM files to an archive. Other files in a folder are left out."""
    from radfind.errors import InputError
    from radfind.pacs.model import instance_of

    every: list[Path] = []
    for file in files:
        if not file.exists():
            raise InputError(f"There is no file or folder '{file}'.")
        inside = sorted(p for p in file.rglob("*") if p.is_file()) if file.is_dir() else [file]
        dicom = [p for p in inside if not file.is_dir() or instance_of(p) is not None]
        if not dicom:
            raise InputError(f"There is no DICOM file in '{file}'.")
        if len(dicom) < len(inside):
            print(f"Left out {len(inside) - len(dicom)} files of '{file}' that are no DICOM instances.")
        every += dicom
    _archive(archive, user, password, ae_title).store(every)
    print(f"Stored {len(every)} files.")


def _archive(address: str, user: str | None, password: str | None, title: str) -> Pacs:
    from radfind.errors import InputError

    try:
        from radfind.pacs import connect

        return connect(address, user=user, password=password, called_by=title)
    except ModuleNotFoundError as error:
        raise InputError(f"Archives need the package '{error.name}'. Run: pip install 'radfind[pacs]'") from error


def _segments(
    path: Path,
    labelmap: Path | None,
    names: Path | None,
    text: str | None,
    text_file: Path | None,
    series: str | None,
    engine: str,
) -> tuple[Volume, Segmentation]:
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
