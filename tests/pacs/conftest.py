"""Orthanc, empty or with one series."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from orthanc import Orthanc

from radfind.phantom import write_dicom
from radfind.volume import Geometry, Volume


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A CT series of 40 slices with a dense ball in it."""
    shape = (40, 64, 64)
    k, j, i = np.indices(shape) - np.array([20, 32, 30]).reshape(3, 1, 1, 1)
    array = np.where(k**2 * 4 + j**2 + i**2 < 15**2, 60, -900).astype(np.int16)
    volume = Volume(array, Geometry.from_parts(shape, spacing=(2.0, 1.0, 1.0), origin=(-30, -32, 100)), "CT")
    return write_dicom(volume, tmp_path_factory.mktemp("scan"), seed=9)
