"""Series sent as one file: against SimpleITK's own reading, kept once, made anew when a slice changes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from monailabel_app.gateway import downloads
from monailabel_app.gateway.errors import Refusal
from radfind.phantom import make_phantom, write_dicom


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "series"
    write_dicom(make_phantom(seed=12, shape=(8, 32, 40), axes="LPI", rotation_deg=(5.0, 3.0, 0.0)).volume, folder)
    return folder


def test_a_series_arrives_as_simpleitk_reads_it(series: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    sent = sitk.ReadImage(str(downloads.folder_as_nrrd(series, cache)))
    own = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series)))
    assert np.array_equal(sitk.GetArrayViewFromImage(sent), sitk.GetArrayViewFromImage(own))
    for mine, theirs in zip(
        (*sent.GetOrigin(), *sent.GetSpacing(), *sent.GetDirection()),
        (*own.GetOrigin(), *own.GetSpacing(), *own.GetDirection()),
        strict=True,
    ):
        assert mine == pytest.approx(theirs, abs=1e-4)


def test_it_is_converted_once_and_again_when_a_slice_changes(series: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    first = downloads.folder_as_nrrd(series, cache)
    made = first.stat().st_ino
    assert downloads.folder_as_nrrd(series, cache).stat().st_ino == made
    os.utime(min(series.iterdir()), (1, 1))
    assert downloads.folder_as_nrrd(series, cache) != first
    assert not list(cache.glob(".*"))  # no draft is left


def test_the_oldest_go_when_the_cache_is_full(series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for age, name in enumerate(("old", "older"), start=1):
        (cache / f"{name}.nrrd").write_bytes(bytes(1000))
        os.utime(cache / f"{name}.nrrd", (1000 - age, 1000 - age))
    new = downloads.folder_as_nrrd(series, cache)
    monkeypatch.setattr(downloads, "MAX_CACHE_BYTES", new.stat().st_size + 1500)
    os.utime(min(series.iterdir()), (2, 2))
    newer = downloads.folder_as_nrrd(series, cache)
    assert newer.is_file()
    assert not (cache / "older.nrrd").exists()


@pytest.mark.parametrize("algorithm", ["", "SHA256:", "sha-256:", "SHA512:", "MD5:"])
def test_checksums(tmp_path: Path, algorithm: str) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"some weights")
    name = algorithm.rstrip(":").lower().replace("-", "") or "sha256"
    digest = hashlib.new(name, file.read_bytes()).hexdigest()
    assert downloads.checksum_fits(file, algorithm + digest.upper())
    assert not downloads.checksum_fits(file, algorithm + "0" * len(digest))
    with pytest.raises(Refusal):
        downloads.checksum_fits(file, "CRC32:" + digest)
