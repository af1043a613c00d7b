"""Which optional packages are here, without importing them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections import defaultdict
from collections.abc import Sequence

_DISTRIBUTION = {"vtkmodules": "vtk", "fhir": "fhir-resources", "itk": "itk-elastix", "multipart": "python-multipart"}
"""Distributions whose top-level module has another name."""
_FOR_DEVELOPERS = ("dev", "slicer-test")


def missing_packages(extra: str, packages: Sequence[str]) -> str:
    """What to install when any of `packages` is absent; empty when all are here."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    listed = ", ".join(absent)
    return f"not installed: {listed}; install radfind[{extra}]."


def extra_with(module: str) -> str | None:
    """The smallest extra of RadFind that brings a module, by RadFind's own metadata; None when none does."""
    top = module.split(".")[0]
    wanted = _DISTRIBUTION.get(top, top).lower().replace("_", "-")
    extras: dict[str, list[str]] = defaultdict(list)
    for line in importlib.metadata.requires("radfind") or ():
        match = re.match(r"([\w.-]+).*\bextra\s*==\s*['\"]([\w-]+)", line)
        if match and match[2] not in _FOR_DEVELOPERS:
            extras[match[2]].append(re.sub(r"[-_.]+", "-", match[1]).lower())
    holding = [extra for extra, names in extras.items() if wanted in names]
    return min(holding, key=lambda extra: len(extras[extra]), default=None)
