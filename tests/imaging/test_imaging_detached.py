"""A header may name voxel files beside it, and none elsewhere on the machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from radfind.errors import ImageError
from radfind.imaging import load
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.volume import Geometry, Volume

VALUES = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 4 3\nendian: little\nencoding: raw\n"
META = "NDims = 3\nDimSize = 5 4 3\nElementType = MET_SHORT\n"


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_voxels_beside_the_header_are_read(tmp_path: Path, suffix: str) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(tmp_path / f"a{suffix}"))
    assert len(list(tmp_path.iterdir())) == 2
    assert np.array_equal(load(tmp_path / f"a{suffix}").array, VALUES)


def test_voxels_below_the_header_and_lists_of_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for k, plane in enumerate(VALUES):
        (tmp_path / "raw" / f"{k}.raw").write_bytes(plane.tobytes())
    names = "\n".join(f"raw/{k}.raw" for k in range(3)) + "\n"
    (tmp_path / "a.mhd").write_text(f"{META}ElementDataFile = LIST\n{names}")
    (tmp_path / "a.nhdr").write_text(f"{NRRD}data file: LIST\n{names}")
    for name in ("a.mhd", "a.nhdr"):
        assert np.array_equal(load(tmp_path / name).array, VALUES)


@pytest.mark.parametrize("line", ["data file: {}", "DataFile: {}", "data file: LIST\n{}", "data file: {}/%d.raw 1 3 1"])
@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr"])
@pytest.mark.parametrize("absolute", [True, False])
def test_nrrd_header_cannot_reach_elsewhere(tmp_path: Path, line: str, suffix: str, absolute: bool) -> None:
    header = _header_apart(tmp_path, suffix)
    header.write_text(NRRD + line.format(_secret(tmp_path, absolute)) + "\n")
    with pytest.raises(ImageError, match="another place"):
        load(header)


@pytest.mark.parametrize("line", ["ElementDataFile = {}", "ElementDataFile={}", "ElementDataFile = LIST\n{}"])
@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("absolute", [True, False])
def test_meta_header_cannot_reach_elsewhere(tmp_path: Path, line: str, suffix: str, absolute: bool) -> None:
    header = _header_apart(tmp_path, suffix)
    # A comment that looks like the end of the header must hide nothing.
    header.write_text(f"Comment = x\rElementDataFile = LOCAL\n{META}{line.format(_secret(tmp_path, absolute))}\n")
    with pytest.raises(ImageError, match="another place"):
        load(header)


def test_a_labelmap_cannot_either(tmp_path: Path) -> None:
    header = _header_apart(tmp_path, ".nhdr")
    header.write_text(f"{NRRD}data file: {_secret(tmp_path, True)}\n")
    with pytest.raises(ImageError, match="another place"):
        read_segmentation(header, Volume(VALUES, Geometry.from_parts(VALUES.shape)))


def test_a_header_without_an_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(NRRD.encode() + b"# x\n" * 300_000 + b"data file: /secret.raw\n")
    with pytest.raises(ImageError, match="without an end"):
        load(tmp_path / "a.nrrd")


def test_only_the_reader_of_its_suffix_opens_a_file(tmp_path: Path) -> None:
    """HDF5 knows links to other files; ITK would find it by content under any name."""
    sitk.WriteImage(sitk.GetImageFromArray(VALUES), str(tmp_path / "a.h5"))
    (tmp_path / "a.h5").rename(tmp_path / "a.nii")
    with pytest.raises(ImageError, match=r"a\.nii"):
        load(tmp_path / "a.nii")


def _header_apart(folder: Path, suffix: str) -> Path:
    """Where a header goes that is not beside ``secret.raw``."""
    (folder / "secret.raw").write_bytes(VALUES.tobytes())
    (folder / "sent").mkdir()
    return folder / "sent" / f"a{suffix}"


def _secret(folder: Path, absolute: bool) -> str:
    return str(folder / "secret.raw") if absolute else "../secret.raw"
