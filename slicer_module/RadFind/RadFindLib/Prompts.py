"""Markups and painted segments as prompts: what a user points at, as voxels of the volume asked about."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import vtk

from . import Wire
from .Errors import RadFindError
from .Geometry import flipXY
from .Labelmaps import maskOf
from .Parameter import Parameter
from .Snapshot import Example
from .Volumes import between, checkAskable, gridOf, matrixArray, snapshot, transformed

MAX_SCRIBBLE = 200_000
"""Most painted voxels sent at once: 8 MB of text."""
_EDGE = 1e-4  # voxels; a box drawn on voxel centres keeps them


def chosen(parameter: Parameter, volume: Any) -> list[dict[str, Any]]:
    """The prompts that the parameter node refers to: points, boxes and scribble segments.

    Raises:
        RadFindError: one of them lies outside the volume, or is too large.
    """
    checkAskable(volume)
    found: list[dict[str, Any]] = []
    for name, positive in (("Positive", True), ("Negative", False)):
        node = parameter.reference(name)
        if node is not None:
            found += points(node, volume, positive)
    found += [box(roi, volume) for roi in parameter.references("Boxes")]
    painted = parameter.reference("Scribbles")
    for name, positive in (("ScribbleSegment", True), ("NegativeScribbleSegment", False)):
        segment = parameter.get(name)
        if painted is not None and painted.GetSegmentation().GetSegment(segment) is not None:
            found.append(scribble(painted, segment, volume, positive))
    return found


def points(markups: Any, volume: Any, positive: bool) -> list[dict[str, Any]]:
    """The defined points of a point list.

    Raises:
        RadFindError: a point lies outside the volume.
    """
    grid = gridOf(volume)
    found = []
    for number in range(markups.GetNumberOfControlPoints()):
        if markups.GetNthControlPointPositionStatus(number) != markups.PositionDefined:
            continue
        world = np.zeros(3)
        markups.GetNthControlPointPositionWorld(number, world)
        lps = flipXY(transformed(between(None, volume), world)[0])
        index = grid.indices(lps)
        if np.any(index < -0.5) or np.any(index > np.array(grid.shape) - 0.5):
            raise RadFindError(f"The point '{markups.GetNthControlPointLabel(number)}' lies outside the volume.")
        found.append(Wire.point(lps, positive))
    return found


def box(roi: Any, volume: Any) -> dict[str, Any]:
    """The voxels whose centres lie in the upright box (along the volume's axes) around a ROI.

    Raises:
        RadFindError: the ROI is not placed yet or lies outside the volume.
    """
    grid = gridOf(volume)
    size = np.array(roi.GetSize())
    if not np.all(size > 0):
        raise RadFindError(f"The box '{roi.GetName()}' has no size yet: drag it over what you mean.")
    toWorld = matrixArray(roi.GetObjectToWorldMatrix())
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * size
    world = corners @ toWorld[:3, :3].T + toWorld[:3, 3]
    index = grid.indices(flipXY(transformed(between(None, volume), world)))
    low, high = index.min(axis=0), index.max(axis=0)
    first, last = np.ceil(low - _EDGE), np.floor(high + _EDGE)
    thin = first > last  # thinner than a voxel: the one it lies in
    first[thin] = last[thin] = np.rint((low + high) / 2)[thin]
    first, last = np.maximum(first, 0), np.minimum(last, np.array(grid.shape) - 1)
    if np.any(first > last):
        raise RadFindError(f"The box '{roi.GetName()}' lies outside the volume.")
    return Wire.box(grid.positions(first), grid.positions(last))


def scribble(segmentation: Any, segment: str, volume: Any, positive: bool) -> dict[str, Any]:
    """The voxels painted in a segment.

    Raises:
        RadFindError: nothing, or too much, is painted.
    """
    grid = gridOf(volume)
    mask = maskOf(segmentation, segment, volume)
    index = np.argwhere(mask.voxels) + np.array(mask.start)
    if not len(index):
        raise RadFindError("Nothing is painted in the scribble segment yet.")
    if len(index) > MAX_SCRIBBLE:
        raise RadFindError(f"{len(index):,} voxels are painted; at most {MAX_SCRIBBLE:,} are sent. Paint thin strokes.")
    return Wire.scribble(grid.positions(index), positive)


def example(segmentation: Any, segment: str, volume: Any) -> Example:
    """A segment on its own volume, as an example to be found elsewhere.

    Raises:
        RadFindError: it is empty, or does not lie on the volume.
    """
    sent = snapshot(volume)
    name = segmentation.GetSegmentation().GetSegment(segment).GetName()
    mask = maskOf(segmentation, segment, volume)
    if not mask.voxels.any():
        raise RadFindError(
            f"The segment '{name}' has no voxels on '{volume.GetName()}'. Choose the scan it was made on."
        )
    return Example(name, sent, mask)


def worldOf(lps: Any, volume: Any) -> np.ndarray:
    """World RAS of a position in the volume's own LPS."""
    return transformed(between(volume, None), flipXY(lps))[0]


def planeOf(volume: Any) -> Any:
    """The volume's slice plane in its own RAS, as a right-handed 3x3."""
    steps = flipXY(gridOf(volume).toLPS)[:3, :3]
    first = steps[:, 0] / np.linalg.norm(steps[:, 0])
    second = steps[:, 1] - first * (steps[:, 1] @ first)
    second /= np.linalg.norm(second)
    matrix = vtk.vtkMatrix3x3()
    for column, axis in enumerate((first, second, np.cross(first, second))):
        for row in range(3):
            matrix.SetElement(row, column, float(axis[row]))
    return matrix
