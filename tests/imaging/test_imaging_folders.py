"""What lies in real folders and exports: links, other names, remains of slices; nothing is lost in silence."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dicom_writer import Written, image, save, write_series
from pydicom.uid import MediaStorageDirectoryStorage

from radfind.errors import ImageError
from radfind.imaging import load
from radfind.imaging.nifti import UNPLACED
from radfind.volume import Geometry

STORED = np.random.default_rng(4).integers(-1000, 2000, (6, 5, 4)).astype(np.int16)
GRID = Geometry.from_parts(STORED.shape, spacing=(2.5, 0.7, 0.8))


def series(folder: Path, suffix: str = ".dcm") -> Written:
    return write_series(folder, STORED, GRID, RescaleIntercept=0, name=lambda k: f"{k:03d}{suffix}")


def test_linked_files_and_folders_are_read_once(tmp_path: Path) -> None:
    series(tmp_path / "real")
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient" / "ct").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "round").symlink_to(tmp_path / "patient")
    (tmp_path / "real" / "broken").symlink_to(tmp_path / "nowhere")
    volume = load(tmp_path / "patient")
    assert np.array_equal(volume.array, STORED)
    assert volume.warnings == ()


def test_the_content_tells_dicom_whatever_the_name(tmp_path: Path) -> None:
    series(tmp_path, ".png")
    assert np.array_equal(load(tmp_path).array, STORED)
    shutil.copy(tmp_path / "003.png", tmp_path / "one.nii")
    assert np.array_equal(load(tmp_path / "one.nii").array, STORED[3:4])


def test_an_exported_disc(tmp_path: Path) -> None:
    written = series(tmp_path / "s", "")
    directory = image(STORED[0])
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    for keyword in [element.keyword for element in directory]:
        delattr(directory, keyword)
    save(directory, tmp_path / "index")
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as disc:
        for path in written.paths:
            disc.write(path, f"PAT0/ST0/SE0/{path.name}")
        for name in ("DICOMDIR", "DICOM.IDX"):
            disc.write(tmp_path / "index", name)
        for name in ("Thumbs.db", "autorun.inf", "VIEWER/run.exe", "VIEWER/logo.png", "PAT0/.DS_Store"):
            disc.writestr(name, b"\xd0\xcf\x11\xe0 something")
    volume = load(tmp_path / "disc.zip")
    assert np.array_equal(volume.array, STORED)
    assert volume.warnings == ()


@pytest.mark.parametrize("suffix", [".dcm", ""])
@pytest.mark.parametrize("left", [0, 100, 132, 250, 400, 600, -1])
def test_the_last_slice_cut_anywhere_is_not_lost_in_silence(tmp_path: Path, suffix: str, left: int) -> None:
    """At the end of a stack there is no gap that would tell."""
    last = series(tmp_path, suffix).paths[-1]
    last.write_bytes(last.read_bytes()[:left])
    try:
        volume = load(tmp_path)
    except ImageError as error:
        assert last.name in str(error)
        return
    if (left, suffix) != (100, ""):  # what is shorter than the mark, and is not called DICOM, could be anything
        assert last.name in " ".join(volume.warnings)


def test_a_missing_slice_is_told_beside_the_file_that_could_be_it(tmp_path: Path) -> None:
    series(tmp_path).paths[2].write_bytes(b"")
    with pytest.raises(ImageError, match=r"lacks 1 slice.*left out: 002\.dcm"):
        load(tmp_path)


def test_an_archive_inside_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.dcm", b"x")
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.write(tmp_path / "in.zip", "in.zip")
    with pytest.raises(ImageError, match="Unpack it"):
        load(tmp_path / "out.zip")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path: Path) -> None:
    written = series(tmp_path / "s")
    shutil.copytree(tmp_path / "s", tmp_path / "t" / "sub")
    written.paths[1].chmod(0)
    (tmp_path / "t" / "sub").chmod(0)
    for path, word in ((tmp_path / "s", "001.dcm"), (tmp_path / "t", "sub")):
        with pytest.raises(ImageError, match=f"{word}.*cannot be opened"):
            load(path)
    (tmp_path / "t" / "sub").chmod(0o700)


def test_a_mosaic_is_no_slice(tmp_path: Path) -> None:
    tiled = image(STORED[0], modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    with pytest.raises(ImageError, match=r"mosaic.*dcm2niix"):
        load(save(tiled, tmp_path / "mosaic.dcm"))


def test_ct_without_rescale_says_so(tmp_path: Path) -> None:
    write_series(tmp_path / "none", STORED, GRID)
    assert "states no Rescale Intercept" in load(tmp_path / "none").warnings[0]
    written = write_series(tmp_path / "odd", STORED, GRID, RescaleIntercept="1024")
    for path in written.paths:
        path.write_bytes(path.read_bytes().replace(b"DS\x04\x001024", b"DS\x04\x00 nan"))
    with pytest.raises(ImageError, match="RescaleIntercept that is no number"):
        load(tmp_path / "odd")


def test_nrrd_without_a_space_has_no_left(tmp_path: Path) -> None:
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 5 6\nendian: little\nencoding: raw\n{}\n"
    for name, lines in (
        ("without.nrrd", "spacings: 0.8 0.7 2.5\n"),
        ("with.nrrd", "space: RAS\nspace directions: (-0.8,0,0) (0,-0.7,0) (0,0,2.5)\nspace origin: (0,0,0)\n"),
    ):
        (tmp_path / name).write_bytes(header.format(lines).encode() + STORED[:, :, :4].tobytes())
    without, placed = load(tmp_path / "without.nrrd"), load(tmp_path / "with.nrrd")
    assert np.array_equal(without.array, placed.array)
    assert np.allclose(without.geometry.affine, placed.geometry.affine)
    assert (without.placed, placed.placed) == (False, True)
    assert set(without.warnings) - set(placed.warnings) == {UNPLACED}
