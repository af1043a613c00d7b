"""Node selectors of the panel bound to the references of the parameter node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from .Parameter import Parameter


class NodeChoices:
    """Keeps ``qMRMLNodeComboBox`` widgets and references alike.

    Arguments:
        ui: the panel's widgets by name.
        references: name of the widget to name of the reference.
        changed: told the reference that the user changed.
    """

    def __init__(
        self,
        ui: Any,
        scene: Any,
        parameter: Parameter,
        references: Mapping[str, str],
        changed: Callable[[str], None],
    ) -> None:
        self._boxes = {reference: getattr(ui, name) for name, reference in references.items()}
        self._scene = scene
        self._parameter = parameter
        self._changed = changed
        self._showing = False
        for reference, box in self._boxes.items():
            box.setMRMLScene(scene)
            box.connect("currentNodeChanged(vtkMRMLNode*)", self._slot(reference))

    def show(self) -> None:
        """Select what the parameter node refers to."""
        self._showing = True
        try:
            for reference, box in self._boxes.items():
                box.setCurrentNode(self._parameter.reference(reference))
        finally:
            self._showing = False

    def _slot(self, reference: str) -> Callable[[Any], None]:
        def selected(node: Any) -> None:
            if not self._showing and not self._scene.IsClosing():  # the parameter node goes too
                self._parameter.setReference(reference, node)
                self._changed(reference)

        return selected


def fillSegmentChoice(box: Any, segmentation: Any, first: str, chosen: str) -> None:
    """A combo box of a segmentation's segments below an entry for none of them."""
    blocked = box.blockSignals(True)
    box.clear()
    box.addItem(first, "")
    for identifier, name in segmentNames(segmentation):
        box.addItem(name, identifier)
    for number in range(int(box.property("count"))):
        if box.itemData(number) == chosen:
            box.setCurrentIndex(number)
    box.blockSignals(blocked)


def chosenSegment(box: Any) -> str:
    """Id of the segment selected in a box that `fillSegmentChoice` filled, or ""."""
    return str(box.itemData(int(box.property("currentIndex"))) or "")


def segmentNames(segmentation: Any) -> list[tuple[str, str]]:
    """(id, name) of each segment; none for None."""
    if segmentation is None:
        return []
    inner = segmentation.GetSegmentation()
    ids = [inner.GetNthSegmentID(number) for number in range(inner.GetNumberOfSegments())]
    return [(identifier, inner.GetSegment(identifier).GetName()) for identifier in ids]
