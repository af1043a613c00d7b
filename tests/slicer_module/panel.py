"""The panel off-screen: PySide6 as Slicer's ``qt``, and small stand-ins for its ctk and qMRML widgets."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

MODULE = Path(__file__).resolve().parents[2] / "slicer_module" / "RadFind"


def _qt() -> types.ModuleType:
    module = types.ModuleType("qt")
    for part in (QtCore, QtGui, QtWidgets):
        for name in dir(part):
            if name.startswith("Q"):
                setattr(module, name, getattr(part, name))
    return module


sys.modules.setdefault("qt", _qt())


class CollapsibleButton(QtWidgets.QWidget):
    """A titled section; collapsed ones hide what is in them."""

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(0, 0, self.width(), 24, self.palette().button())
        painter.setPen(self.palette().buttonText().color())
        arrow = "▸" if self.property("collapsed") else "▾"
        painter.drawText(6, 17, f"{arrow}  {self.property('text')}")

    def settle(self) -> None:
        collapsed = bool(self.property("collapsed"))
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            child.setVisible(not collapsed)
        self.layout().setContentsMargins(6, 0 if collapsed else 30, 6, 0 if collapsed else 6)
        self.setMaximumHeight(26 if collapsed else 1 << 20)
        self.setMinimumHeight(26 if collapsed else 0)


class NodeComboBox(QtWidgets.QComboBox):
    """Lists the scene's nodes of its types."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._slots: list[Any] = []
        self._nodes: list[Any] = []
        self._attributes: dict[str, str] = {}
        self.currentIndexChanged.connect(lambda *_: [slot(self.currentNode()) for slot in self._slots])

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self._fill()

    def connect(self, signal: str, slot: Any) -> None:  # type: ignore[override]
        assert signal == "currentNodeChanged(vtkMRMLNode*)"
        self._slots.append(slot)

    def addAttribute(self, kind: str, name: str) -> None:
        self._attributes[kind] = name

    def currentNode(self) -> Any:
        return self._nodes[self.currentIndex()] if 0 <= self.currentIndex() < len(self._nodes) else None

    def setCurrentNode(self, node: Any) -> None:
        self._fill()
        self.setCurrentIndex(self._nodes.index(node) if node in self._nodes else 0)

    def _fill(self) -> None:
        self.blockSignals(True)
        self.clear()
        self._nodes = [None]
        self.addItem("None")
        for kind in self.property("nodeTypes") or []:
            for number in range(self._scene.GetNumberOfNodesByClass(kind)):
                node = self._scene.GetNthNodeByClass(number, kind)
                exact = self.property("showChildNodeTypes") or node.GetClassName() == kind
                wanted = kind not in self._attributes or node.GetAttribute(self._attributes[kind]) is not None
                if exact and wanted and not node.GetHideFromEditors():
                    self._nodes.append(node)
                    self.addItem(node.GetName())
        self.blockSignals(False)


class CheckableNodeComboBox(QtWidgets.QComboBox):
    """Lists the scene's nodes of its types, each with a check mark."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._slots: list[Any] = []
        self._checked: set[str] = set()

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def connect(self, signal: str, slot: Any) -> None:  # type: ignore[override]
        assert signal == "checkedNodesChanged()"
        self._slots.append(slot)

    def _nodes(self) -> list[Any]:
        kinds = self.property("nodeTypes") or []
        count = self._scene.GetNumberOfNodesByClass
        return [self._scene.GetNthNodeByClass(n, kind) for kind in kinds for n in range(count(kind))]

    def checkedNodes(self) -> tuple[Any, ...]:
        return tuple(node for node in self._nodes() if node.GetID() in self._checked)

    def uncheckedNodes(self) -> tuple[Any, ...]:
        return tuple(node for node in self._nodes() if node.GetID() not in self._checked)

    def setCheckState(self, node: Any, state: Any) -> None:
        (self._checked.add if state == QtCore.Qt.Checked else self._checked.discard)(node.GetID())
        self.clear()
        self.addItem(", ".join(node.GetName() for node in self.checkedNodes()))
        for slot in self._slots:
            slot()


class Loader(QtUiTools.QUiLoader):
    def createWidget(self, name: str, parent: Any = None, objectName: str = "") -> Any:
        stands_in = {
            "qMRMLNodeComboBox": NodeComboBox,
            "qMRMLCheckableNodeComboBox": CheckableNodeComboBox,
            "ctkCollapsibleButton": CollapsibleButton,
        }.get(name)
        if stands_in is None:
            return super().createWidget(name, parent, objectName)
        made = stands_in(parent)
        made.setObjectName(objectName)
        return made


def application() -> Any:
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


def turn(milliseconds: int = 5) -> None:
    """Let the event loop run. (PySide 6.12's `processEvents` loses a reference to None with every call.)"""
    loop = QtCore.QEventLoop()
    QtCore.QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def load() -> tuple[Any, Any]:
    """The panel, and its child widgets by name, as `slicer.util.childWidgetVariables` gives them."""
    application()
    parent = Loader().load(str(MODULE / "Resources" / "UI" / "RadFind.ui"))
    ui = types.SimpleNamespace()
    for child in parent.findChildren(QtCore.QObject):
        if child.objectName():
            setattr(ui, child.objectName(), child)
    for section in parent.findChildren(CollapsibleButton):
        section.settle()
    return parent, ui
