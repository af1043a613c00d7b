"""Evidence masks as an overlay: a segmentation of its own that is shown or hidden as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from .Geometry import Mask
from .Labelmaps import imageForSegmentation
from .Segments import SegmentWriter, tagText

_TAG = "RadFind.Evidence"
_COLOR = (1.0, 0.8, 0.2)
MAX_MASKS = 50


def removeEvidence(scene: Any, volume: Any) -> None:
    """Drop the overlay of a volume."""
    for node in overlaysOf(scene, volume):
        scene.RemoveNode(node)


def makeEvidence(scene: Any, writer: SegmentWriter, volume: Any, evidence: Sequence[tuple[str, Mask]]) -> Any:
    """An overlay of a volume's evidence; None without any."""
    seen = [(text, mask) for text, mask in evidence if mask.voxels.any()][:MAX_MASKS]
    if not seen:
        return None
    node = writer.newSegmentation(volume)
    node.SetName(scene.GetUniqueNameByString(f"{volume.GetName()} evidence"))
    node.SetNodeReferenceID(_TAG, volume.GetID())
    node.HideFromEditorsOn()  # nobody should draw in it or choose it for answers: the next answer drops it
    for text, mask in seen:  # each on a layer of its own, which takes a twentieth of the time of the editor's logic
        segment = slicer.vtkSegment()
        segment.SetName(tagText(text)[:80])
        segment.SetColor(*_COLOR)
        name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
        segment.AddRepresentation(name, imageForSegmentation(mask, volume, node))
        node.GetSegmentation().AddSegment(segment)
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(0.25)
    display.SetVisibility3D(False)
    return node


def overlays(scene: Any) -> list[Any]:
    count = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    nodes = [scene.GetNthNodeByClass(number, "vtkMRMLSegmentationNode") for number in range(count)]
    return [node for node in nodes if node.GetNodeReferenceID(_TAG)]


def overlaysOf(scene: Any, volume: Any) -> list[Any]:
    return [node for node in overlays(scene) if node.GetNodeReference(_TAG) is volume]


def setVisible(scene: Any, visible: bool) -> None:
    for node in overlays(scene):
        node.GetDisplayNode().SetVisibility(visible)
