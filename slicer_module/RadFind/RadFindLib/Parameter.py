"""The module's state in the scene: one parameter node, so that a saved scene opens as it was left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

_TAG = "RadFind"
_REFERENCES = (
    "Volume",
    "Segmentation",
    "Positive",
    "Negative",
    "Boxes",
    "Scribbles",
    "ExampleVolume",
    "ExampleSegmentation",
    "Bookmarks",
    "Verdicts",
    "Measures",
)
_DEFAULTS = {
    "Text": "",
    "Engine": "auto",
    "TargetSegment": "",
    "ScribbleSegment": "",
    "NegativeScribbleSegment": "",
    "ExampleSegment": "",
    "AskAtOnce": "false",
    "ShowEvidence": "false",
    "TopK": "10",
    "Server": "localhost:8000",
}


class Parameter:
    """Named values and node references in a ``vtkMRMLScriptedModuleNode``; made when the scene has none."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene

    @property
    def node(self) -> Any:
        node = self._scene.GetSingletonNode(_TAG, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(_TAG)
            node.SetModuleName(_TAG)
            node.SetName(_TAG)
            node = self._scene.AddNode(node)
        return node

    def get(self, name: str) -> str:
        """A value, as text; its default when it was never set."""
        if name not in _DEFAULTS:
            raise KeyError(name)
        node = self.node
        return str(node.GetParameter(name)) if name in node.GetParameterNames() else _DEFAULTS[name]

    def set(self, name: str, value: str) -> None:
        if name not in _DEFAULTS:
            raise KeyError(name)
        self.node.SetParameter(name, value)

    def flag(self, name: str) -> bool:
        return self.get(name) == "true"

    def setFlag(self, name: str, value: bool) -> None:
        self.set(name, "true" if value else "false")

    def reference(self, name: str) -> Any:
        """The node referred to, or None; a deleted node is None."""
        if name not in _REFERENCES:
            raise KeyError(name)
        return self.node.GetNodeReference(name)

    def setReference(self, name: str, node: Any) -> None:
        if name not in _REFERENCES:
            raise KeyError(name)
        self.node.SetNodeReferenceID(name, node.GetID() if node is not None else None)

    def references(self, name: str) -> list[Any]:
        """All nodes referred to under one name; deleted ones are left out."""
        if name not in _REFERENCES:
            raise KeyError(name)
        node = self.node
        found = [node.GetNthNodeReference(name, n) for n in range(node.GetNumberOfNodeReferences(name))]
        return [one for one in found if one is not None]

    def setReferences(self, name: str, nodes: Sequence[Any]) -> None:
        if name not in _REFERENCES:
            raise KeyError(name)
        self.node.RemoveNodeReferenceIDs(name)
        for node in nodes:
            self.node.AddNodeReferenceID(name, node.GetID())
