"""Segments as voxel masks and back, on whatever grid and under whatever transform they lie."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from .Errors import RadFindError
from .Geometry import Grid, Mask, cropped, flipXY, moved
from .Volumes import gridOf, matrixArray, matrixBetween, vtkMatrix


def orientedImage(mask: Mask, toRAS: np.ndarray) -> Any:
    """A ``vtkOrientedImageData`` that covers only the mask's box, of values 0 and 1."""
    image = slicer.vtkOrientedImageData()
    k, j, i = mask.start
    nk, nj, ni = mask.voxels.shape
    image.SetExtent(i, i + ni - 1, j, j + nj - 1, k, k + nk - 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    if mask.voxels.size:
        target = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        target.reshape(mask.voxels.shape)[:] = mask.voxels
    image.SetImageToWorldMatrix(vtkMatrix(toRAS))
    return image


def imageForSegmentation(mask: Mask, volume: Any, segmentation: Any) -> Any:
    """A mask on the volume's grid as an image in the segmentation's own coordinates.

    Raises:
        RadFindError: a non-linear transform lies between them.
    """
    across = matrixBetween(volume, segmentation)
    if across is None:
        raise RadFindError(
            "The volume and the segmentation lie under different non-linear transforms. "
            "Put both under the same transform, or choose a new segmentation."
        )
    return orientedImage(mask, across @ flipXY(gridOf(volume).toLPS))


def segmentImage(segmentation: Any, segment: str) -> Any:
    """A copy of one segment's voxels, alone (1 inside), in the segmentation's own coordinates."""
    image = slicer.vtkOrientedImageData()
    if not segmentation.GetBinaryLabelmapRepresentation(segment, image):
        raise RadFindError("The segment has no voxels: its segmentation holds surfaces only.")
    return image


@dataclasses.dataclass(frozen=True, eq=False)
class SegmentCopy:
    """One segment's voxels (k, j, i), not 0 inside, and their grid: a copy that a thread may work on."""

    voxels: np.ndarray
    grid: Grid

    def on(self, target: Grid) -> Mask:
        """The segment on another grid: exact where the grids share voxels."""
        mask = cropped(self.voxels > 0)
        if not mask.voxels.size:
            return mask
        toLPS = self.grid.toLPS.copy()
        toLPS[:3, 3] = self.grid.positions(np.array(mask.start))
        k, j, i = mask.voxels.shape
        return moved(Mask((0, 0, 0), mask.voxels), Grid((k, j, i), toLPS), target)


def copyOf(segmentation: Any, segment: str, volume: Any = None) -> SegmentCopy:
    """A segment in the LPS of a volume, or of its own segmentation.

    Raises:
        RadFindError: it has no voxels, or a non-linear transform lies between it and the volume.
    """
    image = segmentImage(segmentation, segment)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    toRAS = matrixArray(matrix)
    if volume is not None:
        across = matrixBetween(segmentation, volume)
        if across is None:
            raise RadFindError("A non-linear transform lies between the segment and the volume. Harden it first.")
        toRAS = across @ toRAS
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    shape = (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    toLPS = flipXY(toRAS)
    toLPS[:3, 3] += toLPS[:3, :3] @ np.array([i0, j0, k0], np.float64)
    scalars = image.GetPointData().GetScalars()
    if min(shape) < 1 or scalars is None:
        return SegmentCopy(np.zeros((1, 1, 1), bool), Grid((1, 1, 1), toLPS))
    return SegmentCopy(numpy_support.vtk_to_numpy(scalars).reshape(shape), Grid(shape, toLPS))


def maskOf(segmentation: Any, segment: str, volume: Any) -> Mask:
    """A segment's mask on the volume's grid; see `copyOf` and `SegmentCopy.on`."""
    return copyOf(segmentation, segment, volume).on(gridOf(volume))
