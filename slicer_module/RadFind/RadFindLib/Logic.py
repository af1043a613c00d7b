"""What the module does, without any widget: ask a server, put answers in the scene, undo, measure, export."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import slicer

from . import Bookmarks, Export, Overlay, Prompts, Volumes, Wire
from .Address import Address, parseAddress
from .Answers import Answer, answerOf
from .Cancellation import Cancellation
from .Client import Client, ServerInfo
from .Consent import Consent
from .Errors import RadFindError, unexpected
from .Geometry import Mask
from .Jobs import FAILED, Job, Jobs
from .Measuring import measured
from .Parameter import Parameter
from .PromptNodes import makePromptNode, startPlacing
from .Segments import History, SegmentWriter
from .Settings import Settings
from .Signal import Signal
from .Snapshot import Example, Snapshot
from .Tables import Table
from .Transport import Transport
from .Verdicts import makeVerdicts, readVerdicts, verdictVolume


class Logic:
    """Call `poll` every 30 ms on the UI thread; everything else returns at once.

    Arguments:
        scene: the MRML scene.
        applicationLogic: ``slicer.app.applicationLogic()``, where the markups logic is found.
        settings: see `Settings`.
        askConsent: asked once per server, with one paragraph, before the first image or text goes there.
    """

    def __init__(
        self, scene: Any, applicationLogic: Any, settings: Settings, askConsent: Callable[[str], bool]
    ) -> None:
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
        """(table node)."""
        self.known = Signal()
        """(ServerInfo): what the server said it is."""
        self.measured = Signal()
        """(table node)."""
        self.historyChanged = Signal()
        self.sceneChanged = Signal()
        """Another scene is there: it was closed, or one was opened."""
        self._application = applicationLogic
        self._consent = Consent(settings, askConsent)
        self._writer = SegmentWriter(scene)
        self.history = History(scene, self._writer)
        self._evidence: dict[str, tuple[Any, Sequence[tuple[str, Mask]]]] = {}
        self._clients: dict[tuple[Address, str, str], Client] = {}
        events = slicer.vtkMRMLScene
        self._observers = [scene.AddObserver(events.StartCloseEvent, lambda *_: self._onClose())]
        for event in (events.EndCloseEvent, events.EndImportEvent, events.EndRestoreEvent):
            self._observers.append(scene.AddObserver(event, lambda *_: self.sceneChanged.emit()))

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
        """Ask the server what it is; `known` and `said`, or `failed`, tell."""

        def told(info: ServerInfo) -> None:
            self.known.emit(info)
            self.said.emit(info.sentence(client.url))

        client = self._tried(self.client)
        if client is None:
            return None
        return self.jobs.start("Test connection", lambda cancellation, _: client.info(cancellation), self._done(told))

    # --- questions

    def activeVolume(self) -> Any:
        """The volume that the slice views show, when it can be asked about; else None."""
        selection = self._application.GetSelectionNode()
        volume = self.scene.GetNodeByID((selection.GetActiveVolumeID() or "") if selection is not None else "")
        return volume if volume is not None and not volume.IsA("vtkMRMLLabelMapVolumeNode") else None

    def segment(
        self,
        volume: Any,
        text: str = "",
        prompts: Sequence[dict[str, Any]] = (),
        segmentation: Any = None,
        target: str = "",
        engine: str = "auto",
        examples: Sequence[Example] = (),
    ) -> Job | None:
        """Outline what a text, visual prompts or examples mean.

        Arguments:
            segmentation: where segments are added, or None: a new one.
            target: id of the segment whose voxels are replaced (the prompts belong to it), or "": new segments, the
                first of which becomes the target of the prompts that were placed for it.
        """
        params: dict[str, Any] = {"engine": engine, "masks": True}
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
            if placed and target not in ids and self._still(into, target):
                self.parameter.adoptPrompts(ids[0])
            self.historyChanged.emit()
            self.segmented.emit(into, ids)

        placed = any(prompt["type"] != "everything" for prompt in prompts)
        return self._ask("Segment", "radfind_segment", params, volume, text, place, [segmentation], examples)

    def _still(self, segmentation: Any, target: str) -> bool:
        """Whether the user has chosen nothing else while the server worked."""
        parameter = self.parameter
        return segmentation is parameter.reference("Segmentation") and target == parameter.get("TargetSegment")

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
            self.showBookmarks()
            self.ranked.emit(node)

        params = {"text": text, "engine": engine, "top_k": top, "masks": True}
        return self._ask("Rank slices", "radfind_rank", params, volume, text, place, [])

    def verify(self, volume: Any, text: str, engine: str = "auto") -> Job | None:
        """Check each statement of a report."""
        if not text.strip():
            self.failed.emit("Paste the report, or the sentences to check.")
            return None

        def place(answer: Answer) -> None:
            node = makeVerdicts(self.scene, volume, answer.verdicts)
            self.parameter.setReference("Verdicts", node)
            self.verified.emit(node)

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
        if not self._consent.given(client.url, snapshot.nbytes + sum(one.volume.nbytes for one in examples)):
            self.failed.emit("Nothing was sent: you did not agree.")
            return None

        def work(cancellation: Cancellation, progress: Any) -> Answer:
            wire = client.ask(model, params, snapshot, cancellation, progress, examples)
            return answerOf(wire, snapshot.grid, text)

        def done(answer: Answer) -> None:
            if client.known is not None:
                self.known.emit(client.known)
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
        image = volume.GetImageData()
        # Another time point of a sequence has other voxels on the same grid.
        if (
            image is None
            or image.GetMTime() != voxels
            or Volumes.gridOf(volume).shape != snapshot.grid.shape
            or abs(Volumes.gridOf(volume).toLPS - snapshot.grid.toLPS).max() > 1e-6
        ):
            raise RadFindError(
                f"'{volume.GetName()}' was changed while the server worked; nothing was added. Ask again."
            )

    def showEvidence(self, visible: bool) -> None:
        """Show or hide what the engine looked at; the overlay is made when it is first shown."""
        self.parameter.setFlag("ShowEvidence", visible)
        if visible:
            for volume, evidence in self._evidence.values():
                if volume.GetScene() is self.scene and not Overlay.overlaysOf(self.scene, volume):
                    Overlay.makeEvidence(self.scene, self._writer, volume, evidence)
        Overlay.setVisible(self.scene, visible)

    # --- visual prompts

    def placePrompt(self, reference: str) -> None:
        """Let the user click points ("Positive", "Negative") or span one more of the "Boxes" in the views."""
        node = self.parameter.reference(reference) if reference != "Boxes" else None
        if node is None:
            node = makePromptNode(self.scene, reference)
            self.parameter.setReferences(reference, [*self.parameter.references(reference), node])
        startPlacing(self._application, node)

    def visualPrompts(self, volume: Any) -> list[dict[str, Any]]:
        """The prompts that the parameter node refers to: points, boxes and scribble segments.

        Raises:
            RadFindError: one of them lies outside the volume, or is too large.
        """
        return Prompts.chosen(self.parameter, volume)

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

    def showBookmarks(self) -> None:
        """Show the chosen question's bookmarks in the views, and no other's."""
        Bookmarks.showOnly(self.scene, self.parameter.reference("Bookmarks"))

    def jump(self, node: Any, number: int) -> None:
        Bookmarks.jump(self.scene, self._markups(), node, number)

    def jumpToVerdict(self, node: Any, number: int) -> None:
        """Show where the evidence of a line of a findings table lies."""
        volume, rows = verdictVolume(node), readVerdicts(node)
        place = rows[number].lps if number < len(rows) else None
        if place is None or volume is None:
            self.failed.emit("There is nothing to show for this sentence.")
            return
        Bookmarks.jumpTo(self.scene, self._markups(), volume, Prompts.worldOf(place, volume).tolist())

    def _markups(self) -> Any:
        return self._application.GetModuleLogic("Markups")

    # --- measures and export

    def measure(self, segmentation: Any, segments: Sequence[str], volume: Any = None) -> Job:
        """Measure segments into a table; `measured` tells."""

        def done(table: Table) -> None:
            node = table.toNode(self.scene, "RadFind measures", self.parameter.reference("Measures"))
            self.parameter.setReference("Measures", node)
            self.measured.emit(node)

        return self.jobs.startSteps("Measure", measured(segmentation, segments, volume), self._done(done))

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
        except Exception as error:  # a fault of ours must not look like silence
            traceback.print_exc()
            self.failed.emit(unexpected(error))
        return None

    def _onClose(self) -> None:
        self.jobs.cancelAll()
        self.history.clear()
        self._evidence.clear()
