"""Commands that talk to an archive: pacs find, pacs fetch, pacs store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radfind.cli.ask import Json
from radfind.cli.output import print_json, progress

if TYPE_CHECKING:
    from radfind.pacs import Pacs

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
    pacs = typer.Typer(name="pacs", no_args_is_help=True, help="Find, fetch and store series of an archive.")
    pacs.command(epilog="Example: radfind pacs find http://127.0.0.1:8042/dicom-web --patient-id 123")(find)
    pacs.command(epilog="Example: radfind pacs fetch dimse://PACS@10.0.0.5:104 1.2.3 --output ct-folder")(fetch)
    pacs.command(epilog="Example: radfind pacs store http://127.0.0.1:8042/dicom-web out/segmentation.dcm")(store)
    app.add_typer(pacs)


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
