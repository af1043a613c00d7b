"""Slicer's own Python finds RadFindLib beside the module file; so do these tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "slicer_module" / "RadFind"
sys.path.insert(0, str(MODULE))

from loopback import Loopback  # noqa: E402


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server
