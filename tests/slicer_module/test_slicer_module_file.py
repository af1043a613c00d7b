"""RadFind.py itself, with small stand-ins for what Slicer's application puts around a scripted module."""

from __future__ import annotations

import importlib.util
import sys
import types
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("slicer.util")
pytest.importorskip(
    "PySide6.QtWidgets", reason="PySide6, or a system library it needs, is missing", exc_type=ImportError
)

import panel  # noqa: E402
import qt  # noqa: E402
from PySide6 import QtWidgets  # noqa: E402
from scene import Scene  # noqa: E402
from workbench import Store  # noqa: E402


class ModuleWidget:
    """What ``ScriptedLoadableModuleWidget`` gives: a layout, the module's resources, and a reload by a button."""

    def __init__(self, parent: Any = None) -> None:
        self.parent = parent or QtWidgets.QWidget()
        self.layout = QtWidgets.QVBoxLayout(self.parent)
        self.reloaded = False

    def setup(self) -> None:
        pass

    def resourcePath(self, name: str) -> str:
        return str(panel.MODULE / "Resources" / name)

    def onReload(self) -> None:
        self.reloaded = True


class ModuleTest(unittest.TestCase):
    def delayDisplay(self, text: str) -> None:
        assert text


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """RadFind.py as the application loads it."""
    panel.application()
    window = QtWidgets.QWidget()
    kept = dict(sys.modules)
    mrml, scripted = Scene(), types.ModuleType("slicer.ScriptedLoadableModule")
    scripted.ScriptedLoadableModule = type("ScriptedLoadableModule", (), {"__init__": lambda self, parent: None})
    scripted.ScriptedLoadableModuleWidget, scripted.ScriptedLoadableModuleTest = ModuleWidget, ModuleTest
    monkeypatch.setitem(sys.modules, scripted.__name__, scripted)
    monkeypatch.setattr(slicer, "app", types.SimpleNamespace(applicationLogic=lambda: mrml.application), raising=False)
    monkeypatch.setattr(slicer, "modules", types.SimpleNamespace(), raising=False)
    monkeypatch.setattr(qt, "QSettings", Store)
    forms = []

    def loadUI(path: str) -> Any:
        assert Path(path) == panel.MODULE / "Resources" / "UI" / "RadFind.ui"
        forms.append(panel.load())
        return forms[-1][0]

    for name, value in {
        "loadUI": loadUI,
        "childWidgetVariables": lambda widget: next(ui for parent, ui in forms if parent is widget),
        "mainWindow": lambda: window,
        "selectModule": lambda name: True,
    }.items():
        monkeypatch.setattr(slicer.util, name, value, raising=False)
    spec = importlib.util.spec_from_file_location("RadFind", panel.MODULE / "RadFind.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    yield loaded
    for name in set(sys.modules) | set(kept):  # a reload forgets our library
        if name.partition(".")[0] == "RadFindLib":
            sys.modules.pop(name, None)
    sys.modules.update({name: made for name, made in kept.items() if name.partition(".")[0] == "RadFindLib"})


def test_the_module_describes_itself(module: types.ModuleType) -> None:
    about = types.SimpleNamespace()
    module.RadFind(about)
    assert about.title == "RadFind" and about.categories == ["Informatics"] and "not a medical device" in about.helpText


def test_keys_work_while_it_is_shown_and_a_reload_loads_the_library_anew(module: types.ModuleType) -> None:
    widget = module.RadFindWidget()
    widget.cleanup()  # also when setup was never reached
    widget.setup()
    keys = widget.panel._walking
    assert len(keys) == 2 and not any(key.isEnabled() for key in keys)
    widget.enter()
    assert all(key.isEnabled() for key in keys)
    widget.exit()
    assert not any(key.isEnabled() for key in keys)
    before = sys.modules["RadFindLib.Widget"]
    widget.cleanup()
    widget.onReload()
    assert widget.reloaded and "RadFindLib.Widget" not in sys.modules
    from RadFindLib import Widget

    assert Widget is not before


def test_the_test_for_the_real_application_passes_here_too(module: types.ModuleType) -> None:
    slicer.modules.RadFindWidget = module.RadFindWidget()
    slicer.modules.RadFindWidget.setup()
    test = module.RadFindTest()
    test.runTest()
    slicer.modules.RadFindWidget.cleanup()
