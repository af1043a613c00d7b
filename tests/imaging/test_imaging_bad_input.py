"""What a user may do wrong, through the command line: one paragraph that names it, exit code 2, nothing written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_writer import image, save, write_series

from radfind import cli
from radfind.volume import Geometry

STORED = np.random.default_rng(0).integers(-1000, 1000, (6, 16, 16)).astype(np.int16)
GRID = Geometry.from_parts(STORED.shape)

COMMANDS = {
    "rank": (),
    "verify": (),
    "segment": ("--output", "out.nrrd"),
}


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def text_named_dcm(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.dcm").write_text("no image at all\n" * 20)
    return folder / "a.dcm"


def text_in_a_folder(folder: Path) -> Path:
    return text_named_dcm(folder).parent


def two_series(folder: Path) -> Path:
    for uid in ("1.2.3.21", "1.2.3.22"):
        write_series(folder / uid, STORED, GRID, SeriesInstanceUID=uid)
    return folder


def two_series_in_one_folder_with_one_uid(folder: Path) -> Path:
    write_series(folder, STORED, GRID)
    write_series(folder, STORED + 1, GRID, name=lambda n: f"b{n}.dcm")
    return folder


def tilted(folder: Path) -> Path:
    folder.mkdir()
    for n in range(6):
        save(image(STORED[n], position=(0, 3 * n * np.tan(np.radians(15)), 3 * n)), folder / f"{n}.dcm")
    return folder


def truncated(folder: Path) -> Path:
    file = write_series(folder, STORED, GRID).paths[3]
    file.write_bytes(file.read_bytes()[:-200])
    return folder


def truncated_in_the_header(folder: Path) -> Path:
    file = write_series(folder, STORED, GRID).paths[3]
    file.write_bytes(file.read_bytes()[:500])
    return folder


def one_slice(folder: Path) -> Path:
    write_series(folder, STORED[:1], Geometry.from_parts((1, 16, 16)))
    return folder


def all_nan(folder: Path) -> Path:
    folder.mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 8, 8), np.nan, np.float32)), str(folder / "nan.nii.gz"))
    return folder / "nan.nii.gz"


def broken_zip(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.zip").write_bytes(b"PK\x03\x04 and nothing that follows from it")
    return folder / "a.zip"


def ultrasound(folder: Path) -> Path:
    write_series(folder, STORED, GRID, modality="US")
    return folder


@pytest.fixture
def radfind(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["radfind", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def assert_refused(answer: tuple[int, str, str], word: str) -> None:
    code, out, err = answer
    assert (code, out) == (2, ""), err
    assert word.lower() in " ".join(err.split()).lower()
    assert "Traceback" not in err
    assert "\n\n" not in err.strip()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("make", "word"),
    [
        (empty, "holds no image"),
        (text_named_dcm, "not an image"),
        (text_in_a_folder, "not an image"),
        (two_series, "1.2.3.22"),
        (two_series_in_one_folder_with_one_uid, "different images at one place"),
        (tilted, "tilted"),
        (truncated, "0003.dcm"),
        (truncated_in_the_header, "0003.dcm"),
        (one_slice, "slices"),
        (all_nan, "NaN"),
        (broken_zip, "a.zip"),
        (ultrasound, "US"),
    ],
)
def test_unusable_images(
    radfind: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], Path],
    word: str,
    command: str,
) -> None:
    where = make(tmp_path / "scan")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert_refused(radfind(command, str(where), "--text", "lung nodule", "--json", *COMMANDS[command]), word)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("text", "word"), [("", "empty"), (" \n\t", "empty"), ("nodule " * 150_000, "characters")])
def test_unusable_texts(
    radfind: Callable[..., tuple[int, str, str]], tmp_path: Path, command: str, text: str, word: str
) -> None:
    write_series(tmp_path / "scan", STORED, GRID)
    (tmp_path / "text").write_text(text)
    answer = radfind(command, str(tmp_path / "scan"), "--text-file", str(tmp_path / "text"), *COMMANDS[command])
    assert_refused(answer, word)


@pytest.mark.parametrize("command", ["rank", "segment"])
def test_an_unknown_word_is_an_error_where_nothing_else_is_asked(
    radfind: Callable[..., tuple[int, str, str]], tmp_path: Path, command: str
) -> None:
    write_series(tmp_path / "scan", STORED, GRID)
    answer = radfind(command, str(tmp_path / "scan"), "--text", "blorptitis in the right lung", *COMMANDS[command])
    assert_refused(answer, "blorptitis")
