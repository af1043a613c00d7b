"""Slicer's own Python finds RadFindLib beside the module file; so do these tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).resolve().parents[2] / "slicer_module" / "RadFind"
sys.path.insert(0, str(MODULE))

from loopback import Loopback  # noqa: E402


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server


@pytest.fixture
def bench(loopback: Loopback) -> Iterator[Any]:
    """A scene and a logic that talks to `loopback`: see `workbench.Bench`."""
    from workbench import Bench

    made = Bench(loopback)
    yield made
    made.logic.cleanup()


@pytest.fixture
def shown(loopback: Loopback, tmp_path: Path) -> Iterator[Any]:
    """The panel over all that: see `panel_bench.Panel`."""
    from panel_bench import Panel

    made = Panel(loopback, tmp_path)
    yield made
    made.widget.cleanup()
    made.parent.deleteLater()
