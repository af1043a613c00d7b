"""Fixtures every test may use: the shared scans, and a guard that keeps tests off the network."""

from __future__ import annotations

import importlib
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples in every run, so that a red run can be repeated. HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

ROOT = Path(__file__).resolve().parent.parent
OFFLINE = ROOT / "tests" / "offline"


def shared_data_folder() -> Path:
    """Where the shared scans lie: ``RADFIND_DATA``, else ``../shared/data`` beside the checkout."""
    return Path(os.environ.get("RADFIND_DATA") or ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``shared_data("chest-ct")`` unpacks that archive once and returns its folder; skips where it is absent."""
    unpacked: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in unpacked:
            archive = shared_data_folder() / f"{name}.zip"
            if not archive.is_file():
                pytest.skip(f"shared test data {archive.name} is not here; set RADFIND_DATA to its folder")
            target = tmp_path_factory.mktemp(name)
            with zipfile.ZipFile(archive) as file:
                file.extractall(target)
            inner = target / name
            unpacked[name] = inner if inner.is_dir() else target
        return unpacked[name]

    return get


@pytest.fixture(scope="session")
def shared_cases() -> dict[str, Any]:
    """The shared ``cases.json``: questions to the shared scans and the slices that answer them."""
    file = shared_data_folder() / "cases.json"
    if not file.is_file():
        pytest.skip(f"shared test data {file.name} is not here; set RADFIND_DATA to its folder")
    return dict(json.loads(file.read_text(encoding="utf-8")))


@pytest.fixture(autouse=True, scope="session")
def _loopback_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test may reach beyond this machine, nor may a Python process it starts: nobody even tries."""
    refused = tmp_path_factory.mktemp("network") / "refused"
    refused.touch()
    os.environ["RADFIND_REFUSED"] = str(refused)
    sys.path.insert(0, str(OFFLINE))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
    importlib.import_module("stay_here").keep()
    yield refused
    assert refused.read_text() == "", "tests, or processes they started, tried to leave this machine (see above)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of the Slicer module load Slicer's libraries (see the marker ``slicer``)."""
    for item in items:
        if "slicer_module" in item.path.parts:
            item.add_marker("slicer")
