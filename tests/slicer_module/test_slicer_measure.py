"""Measures and exports on the real MRML."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

import SimpleITK as sitk  # noqa: E402
import vtk  # noqa: E402
from RadFindLib.Geometry import Grid, cropped, flipXY  # noqa: E402
from RadFindLib.Measure import measure  # noqa: E402
from RadFindLib.Tables import Table  # noqa: E402
from RadFindLib.Volumes import gridOf  # noqa: E402
from scene import oblique  # noqa: E402
from workbench import SHAPE, Bench, blob, in_scene  # noqa: E402


def test_measures_of_a_known_ball(bench: Bench) -> None:
    k, j, i = np.mgrid[:31, :41, :51]
    steps = (1.0, 0.7, 0.6)
    ball = ((k - 15) * steps[0]) ** 2 + ((j - 20) * steps[1]) ** 2 + ((i - 25) * steps[2]) ** 2 <= 10.0**2
    toLPS = oblique(1)
    toLPS[:3, :3] = toLPS[:3, :3] / np.linalg.norm(toLPS[:3, :3], axis=0) * steps[::-1]
    voxels = np.where(ball, 40, -800).astype(np.int16)
    voxels[15, 20, 25] = 50
    volume = bench.mrml.volume(voxels, toLPS)
    bench.answers(toLPS, ball)
    bench.wait(bench.logic.segment(volume, "ball"))
    node, tables = bench.logic.parameter.reference("Segmentation"), []
    bench.logic.measured.connect(lambda made: tables.append(Table.fromNode(made)))
    bench.wait(bench.logic.measure(node, [node.GetSegmentation().GetNthSegmentID(0)], volume))
    name, ml, axial, space, mean, sd = tables[0].rows[0]
    assert name == "nodule 1"
    assert float(ml) == pytest.approx(4 / 3 * np.pi, rel=0.02)  # closed form, mL
    assert float(axial) == pytest.approx(20.0, abs=0.6) and float(space) == pytest.approx(20.0, abs=0.7)
    assert float(mean) == pytest.approx(40.0, abs=0.1) and float(sd) == pytest.approx(0.2, abs=0.2)
    assert tables[0].text().startswith("Segment\tVolume (mL)") and tables[0].columns[-2:] == ["Mean", "SD"]
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")  # what Slicer's DICOM module notes of a CT
    volume.SetVoxelValueUnits(units)
    bench.wait(bench.logic.measure(node, [node.GetSegmentation().GetNthSegmentID(0)], volume))
    assert tables[1].columns[-2:] == ["Mean (HU)", "SD (HU)"] and tables[1].rows == tables[0].rows


@pytest.mark.parametrize(("form", "space"), [("STL", "LPS"), ("STL", "RAS"), ("OBJ", "LPS"), ("OBJ", "RAS")])
def test_surfaces_lie_in_the_space_they_are_labelled_with(bench: Bench, tmp_path: Path, form: str, space: str) -> None:
    volume, mask = bench.volume(oblique(2)), np.zeros(SHAPE, bool)
    mask[4:9, 5:10, 6:12] = True
    bench.answers(gridOf(volume).toLPS, mask)
    bench.wait(bench.logic.segment(volume, "x"))
    node = bench.logic.parameter.reference("Segmentation")
    ids = [node.GetSegmentation().GetNthSegmentID(0)]
    (file,) = bench.wait(bench.logic.export(node, ids, str(tmp_path), form, space)).result
    assert file.name == f"nodule_1-{space}.{form.lower()}"
    reader = vtk.vtkSTLReader() if form == "STL" else vtk.vtkOBJReader()
    reader.SetFileName(str(file))
    reader.Update()
    bounds = np.array(reader.GetOutput().GetBounds()).reshape(3, 2)
    lps = gridOf(volume).positions(np.argwhere(mask))
    centre = (lps.min(axis=0) + lps.max(axis=0)) / 2
    np.testing.assert_allclose(bounds.mean(axis=1), centre if space == "LPS" else flipXY(centre), atol=1.0)
    (again,) = bench.wait(bench.logic.export(node, ids, str(tmp_path), form, space)).result
    assert again != file and file.exists()  # nothing is written over
    assert len(bench.said) == 2


def test_labelmap_exports_read_back_to_the_voxel(bench: Bench, tmp_path: Path) -> None:
    volume, masks = bench.volume(oblique(3)), (blob(1), blob(1) | blob(2))  # they overlap
    bench.answers(gridOf(volume).toLPS, *masks)
    bench.wait(bench.logic.segment(volume, "x"))
    node = bench.logic.parameter.reference("Segmentation")
    ids = [node.GetSegmentation().GetNthSegmentID(n) for n in range(2)]
    files = bench.wait(bench.logic.export(node, ids, str(tmp_path), "NIfTI", "RAS", volume)).result
    for file, mask in zip(files, masks, strict=True):
        image = sitk.ReadImage(str(file))
        for index in np.argwhere(sitk.GetArrayFromImage(image) > 0)[::17]:
            here = gridOf(volume).indices(image.TransformIndexToPhysicalPoint(index[::-1].tolist()))
            assert mask[tuple(np.rint(here).astype(int))]
        assert (sitk.GetArrayFromImage(image) > 0).sum() == mask.sum()
    (file,) = bench.wait(bench.logic.export(node, ids[1:], str(tmp_path), "seg.nrrd", "LPS")).result
    back = slicer.vtkMRMLSegmentationNode()
    bench.mrml.scene.AddNode(back)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(file))
    assert storage.ReadData(back) and back.GetSegmentation().GetNumberOfSegments() == 1
    np.testing.assert_array_equal(in_scene(back, "nodule 2", volume), masks[1])
    assert bench.wait(bench.logic.export(node, [], str(tmp_path), "STL", "LPS")).state == "failed"
    assert "Choose" in bench.errors[-1]


def test_an_export_can_be_stopped_between_two_segments(bench: Bench, tmp_path: Path) -> None:
    volume = bench.volume(oblique(3))
    bench.answers(gridOf(volume).toLPS, blob(1), blob(2))
    bench.wait(bench.logic.segment(volume, "x"))
    node = bench.logic.parameter.reference("Segmentation")
    ids = [node.GetSegmentation().GetNthSegmentID(n) for n in range(2)]
    job = bench.logic.export(node, ids, str(tmp_path), "STL", "LPS")
    bench.logic.poll()
    assert job.message == "writing nodule 1"
    bench.logic.poll()
    assert (job.fraction, job.message) == (0.5, "writing nodule 2")
    bench.logic.jobs.cancel(job)
    bench.logic.poll()
    assert [file.name for file in tmp_path.iterdir()] == ["nodule_1-LPS.stl"]  # whole files only, no staging left
    job = bench.logic.export(node, ids, str(tmp_path), "STL", "LPS")
    bench.logic.poll()
    node.GetSegmentation().RemoveSegment(ids[1])
    bench.wait(job)
    assert job.state == "failed" and "1 of 2 were written" in bench.errors[-1]


@pytest.mark.parametrize("seed", range(12))
def test_diameters_are_the_greatest_distances_there_are(seed: int) -> None:
    """Against every pair of corners of the voxels' boxes of half their size, on oblique and anisotropic grids."""
    toLPS = oblique(seed)
    mask = np.random.default_rng(seed).random((5, 6, 7)) > (0.5 if seed % 2 else 0.9)
    mask[2, 3, 4] = True
    found = measure(cropped(mask), Grid(mask.shape, toLPS))
    quarter = np.array(list(itertools.product((-0.25, 0.25), repeat=3)))

    def longest(ijk: np.ndarray, corners: np.ndarray) -> float:
        points = (ijk[:, None] + corners).reshape(-1, 3) @ toLPS[:3, :3].T
        return float(np.linalg.norm(points[:, None] - points, axis=2).max())

    ijk = np.argwhere(mask)[:, ::-1]
    flat = quarter[quarter[:, 2] > 0] * (1.0, 1.0, 0.0)
    assert found.space == pytest.approx(longest(ijk, quarter), rel=1e-3)
    assert found.axial == pytest.approx(max(longest(ijk[ijk[:, 2] == k], flat) for k in set(ijk[:, 2])), rel=1e-3)


def test_measuring_can_be_stopped_and_says_when_a_segment_has_gone(bench: Bench) -> None:
    volume = bench.volume()
    bench.answers(gridOf(volume).toLPS, blob(1), blob(2))
    bench.wait(bench.logic.segment(volume, "x"))
    node = bench.logic.parameter.reference("Segmentation")
    ids = [node.GetSegmentation().GetNthSegmentID(n) for n in range(2)]
    assert bench.wait(bench.logic.measure(node, [], volume)).state == "failed" and "Choose" in bench.errors[-1]
    job = bench.logic.measure(node, ids, volume)
    bench.logic.jobs.cancel(job)
    bench.logic.poll()
    assert bench.logic.parameter.reference("Measures") is None
    job = bench.logic.measure(node, ids, volume)
    bench.logic.poll()
    node.GetSegmentation().RemoveSegment(ids[1])
    bench.wait(job)
    assert "removed meanwhile" in bench.errors[-1]
