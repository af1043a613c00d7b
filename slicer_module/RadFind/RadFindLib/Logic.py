"""What the module does, without any widget: ask a server, put answers in the scene, undo, measure, export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import slicer

from . import Bookmarks, Export, Measure, Overlay, Prompts, Volumes, Wire
from .Address import Address, parseAddress
from .Answers import Answer, answerOf
from .Cancellation import Cancellation
from .Client import Client, ServerInfo
from .Errors import RadFindError
from .Geometry import Mask
from .Jobs import FAILED, Job, Jobs
from .Labelmaps import maskOf, ownMask
from .Parameter import Parameter
from .Segments import History, SegmentWriter
from .Settings import Settings
from .Signal import Signal
from .Snapshot import Example, Snapshot
from .Tables import Table
from .Transport import Transport
from .Verdicts import VerdictRow, verdictTable

Consent = Callable[[str], bool]


class Logic:
    """Call `poll` every 30 ms on the UI thread; everything else returns at once.

    Arguments:
        scene: the MRML scene.
        applicationLogic: ``slicer.app.applicationLogic()``, where the markups logic is found.
        settings: see `Settings`.
        askConsent: asked once per server, with one paragraph, before the first image or text goes there.
    """

    def __init__(self, scene: Any, applicationLogic: Any, settings: Settings, askConsent: Consent) -> None:
        self.scene = scene
        self.settings = settings
        self.parameter = Parameter(scene)
        self.jobs = Jobs()
        self.said = Signal()
        """(text): something the user should read."""
        self.failed = Signal()
        """(text): something went wrong."""
        self.segmented = Signal()
        """(segmentation, ids)."""
        self.ranked = Signal()
        """(bookmark list node)."""
        self.verified = Signal()
        """(rows, volume)."""
        self.connected = Signal()
        """(ServerInfo, sentence)."""
        self.measured = Signal()
        """(Table, node)."""
        self.historyChanged = Signal()
        self.sceneClosed = Signal()
        self._application = applicationLogic
        self._askConsent = askConsent
        self._writer = SegmentWriter(scene)
        self.history = History(scene, self._writer)
        self._evidence: dict[str, tuple[Any, Sequence[tuple[str, Mask]]]] = {}
        self._clients: dict[tuple[Address, str, str], Client] = {}
        self._observers = [
            scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, lambda *_: self._onClose()),
            scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, lambda *_: self.sceneClosed.emit()),
        ]

    def cleanup(self) -> None:
        """Stop everything and let go of the scene; also before a module reload."""
        self.jobs.cancelAll()
        for observer in self._observers:
            self.scene.RemoveObserver(observer)
        self._observers = []

    def poll(self) -> None:
        self.jobs.poll()

    # --- the server

    def client(self) -> Client:
        """The client for the server in the settings.

        Raises:
            RadFindError: the address cannot be read.
        """
        address = parseAddress(self.settings.server)
        key = (address, self.settings.token(address.url), self.settings.caFile)
        if key not in self._clients:
            self._clients[key] = Client(Transport(*key))
        return self._clients[key]

    def testConnection(self) -> Job | None:
        """Ask the server what it is; `connected` or `failed` tells."""

        def work(cancellation: Cancellation, progress: Any) -> tuple[ServerInfo, str]:
            sentence = client.testConnection(cancellation)
            return client.info(cancellation), sentence

        client = self._tried(self.client)
        if client is None:
            return None
        return self.jobs.start("Test connection", work, self._done(lambda result: self.connected.emit(*result)))

    # --- questions

    def segment(
        self,
        volume: Any,
        text: str = "",
        prompts: Sequence[dict[str, Any]] = (),
        segmentation: Any = None,
        target: str = "",
        engine: str = "auto",
        model: str = "radfind_segment",
        examples: Sequence[Example] = (),
    ) -> Job | None:
        """Outline what a text, visual prompts or examples mean.

        Arguments:
            segmentation: where segments are added, or None: a new one.
            target: id of the segment whose voxels are replaced (the prompts belong to it), or "": new segments.
        """
        params: dict[str, Any] = {"engine": engine, "masks": True} if model == "radfind_segment" else {}
        if text.strip():
            params["text"] = text
        if prompts:
            params["prompts"] = Wire.prompts(prompts)
        if not text.strip() and not prompts and not examples:
            self.failed.emit("Type what to look for, or place a point or a box.")
            return None

        def place(answer: Answer) -> None:
            if not answer.segments:
                return
            into = segmentation if segmentation is not None else self._writer.newSegmentation(volume)
            if segmentation is None:
                self.parameter.setReference("Segmentation", into)
            ids = self.history.apply(into, volume, answer.segments, target)
            self.historyChanged.emit()
            self.segmented.emit(into, ids)

        return self._ask("Segment", model, params, volume, text, place, [segmentation], examples)

    def likeExample(self, volume: Any, segmentation: Any = None, target: str = "", engine: str = "auto") -> Job | None:
        """Outline on `volume` what the chosen example (volume and segment of another case) shows on its own."""

        def chosen() -> Example:
            other, painted = self.parameter.reference("ExampleVolume"), self.parameter.reference("ExampleSegmentation")
            segment = self.parameter.get("ExampleSegment")
            if other is None or painted is None or painted.GetSegmentation().GetSegment(segment) is None:
                raise RadFindError(
                    "Choose the example: another volume, and the segment that shows the structure on it."
                )
            if other is volume:
                raise RadFindError("The example lies on the volume that is asked about. Choose another case.")
            return Prompts.example(painted, segment, other)

        example = self._tried(chosen)
        if example is None:
            return None
        return self.segment(volume, "", (), segmentation, target, engine, examples=[example])

    def everything(self, volume: Any, segmentation: Any = None, engine: str = "auto") -> Job | None:
        """Outline all that the engine can find."""
        return self.segment(volume, "", [{"type": "everything"}], segmentation, engine=engine)

    def rank(self, volume: Any, text: str, engine: str = "auto", top: int = 10) -> Job | None:
        """Bookmark the slices that show what a text says."""
        if not text.strip():
            self.failed.emit("Type or paste what to look for.")
            return None

        def place(answer: Answer) -> None:
            if not answer.bookmarks:
                return
            node = Bookmarks.makeBookmarks(self.scene, volume, text, answer.engine, answer.bookmarks)
            self.parameter.setReference("Bookmarks", node)
            self.ranked.emit(node)

        params = {"text": text, "engine": engine, "top_k": top, "masks": True}
        return self._ask("Rank slices", "radfind_rank", params, volume, text, place, [])

    def verify(self, volume: Any, text: str, engine: str = "auto") -> Job | None:
        """Check each statement of a report."""
        if not text.strip():
            self.failed.emit("Paste the report, or the sentences to check.")
            return None

        def place(answer: Answer) -> None:
            table = verdictTable(answer.verdicts)
            node = table.toNode(self.scene, f"{volume.GetName()} report check")
            self.parameter.setReference("Verdicts", node)
            self.verified.emit(list(answer.verdicts), volume)

        params = {"text": text, "engine": engine, "masks": True}
        return self._ask("Check report", "radfind_verify", params, volume, text, place, [])

    def _ask(
        self,
        title: str,
        model: str,
        params: dict[str, Any],
        volume: Any,
        text: str,
        place: Callable[[Answer], None],
        needed: Sequence[Any],
        examples: Sequence[Example] = (),
    ) -> Job | None:
        prepared = self._tried(lambda: (self.client(), Volumes.snapshot(volume)))
        if prepared is None:
            return None
        client, snapshot = prepared
        voxels = volume.GetImageData().GetMTime()
        if not self._consented(client.url, snapshot.nbytes + sum(one.volume.nbytes for one in examples)):
            self.failed.emit("Nothing was sent: you did not agree.")
            return None

        def work(cancellation: Cancellation, progress: Any) -> Answer:
            wire = client.ask(model, params, snapshot, cancellation, progress, examples)
            return answerOf(wire, snapshot.grid, text)

        def done(answer: Answer) -> None:
            self._checkStillThere(volume, snapshot, voxels, needed)
            empty = not (answer.segments or answer.bookmarks or answer.verdicts)
            said = answer.said or (("Nothing was found.",) if empty else ())
            if said:
                self.said.emit("\n".join(said))
            place(answer)
            Overlay.removeEvidence(self.scene, volume)
            self._evidence[volume.GetID()] = (volume, answer.evidence)
            if self.parameter.flag("ShowEvidence"):
                self.showEvidence(True)

        return self.jobs.start(title, work, self._done(done))

    def _checkStillThere(self, volume: Any, snapshot: Snapshot, voxels: int, needed: Sequence[Any]) -> None:
        for node in (volume, *needed):
            if node is not None and node.GetScene() is not self.scene:
                raise RadFindError(f"'{node.GetName()}' was removed while the server worked; nothing was added.")
        same, image = Volumes.gridOf(volume), volume.GetImageData()
        # Another time point of a sequence has other voxels on the same grid.
        if (
            image.GetMTime() != voxels
            or same.shape != snapshot.grid.shape
            or abs(same.toLPS - snapshot.grid.toLPS).max() > 1e-6
        ):
            raise RadFindError(
                f"'{volume.GetName()}' was changed while the server worked; nothing was added. Ask again."
            )

    def _consented(self, url: str, count: int) -> bool:
        if self.settings.consented(url):
            return True
        size = f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
        agreed = self._askConsent(
            f"Your text and this volume ({size}: voxels and their position, no patient name) will be sent to {url}. "
            "A series that the server already has is only named to it. Agree for this server?"
        )
        if agreed:
            self.settings.setConsent(url, True)
        return agreed

    def showEvidence(self, visible: bool) -> None:
        """Show or hide what the engine looked at; the overlay is made when it is first shown."""
        self.parameter.setFlag("ShowEvidence", visible)
        if visible:
            for volume, evidence in self._evidence.values():
                if volume.GetScene() is self.scene and not Overlay.overlaysOf(self.scene, volume):
                    Overlay.makeEvidence(self.scene, self._writer, volume, evidence)
        Overlay.setVisible(self.scene, visible)

    # --- visual prompts

    def visualPrompts(self, volume: Any) -> list[dict[str, Any]]:
        """The prompts that the parameter node refers to: points, boxes and scribble segments.

        Raises:
            RadFindError: one of them lies outside the volume, or is too large.
        """
        Volumes.checkAskable(volume)
        found: list[dict[str, Any]] = []
        for name, positive in (("Positive", True), ("Negative", False)):
            node = self.parameter.reference(name)
            if node is not None:
                found += Prompts.points(node, volume, positive)
        found += [Prompts.box(roi, volume) for roi in self.parameter.references("Boxes")]
        painted = self.parameter.reference("Scribbles")
        for name, positive in (("ScribbleSegment", True), ("NegativeScribbleSegment", False)):
            segment = self.parameter.get(name)
            if painted is not None and painted.GetSegmentation().GetSegment(segment) is not None:
                found.append(Prompts.scribble(painted, segment, volume, positive))
        return found

    # --- undo

    def undo(self) -> bool:
        done = self.history.undo()
        self.historyChanged.emit()
        return done

    def redo(self) -> bool:
        done = self.history.redo()
        self.historyChanged.emit()
        return done

    def accept(self) -> None:
        self.history.clear()
        self.historyChanged.emit()

    # --- bookmarks and verdicts

    def jump(self, node: Any, number: int) -> None:
        Bookmarks.jump(self.scene, self._markups(), node, number)

    def jumpToVerdict(self, row: VerdictRow, volume: Any) -> None:
        if row.lps is None or volume is None or volume.GetScene() is not self.scene:
            self.failed.emit("There is nothing to show for this sentence.")
            return
        Bookmarks.jumpTo(self.scene, self._markups(), volume, Prompts.worldOf(row.lps, volume))

    def _markups(self) -> Any:
        return self._application.GetModuleLogic("Markups")

    # --- measures and export

    def measure(self, segmentation: Any, segments: Sequence[str], volume: Any = None) -> Job | None:
        """Measure segments into a table; `measured` tells."""

        def prepare() -> list[tuple[Any, ...]]:
            if segmentation is None or not segments:
                raise RadFindError("Choose the segments to measure.")
            rows = []
            for segment in segments:
                name = segmentation.GetSegmentation().GetSegment(segment).GetName()
                if volume is None:
                    rows.append((name, *ownMask(segmentation, segment), None))
                else:
                    grid, voxels = Volumes.gridOf(volume), Volumes.voxelsOf(volume)
                    rows.append((name, maskOf(segmentation, segment, volume), grid, voxels))
            return rows

        rows = self._tried(prepare)
        if rows is None:
            return None

        def work(cancellation: Cancellation, progress: Any) -> Table:
            cells = []
            for number, (name, mask, grid, voxels) in enumerate(rows):
                cancellation.check()
                progress(number / len(rows), f"measuring {name}")
                cells.append(Measure.measure(mask, grid, voxels).cells(name))
            return Table(Measure.COLUMNS, cells)

        def done(table: Table) -> None:
            node = table.toNode(self.scene, "RadFind measures", self.parameter.reference("Measures"))
            self.parameter.setReference("Measures", node)
            self.measured.emit(table, node)

        return self.jobs.start("Measure", work, self._done(done))

    def export(
        self, segmentation: Any, segments: Sequence[str], folder: str, form: str, space: str, volume: Any = None
    ) -> Job:
        """Write segments, one between two turns of the event loop; `said` names the files, `failed` what went wrong."""

        def done(files: list[Path]) -> None:
            self.said.emit("Written: " + ", ".join(file.name for file in files))

        steps = Export.export(segmentation, segments, Path(folder), form, space, volume)
        return self.jobs.startSteps("Export", steps, self._done(done))

    # --- inside

    def _done(self, place: Callable[[Any], None]) -> Callable[[Job], None]:
        def finished(job: Job) -> None:
            if job.state == FAILED:
                self.failed.emit(job.error)
            else:
                self._tried(lambda: place(job.result))

        return finished

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RadFindError as error:
            self.failed.emit(str(error))
            return None

    def _onClose(self) -> None:
        self.jobs.cancelAll()
        self.history.clear()
        self._evidence.clear()
