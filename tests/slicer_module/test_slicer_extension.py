"""What an extension must keep: Python 3.9, nothing that Slicer does not bundle, complete files."""

from __future__ import annotations

import ast
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

EXTENSION = Path(__file__).resolve().parents[2] / "slicer_module"
FILES = sorted(EXTENSION.rglob("*.py"))
BUNDLED = {"numpy", "slicer", "vtk", "qt", "RadFindLib"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_python_3_9_and_nothing_that_slicer_does_not_bundle(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
    annotations_are_text = "from __future__ import annotations" in file.read_text(encoding="utf-8")
    assert annotations_are_text or file.name == "__init__.py"
    for node in ast.walk(tree):
        assert type(node).__name__ not in ("Match", "TryStar")
        if isinstance(node, ast.Call):
            keywords = {keyword.arg for keyword in node.keywords}
            assert not (getattr(node.func, "id", "") == "zip" and "strict" in keywords)  # Python 3.10
            assert not (getattr(node.func, "attr", "") == "dataclass" and keywords & {"slots", "kw_only"})
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            top = name.split(".")[0]
            assert top in BUNDLED or top in sys.stdlib_module_names, f"{file.name} imports {name}"
            assert top not in ("imp", "cgi", "distutils", "asyncore", "telnetlib")  # gone in 3.12


def test_the_worker_thread_knows_neither_mrml_nor_qt() -> None:
    threads = ("Address", "Cancellation", "Client", "Errors", "Geometry", "Jobs", "Nrrd", "Signal", "Snapshot")
    for name in (*threads, "Transport", "Wire", "Measure"):
        text = (EXTENSION / "RadFind" / "RadFindLib" / f"{name}.py").read_text(encoding="utf-8")
        assert not any(f"import {module}" in text for module in ("slicer", "vtk", "qt")), name


def test_the_extension_is_complete() -> None:
    for name in ("CMakeLists.txt", "LICENSE", "README.md", "RadFind.png", "RadFind/CMakeLists.txt"):
        assert (EXTENSION / name).stat().st_size > 0
    entry = json.loads((EXTENSION / "RadFind.json").read_text())
    assert entry["tier"] == 1 and entry["category"] == "Informatics" and not entry["build_dependencies"]
    pictures = {file.name for file in (EXTENSION / "Screenshots").glob("*.png")}
    shown = re.findall(
        r"Screenshots/(slicer-\w+\.png)", (EXTENSION.parent / "docs" / "clinician.md").read_text("utf-8")
    )
    assert pictures == set(shown)
    assert (EXTENSION / "RadFind.png").read_bytes()[16:24] == (128).to_bytes(4, "big") * 2  # the index wants 128 x 128
    listed = (EXTENSION / "RadFind" / "CMakeLists.txt").read_text().replace("${MODULE_NAME}", "RadFind")
    for file in (EXTENSION / "RadFind" / "Resources").rglob("*.*"):
        assert file.relative_to(EXTENSION / "RadFind").as_posix() in listed
    assert "add_subdirectory(Python)" in (EXTENSION / "RadFind" / "Testing" / "CMakeLists.txt").read_text()


def test_every_widget_the_panel_uses_is_in_the_form_and_every_button_is_used() -> None:
    form = ElementTree.parse(EXTENSION / "RadFind" / "Resources" / "UI" / "RadFind.ui")
    widgets = {widget.get("name"): widget.get("class") for widget in form.iter("widget")}
    used: set[object] = set()
    for name in ("Widget", "PromptPanel", "ResultPanel"):
        code = (EXTENSION / "RadFind" / "RadFindLib" / f"{name}.py").read_text(encoding="utf-8")
        used |= {node.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
        used |= {node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)}
    for name, kind in widgets.items():
        if kind in ("QPushButton", "QCheckBox", "QComboBox", "QLineEdit") or (kind or "").startswith("qMRML"):
            assert name in used, f"{name} does nothing"
