"""Results as segments: added without touching what is there, one undo step per answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import slicer

from .Geometry import Mask
from .Labelmaps import imageForSegmentation, segmentImage

PROMPT_TAG = "RadFind.Prompt"


@dataclasses.dataclass(frozen=True)
class FoundSegment:
    """One segment of an answer, on the volume's grid.

    Arguments:
        color: red, green, blue, 0-255.
        terminology: Slicer's terminology string.
        tags: what is kept with the segment, name to text.
    """

    name: str
    mask: Mask
    color: tuple[int, int, int]
    terminology: str
    tags: dict[str, str]


class SegmentWriter:
    """Writes segments through Slicer's segment-editor logic with overlap kept.

    The editor node is its own and hidden, so what the user has chosen in Segment Editor stays as it is.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._logic: Any = None
        if hasattr(slicer, "vtkSlicerSegmentEditorLogic"):
            self._logic = slicer.vtkSlicerSegmentEditorLogic()
            self._logic.SetMRMLScene(scene)

    def newSegmentation(self, volume: Any) -> Any:
        """A segmentation for a volume: its geometry, its transform, its name."""
        name = self._scene.GetUniqueNameByString(f"{volume.GetName()} RadFind")
        node = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        self.prepare(node, volume)
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        return node

    @staticmethod
    def prepare(segmentation: Any, volume: Any) -> None:
        """Make sure that segments can be seen and edited: a node that a selector has made has neither."""
        if segmentation.GetDisplayNode() is None:
            segmentation.CreateDefaultDisplayNodes()
        if segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()) is None:
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)

    def add(self, segmentation: Any, volume: Any, found: FoundSegment) -> str:
        """A new segment; the ones that are there keep every voxel. Returns its id."""
        image = imageForSegmentation(found.mask, volume, segmentation)
        segment = segmentation.GetSegmentation().AddEmptySegment("", found.name, [c / 255.0 for c in found.color])
        self.describe(segmentation, segment, found)
        self.set(segmentation, segment, image)
        return str(segment)

    def replace(self, segmentation: Any, volume: Any, segment: str, found: FoundSegment) -> None:
        """The voxels of an existing segment, and nothing else of the segmentation."""
        image = imageForSegmentation(found.mask, volume, segmentation)
        for tag, text in found.tags.items():
            segmentation.GetSegmentation().GetSegment(segment).SetTag(tag, tagText(text))
        self.set(segmentation, segment, image)

    def describe(self, segmentation: Any, segment: str, found: FoundSegment) -> None:
        target = segmentation.GetSegmentation().GetSegment(segment)
        target.SetTag(target.GetTerminologyEntryTagName(), found.terminology)
        for tag, text in found.tags.items():
            target.SetTag(tag, tagText(text))

    def set(self, segmentation: Any, segment: str, image: Any) -> None:
        """Make a segment's voxels those of `image`."""
        if self._logic is None:  # an older Slicer has the editor in its widget only: a layer of its own does the same
            segmentations = slicer.vtkSlicerSegmentationsModuleLogic
            segmentation.GetSegmentation().SeparateSegmentLabelmap(segment)
            segmentations.ClearSegment(segmentation, segment)
            segmentations.SetBinaryLabelmapToSegment(image, segmentation, segment, segmentations.MODE_REPLACE)
            return
        editor = slicer.vtkMRMLSegmentEditorNode()
        editor.SetSingletonTag("RadFind")
        editor.HideFromEditorsOn()
        editor = self._scene.AddNode(editor)
        editor.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteNone)
        editor.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
        try:
            self._logic.SetSegmentEditorNode(editor)
            self._logic.SetSegmentationNode(segmentation)
            self._logic.ModifySegmentByLabelmap(
                segmentation, segment, image, slicer.vtkSlicerSegmentEditorLogic.ModificationModeSet, False, True
            )
        finally:
            self._logic.SetSegmentationNode(None)
            self._logic.SetSegmentEditorNode(None)
            self._scene.RemoveNode(editor)


class SavedSegment:
    """A segment as it was: its voxels alone, and everything said about it."""

    def __init__(self, segmentation: Any, segment: str) -> None:
        self.segment = segment
        self._meta = slicer.vtkSegment()
        self._meta.DeepCopyMetadata(segmentation.GetSegmentation().GetSegment(segment))
        self._image = segmentImage(segmentation, segment)

    def restore(self, segmentation: Any, writer: SegmentWriter) -> None:
        """Bring it back under its id, adding it when it is gone."""
        inner = segmentation.GetSegmentation()
        if inner.GetSegment(self.segment) is None:
            inner.AddEmptySegment(self.segment, self._meta.GetName())
        target = inner.GetSegment(self.segment)
        label = target.GetLabelValue()
        target.DeepCopyMetadata(self._meta)
        target.SetLabelValue(label)  # it belongs to the layer, not to the segment's description
        writer.set(segmentation, self.segment, self._image)


@dataclasses.dataclass
class Answer:
    """What one answer changed in one segmentation: the segments it added, and those it replaced as they were."""

    segmentation: Any
    added: list[str]
    replaced: list[SavedSegment]


class History:
    """Undo and redo, one step per answer. Only what the answer changed goes back: later edits elsewhere stay."""

    def __init__(self, scene: Any, writer: SegmentWriter) -> None:
        self._scene = scene
        self._writer = writer
        self._undo: list[Answer] = []
        self._redo: list[Answer] = []

    @property
    def canUndo(self) -> bool:
        return any(self._alive(answer) for answer in self._undo)

    @property
    def canRedo(self) -> bool:
        return any(self._alive(answer) for answer in self._redo)

    def apply(self, segmentation: Any, volume: Any, found: Sequence[FoundSegment], target: str = "") -> list[str]:
        """Add the segments of an answer, or put the first one's voxels into `target`. Returns their ids."""
        self._writer.prepare(segmentation, volume)
        inner = segmentation.GetSegmentation()
        if target and found and inner.GetSegment(target) is not None:
            before = SavedSegment(segmentation, target)
            self._writer.replace(segmentation, volume, target, found[0])
            self._push(Answer(segmentation, [], [before]))
            return [target]
        added = [self._writer.add(segmentation, volume, item) for item in found]
        if added:
            self._push(Answer(segmentation, added, []))
        return added

    def undo(self) -> bool:
        """Take the newest answer back; False: there is none."""
        return self._step(self._undo, self._redo)

    def redo(self) -> bool:
        return self._step(self._redo, self._undo)

    def clear(self) -> None:
        """Accept everything: the versions kept for undo are dropped."""
        self._undo.clear()
        self._redo.clear()

    def _push(self, answer: Answer) -> None:
        self._undo.append(answer)
        self._redo.clear()

    def _step(self, source: list[Answer], target: list[Answer]) -> bool:
        while source:
            answer = source.pop()
            if not self._alive(answer):
                continue
            inner = answer.segmentation.GetSegmentation()
            opposite = Answer(answer.segmentation, [], [])
            for segment in answer.added:
                if inner.GetSegment(segment) is not None:
                    opposite.replaced.append(SavedSegment(answer.segmentation, segment))
                    inner.RemoveSegment(segment)
            for saved in answer.replaced:
                if inner.GetSegment(saved.segment) is None:
                    opposite.added.append(saved.segment)
                else:
                    opposite.replaced.append(SavedSegment(answer.segmentation, saved.segment))
                saved.restore(answer.segmentation, self._writer)
            target.append(opposite)
            return True
        return False

    def _alive(self, answer: Answer) -> bool:
        """Whether there is still something to take back: the user may have removed it."""
        if self._scene is None or answer.segmentation.GetScene() is not self._scene:
            return False
        inner = answer.segmentation.GetSegmentation()
        return bool(answer.replaced) or any(inner.GetSegment(segment) is not None for segment in answer.added)


def tagText(text: str) -> str:
    """Text that a ``.seg.nrrd`` keeps: ``|`` divides its tags."""
    return text.replace("|", "/").replace("\r", "").replace("\n", " ¶ ")
