"""The section "Visual prompts": points, boxes, scribbles and examples, and the segment they belong to."""

from __future__ import annotations

from typing import Any, Callable

import qt

from .Errors import RadFindError
from .Jobs import Job
from .Logic import Logic
from .NodeChoices import NodeChoices, chosenSegment, fillSegmentChoice
from .PromptWatch import PromptWatch

SETTLE_MS = 400
"""A prompt that is still being dragged is not asked about."""
_NODES = {
    "positiveSelector": "Positive",
    "negativeSelector": "Negative",
    "scribbleSelector": "Scribbles",
    "exampleVolumeSelector": "ExampleVolume",
    "exampleSelector": "ExampleSegmentation",
}
_PLACING = {"positiveButton": "Positive", "negativeButton": "Negative", "boxButton": "Boxes"}
_SEGMENTS = (
    ("targetBox", "Segmentation", "new segments", "TargetSegment"),
    ("scribbleBox", "Scribbles", "on it: none", "ScribbleSegment"),
    ("scribbleOffBox", "Scribbles", "off it: none", "NegativeScribbleSegment"),
    ("exampleBox", "ExampleSegmentation", "none", "ExampleSegment"),
)
"""(widget, the segmentation it lists, its first entry, the parameter)."""


class PromptPanel:
    """Arguments:
    engine: the engine chosen in the panel.
    tell: shows a message (text, whether something is wrong).
    """

    def __init__(
        self, parent: Any, ui: Any, logic: Logic, engine: Callable[[], str], tell: Callable[[str, bool], None]
    ) -> None:
        self._ui, self._logic, self._engine, self._tell = ui, logic, engine, tell
        self._showing = False
        self._asked: list[dict[str, Any]] = []
        self._job: Job | None = None
        self._watch = PromptWatch()
        self._watch.changed.connect(self._onChanged)
        self._nodes = NodeChoices(ui, logic.scene, logic.parameter, _NODES, self._onNode)
        ui.boxSelector.setMRMLScene(logic.scene)
        ui.boxSelector.connect("checkedNodesChanged()", self._onBoxes)
        for name, _, _, parameter in _SEGMENTS:
            getattr(ui, name).currentIndexChanged.connect(self._segmentSlot(name, parameter))
        for name, reference in _PLACING.items():
            getattr(ui, name).clicked.connect(self._placeSlot(reference))
        ui.atOnceBox.toggled.connect(lambda on: logic.parameter.setFlag("AskAtOnce", bool(on)))
        self._settle = qt.QTimer(parent)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._askSettled)

    def stop(self) -> None:
        self._settle.stop()
        self._watch.stop()

    def show(self) -> None:
        """Show what the parameter node holds."""
        parameter, boxes = self._logic.parameter, self._ui.boxSelector
        self._nodes.show()
        self._showing = True
        try:
            self._ui.atOnceBox.setChecked(parameter.flag("AskAtOnce"))
            chosen = parameter.references("Boxes")
            for node in [*boxes.checkedNodes(), *boxes.uncheckedNodes()]:
                boxes.setCheckState(node, qt.Qt.Checked if node in chosen else qt.Qt.Unchecked)
        finally:
            self._showing = False
        self._showSegments()
        self._observe()

    def _showSegments(self) -> None:
        """List the segments there are now."""
        parameter = self._logic.parameter
        for name, reference, first, chosen in _SEGMENTS:
            fillSegmentChoice(getattr(self._ui, name), parameter.reference(reference), first, parameter.get(chosen))

    def ask(self) -> None:
        """Ask with points, boxes and scribbles, into the target segment."""
        prompts = self._prompts()
        if prompts:
            self._ask(prompts)
        elif prompts is not None:
            self._tell("Place a point, a box or a scribble first.", True)

    def _prompts(self) -> list[dict[str, Any]] | None:
        """The prompts there are now; None when one of them is wrong, which was said then."""
        try:
            return self._logic.visualPrompts(self._logic.parameter.reference("Volume"))
        except RadFindError as error:
            self._tell(str(error), True)
            return None

    def _ask(self, prompts: list[dict[str, Any]]) -> None:
        parameter = self._logic.parameter
        volume, segmentation = parameter.reference("Volume"), parameter.reference("Segmentation")
        target = parameter.get("TargetSegment")
        self._asked = prompts
        self._job = self._logic.segment(volume, "", prompts, segmentation, target, self._engine())

    def askExample(self) -> None:
        """Outline on the volume what the example shows on its own."""
        parameter = self._logic.parameter
        self._logic.likeExample(
            parameter.reference("Volume"),
            parameter.reference("Segmentation"),
            parameter.get("TargetSegment"),
            self._engine(),
        )

    def _segmentSlot(self, name: str, parameter: str) -> Callable[..., None]:
        box = getattr(self._ui, name)

        def chosen(index: Any = None) -> None:
            if parameter == "TargetSegment":
                self._logic.parameter.setTarget(chosenSegment(box))
                self.show()  # the prompts of that segment
            else:
                self._logic.parameter.set(parameter, chosenSegment(box))

        return chosen

    def _placeSlot(self, reference: str) -> Callable[..., None]:
        def place(checked: Any = None) -> None:
            self._logic.placePrompt(reference)
            self.show()

        return place

    def _onNode(self, reference: str) -> None:
        if reference in ("Scribbles", "ExampleSegmentation"):
            self._showSegments()
        self._observe()

    def _onBoxes(self) -> None:
        if not self._showing:
            self._logic.parameter.setReferences("Boxes", list(self._ui.boxSelector.checkedNodes()))
            self._observe()

    def _observe(self) -> None:
        parameter = self._logic.parameter
        single = [parameter.reference(name) for name in ("Positive", "Negative", "Scribbles")]
        self._watch.watch([*single, *parameter.references("Boxes")])

    def _onChanged(self) -> None:
        if self._logic.parameter.flag("AskAtOnce"):
            self._settle.start()

    def _askSettled(self) -> None:
        prompts = self._prompts()
        if not prompts or prompts == self._asked:
            return  # an answer, or work on another segment, has changed the scribbles' segmentation, not the prompts
        if self._job is not None:
            self._logic.jobs.cancel(self._job)  # its answer would be about prompts that have changed
        self._ask(prompts)
