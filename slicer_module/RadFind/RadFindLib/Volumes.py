"""Volume nodes: their grid, what may be asked about them, and what a worker thread is given of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from .Errors import RadFindError
from .Geometry import Grid, flipXY
from .Snapshot import Snapshot


def matrixArray(matrix: Any) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def vtkMatrix(array: np.ndarray) -> Any:
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(array[row, column]))
    return matrix


def gridOf(volume: Any) -> Grid:
    """The volume's own grid, without its parent transform."""
    toRAS = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(toRAS)
    i, j, k = volume.GetImageData().GetDimensions()
    return Grid((k, j, i), flipXY(matrixArray(toRAS)))


def voxelsOf(volume: Any) -> np.ndarray:
    """(k, j, i) or (k, j, i, component): a view of the volume's memory."""
    image = volume.GetImageData()
    i, j, k = image.GetDimensions()
    flat = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return flat.reshape(k, j, i) if flat.ndim == 1 else flat.reshape(k, j, i, flat.shape[1])


def unitOf(volume: Any) -> str:
    """ "HU" when the volume says that its values are Hounsfield units, as Slicer notes it of a DICOM CT; else ""."""
    units = volume.GetVoxelValueUnits() if hasattr(volume, "GetVoxelValueUnits") else None
    return "HU" if units is not None and units.GetCodeValue() == "[hnsf'U]" else ""  # UCUM


def checkAskable(volume: Any) -> None:
    """Raises RadFindError: there is no volume, or it is of a kind that cannot be asked about."""
    if volume is None:
        raise RadFindError("Choose a volume first.")
    name = volume.GetName()
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        raise RadFindError(f"'{name}' is a labelmap. Choose the scan it was made on.")
    image = volume.GetImageData()
    if image is None or min(image.GetDimensions()) < 1 or image.GetPointData().GetScalars() is None:
        raise RadFindError(f"'{name}' holds no voxels.")
    components = image.GetNumberOfScalarComponents()
    colour = components == 3 and image.GetScalarType() == vtk.VTK_UNSIGNED_CHAR
    if components != 1 and not colour:
        raise RadFindError(
            f"'{name}' has {components} values per voxel. Ask about one of them: make it a volume of its own "
            "(module Simple Filters or Sequences) and choose that."
        )
    if not colour and image.GetScalarType() == vtk.VTK_BIT:
        raise RadFindError(f"'{name}' holds bits, not intensities. Choose the scan itself.")
    matrix = gridOf(volume).toLPS[:3, :3]
    lengths = np.linalg.norm(matrix, axis=0)
    if not np.all(np.isfinite(matrix)) or np.any(lengths <= 0) or abs(np.linalg.det(matrix / lengths)) < 1e-4:
        raise RadFindError(f"'{name}' has no sound geometry: two of its axes point the same way or a spacing is zero.")


def snapshot(volume: Any) -> Snapshot:
    """What is sent of a volume. Copies nothing, so it takes no time.

    Raises:
        RadFindError: the volume cannot be asked about.
    """
    checkAskable(volume)
    return Snapshot(voxelsOf(volume), gridOf(volume), seriesOf(volume))


def seriesOf(volume: Any) -> str:
    """The SeriesInstanceUID a volume was loaded from, or "": subject hierarchy keeps it."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume) if hierarchy is not None else 0
    if not item or not volume.GetAttribute("DICOM.instanceUIDs"):
        return ""
    return str(hierarchy.GetItemUID(item, "DICOM") or "")


def between(source: Any, target: Any) -> Any:
    """The transform from one node's own coordinates (None: world) to another's; also non-linear ones."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(_parent(source), _parent(target), transform)
    return transform


def matrixBetween(source: Any, target: Any) -> np.ndarray | None:
    """The 4x4 matrix of `between`, or None when it is not linear."""
    if _parent(source) is _parent(target):
        return np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    linear = slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(_parent(source), _parent(target), matrix)
    return matrixArray(matrix) if linear else None


def _parent(node: Any) -> Any:
    return node.GetParentTransformNode() if node is not None else None


def transformed(transform: Any, points: Any) -> np.ndarray:
    """Points (n, 3) through a transform."""
    return np.array([transform.TransformPoint([float(x) for x in point]) for point in np.atleast_2d(points)])
