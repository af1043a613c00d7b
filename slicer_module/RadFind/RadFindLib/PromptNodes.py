"""Point lists and boxes that the user places in the views as prompts."""

from __future__ import annotations

from typing import Any

import slicer

_KINDS = {
    "Positive": ("vtkMRMLMarkupsFiducialNode", "on it", (0.2, 0.8, 0.2)),
    "Negative": ("vtkMRMLMarkupsFiducialNode", "off it", (0.9, 0.2, 0.2)),
    "Boxes": ("vtkMRMLMarkupsROINode", "box", (0.2, 0.6, 0.9)),
}
"""Class, name and colour by the reference of the parameter node."""


def makePromptNode(scene: Any, reference: str) -> Any:
    """An empty point list or box for one of the references in `_KINDS`."""
    kind, name, color = _KINDS[reference]
    node = scene.AddNewNodeByClass(kind, scene.GetUniqueNameByString(f"RadFind {name}"))
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetSelectedColor(*color)  # what unlocked points are drawn in
    return node


def startPlacing(applicationLogic: Any, node: Any) -> None:
    """The next clicks in a view place points of `node` until Esc, or span the one box."""
    selection, interaction = applicationLogic.GetSelectionNode(), applicationLogic.GetInteractionNode()
    selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
    selection.SetActivePlaceNodeID(node.GetID())
    interaction.SetPlaceModePersistence(int(node.IsA("vtkMRMLMarkupsFiducialNode")))
    interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.Place)
