"""The whole panel over a real scene and a loopback server, with the hands of a user."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel
from loopback import Loopback
from PySide6 import QtCore, QtTest
from RadFindLib.Volumes import gridOf
from RadFindLib.Widget import Widget
from workbench import RANKED, SHAPE, VERDICTS, Bench, blob


class Panel(Bench):
    def __init__(self, server: Loopback, folder: Path, window: Any = None) -> None:
        super().__init__(server)
        self.folder, self.copied = folder, []
        self.node = self.volume()
        self.answers(gridOf(self.node).toLPS, blob(1))
        self.parent, self.ui = panel.load()
        self.widget = Widget(
            self.parent,
            self.ui,
            self.logic,
            chooseFolder=lambda: str(folder),
            chooseFile=lambda: "/ca.pem",
            copyText=self.copied.append,
            window=window,
        )
        self.parent.show()
        self.ui.volumeSelector.setCurrentNode(self.node)

    def click(self, name: str) -> None:
        QtTest.QTest.mouseClick(getattr(self.ui, name), QtCore.Qt.LeftButton)

    def until(self, true: Callable[[], Any], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, (self.ui.messageLabel.text(), self.errors)
            panel.turn()

    def idle(self) -> None:
        self.until(lambda: not self.logic.jobs.running)

    def depth(self) -> float:
        """Where the axial view is, mm."""
        return float(self.mrml.views["Red"].GetSliceToRAS().GetElement(2, 3))

    def click_row(self, view: Any, row: int) -> None:
        index = view.model().index(row, 0)
        QtTest.QTest.mouseClick(view.viewport(), QtCore.Qt.LeftButton, pos=view.visualRect(index).center())

    def key(self, target: Any, key: Any, modifier: Any = QtCore.Qt.NoModifier) -> None:
        target.activateWindow()
        target.setFocus()
        QtTest.QTest.keyClick(target, key, modifier)

    def ranked(self, text: str = "右肺结节") -> None:
        self.answers(gridOf(self.node).toLPS, slices=RANKED)
        self.server.answer["volume"]["shape_kji"] = list(SHAPE)
        self.ui.textEdit.setPlainText(text)
        self.click("rankButton")
        self.until(lambda: self.ui.bookmarkList.count() == 2)

    def checked(self) -> None:
        self.answers(gridOf(self.node).toLPS, verdicts=VERDICTS)
        self.server.answer["volume"]["shape_kji"] = list(SHAPE)
        self.ui.textEdit.setPlainText("12 mm nodule. No effusion.")
        self.click("verifyButton")
        self.until(lambda: self.ui.verdictTable.rowCount() == 2)

    def segmented(self) -> Any:
        """The segmentation after the first answer."""
        self.ui.textEdit.setPlainText("nodule")
        self.click("segmentButton")
        self.idle()
        return self.ui.segmentationSelector.currentNode()
