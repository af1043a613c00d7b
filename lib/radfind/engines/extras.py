"""Which optional packages are here, without importing them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence


def missing_packages(extra: str, packages: Sequence[str]) -> str:
    """What to install when any of `packages` is absent; empty when all are here."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    listed = ", ".join(absent)
    return f"not installed: {listed}; install radfind[{extra}]."
