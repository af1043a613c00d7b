"""The module's state in the scene: one parameter node, so that a saved scene opens as it was left."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from typing import Any

import slicer

_TAG = "RadFind"
_PROMPTS = ("Positive", "Negative", "Boxes", "Scribbles")
_PROMPT_VALUES = ("ScribbleSegment", "NegativeScribbleSegment")
_REFERENCES = (
    *_PROMPTS,
    "Volume",
    "Segmentation",
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
}


class Parameter:
    """Named values and node references in a ``vtkMRMLScriptedModuleNode``; made when the scene has none.

    Visual prompts belong to the target segment: their references and values are kept with it, on its segmentation, and
    those of another segment show when that becomes the target. Without a target they are the parameter node's own.
    """

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
        default = _DEFAULTS[name]
        holder, key = self._place(name)
        if holder is not self.node:
            return str(holder.GetAttribute(key) or default)
        return str(holder.GetParameter(key)) if key in holder.GetParameterNames() else default

    def set(self, name: str, value: str) -> None:
        if name not in _DEFAULTS:
            raise KeyError(name)
        holder, key = self._place(name)
        if holder is self.node:
            holder.SetParameter(key, value)
        else:
            holder.SetAttribute(key, value or None)

    def flag(self, name: str) -> bool:
        return self.get(name) == "true"

    def setFlag(self, name: str, value: bool) -> None:
        self.set(name, "true" if value else "false")

    def reference(self, name: str) -> Any:
        """The node referred to, or None; a deleted node is None."""
        found = self.references(name)
        return found[0] if found else None

    def setReference(self, name: str, node: Any) -> None:
        """Refer to a node, or to none. Another segmentation has no target segment yet."""
        if name == "Segmentation" and node is not self.reference(name):
            self.set("TargetSegment", "")
        self.setReferences(name, [node] if node is not None else [])

    def references(self, name: str) -> list[Any]:
        """All nodes referred to under one name; deleted ones are left out."""
        holder, role = self._referring(name)
        found = [holder.GetNthNodeReference(role, n) for n in range(holder.GetNumberOfNodeReferences(role))]
        return [one for one in found if one is not None]

    def setReferences(self, name: str, nodes: Sequence[Any]) -> None:
        holder, role = self._referring(name)
        modified = holder.StartModify()
        holder.RemoveNodeReferenceIDs(role)
        for node in nodes:
            holder.AddNodeReferenceID(role, node.GetID())
        holder.EndModify(modified)

    def setTarget(self, segment: str) -> None:
        """Make a segment the target; prompts placed without one go along when it has none of its own."""
        loose = not self.get("TargetSegment")
        self.set("TargetSegment", segment)
        if loose and not any(self.references(name) for name in _PROMPTS):
            self.set("TargetSegment", "")
            self.adoptPrompts(segment)

    def adoptPrompts(self, segment: str) -> None:
        """Make a segment the target and give it the prompts that are shown now."""
        nodes = {name: self.references(name) for name in _PROMPTS}
        values = {name: self.get(name) for name in _PROMPT_VALUES}
        for name in nodes:
            self.setReferences(name, [])
        for name in values:
            self.set(name, "")
        self.set("TargetSegment", segment)
        for name, found in nodes.items():
            self.setReferences(name, found)
        for name, value in values.items():
            self.set(name, value)

    def _referring(self, name: str) -> tuple[Any, str]:
        if name not in _REFERENCES:
            raise KeyError(name)
        return self._place(name)

    def _place(self, name: str) -> tuple[Any, str]:
        """The node that holds a value or reference, and its key there."""
        node = self.node
        if name in _PROMPTS or name in _PROMPT_VALUES:
            target, segmentation = node.GetParameter("TargetSegment"), node.GetNodeReference("Segmentation")
            if target and segmentation is not None:
                return segmentation, f"{_TAG}.{name}.{urllib.parse.quote(target, safe='')}"
        return node, name
