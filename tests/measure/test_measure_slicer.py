"""Our numbers beside Slicer's segment statistics, on a shared labelled scan.

The SegmentStatistics module itself is not part of slicer-core; these are the filters it calls, on the segments as
Slicer holds them: voxels times spacing, `vtkITKLabelShapeStatistics`, and `vtkMassProperties` of the closed surface.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import radfind
from radfind.imaging.writing import write_labelmap
from radfind.measure import measure
from radfind.results import Segment, Segmentation

pytestmark = pytest.mark.slicer


def test_agrees_with_slicers_segment_statistics(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersCore import vtkMassProperties, vtkTriangleFilter

    if not hasattr(slicer, "vtkSlicerSegmentationsModuleLogic"):
        pytest.skip("this slicer-core has no segmentations logic")
    folder = shared_data("abdomen-ct")
    volume = radfind.load(folder / "ct.nii.gz")
    labels = radfind.load(folder / "labels.nii.gz").array
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    chosen = [int(v) for v in values[np.argsort(-counts)][:8]]
    segments = tuple(Segment(f"label {v}", labels == v) for v in chosen)
    file = write_labelmap(Segmentation(volume.geometry, segments), tmp_path / "s.seg.nrrd", volume)
    scene, app = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    app.SetMRMLScene(scene)
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLApplicationLogic(app)
    logic.SetMRMLScene(scene)
    node = logic.LoadSegmentationFromFile(str(file), True)
    node.CreateClosedSurfaceRepresentation()
    diagonal = float(np.linalg.norm(volume.geometry.spacing))
    for number, segment in enumerate(segments):
        name = node.GetSegmentation().GetNthSegmentID(number)
        found = measure(volume, segment)
        image = slicer.vtkOrientedImageData()
        assert node.GetBinaryLabelmapRepresentation(name, image)
        voxels = int(np.count_nonzero(vtk_to_numpy(image.GetPointData().GetScalars())))
        assert found["volume_mm3"] == pytest.approx(voxels * np.prod(image.GetSpacing()), rel=1e-4)
        shape = slicer.vtkITKLabelShapeStatistics()
        shape.SetInputData(image)
        shape.ComputeShapeStatisticOn("FeretDiameter")
        shape.Update()
        feret = shape.GetOutput().GetColumnByName("FeretDiameter").GetValue(0)
        # ITK goes from centre to centre of voxels, we to the border: half a voxel diagonal at both ends.
        assert found["greatest_diameter_mm"] == pytest.approx(feret, abs=diagonal)
        triangles, mass = vtkTriangleFilter(), vtkMassProperties()
        triangles.SetInputData(node.GetClosedSurfaceInternalRepresentation(name))
        triangles.Update()
        mass.SetInputData(triangles.GetOutput())
        # Slicer smooths its surface without keeping the volume; thin structures lose several percent.
        assert found["volume_mm3"] == pytest.approx(mass.GetVolume(), rel=0.10)
        assert found["surface_area_mm2"] == pytest.approx(mass.GetSurfaceArea(), rel=0.15)
