"""Pictures of a slice view and of the 3-D view as Slicer draws them, with its own displayable managers, off-screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from scene import Scene
from vtk.util import numpy_support

_SLICE = ("vtkMRMLSegmentationsDisplayableManager2D", "vtkMRMLMarkupsDisplayableManager")
_SPACE = ("vtkMRMLSegmentationsDisplayableManager3D", "vtkMRMLMarkupsDisplayableManager")


def slice_view(mrml: Scene, volume: Any, name: str, side: int = 500, width_mm: float = 120.0) -> np.ndarray:
    """(rows, columns, 3): the slice view as it stands, `width_mm` wide."""
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    view = mrml.views[name]
    view.SetDimensions(side, side, 1)
    view.SetFieldOfView(width_mm, width_mm, 1.0)
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(mrml.application)
    logic.SetMRMLScene(mrml.scene)
    logic.SetSliceNode(view)
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    logic.UpdatePipeline()
    renderer = vtk.vtkRenderer()
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    mapper.SetInputConnection(logic.GetImageDataConnection())
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    renderer.AddViewProp(actor)
    return _rendered(mrml, renderer, view, _SLICE, side)


def space_view(mrml: Scene, focus: Any, side: int = 500) -> np.ndarray:
    """(rows, columns, 3): the 3-D view of a segmentation from the front right."""
    view = slicer.vtkMRMLViewNode()
    view.SetName("View1")
    view.SetLayoutName("1")
    mrml.scene.AddNode(view)
    focus.CreateClosedSurfaceRepresentation()
    renderer = vtk.vtkRenderer()
    renderer.GradientBackgroundOn()
    renderer.SetBackground(0.75, 0.77, 0.91)
    renderer.SetBackground2(0.45, 0.47, 0.71)
    bounds = [0.0] * 6
    focus.GetRASBounds(bounds)
    middle = [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]
    reach = max(bounds[2 * axis + 1] - bounds[2 * axis] for axis in range(3))
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(middle)
    camera.SetPosition(middle[0] + reach, middle[1] + 2.2 * reach, middle[2] + 0.6 * reach)
    camera.SetViewUp(0, 0, 1)
    renderer.AddLight(vtk.vtkLight())
    return _rendered(mrml, renderer, view, _SPACE, side)


def _rendered(mrml: Scene, renderer: Any, view: Any, managers: tuple[str, ...], side: int) -> np.ndarray:
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(4)
    window.SetSize(side, side)
    window.AddRenderer(renderer)
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    kept = []
    for name in managers:
        manager = getattr(slicer, name)()
        manager.SetMRMLApplicationLogic(mrml.application)
        group.AddDisplayableManager(manager)
        kept.append(manager)
    group.SetMRMLDisplayableNode(view)
    renderer.ResetCameraClippingRange()
    window.Render()
    taken = vtk.vtkWindowToImageFilter()
    taken.SetInput(window)
    taken.ReadFrontBufferOff()
    taken.Update()
    image = taken.GetOutput()
    columns, rows, _ = image.GetDimensions()
    flat = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return flat.reshape(rows, columns, -1)[::-1, :, :3].copy()


def save(pixels: np.ndarray, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, optimize=True)
