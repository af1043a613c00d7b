"""Commands that run something: serve, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command(epilog="Example: radfind serve --studies /data/ct --port 8000")(serve)
    app.command(epilog="Example: radfind demo --dicom ct-folder --report report.txt")(demo)


def serve(
    studies: Annotated[str, typer.Option(help="Folder of scans, or a DICOMweb URL.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8000,
) -> None:
    """Start the MONAI Label server with RadFind's tasks."""
    from radfind.errors import InputError

    try:
        from monailabel_app.serve import serve as start
    except ModuleNotFoundError as error:
        raise InputError(
            f"The server needs the package '{error.name}', which is not installed. Run: pip install 'radfind[server]'"
        ) from error
    start(studies, host=host, port=port)


def demo(
    dicom: Annotated[Path | None, typer.Option(help="Your own scan instead of the synthetic one.")] = None,
    report: Annotated[Path | None, typer.Option(help="Its report, UTF-8 text. Needed with --dicom.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-output"),
) -> None:
    """Show the whole: a scan and its report in, slices, outlines and verdicts out, through a real server."""
    from radfind.cli.demo import run_demo

    run_demo(dicom, report, output)
