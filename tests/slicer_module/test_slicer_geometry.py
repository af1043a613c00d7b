"""Slicer and the server mean the same voxel, whatever the grid: judged by the voxels' own values.

The volume's NRRD is read by the server's reader; prompts go through its protocol; its masks come back over the wire.
Every voxel has a value of its own, so agreement needs no geometry of either side to be trusted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

import vtk  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from RadFindLib import Nrrd, Prompts, Wire  # noqa: E402
from RadFindLib.Answers import answerOf  # noqa: E402
from RadFindLib.Geometry import Grid, Mask, cropped, flipXY, moved  # noqa: E402
from RadFindLib.Labelmaps import orientedImage  # noqa: E402
from RadFindLib.Volumes import gridOf, snapshot, vtkMatrix  # noqa: E402
from scene import Scene, oblique  # noqa: E402

import radfind  # noqa: E402
from radfind.prompts import BoxPrompt, PointPrompt, ScribblePrompt  # noqa: E402
from radfind.protocol import prompts_from_wire, segmentation_to_wire, volume_to_wire  # noqa: E402
from radfind.results import Segment, Segmentation  # noqa: E402
from radfind.wire_masks import WireMask  # noqa: E402

SHAPE = (9, 11, 13)


class Case:
    """One random geometry: Slicer's volume, and the same volume as the server has read it."""

    def __init__(self, mrml: Scene, seed: int, folder: Path) -> None:
        self.random = np.random.default_rng(seed)
        self.values = np.arange(int(np.prod(SHAPE)), dtype=np.int16).reshape(SHAPE)
        self.volume = mrml.volume(self.values, oblique(seed), f"case{seed}")
        if seed % 4 == 1:
            transform = mrml.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
            transform.SetMatrixTransformToParent(vtkMatrix(oblique(seed + 500, spacing=False)))
            self.volume.SetAndObserveTransformNodeID(transform.GetID())
        file = folder / f"{seed}.nrrd"
        file.write_bytes(b"".join(bytes(chunk) for chunk in snapshot(self.volume).chunks(1 << 20)))
        self.server = radfind.load(file)
        self.mrml = mrml

    def world(self, kji: Any) -> np.ndarray:
        """World RAS of a voxel position, by VTK alone."""
        toRAS, toWorld = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
        self.volume.GetIJKToRASMatrix(toRAS)
        slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(self.volume.GetParentTransformNode(), None, toWorld)
        return np.array(toWorld.MultiplyPoint(toRAS.MultiplyPoint([*np.asarray(kji, float)[::-1], 1.0])))[:3]

    def asked(self, *prompts: dict[str, Any]) -> list[Any]:
        return prompts_from_wire(Wire.prompts(prompts), self.server.geometry)


@pytest.fixture(scope="module")
def mrml() -> Scene:
    return Scene()


@pytest.mark.parametrize("seed", range(50))
def test_points_boxes_scribbles_and_results_agree_with_the_server(mrml: Scene, tmp_path: Path, seed: int) -> None:
    case = Case(mrml, seed, tmp_path)
    theirs = case.server.array

    points = mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    voxels = [case.random.integers(0, SHAPE) for _ in range(5)]
    for voxel in voxels:  # anywhere within the voxel
        points.AddControlPointWorld(*case.world(voxel + case.random.uniform(-0.45, 0.45, 3)))
    for voxel, prompt in zip(voxels, case.asked(*Prompts.points(points, case.volume, True)), strict=True):
        assert isinstance(prompt, PointPrompt) and prompt.positive
        assert theirs[tuple(np.rint(prompt.kji).astype(int))] == case.values[tuple(voxel)]

    first = case.random.integers(0, np.array(SHAPE) - 3)
    last = first + case.random.integers(0, 3, 3)
    roi = mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    middle, size = (first + last) / 2.0, (last - first + 0.8)  # the box reaches 0.4 voxels beyond the outer centres
    frame = np.eye(4)
    ends = [case.world(middle + step) - case.world(middle) for step in np.eye(3)]
    for axis, step in enumerate(reversed(ends)):
        frame[:3, axis] = step / np.linalg.norm(step)
    frame[:3, 3] = case.world(middle)
    roi.SetAndObserveObjectToNodeMatrix(vtkMatrix(frame))
    roi.SetSize(*[float(n * np.linalg.norm(step)) for n, step in zip(size[::-1], reversed(ends), strict=True)])
    (box,) = case.asked(Prompts.box(roi, case.volume))
    assert isinstance(box, BoxPrompt)
    a, b = np.rint(box.start).astype(int), np.rint(box.stop).astype(int)
    mine = case.values[tuple(slice(x, y + 1) for x, y in zip(first, last, strict=True))]
    assert set(theirs[a[0] : b[0] + 1, a[1] : b[1] + 1, a[2] : b[2] + 1].ravel()) == set(mine.ravel())

    painted = case.random.random(SHAPE) > 0.9
    segmentation = mrml.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetAndObserveTransformNodeID(case.volume.GetTransformNodeID())
    identifier = segmentation.GetSegmentation().AddEmptySegment("", "strokes")
    image = orientedImage(cropped(painted), flipXY(gridOf(case.volume).toLPS))
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, segmentation, identifier)
    (strokes,) = case.asked(Prompts.scribble(segmentation, identifier, case.volume, True))
    assert isinstance(strokes, ScribblePrompt)
    assert set(theirs[tuple(strokes.kji.T)]) == set(case.values[painted])

    wanted = case.random.choice(case.values.ravel(), 60, replace=False)
    found = Segmentation(
        geometry=case.server.geometry, segments=(Segment(name="x", mask=np.isin(theirs, wanted)),), engine="test"
    )
    wire = {**segmentation_to_wire(found, masks=True), "volume": volume_to_wire(case.server)}
    answer = answerOf(wire, gridOf(case.volume), "x")
    assert not answer.said  # the grids are one, not resampled
    assert set(case.values[answer.segments[0].mask.full(SHAPE)]) == set(wanted)
    for node in (points, roi, segmentation, case.volume):
        mrml.scene.RemoveNode(node)


boxes = st.tuples(*[st.integers(1, 7)] * 3)


@given(shape=boxes, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_masks_survive_the_wire_both_ways(shape: tuple[int, int, int], seed: int) -> None:
    mask = np.random.default_rng(seed).random(shape) > 0.7
    theirs = WireMask.pack(mask).model_dump()
    np.testing.assert_array_equal(Wire.unpackMask(theirs, shape).full(shape), mask)
    ours = WireMask.model_validate(Wire.packMask(Mask((0, 0, 0), mask)))
    np.testing.assert_array_equal(ours.unpack(shape), mask)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_nearest_neighbour_equals_renumbering_where_grids_are_shared(seed: int) -> None:
    from RadFindLib import Geometry

    random = np.random.default_rng(seed)
    source = Grid((4, 5, 6), oblique(seed % 1000))
    mask = cropped(random.random(source.shape) > 0.6)
    order = random.permutation(3)
    target = np.eye(4)
    target[:3, :3] = source.toLPS[:3, :3][:, ::-1][:, order][:, ::-1]
    target[:3, 3] = source.toLPS[:3, 3]
    grid = Grid(tuple(source.shape[axis] for axis in order), target)
    exact = moved(mask, source, grid)
    near = Geometry._resampled(mask, source, grid)
    np.testing.assert_array_equal(exact.full(grid.shape), near.full(grid.shape))
    np.testing.assert_array_equal(exact.full(grid.shape), mask.full(source.shape).transpose(order))


def test_points_and_boxes_outside_are_refused(mrml: Scene, tmp_path: Path) -> None:
    from RadFindLib.Errors import RadFindError

    case = Case(mrml, 2, tmp_path)
    points = mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.AddControlPointWorld(*case.world((0, 0, -2)))
    with pytest.raises(RadFindError, match="outside"):
        Prompts.points(points, case.volume, True)
    roi = mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    with pytest.raises(RadFindError, match="no size"):
        Prompts.box(roi, case.volume)
    roi.SetXYZ(*case.world((0, 0, -400)))
    roi.SetSize(3, 3, 3)
    with pytest.raises(RadFindError, match="outside"):
        Prompts.box(roi, case.volume)


def test_a_labelmap_reads_as_an_independent_library_wrote_it(tmp_path: Path) -> None:
    import SimpleITK as sitk

    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((0.5, 0.6, 0.7))
    image.SetOrigin((1.0, 2.0, 3.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    for compressed in (True, False):
        file = tmp_path / f"{compressed}.nrrd"
        sitk.WriteImage(image, str(file), compressed)
        read, grid = Nrrd.readLabelmap(file.read_bytes())
        np.testing.assert_array_equal(read, labels)
        expected = image.TransformIndexToPhysicalPoint((2, 3, 4))
        np.testing.assert_allclose(grid.positions((4, 3, 2)), expected)
