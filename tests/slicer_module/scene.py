"""A real MRML scene without the application: the logics that Slicer's modules bring, and volumes to try them on."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import slicer
import vtk
from RadFindLib.Geometry import flipXY
from RadFindLib.Volumes import vtkMatrix
from vtk.util import numpy_support

_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}


class Scene:
    """`scene`, its `application` logic, and three slice views."""

    def __init__(self) -> None:
        self.scene = slicer.vtkMRMLScene()
        slicer.mrmlScene = self.scene
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(self.scene)
        self.logics = {"Colors": slicer.vtkMRMLColorLogic()}
        self.logics["Colors"].SetMRMLScene(self.scene)  # grey, labels and so on
        self.application.SetColorLogic(self.logics["Colors"])
        for name, kind in _LOGICS.items():
            logic = getattr(slicer, kind)()
            logic.SetMRMLApplicationLogic(self.application)
            logic.SetMRMLScene(self.scene)
            self.application.SetModuleLogic(name, logic)
            self.logics[name] = logic  # the application holds them weakly
        self._cache = tempfile.TemporaryDirectory()  # where .mrb files are unpacked
        cache = slicer.vtkCacheManager()
        cache.SetRemoteCacheDirectory(self._cache.name)
        manager = slicer.vtkDataIOManager()
        manager.SetCacheManager(cache)
        self.scene.SetCacheManager(cache)
        self.scene.SetDataIOManager(manager)
        self.views = {}
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        for name, turn in (("Red", "SetOrientationToAxial"), ("Green", "SetOrientationToCoronal"),
                           ("Yellow", "SetOrientationToSagittal")):  # fmt: skip
            view = self.scene.CreateNodeByClass("vtkMRMLSliceNode")
            view.UnRegister(None)
            view.SetName(name)
            view.SetLayoutName(name)
            self.scene.AddNode(view)
            getattr(view, turn)()
            view.SetDimensions(256, 256, 1)
            view.SetFieldOfView(256, 256, 1)
            self.views[name] = view

    def volume(self, voxels: np.ndarray, toLPS: np.ndarray, name: str = "scan") -> Any:
        """A volume node with these voxels (k, j, i[, 3]) and this geometry."""
        colour = voxels.ndim == 4
        image = vtk.vtkImageData()
        k, j, i = voxels.shape[:3]
        image.SetDimensions(i, j, k)
        flat = np.ascontiguousarray(voxels).reshape((-1, voxels.shape[3]) if colour else -1)
        scalars = numpy_support.numpy_to_vtk(flat, deep=True)
        image.GetPointData().SetScalars(scalars)
        node = self.scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode" if colour else "vtkMRMLScalarVolumeNode", name)
        node.SetAndObserveImageData(image)
        node.SetIJKToRASMatrix(vtkMatrix(flipXY(toLPS)))
        node.CreateDefaultDisplayNodes()
        if not colour:
            node.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
        return node


def oblique(seed: int, spacing: bool = True) -> np.ndarray:
    """A random grid matrix (i, j, k) to LPS: rotated, flipped, anisotropic."""
    random = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    if seed % 3 == 0:  # near the patient's axes, in any order and direction
        rotation = np.eye(3)[random.permutation(3)]
    rotation = rotation * random.choice([-1.0, 1.0], 3)
    steps = random.uniform(0.4, 3.0, 3) if spacing else np.ones(3)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * steps
    matrix[:3, 3] = random.uniform(-200, 200, 3)
    return matrix
