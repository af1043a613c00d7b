"""The panel: connects widgets to the logic and nothing else. Keeps to calls that PythonQt and PySide share."""

from __future__ import annotations

from typing import Any, Callable

import qt

from .Address import parseAddress
from .Client import ServerInfo
from .Errors import RadFindError
from .Jobs import WORKING, Job
from .Logic import Logic
from .NodeChoices import NodeChoices
from .PromptPanel import PromptPanel
from .ResultPanel import ResultPanel
from .ResultViews import color

POLL_MS = 30


class Widget:
    """The panel over a logic.

    Arguments:
        parent: the loaded ``RadFind.ui``.
        ui: its child widgets by name (``slicer.util.childWidgetVariables``).
        chooseFolder, chooseFile: open a dialog, return a path or "".
        copyText: puts text on the clipboard.
        window: where the keys N and P work while the module is shown; by default only in the panel.
    """

    def __init__(
        self,
        parent: Any,
        ui: Any,
        logic: Logic,
        chooseFolder: Callable[[], str],
        chooseFile: Callable[[], str],
        copyText: Callable[[str], None],
        window: Any = None,
    ) -> None:
        self.ui = ui
        self.logic = logic
        self._chooseFile = chooseFile
        self._filling = False
        self._notes = ""
        self._parent = parent
        self._walking: list[Any] = []
        ui.engineBox.addItem("auto")
        self.prompts = PromptPanel(parent, ui, logic, self._engine, self._tell)
        self.results = ResultPanel(parent, ui, logic, self._tell, self._tellResult, chooseFolder, copyText)
        nodes = {"volumeSelector": "Volume", "segmentationSelector": "Segmentation"}
        self._nodes = NodeChoices(ui, logic.scene, logic.parameter, nodes, lambda _: self._showSegments())
        self._connectSignals()
        self._connectWidgets()
        self._connectKeys(window or parent)
        self._timer = qt.QTimer(parent)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(logic.poll)
        self._timer.start()
        self.updateFromScene()
        self._showJobs()

    def cleanup(self) -> None:
        """Stop timers, keys, observers and jobs."""
        self._timer.stop()
        while self._walking:
            shortcut = self._walking.pop()
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self.prompts.stop()
        self.results.stop()
        self.logic.cleanup()

    def _connectSignals(self) -> None:
        logic = self.logic
        logic.jobs.changed.connect(self._showJobs)
        logic.failed.connect(lambda text: self._tell(text, True))
        logic.said.connect(self._onSaid)
        logic.known.connect(self._onKnown)
        logic.segmented.connect(self._onSegmented)
        logic.historyChanged.connect(self._showSegments)
        logic.sceneChanged.connect(self.updateFromScene)

    def _connectWidgets(self) -> None:
        ui = self.ui
        clicks = {
            "testButton": self._test,
            "caButton": self._pickCa,
            "segmentButton": self.segment,
            "rankButton": self.rank,
            "verifyButton": self.verify,
            "everythingButton": self.everything,
            "cancelButton": self.logic.jobs.cancelAll,
            "promptButton": self.prompts.ask,
            "exampleButton": self.prompts.askExample,
            "undoButton": self.logic.undo,
            "redoButton": self.logic.redo,
            "acceptButton": self.logic.accept,
            "jumpButton": self.results.jumpToVerdict,
            "previousButton": lambda: self.results.walk(-1),
            "nextButton": lambda: self.results.walk(1),
            "measureButton": self.results.measure,
            "copyButton": self.results.copy,
            "exportButton": self.results.export,
        }
        for name, call in clicks.items():
            getattr(ui, name).clicked.connect(_plain(call))
        ui.consentBox.toggled.connect(self._storeConsent)
        ui.serverEdit.editingFinished.connect(self._storeServer)
        ui.tokenEdit.editingFinished.connect(self._storeServer)
        ui.caEdit.editingFinished.connect(self._storeServer)
        ui.textEdit.textChanged.connect(self._storeText)
        ui.engineBox.currentIndexChanged.connect(self._storeEngine)

    def _connectKeys(self, window: Any) -> None:
        for key in ("Ctrl+Return", "Ctrl+Enter"):
            shortcut = qt.QShortcut(qt.QKeySequence(key), self._parent)
            shortcut.setContext(qt.Qt.WidgetWithChildrenShortcut)
            shortcut.activated.connect(_plain(self.rank))
        for key, step in (("N", 1), ("P", -1)):
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.setContext(qt.Qt.WindowShortcut)
            shortcut.activated.connect(self._walkSlot(step))
            self._walking.append(shortcut)

    def _walkSlot(self, step: int) -> Callable[..., None]:
        return lambda *_: self.results.walk(step)

    def setKeys(self, on: bool) -> None:
        """Let N and P walk the bookmarks, also while a slice view has the focus; not while another module is shown."""
        for shortcut in self._walking:
            shortcut.setEnabled(on)

    # --- the scene to the panel

    def enter(self) -> None:
        """The module is shown."""
        self.setKeys(True)
        if self.logic.parameter.reference("Volume") is None:
            self.logic.parameter.setReference("Volume", self.logic.activeVolume())
        self.updateFromScene()

    def updateFromScene(self) -> None:
        """Show what the parameter node holds; after a scene was opened or closed."""
        parameter, ui = self.logic.parameter, self.ui
        self._nodes.show()
        self._filling = True
        try:
            ui.textEdit.setPlainText(parameter.get("Text"))
            ui.serverEdit.setText(self.logic.settings.server)
            ui.caEdit.setText(self.logic.settings.caFile)
            ui.tokenEdit.setText(self._token())
            self._showConsent()
            self._choose(ui.engineBox, parameter.get("Engine"))
        finally:
            self._filling = False
        self.prompts.show()
        self.results.show()

    def _showSegments(self) -> None:
        self.prompts.show()
        self.results.showSegments()

    def _showConsent(self) -> None:
        blocked = self.ui.consentBox.blockSignals(True)
        url = self._url()
        self.ui.consentBox.setChecked(bool(url) and self.logic.settings.consented(url))
        self.ui.consentBox.setEnabled(bool(url))
        self.ui.consentBox.blockSignals(blocked)

    # --- the panel to the scene

    def _storeEngine(self, *_: Any) -> None:
        if not self._filling:
            self.logic.parameter.set("Engine", self._engine())

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
        self._showConsent()

    def _storeConsent(self, agreed: bool) -> None:
        self.logic.settings.setConsent(self._url(), bool(agreed))

    def _token(self) -> str:
        url = self._url()
        return self.logic.settings.token(url) if url else ""

    def _url(self) -> str:
        """The address of the server in the settings, or "" when it is none."""
        try:
            return parseAddress(self.logic.settings.server).url
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

    # --- the server

    def _test(self) -> None:
        self._storeServer()
        self.logic.testConnection()

    def _pickCa(self) -> None:
        path = self._chooseFile()
        if path:
            self.ui.caEdit.setText(path)
            self._storeServer()

    def _onKnown(self, info: ServerInfo) -> None:
        chosen = self._engine()
        self._filling = True
        self.ui.engineBox.clear()
        self.ui.engineBox.addItems(list(info.engines) or ["auto"])
        self._choose(self.ui.engineBox, chosen)
        self._filling = False

    @staticmethod
    def _choose(box: Any, text: str) -> None:
        index = box.findText(text)
        if index >= 0:
            box.setCurrentIndex(index)

    # --- telling

    def _tell(self, text: str, wrong: bool) -> None:
        self.ui.messageLabel.setText(text)
        self.ui.messageLabel.setStyleSheet(f"color: {color('no', self._parent)};" if wrong else "")

    def _onSaid(self, text: str) -> None:
        self._notes = text
        self._tell(text, False)

    def _tellResult(self, sentence: str) -> None:
        """What an answer brought, and below it what the server said about it."""
        self._tell(f"{sentence}\n{self._notes}".strip(), False)
        self._notes = ""

    def _onSegmented(self, segmentation: Any, ids: list[str]) -> None:
        self._nodes.show()
        self._showSegments()
        names = [segmentation.GetSegmentation().GetSegment(identifier).GetName() for identifier in ids]
        self._tellResult("Outlined: " + ", ".join(names) + ".")

    def _showJobs(self, job: Job | None = None) -> None:
        running = self.logic.jobs.running
        self.ui.progressBar.setVisible(bool(running))
        self.ui.cancelButton.setVisible(bool(running))
        self._showConsent()
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


def _plain(call: Callable[[], Any]) -> Callable[..., None]:
    """Qt hands some slots a `checked` that nobody here wants."""

    def slot(checked: Any = None) -> None:
        call()

    return slot
