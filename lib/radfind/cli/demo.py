"""``radfind demo``: a scan and its report in, slices, outlines and verdicts out, through a real server."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import radfind
from radfind.client import RadFindClient
from radfind.errors import EngineError, InputError
from radfind.exports.gallery import write_gallery
from radfind.exports.table import segment_rows, verdict_rows, write_measurements
from radfind.volume import Volume
from radfind.wire_results import ranking_from_wire, segmentation_from_wire, verdicts_from_wire

PHANTOM_SEED = 21
"""The demo's patient. Any seed works; a fixed one makes two people see the same page."""


def run_demo(dicom: Path | None, report: Path | None, output: Path) -> None:
    """Run the demo and write ``segmentation.seg.nrrd``, ``bookmarks.mrk.json``, ``measurements.csv`` and
    ``report.html`` into `output`.

    Raises:
        InputError: only one of scan and report was given, or one cannot be read.
    """
    if (dicom is None) != (report is None):
        raise InputError("Give a scan and its report together (DICOM=folder REPORT=file), or neither.")
    output.mkdir(parents=True, exist_ok=True)
    if dicom is None or report is None:
        print("1/4  Making a synthetic chest CT with its report")
        scan, text = _synthetic(output / "studies")
    else:
        print(f"1/4  Reading {dicom} and {report}")
        scan, text = dicom, _report_text(report)
    volume = radfind.load(scan)
    print("2/4  Starting the MONAI Label server on loopback (it takes up to a minute to load)")
    with _server(_studies(scan, output), output / "server.log") as client:
        image = _image_of(client, volume, scan)
        print("3/4  Asking: segment, rank, verify")
        files = {name: output / name for name in ("segmentation.seg.nrrd", "bookmarks.mrk.json")}
        reply = client.ask_file(
            "radfind_segment",
            image,
            files["segmentation.seg.nrrd"],
            text=text,
            result_extension=".seg.nrrd",
            masks=True,
        )
        segmentation = segmentation_from_wire(reply, volume.geometry)
        client.ask_file("radfind_bookmarks", image, files["bookmarks.mrk.json"], text=text)
        ranking = ranking_from_wire(
            client.ask("radfind_rank", image, text=text, top_k=40, masks=True), volume.geometry.shape
        )
        verdicts = verdicts_from_wire(client.ask("radfind_verify", image, text=text, masks=True), volume.geometry.shape)
    print("4/4  Writing the page and the table")
    write_measurements(output / "measurements.csv", [*verdict_rows(verdicts, volume), *segment_rows(segmentation)])
    page = output / "report.html"
    write_gallery(page, volume, text, verdicts, ranking=ranking, segmentation=segmentation)
    answers = [verdict.answer for verdict in verdicts]
    counted = ", ".join(f"{answers.count(answer)} {answer}" for answer in ("yes", "no", "maybe"))
    print(f"{len(answers)} statements: {counted}")
    for verdict in verdicts:
        if verdict.answer == "no":
            print(f"  contradicted: {verdict.statement.text.strip()}  ({verdict.reason})")
    print(f"Open {page.resolve()} in a browser, or drop the files of {output} into 3D Slicer.")


def _synthetic(folder: Path) -> tuple[Path, str]:
    from radfind.phantom import LesionSpec, make_phantom, write_dicom

    shutil.rmtree(folder, ignore_errors=True)
    lesions = (
        LesionSpec("solid_nodule", "right", "upper", 14, ("spiculated",)),
        LesionSpec("part_solid_nodule", "left", "lower", 22),
        LesionSpec("pleural_effusion", "left", diameter_mm=30),
        LesionSpec("consolidation", "right", "lower", 60),
    )
    phantom = make_phantom(seed=PHANTOM_SEED, lesions=lesions, shape=(120, 320, 320))
    scan = folder / "phantom-ct"
    scan.mkdir(parents=True)
    write_dicom(phantom.volume, scan)
    (folder / "report.txt").write_text(f"{phantom.report_en}\n\n{phantom.report_zh}\n", encoding="utf-8")
    return scan, f"{phantom.report_en}\n\n{phantom.report_zh}\n"


def _studies(scan: Path, output: Path) -> Path:
    """The folder to serve: the scan's own, or one that holds a link to the file and nothing else."""
    if scan.is_dir():
        return scan
    if scan.suffix.lower() == ".zip":
        raise InputError(f"The demo serves a folder: unpack {scan} and give the folder.")
    folder = output / "studies"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / scan.name).symlink_to(scan.resolve())
    return folder


def _report_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The report {file} cannot be read as UTF-8 text: {error}.") from error


def _image_of(client: RadFindClient, volume: Volume, scan: Path) -> str:
    """The server's id of the scan: its SeriesInstanceUID, or the file's name."""
    images = client.images()
    for wanted in (volume.series_uid, scan.name.split(".")[0]):
        if wanted in images:
            return str(wanted)
    raise EngineError(f"The server does not list the scan {scan}; it lists: {', '.join(images) or 'nothing'}.")


@contextlib.contextmanager
def _server(studies: Path, log: Path) -> Iterator[RadFindClient]:
    """A server process on a free loopback port, stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "radfind.cli", "serve", "--studies", str(studies), "--port", str(port)]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            client = RadFindClient(f"http://127.0.0.1:{port}")
            try:
                client.wait_until_ready(alive=lambda: process.poll() is None)
            except EngineError as error:
                raise EngineError(f"{error} Its log is {log}.") from error
            yield client
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
