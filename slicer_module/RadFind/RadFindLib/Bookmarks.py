"""Ranked slices as one locked Markups list per query, and jumping to them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .Errors import ServerError
from .Geometry import Grid, flipXY
from .Prompts import planeOf
from .Volumes import between, gridOf, matrixArray, transformed

QUERY = "RadFind.Query"
ALIGNED = float(np.cos(np.deg2rad(0.1)))
"""A view within 0.1 degree of a volume's axis shows its slices."""


@dataclasses.dataclass(frozen=True)
class Bookmark:
    """A ranked slice.

    Arguments:
        lps: a position on the slice, at the evidence when there is some.
        words: the words of the query it answers.
        index: of the slice on the server (0-based, ascending towards the head).
    """

    rank: int
    index: int
    score: float
    lps: tuple[float, float, float]
    words: tuple[str, ...]
    instance: str


def bookmarksOf(slices: Sequence[Mapping[str, Any]], grid: Grid) -> list[Bookmark]:
    """The slices of a ranking, on the server's grid.

    Raises:
        ServerError: one of them is malformed.
    """
    try:
        return [_bookmark(item, grid) for item in slices]
    except (KeyError, TypeError, ValueError):
        raise ServerError("A ranked slice in the answer is damaged; no bookmarks were made.") from None


def _bookmark(item: Mapping[str, Any], grid: Grid) -> Bookmark:
    index = int(item["index"])
    if not 0 <= index < grid.shape[0]:
        raise ValueError(index)
    j, i = (grid.shape[1] - 1) / 2, (grid.shape[2] - 1) / 2
    words = []
    for evidence in reversed(item["evidence"]):
        if evidence.get("center_kji"):
            _, j, i = (float(x) for x in evidence["center_kji"])
    for evidence in item["evidence"]:
        said = (evidence.get("span") or {}).get("text") or evidence.get("text")
        if said and said not in words:
            words.append(str(said))
    x, y, z = grid.positions((index, j, i)).tolist()
    instance = str(item.get("sop_instance_uid") or "")
    return Bookmark(int(item["rank"]), index, float(item["score"]), (x, y, z), tuple(words), instance)


def makeBookmarks(scene: Any, volume: Any, query: str, engine: str, bookmarks: Sequence[Bookmark]) -> Any:
    """A locked point list under the volume's transform; its points carry score, words and slice as JSON."""
    name = query.strip().splitlines()[0][:60] if query.strip() else "RadFind"
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GetUniqueNameByString(name))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetGlyphType(display.Cross2D)  # leaves what it marks to be seen
    node.SetAttribute(QUERY, query)
    node.SetAttribute("RadFind.Engine", engine)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    plane = planeOf(volume)
    modified = node.StartModify()
    for bookmark in bookmarks:
        number = node.AddControlPoint(*flipXY(bookmark.lps).tolist())
        node.SetNthControlPointLabel(number, f"#{bookmark.rank} k={bookmark.index} {bookmark.score:.2f}")
        node.SetNthControlPointDescription(number, json.dumps(_description(bookmark), ensure_ascii=False))
        node.SetNthControlPointAssociatedNodeID(number, volume.GetID())
        node.SetNthControlPointOrientationMatrix(number, plane)
        node.SetNthControlPointLocked(number, True)
    node.SetLocked(True)
    node.SetFixedNumberOfControlPoints(True)
    node.EndModify(modified)
    return node


def _description(bookmark: Bookmark) -> dict[str, Any]:
    return {
        "rank": bookmark.rank,
        "index": bookmark.index,
        "score": round(bookmark.score, 4),
        "sop_instance_uid": bookmark.instance,
        "words": list(bookmark.words),
    }


def showOnly(scene: Any, node: Any) -> None:
    """Show one question's points in the views and hide those of the others, which would lie over one another."""
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")):
        one = scene.GetNthNodeByClass(number, "vtkMRMLMarkupsFiducialNode")
        if one.GetAttribute(QUERY) is not None and one.GetDisplayNode() is not None:
            one.GetDisplayNode().SetVisibility(one is node)


def readBookmarks(node: Any) -> list[dict[str, Any]]:
    """What each point of a bookmark list carries, in order; also after a scene was saved and loaded."""
    rows = []
    for number in range(node.GetNumberOfControlPoints()):
        try:
            row = json.loads(node.GetNthControlPointDescription(number) or "{}")
        except ValueError:
            row = {}
        rows.append({"rank": number + 1, "index": -1, "score": 0.0, "words": [], **row})
    return rows


def offsetOf(node: Any, number: int) -> str:
    """Where the slice of a bookmark lies, as the ruler of a slice view says it ("S 12.5 mm"); "" when it is oblique."""
    normal, world = np.zeros(3), np.zeros(3)
    node.GetNthControlPointNormalWorld(number, normal)
    node.GetNthControlPointPositionWorld(number, world)
    axis = int(np.abs(normal).argmax())
    if abs(normal[axis]) < ALIGNED:
        return ""
    return f"{'LPI'[axis] if world[axis] < 0 else 'RAS'[axis]} {abs(world[axis]):.1f} mm"


def jump(scene: Any, markupsLogic: Any, node: Any, number: int) -> None:
    """Show a bookmark in all slice views: its volume, in the planes it was taken in."""
    volume = scene.GetNodeByID(node.GetNthControlPointAssociatedNodeID(number) or "")
    showVolume(scene, volume)
    markupsLogic.JumpSlicesToNthPointInMarkup(node.GetID(), number, True)


def jumpTo(scene: Any, markupsLogic: Any, volume: Any, world: Sequence[float]) -> None:
    """Show a world RAS position of a volume in all slice views."""
    showVolume(scene, volume)
    markupsLogic.JumpSlicesToLocation(*[float(x) for x in world], True)


def showVolume(scene: Any, volume: Any) -> None:
    """Put a volume behind the views that show another one, and turn those to its planes that cut through them."""
    if volume is None:
        return
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        layers = scene.GetNthNodeByClass(number, "vtkMRMLSliceCompositeNode")
        if volume.GetID() not in (layers.GetBackgroundVolumeID(), layers.GetForegroundVolumeID()):
            layers.SetBackgroundVolumeID(volume.GetID())
    axes = _axes(volume)
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        view = scene.GetNthNodeByClass(number, "vtkMRMLSliceNode")
        normal = matrixArray(view.GetSliceToRAS())[:3, 2]
        if np.max(np.abs(normal @ axes)) < ALIGNED:
            view.RotateToVolumePlane(volume)


def _axes(volume: Any) -> np.ndarray:
    """World directions of the volume's axes, as columns; near its middle when the transform is not linear."""
    grid = gridOf(volume)
    middle = (np.array(grid.shape) - 1) / 2
    ends = transformed(between(volume, None), flipXY(grid.positions(middle + np.vstack([np.zeros(3), np.eye(3)]))))
    steps = (ends[1:] - ends[0]).T
    return steps / np.linalg.norm(steps, axis=0)


def localIndex(volume: Any, lps: Sequence[float]) -> tuple[int, int, int]:
    """The volume's own (k, j, i) voxel at a position in its own LPS, clipped to the volume."""
    grid = gridOf(volume)
    k, j, i = np.clip(np.rint(grid.indices(lps)), 0, np.array(grid.shape) - 1).astype(int).tolist()
    return k, j, i
