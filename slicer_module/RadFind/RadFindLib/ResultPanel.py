"""The section "Results": undo, ranked slices, verdicts, measures and export."""

from __future__ import annotations

from typing import Any, Callable

import qt

from .Bookmarks import QUERY
from .Export import FORMATS, SPACES
from .Logic import Logic
from .NodeChoices import NodeChoices, segmentNames
from .ResultViews import drawIcon, fillBookmarks, fillTable, fillVerdicts
from .Tables import Table
from .Verdicts import ANSWERS, readVerdicts

ICON_MS = 15


class ResultPanel:
    """Arguments:
    tell: shows a message (text, whether something is wrong).
    tellResult: shows what an answer brought, with what the server said about it.
    chooseFolder: opens a dialog, returns a path or "".
    copyText: puts text on the clipboard.
    """

    def __init__(
        self,
        parent: Any,
        ui: Any,
        logic: Logic,
        tell: Callable[[str, bool], None],
        tellResult: Callable[[str], None],
        chooseFolder: Callable[[], str],
        copyText: Callable[[str], None],
    ) -> None:
        self._ui, self._logic, self._tell, self._tellResult = ui, logic, tell, tellResult
        self._chooseFolder, self._copyText = chooseFolder, copyText
        self._showing = False
        self._iconsDue: list[int] = []
        self._lists = NodeChoices(
            ui, logic.scene, logic.parameter, {"bookmarkSelector": "Bookmarks"}, lambda _: self._onList()
        )
        ui.bookmarkSelector.addAttribute("vtkMRMLMarkupsFiducialNode", QUERY)
        ui.formatBox.addItems(list(FORMATS))
        ui.spaceBox.addItems(list(SPACES))
        logic.ranked.connect(self._onRanked)
        logic.verified.connect(self._onVerified)
        logic.measured.connect(self._onMeasured)
        ui.evidenceBox.toggled.connect(self._toggleEvidence)
        ui.bookmarkList.currentRowChanged.connect(self._jump)
        ui.bookmarkList.itemClicked.connect(lambda *_: self._jump(int(ui.bookmarkList.property("currentRow"))))
        ui.verdictTable.itemSelectionChanged.connect(self._onVerdictRow)
        ui.verdictTable.itemClicked.connect(lambda *_: self.jumpToVerdict())
        self._icons = qt.QTimer(parent)
        self._icons.setInterval(ICON_MS)
        self._icons.timeout.connect(self._drawNextIcon)

    def stop(self) -> None:
        self._icons.stop()

    def show(self) -> None:
        """Show what the parameter node holds."""
        self._lists.show()
        self._showing = True
        self._ui.evidenceBox.setChecked(self._logic.parameter.flag("ShowEvidence"))
        self._showing = False
        self.showSegments()
        self.showBookmarks()
        self.showVerdicts()
        self.showMeasures()

    # --- segments

    def showSegments(self) -> None:
        """List the segments to measure and export, and say what can be undone."""
        ui, history = self._ui, self._logic.history
        ui.undoButton.setEnabled(history.canUndo)
        ui.redoButton.setEnabled(history.canRedo)
        ui.acceptButton.setEnabled(history.canUndo)
        checked = set(self._checked()) if int(ui.segmentList.property("count")) else None
        ui.segmentList.clear()
        for identifier, name in segmentNames(self._logic.parameter.reference("Segmentation")):
            item = qt.QListWidgetItem(name)
            item.setData(qt.Qt.UserRole, identifier)
            item.setCheckState(qt.Qt.Checked if checked is None or identifier in checked else qt.Qt.Unchecked)
            ui.segmentList.addItem(item)

    def _checked(self) -> list[str]:
        rows = self._ui.segmentList
        items = [rows.item(row) for row in range(int(rows.property("count")))]
        return [str(item.data(qt.Qt.UserRole)) for item in items if item.checkState() == qt.Qt.Checked]

    def measure(self) -> None:
        parameter = self._logic.parameter
        self._logic.measure(parameter.reference("Segmentation"), self._checked(), parameter.reference("Volume"))

    def _onMeasured(self, node: Any) -> None:
        self.showMeasures()
        self._ui.resultTabs.setCurrentIndex(2)
        count = node.GetNumberOfRows()
        self._tell(f"{count} segments measured." if count > 1 else "One segment measured.", False)

    def showMeasures(self) -> None:
        node = self._logic.parameter.reference("Measures")
        self._ui.copyButton.setEnabled(node is not None)
        fillTable(self._ui.measureTable, Table.fromNode(node) if node is not None else Table((), ()))

    def copy(self) -> None:
        self._copyText(Table.fromNode(self._logic.parameter.reference("Measures")).text())
        self._tell("The table is on the clipboard.", False)

    def export(self) -> None:
        folder = self._chooseFolder()
        if folder:
            ui, parameter = self._ui, self._logic.parameter
            form, space = str(ui.formatBox.property("currentText")), str(ui.spaceBox.property("currentText"))
            segmentation, volume = parameter.reference("Segmentation"), parameter.reference("Volume")
            self._logic.export(segmentation, self._checked(), folder, form, space, volume)

    # --- ranked slices

    def _onRanked(self, node: Any) -> None:
        self._lists.show()
        self.showBookmarks()
        self._ui.resultTabs.setCurrentIndex(0)
        count = node.GetNumberOfControlPoints()
        walk = f"{count} slices, best first. N and P walk through them."
        self._tellResult(walk if count > 1 else "One slice shows it.")
        self._ui.bookmarkList.setCurrentRow(0)
        self._ui.bookmarkList.setFocus()

    def _onList(self) -> None:
        self._logic.showBookmarks()
        self.showBookmarks()

    def showBookmarks(self) -> None:
        self._showing = True
        node = self._logic.parameter.reference("Bookmarks")
        fillBookmarks(self._ui.bookmarkList, node)
        self._iconsDue = list(range(node.GetNumberOfControlPoints())) if node is not None else []
        self._icons.start()
        self._showing = False

    def _drawNextIcon(self) -> None:
        """One thumbnail per turn of the event loop."""
        node = self._logic.parameter.reference("Bookmarks")
        if not self._iconsDue or node is None:
            self._icons.stop()
            return
        number = self._iconsDue.pop(0)
        if number < node.GetNumberOfControlPoints():
            drawIcon(self._ui.bookmarkList, node, number, self._logic.scene)

    def _jump(self, row: int) -> None:
        node = self._logic.parameter.reference("Bookmarks")
        if not self._showing and node is not None and 0 <= row < node.GetNumberOfControlPoints():
            self._logic.jump(node, row)

    def walk(self, step: int) -> None:
        rows = self._ui.bookmarkList
        count, row = int(rows.property("count")), int(rows.property("currentRow"))
        if count == 1 and row == 0:  # there is no other, but the views may show something else by now
            self._jump(row)
        elif count:
            rows.setCurrentRow((row + step) % count)

    # --- verdicts

    def _onVerified(self, node: Any) -> None:
        self.showVerdicts()
        self._ui.resultTabs.setCurrentIndex(1)
        rows = readVerdicts(node)
        counts = ", ".join(f"{sum(r.answer == a for r in rows)} {a}" for a in ANSWERS)
        self._tellResult(f"{len(rows)} statements: {counts}. Click a line to see where.")

    def showVerdicts(self) -> None:
        self._showing = True
        fillVerdicts(self._ui.verdictTable, readVerdicts(self._logic.parameter.reference("Verdicts")))
        self._showing = False
        self._showVerdict()

    def _onVerdictRow(self) -> None:
        self._showVerdict()
        if not self._showing:
            self.jumpToVerdict()

    def _showVerdict(self) -> None:
        """The chosen line in full, which a narrow table cuts."""
        rows = readVerdicts(self._logic.parameter.reference("Verdicts"))
        row = self._ui.verdictTable.currentRow()
        chosen = rows[row] if 0 <= row < len(rows) else None
        self._ui.verdictLabel.setText(chosen.told() if chosen is not None else "")
        self._ui.jumpButton.setEnabled(chosen is not None and chosen.lps is not None)

    def jumpToVerdict(self) -> None:
        """Show the place of the chosen line, when it has one."""
        if bool(self._ui.jumpButton.property("enabled")):
            row = self._ui.verdictTable.currentRow()
            self._logic.jumpToVerdict(self._logic.parameter.reference("Verdicts"), row)

    def _toggleEvidence(self, on: bool) -> None:
        if not self._showing:
            self._logic.showEvidence(bool(on))
