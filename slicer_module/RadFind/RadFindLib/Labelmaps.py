"""Segments as voxel masks and back, on whatever grid and under whatever transform they lie."""

from __future__ import annotations

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


def ownMask(segmentation: Any, segment: str) -> tuple[Mask, Grid]:
    """A segment's mask on the grid it is stored on (local LPS); its extent begins at (0, 0, 0)."""
    image = segmentImage(segmentation, segment)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    shape = (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    toLPS = flipXY(matrixArray(matrix))
    if min(shape) < 1 or image.GetPointData().GetScalars() is None:
        return Mask((0, 0, 0), np.zeros((0, 0, 0), bool)), Grid((1, 1, 1), toLPS)
    toLPS[:3, 3] += toLPS[:3, :3] @ np.array([i0, j0, k0], np.float64)
    voxels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape) > 0
    return cropped(voxels), Grid(shape, toLPS)


def maskOf(segmentation: Any, segment: str, volume: Any) -> Mask:
    """A segment's mask on the volume's grid: exact where they share voxels.

    Raises:
        RadFindError: a non-linear transform lies between them.
    """
    mask, grid = ownMask(segmentation, segment)
    if not mask.voxels.size:
        return mask
    across = matrixBetween(segmentation, volume)
    if across is None:
        raise RadFindError("A non-linear transform lies between the segment and the volume. Harden it first.")
    toLPS = flipXY(across @ flipXY(grid.toLPS))
    return _inside(mask, Grid(grid.shape, toLPS), gridOf(volume))


def _inside(mask: Mask, source: Grid, target: Grid) -> Mask:
    toLPS = source.toLPS.copy()
    toLPS[:3, 3] = source.positions(np.array(mask.start))
    return moved(Mask((0, 0, 0), mask.voxels), Grid(mask.voxels.shape, toLPS), target)
