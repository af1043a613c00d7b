"""The panel: connects widgets to the logic and nothing else. Keeps to calls that PythonQt and PySide share."""

from __future__ import annotations

from typing import Any, Callable

import qt

from .Address import parseAddress
from .Client import ServerInfo
from .Errors import RadFindError
from .Export import FORMATS, SPACES
from .Jobs import WORKING, Job
from .Logic import Logic
from .PromptWatch import PromptWatch
from .ResultViews import drawIcon, fillBookmarks, fillTable, fillVerdicts
from .Tables import Table
from .Verdicts import VerdictRow

POLL_MS = 30
ICON_MS = 15
SETTLE_MS = 400
"""A prompt that is still being dragged is not asked about."""
_COMBOS = {
    "volumeSelector": "Volume",
    "segmentationSelector": "Segmentation",
    "positiveSelector": "Positive",
    "negativeSelector": "Negative",
    "boxSelector": "Boxes",
    "scribbleSelector": "Scribbles",
    "bookmarkSelector": "Bookmarks",
}


class Widget:
    """The panel over a logic.

    Arguments:
        parent: the loaded ``RadFind.ui``.
        ui: its child widgets by name (``slicer.util.childWidgetVariables``).
        chooseFolder, chooseFile: open a dialog, return a path or "".
        copyText: puts text on the clipboard.
    """

    def __init__(
        self,
        parent: Any,
        ui: Any,
        logic: Logic,
        chooseFolder: Callable[[], str],
        chooseFile: Callable[[], str],
        copyText: Callable[[str], None],
    ) -> None:
        self.ui = ui
        self.logic = logic
        self._chooseFolder, self._chooseFile, self._copyText = chooseFolder, chooseFile, copyText
        self._table: Table | None = None
        self._verdicts: list[VerdictRow] = []
        self._verdictVolume: Any = None
        self._filling = False
        self._notes = ""
        self._iconsDue: list[int] = []
        self._watch = PromptWatch()
        self._shortcuts: list[Any] = []
        for name in _COMBOS:
            getattr(ui, name).setMRMLScene(logic.scene)
        ui.formatBox.addItems(list(FORMATS))
        ui.spaceBox.addItems(list(SPACES))
        ui.engineBox.addItem("auto")
        self._connectSignals()
        self._connectWidgets(parent)
        self._timer = self._newTimer(parent, POLL_MS, logic.poll)
        self._timer.start()
        self._icons = self._newTimer(parent, ICON_MS, self._drawNextIcon)
        self._settle = self._newTimer(parent, SETTLE_MS, self._askSettled)
        self._settle.setSingleShot(True)
        self.updateFromScene()
        self._showJobs()

    def cleanup(self) -> None:
        """Stop timers, observers and jobs."""
        self._timer.stop()
        self._icons.stop()
        self._settle.stop()
        self._watch.stop()
        self.logic.cleanup()

    # --- connections

    @staticmethod
    def _newTimer(parent: Any, interval: int, call: Callable[[], Any]) -> Any:
        timer = qt.QTimer(parent)
        timer.setInterval(interval)
        timer.timeout.connect(call)
        return timer

    def _connectSignals(self) -> None:
        logic = self.logic
        logic.jobs.changed.connect(self._showJobs)
        logic.failed.connect(lambda text: self._tell(text, True))
        logic.said.connect(self._onSaid)
        logic.connected.connect(self._onConnected)
        logic.segmented.connect(self._onSegmented)
        logic.ranked.connect(self._onRanked)
        logic.verified.connect(self._onVerified)
        logic.measured.connect(self._onMeasured)
        logic.historyChanged.connect(self._showHistory)
        logic.sceneClosed.connect(self.updateFromScene)
        self._watch.changed.connect(self._onPromptChanged)

    def _connectWidgets(self, parent: Any) -> None:
        ui = self.ui
        clicks = {
            "testButton": self._test,
            "caButton": self._pickCa,
            "segmentButton": self.segment,
            "rankButton": self.rank,
            "verifyButton": self.verify,
            "everythingButton": self.everything,
            "cancelButton": self.logic.jobs.cancelAll,
            "promptButton": self.askWithPrompts,
            "undoButton": self.logic.undo,
            "redoButton": self.logic.redo,
            "acceptButton": self.logic.accept,
            "previousButton": lambda: self._walk(-1),
            "nextButton": lambda: self._walk(1),
            "measureButton": self.measure,
            "copyButton": self._copy,
            "exportButton": self._export,
        }
        for name, call in clicks.items():
            getattr(ui, name).clicked.connect(_plain(call))
        for name, reference in _COMBOS.items():
            combo = getattr(ui, name)
            combo.connect("currentNodeChanged(vtkMRMLNode*)", self._combo(reference))
        ui.serverEdit.editingFinished.connect(self._storeServer)
        ui.tokenEdit.editingFinished.connect(self._storeServer)
        ui.caEdit.editingFinished.connect(self._storeServer)
        ui.textEdit.textChanged.connect(self._storeText)
        ui.engineBox.currentIndexChanged.connect(lambda *_: self._store("Engine", ui.engineBox))
        ui.atOnceBox.toggled.connect(lambda on: self.logic.parameter.setFlag("AskAtOnce", bool(on)))
        ui.evidenceBox.toggled.connect(self._toggleEvidence)
        ui.targetBox.currentIndexChanged.connect(lambda *_: self._storeSegment("TargetSegment", ui.targetBox))
        ui.scribbleBox.currentIndexChanged.connect(lambda *_: self._storeSegment("ScribbleSegment", ui.scribbleBox))
        ui.bookmarkList.currentRowChanged.connect(self._jump)
        ui.verdictTable.itemSelectionChanged.connect(self._jumpToVerdict)
        keys = (
            ("Ctrl+Return", self.rank),
            ("Ctrl+Enter", self.rank),
            ("N", lambda: self._walk(1)),
            ("P", lambda: self._walk(-1)),
        )
        for key, call in keys:
            shortcut = qt.QShortcut(qt.QKeySequence(key), parent)
            shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
            shortcut.activated.connect(_plain(call))
            self._shortcuts.append(shortcut)

    def _combo(self, reference: str) -> Callable[[Any], None]:
        def changed(node: Any) -> None:
            if self._filling:
                return
            self.logic.parameter.setReference(reference, node)
            if reference in ("Segmentation", "Scribbles"):
                self._fillSegments()
            if reference == "Bookmarks":
                self._showBookmarks()
            self._watchPrompts()

        return changed

    # --- the scene to the panel

    def updateFromScene(self) -> None:
        """Show what the parameter node holds; after a scene was opened or closed."""
        parameter, ui = self.logic.parameter, self.ui
        self._filling = True
        try:
            for name, reference in _COMBOS.items():
                getattr(ui, name).setCurrentNode(parameter.reference(reference))
            ui.textEdit.setPlainText(parameter.get("Text"))
            ui.serverEdit.setText(self.logic.settings.server)
            ui.caEdit.setText(self.logic.settings.caFile)
            ui.tokenEdit.setText(self._token())
            ui.atOnceBox.setChecked(parameter.flag("AskAtOnce"))
            ui.evidenceBox.setChecked(parameter.flag("ShowEvidence"))
            self._choose(ui.engineBox, parameter.get("Engine"))
        finally:
            self._filling = False
        self._fillSegments()
        self._showBookmarks()
        self._showHistory()
        self._watchPrompts()

    def _fillSegments(self) -> None:
        """Target and scribble choices, and the list of segments to measure and export."""
        ui, parameter = self.ui, self.logic.parameter
        self._filling = True
        try:
            for box, reference, first, chosen in (
                (ui.targetBox, "Segmentation", "new segments", "TargetSegment"),
                (ui.scribbleBox, "Scribbles", "none", "ScribbleSegment"),
            ):
                box.clear()
                box.addItem(first, "")
                for identifier, name in _segments(parameter.reference(reference)):
                    box.addItem(name, identifier)
                for number in range(int(box.property("count"))):
                    if box.itemData(number) == parameter.get(chosen):
                        box.setCurrentIndex(number)
            checked = set(self._chosenSegments()) if int(ui.segmentList.property("count")) else None
            ui.segmentList.clear()
            for identifier, name in _segments(parameter.reference("Segmentation")):
                item = qt.QListWidgetItem(name)
                item.setData(qt.Qt.UserRole, identifier)
                item.setCheckState(qt.Qt.Checked if checked is None or identifier in checked else qt.Qt.Unchecked)
                ui.segmentList.addItem(item)
        finally:
            self._filling = False

    def _chosenSegments(self) -> list[str]:
        rows = self.ui.segmentList
        items = [rows.item(row) for row in range(int(rows.property("count")))]
        return [str(item.data(qt.Qt.UserRole)) for item in items if item.checkState() == qt.Qt.Checked]

    # --- the panel to the scene

    def _store(self, name: str, box: Any) -> None:
        if not self._filling:
            self.logic.parameter.set(name, str(box.property("currentText")))

    def _storeSegment(self, name: str, box: Any) -> None:
        if not self._filling:
            self.logic.parameter.set(name, str(box.itemData(int(box.property("currentIndex"))) or ""))

    def _storeText(self) -> None:
        if not self._filling:
            self.logic.parameter.set("Text", self._text())

    def _text(self) -> str:
        return str(self.ui.textEdit.property("plainText"))

    def _engine(self) -> str:
        return str(self.ui.engineBox.property("currentText")) or "auto"

    def _storeServer(self) -> None:
        settings, ui = self.logic.settings, self.ui
        settings.server = str(ui.serverEdit.property("text")).strip()
        settings.caFile = str(ui.caEdit.property("text")).strip()
        try:
            settings.setToken(parseAddress(settings.server).url, str(ui.tokenEdit.property("text")).strip())
        except RadFindError as error:
            self._tell(str(error), True)

    def _token(self) -> str:
        try:
            return self.logic.settings.token(parseAddress(self.logic.settings.server).url)
        except RadFindError:
            return ""

    def _volume(self) -> Any:
        return self.logic.parameter.reference("Volume")

    # --- asking

    def segment(self) -> None:
        target = self.logic.parameter.reference("Segmentation")
        self.logic.segment(self._volume(), self._text(), segmentation=target, engine=self._engine())

    def rank(self) -> None:
        self.logic.rank(self._volume(), self._text(), self._engine(), int(self.logic.parameter.get("TopK")))

    def verify(self) -> None:
        self.logic.verify(self._volume(), self._text(), self._engine())

    def everything(self) -> None:
        target = self.logic.parameter.reference("Segmentation")
        self.logic.everything(self._volume(), target, self._engine())

    def askWithPrompts(self) -> None:
        """Ask with the visual prompts, into the target segment."""
        parameter = self.logic.parameter
        try:
            prompts = self.logic.visualPrompts(self._volume())
        except RadFindError as error:
            self._tell(str(error), True)
            return
        if not prompts:
            self._tell("Place a point, a box or a scribble first.", True)
            return
        segmentation = parameter.reference("Segmentation")
        self.logic.segment(self._volume(), "", prompts, segmentation, parameter.get("TargetSegment"), self._engine())

    def _onPromptChanged(self) -> None:
        if self.logic.parameter.flag("AskAtOnce"):
            self._settle.start()

    def _askSettled(self) -> None:
        for job in self.logic.jobs.running:
            if job.title == "Segment":
                self.logic.jobs.cancel(job)  # its answer would be about prompts that have changed
        self.askWithPrompts()

    def _watchPrompts(self) -> None:
        reference = self.logic.parameter.reference
        self._watch.watch([reference(name) for name in ("Positive", "Negative", "Boxes", "Scribbles")])

    # --- the server

    def _test(self) -> None:
        self._storeServer()
        self.logic.testConnection()

    def _pickCa(self) -> None:
        path = self._chooseFile()
        if path:
            self.ui.caEdit.setText(path)
            self._storeServer()

    def _onConnected(self, info: ServerInfo, sentence: str) -> None:
        chosen = self._engine()
        self._filling = True
        self.ui.engineBox.clear()
        self.ui.engineBox.addItems(list(info.engines))
        self._choose(self.ui.engineBox, chosen)
        self._filling = False
        self._tell(sentence, False)

    @staticmethod
    def _choose(box: Any, text: str) -> None:
        index = box.findText(text)
        if index >= 0:
            box.setCurrentIndex(index)

    # --- telling

    def _tell(self, text: str, wrong: bool) -> None:
        self.ui.messageLabel.setText(text)
        self.ui.messageLabel.setStyleSheet("color: #c0392b;" if wrong else "")

    def _onSaid(self, text: str) -> None:
        self._notes = text
        self._tell(text, False)

    def _tellResult(self, sentence: str) -> None:
        """What an answer brought, and below it what the server said about it."""
        self._tell(f"{sentence}\n{self._notes}".strip(), False)
        self._notes = ""

    def _showJobs(self, job: Job | None = None) -> None:
        running = self.logic.jobs.running
        self.ui.progressBar.setVisible(bool(running))
        self.ui.cancelButton.setEnabled(bool(running))
        if running:
            self._notes = ""
            newest = running[-1]
            more = f" (and {len(running) - 1} more)" if len(running) > 1 else ""
            self.ui.progressBar.setValue(int(newest.fraction * 100))
            self._tell(f"{newest.title}: {newest.message}{more}" if newest.message else f"{newest.title}…", False)
        elif job is not None and job.state == "cancelled":
            self._tell("Cancelled.", False)
        elif (
            job is not None
            and job.state != WORKING
            and str(self.ui.messageLabel.property("text")).startswith(job.title)
        ):
            self._tell(f"{job.title}: done.", False)

    def _showHistory(self) -> None:
        self.ui.undoButton.setEnabled(self.logic.history.canUndo)
        self.ui.redoButton.setEnabled(self.logic.history.canRedo)
        self.ui.acceptButton.setEnabled(self.logic.history.canUndo)
        self._fillSegments()

    # --- results

    def _onSegmented(self, segmentation: Any, ids: list[str]) -> None:
        self._filling = True
        self.ui.segmentationSelector.setCurrentNode(segmentation)
        self._filling = False
        self._fillSegments()
        names = [segmentation.GetSegmentation().GetSegment(identifier).GetName() for identifier in ids]
        self._tellResult("Outlined: " + ", ".join(names) + ".")

    def _onRanked(self, node: Any) -> None:
        self._filling = True
        self.ui.bookmarkSelector.setCurrentNode(node)
        self._filling = False
        self._showBookmarks()
        self.ui.resultTabs.setCurrentIndex(0)
        count = node.GetNumberOfControlPoints()
        walk = f"{count} slices, best first. N and P walk through them."
        self._tellResult(walk if count > 1 else "One slice shows it.")
        self.ui.bookmarkList.setCurrentRow(0)
        self.ui.bookmarkList.setFocus()

    def _showBookmarks(self) -> None:
        self._filling = True
        node = self.logic.parameter.reference("Bookmarks")
        fillBookmarks(self.ui.bookmarkList, node)
        self._iconsDue = list(range(node.GetNumberOfControlPoints())) if node is not None else []
        self._icons.start()
        self._filling = False

    def _drawNextIcon(self) -> None:
        """One thumbnail per turn of the event loop."""
        node = self.logic.parameter.reference("Bookmarks")
        if not self._iconsDue or node is None:
            self._icons.stop()
            return
        number = self._iconsDue.pop(0)
        if number < node.GetNumberOfControlPoints():
            drawIcon(self.ui.bookmarkList, node, number, self.logic.scene)

    def _jump(self, row: int) -> None:
        node = self.logic.parameter.reference("Bookmarks")
        if not self._filling and node is not None and 0 <= row < node.GetNumberOfControlPoints():
            self.logic.jump(node, row)

    def _walk(self, step: int) -> None:
        rows = self.ui.bookmarkList
        count = int(rows.property("count"))
        if count:
            rows.setCurrentRow((int(rows.property("currentRow")) + step) % count)

    def _onVerified(self, rows: list[VerdictRow], volume: Any) -> None:
        self._verdicts, self._verdictVolume = rows, volume
        fillVerdicts(self.ui.verdictTable, rows)
        self.ui.resultTabs.setCurrentIndex(1)
        counts = ", ".join(f"{sum(r.answer == a for r in rows)} {a}" for a in ("yes", "no", "maybe"))
        self._tellResult(f"{len(rows)} statements: {counts}. Click a line to see where.")

    def _jumpToVerdict(self) -> None:
        row = self.ui.verdictTable.currentRow()
        if 0 <= row < len(self._verdicts):
            self.logic.jumpToVerdict(self._verdicts[row], self._verdictVolume)

    def _toggleEvidence(self, on: bool) -> None:
        if not self._filling:
            self.logic.showEvidence(bool(on))

    # --- measures and export

    def measure(self) -> None:
        segmentation = self.logic.parameter.reference("Segmentation")
        self.logic.measure(segmentation, self._chosenSegments(), self._volume())

    def _onMeasured(self, table: Table, node: Any) -> None:
        self._table = table
        fillTable(self.ui.measureTable, table)
        self.ui.resultTabs.setCurrentIndex(2)
        self.ui.copyButton.setEnabled(True)

    def _copy(self) -> None:
        if self._table is not None:
            self._copyText(self._table.text())
            self._tell("The table is on the clipboard.", False)

    def _export(self) -> None:
        folder = self._chooseFolder()
        if folder:
            form, space = str(self.ui.formatBox.property("currentText")), str(self.ui.spaceBox.property("currentText"))
            segmentation = self.logic.parameter.reference("Segmentation")
            self.logic.export(segmentation, self._chosenSegments(), folder, form, space, self._volume())


def _plain(call: Callable[[], Any]) -> Callable[..., None]:
    """Qt hands some slots a `checked` that nobody here wants."""

    def slot(checked: Any = None) -> None:
        call()

    return slot


def _segments(segmentation: Any) -> list[tuple[str, str]]:
    if segmentation is None:
        return []
    inner = segmentation.GetSegmentation()
    ids = [inner.GetNthSegmentID(number) for number in range(inner.GetNumberOfSegments())]
    return [(identifier, inner.GetSegment(identifier).GetName()) for identifier in ids]
