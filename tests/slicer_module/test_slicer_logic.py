"""The logic on the real MRML: results land where they belong and nothing else changes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

import SimpleITK as sitk  # noqa: E402
import vtk  # noqa: E402
from RadFindLib import Wire  # noqa: E402
from RadFindLib.Bookmarks import readBookmarks  # noqa: E402
from RadFindLib.Geometry import Mask, cropped, flipXY  # noqa: E402
from RadFindLib.Labelmaps import maskOf, orientedImage  # noqa: E402
from RadFindLib.Parameter import Parameter  # noqa: E402
from RadFindLib.Segments import PROMPT_TAG  # noqa: E402
from RadFindLib.Volumes import gridOf  # noqa: E402
from scene import Scene, oblique  # noqa: E402
from workbench import RANKED, SHAPE, Bench, blob, draw, in_scene, under  # noqa: E402


def test_a_segment_lands_named_coloured_coded_and_tagged(bench: Bench) -> None:
    volume, mask = bench.volume(), blob(1)
    bench.answers(gridOf(volume).toLPS, mask)
    bench.wait(bench.logic.segment(volume, "nodule"))
    assert not bench.errors
    node = bench.logic.parameter.reference("Segmentation")
    np.testing.assert_array_equal(in_scene(node, "nodule 1", volume), mask)
    made = node.GetSegmentation().GetNthSegment(0)
    assert made.GetColor() == pytest.approx((200 / 255, 30 / 255, 40 / 255))
    text = vtk.mutable("")
    assert made.GetTag(made.GetTerminologyEntryTagName(), text) and "27925004^Nodule" in str(text)
    assert made.GetTag(PROMPT_TAG, text) and "右肺上叶结节" in str(text) and "|" not in str(text)


@pytest.mark.parametrize("seed", range(50))
def test_results_are_placed_by_geometry_to_the_voxel(bench: Bench, seed: int) -> None:
    toLPS = oblique(seed)
    volume, mask = bench.volume(toLPS), blob(seed)
    # the server keeps its slices in another order and its axes in another direction
    random = np.random.default_rng(seed)
    order = random.permutation(3)
    theirs = mask.transpose(*order)
    step, origin = toLPS[:3, :3][:, ::-1][:, order], toLPS[:3, 3].copy()
    flips = random.random(3) > 0.5
    for axis in range(3):
        if flips[axis]:
            theirs = np.flip(theirs, axis)
            origin += step[:, axis] * (theirs.shape[axis] - 1)
            step[:, axis] *= -1
    server = np.eye(4)
    server[:3, :3], server[:3, 3] = step[:, ::-1], origin
    bench.answers(server, np.ascontiguousarray(theirs))
    bench.wait(bench.logic.segment(volume, "nodule"))
    assert not bench.errors and not bench.said
    np.testing.assert_array_equal(in_scene(bench.logic.parameter.reference("Segmentation"), "nodule 1", volume), mask)


@pytest.mark.parametrize("editor", [True, False], ids=["editor logic", "without it"])
def test_neighbours_keep_every_voxel_and_undo_takes_one_answer_back(bench: Bench, editor: bool) -> None:
    if not editor:
        bench.logic._writer._logic = None
    volume = bench.volume(oblique(4))
    segmentation = bench.mrml.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    first, second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    first[2:6, 2:9, 2:9], second[6:10, 2:9, 2:9] = True, True
    draw(segmentation, volume, first, "drawn a")
    draw(segmentation, volume, second, "drawn b")
    overlapping = np.zeros(SHAPE, bool)
    overlapping[4:8, 4:12, 4:12] = True
    bench.answers(gridOf(volume).toLPS, overlapping, first)
    bench.wait(bench.logic.segment(volume, "nodule", segmentation=segmentation))
    assert not bench.errors
    for name, mask in (("drawn a", first), ("drawn b", second), ("nodule 1", overlapping), ("nodule 2", first)):
        np.testing.assert_array_equal(in_scene(segmentation, name, volume), mask)
    # a later edit of a neighbour survives undo
    edited = segmentation.GetSegmentation().GetSegmentIdBySegmentName("drawn b")
    second[11, 12, 12] = True
    image = orientedImage(cropped(second), flipXY(gridOf(volume).toLPS))
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, segmentation, edited)
    assert bench.logic.undo()
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 2
    np.testing.assert_array_equal(in_scene(segmentation, "drawn a", volume), first)
    np.testing.assert_array_equal(in_scene(segmentation, "drawn b", volume), second)
    assert bench.logic.redo() and not bench.logic.history.canRedo
    np.testing.assert_array_equal(in_scene(segmentation, "nodule 1", volume), overlapping)
    np.testing.assert_array_equal(in_scene(segmentation, "drawn b", volume), second)
    bench.logic.accept()
    assert not bench.logic.undo()
    # what the user has removed himself is no step of undo
    bench.wait(bench.logic.segment(volume, "nodule", segmentation=segmentation))
    inner = segmentation.GetSegmentation()
    while inner.GetNumberOfSegments() > 4:
        inner.RemoveSegment(inner.GetNthSegmentID(4))
    assert not bench.logic.history.canUndo


@pytest.mark.parametrize("editor", [True, False], ids=["editor logic", "without it"])
def test_a_prompt_belongs_to_one_segment_and_undo_brings_its_old_voxels_back(bench: Bench, editor: bool) -> None:
    if not editor:
        bench.logic._writer._logic = None
    volume = bench.volume()
    grid = gridOf(volume).toLPS
    bench.answers(grid, blob(1), blob(2))
    bench.wait(bench.logic.segment(volume, "x"))
    node = bench.logic.parameter.reference("Segmentation")
    target = node.GetSegmentation().GetSegmentIdBySegmentName("nodule 1")
    node.GetSegmentation().GetSegment(target).SetName("my nodule")
    bench.answers(grid, blob(3))
    prompt = Wire.point((0, 0, 0), True)
    bench.wait(bench.logic.segment(volume, prompts=[prompt], segmentation=node, target=target))
    assert node.GetSegmentation().GetNumberOfSegments() == 2
    np.testing.assert_array_equal(in_scene(node, "my nodule", volume), blob(3))
    np.testing.assert_array_equal(in_scene(node, "nodule 2", volume), blob(2))
    bench.logic.undo()
    np.testing.assert_array_equal(in_scene(node, "my nodule", volume), blob(1))
    np.testing.assert_array_equal(in_scene(node, "nodule 2", volume), blob(2))
    bench.logic.redo()
    np.testing.assert_array_equal(in_scene(node, "my nodule", volume), blob(3))


def test_a_volume_under_a_transform(bench: Bench) -> None:
    volume, mask = bench.volume(oblique(8)), blob(5)
    transform = under(bench, volume, 9)
    bench.answers(gridOf(volume).toLPS, mask)
    bench.wait(bench.logic.segment(volume, "x"))
    node = bench.logic.parameter.reference("Segmentation")
    assert node.GetTransformNodeID() == transform.GetID()
    np.testing.assert_array_equal(maskOf(node, node.GetSegmentation().GetNthSegmentID(0), volume).full(SHAPE), mask)
    np.testing.assert_array_equal(in_scene(node, "nodule 1", volume), mask)
    # into a segmentation in the world: placed where the volume is seen
    world = bench.mrml.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "world")
    world.CreateDefaultDisplayNodes()
    bench.wait(bench.logic.segment(volume, "x", segmentation=world))
    assert not bench.errors
    np.testing.assert_array_equal(maskOf(world, world.GetSegmentation().GetNthSegmentID(0), volume).full(SHAPE), mask)


def test_a_non_linear_transform_between_both_is_refused_not_guessed(bench: Bench) -> None:
    volume, mask = bench.volume(), blob(5)
    grid = bench.mrml.scene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    for landmarks, shift in (("SetSourceLandmarks", 0.0), ("SetTargetLandmarks", 3.0)):
        points = vtk.vtkPoints()
        for n, corner in enumerate(np.ndindex(2, 2, 2)):
            points.InsertNextPoint(*(np.array(corner) * 30.0 + shift * (n % 3)))
        getattr(spline, landmarks)(points)
    grid.SetAndObserveTransformToParent(spline)
    volume.SetAndObserveTransformNodeID(grid.GetID())
    world = bench.mrml.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "world")
    bench.answers(gridOf(volume).toLPS, mask)
    bench.wait(bench.logic.segment(volume, "x", segmentation=world))
    assert "non-linear" in bench.errors[0] and world.GetSegmentation().GetNumberOfSegments() == 0
    bench.wait(bench.logic.segment(volume, "x"))  # a new segmentation goes under the same transform
    node = bench.logic.parameter.reference("Segmentation")
    np.testing.assert_array_equal(maskOf(node, node.GetSegmentation().GetNthSegmentID(0), volume).full(SHAPE), mask)


def test_a_sheared_volume(bench: Bench) -> None:
    toLPS = np.diag([0.8, 0.8, 2.0, 1.0])
    toLPS[1, 2] = 0.7  # gantry tilt
    volume, mask = bench.volume(toLPS), blob(6)
    bench.answers(toLPS, mask)
    bench.wait(bench.logic.segment(volume, "x"))
    assert not bench.errors
    node = bench.logic.parameter.reference("Segmentation")
    np.testing.assert_array_equal(maskOf(node, node.GetSegmentation().GetNthSegmentID(0), volume).full(SHAPE), mask)


def test_colour_is_sent_and_other_many_valued_volumes_are_refused(bench: Bench, tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (1, 8, 9, 3)).astype(np.uint8)
    bench.answers(np.eye(4), np.ones((1, 8, 9), bool))
    bench.wait(bench.logic.segment(bench.mrml.volume(colour, np.eye(4)), "polyp"))
    assert not bench.errors
    file = tmp_path / "c.nrrd"
    file.write_bytes(bench.server.sessions["s0"])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), colour)
    many = bench.mrml.volume(np.zeros((2, 3, 4, 5), np.float32), np.eye(4))
    assert bench.logic.segment(many, "x") is None and "5 values per voxel" in bench.errors[-1]
    label = bench.mrml.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    assert bench.logic.segment(label, "x") is None and "labelmap" in bench.errors[-1]
    empty = bench.mrml.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert bench.logic.segment(empty, "x") is None and "no voxels" in bench.errors[-1]
    assert bench.logic.segment(None, "x") is None and "Choose a volume" in bench.errors[-1]


def test_another_grid_on_the_server_is_placed_by_position_and_said(bench: Bench) -> None:
    volume = bench.volume(np.diag([1.0, 1.0, 1.0, 1.0]))
    coarse = np.zeros((6, 7, 8), bool)
    coarse[2, 3, 4] = True  # covers voxels 4..5, 6..7, 8..9 of the fine grid
    server = np.diag([2.0, 2.0, 2.0, 1.0])
    server[:3, 3] = 0.5
    bench.answers(server, coarse)
    bench.wait(bench.logic.segment(volume, "x"))
    expected = np.zeros(SHAPE, bool)
    expected[4:6, 6:8, 8:10] = True
    np.testing.assert_array_equal(
        in_scene(bench.logic.parameter.reference("Segmentation"), "nodule 1", volume), expected
    )
    assert "another grid" in bench.said[0]


@pytest.mark.parametrize("seed", [4, 5])
def test_an_example_is_another_volume_and_a_segment_on_it(bench: Bench, seed: int) -> None:
    volume, other = bench.volume(), bench.volume(oblique(seed), name="annotated")
    shown = blob(seed)
    bench.answers(gridOf(other).toLPS, shown)
    bench.wait(bench.logic.segment(other, "nodule"))
    annotated = bench.logic.parameter.reference("Segmentation")
    bench.logic.parameter.setReference("ExampleSegmentation", annotated)
    assert bench.logic.likeExample(volume) is None and "Choose the example" in bench.errors[-1]
    bench.logic.parameter.setReference("ExampleVolume", other)
    bench.logic.parameter.set("ExampleSegment", annotated.GetSegmentation().GetNthSegmentID(0))
    assert bench.logic.likeExample(other) is None and "another case" in bench.errors[-1]
    sent = len(bench.server.sessions)
    bench.answers(gridOf(volume).toLPS, blob(9))
    bench.wait(bench.logic.likeExample(volume))
    assert len(bench.server.sessions) == sent + 1  # the volume; the example's was sent before
    (example,) = bench.server.params[-1]["prompts"]["prompts"]
    assert (example["type"], example["name"]) == ("example", "nodule 1")
    asked = next(request for request in reversed(bench.server.requests) if request.startswith("POST /radfind/jobs"))
    assert example["session"] == "s0" and "session_id=s1" in asked
    assert example["grid"]["shape_kji"] == list(SHAPE)
    np.testing.assert_allclose(example["grid"]["affine_ijk_to_lps"], gridOf(other).toLPS)
    mask = Wire.unpackMask(example["mask"], SHAPE)
    full = np.zeros(SHAPE, bool)
    full[tuple(slice(a, a + n) for a, n in zip(mask.start, mask.voxels.shape, strict=True))] = mask.voxels
    np.testing.assert_array_equal(full, shown)
    annotated.GetSegmentation().GetNthSegment(0).SetName("renamed")
    bench.server.fail, bench.server.once = {"POST /radfind/jobs": (404, "{}")}, {"POST /radfind/jobs"}
    bench.wait(bench.logic.likeExample(volume))  # the server has forgotten both: both are sent again
    (example,) = bench.server.params[-1]["prompts"]["prompts"]
    assert example["name"] == "renamed" and len(bench.server.sessions) == sent + 3


def test_several_boxes_and_scribbles_off_the_object_are_prompts_too(bench: Bench) -> None:
    volume, scene = bench.volume(np.eye(4)), bench.mrml.scene
    boxes = []
    for number, centre in enumerate(((-4.0, -4.0, 3.0), (-10.0, -8.0, 7.0))):
        roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", f"box {number}")
        roi.SetCenter(centre)
        roi.SetSize(4.0, 4.0, 4.0)
        boxes.append(roi)
    bench.answers(gridOf(volume).toLPS, blob(1), blob(2))
    bench.wait(bench.logic.segment(volume, "x"))
    painted = bench.logic.parameter.reference("Segmentation")
    parameter = bench.logic.parameter
    parameter.setReferences("Boxes", boxes)
    parameter.setReference("Scribbles", painted)
    for name, number in (("ScribbleSegment", 0), ("NegativeScribbleSegment", 1)):
        parameter.set(name, painted.GetSegmentation().GetNthSegmentID(number))
    prompts = bench.logic.visualPrompts(volume)
    assert [one["type"] for one in prompts] == ["box", "box", "scribble", "scribble"]
    assert [one["start"] for one in prompts[:2]] == [[2.0, 2.0, 1.0], [8.0, 6.0, 5.0]]
    assert [one["positive"] for one in prompts[2:]] == [True, False]
    for one, mask in zip(prompts[2:], (blob(1), blob(2)), strict=True):
        index = np.rint(gridOf(volume).indices(np.array(one["positions"]))).astype(int)
        np.testing.assert_array_equal(np.argwhere(mask), index[np.lexsort(index.T[::-1])])
    scene.RemoveNode(boxes[0])
    assert [one["type"] for one in bench.logic.visualPrompts(volume)] == ["box", "scribble", "scribble"]


def test_consent_is_asked_once_per_server_with_the_size_before_anything_leaves(bench: Bench) -> None:
    volume = bench.volume()
    bench.agree = False
    assert bench.logic.rank(volume, "x") is None
    assert not bench.server.requests and "did not agree" in bench.errors[-1]
    bench.agree = True
    for _ in range(2):
        bench.wait(bench.logic.rank(volume, "x"))
    assert len(bench.asked) == 2 and "kB" in bench.asked[1] and bench.server.url in bench.asked[1]
    assert "NOT encrypted" not in bench.asked[1]  # it does not leave this computer
    bench.agree = False
    for address, clear in (("http://pacs.example", True), ("pacs.example", False), ("https://pacs.example", False)):
        bench.settings.server = address
        assert bench.logic.rank(volume, "x") is None
        assert ("NOT encrypted" in bench.asked[-1]) == clear


def test_scene_close_cancels_and_leaves_nothing(bench: Bench) -> None:
    volume = bench.volume()
    bench.server.work_seconds = 10.0
    job = bench.logic.rank(volume, "x")
    time.sleep(0.3)
    bench.mrml.scene.Clear(False)
    assert job is not None and job.state == "cancelled" and not bench.logic.jobs.running
    assert not bench.logic.history.canUndo
    bench.logic.poll()
    assert bench.mrml.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode") == 0
    assert bench.logic.parameter.get("Engine") == "auto"  # a new parameter node takes over


@pytest.mark.parametrize("which", ["volume", "segmentation", "changed", "time point"])
def test_nodes_that_vanish_or_change_during_a_job(bench: Bench, which: str) -> None:
    volume = bench.volume()
    segmentation = bench.mrml.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    bench.answers(gridOf(volume).toLPS, blob(1))
    bench.server.work_seconds = 0.3
    job = bench.logic.segment(volume, "x", segmentation=segmentation)
    if which == "changed":
        volume.SetSpacing(3, 3, 3)
    elif which == "time point":  # what a sequence browser does to its proxy volume
        other = vtk.vtkImageData()
        other.DeepCopy(volume.GetImageData())
        volume.SetAndObserveImageData(other)
    else:
        bench.mrml.scene.RemoveNode(volume if which == "volume" else segmentation)
    bench.wait(job)
    assert "nothing was added" in bench.errors[0]
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 0


def test_a_fault_of_ours_is_said_and_ends_the_job(bench: Bench) -> None:
    volume = bench.volume()
    bench.answers(gridOf(volume).toLPS, blob(1))
    bench.logic.history.apply = None  # type: ignore[assignment, method-assign]
    job = bench.wait(bench.logic.segment(volume, "x"))
    assert "unexpected TypeError" in bench.errors[-1] and job not in bench.logic.jobs.running


def test_two_jobs_at_once_and_a_lost_server(bench: Bench) -> None:
    volume = bench.volume()
    bench.answers(gridOf(volume).toLPS, blob(1))
    bench.server.work_seconds = 0.2
    jobs = [bench.logic.segment(volume, "x"), bench.logic.segment(bench.volume(oblique(3), name="b"), "y")]
    for job in jobs:
        bench.wait(job)
    assert bench.mrml.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 2
    bench.server.fail = {"POST /radfind/jobs": "hang up"}
    bench.wait(bench.logic.segment(volume, "x"))
    assert "hung up" in bench.errors[-1]
    bench.settings.server = "no such address!"
    assert bench.logic.segment(volume, "x") is None and "not an address" in bench.errors[-1]


def test_a_damaged_answer_adds_nothing(bench: Bench) -> None:
    volume = bench.volume()
    bench.answers(gridOf(volume).toLPS, blob(1))
    bench.server.answer["segments"][0]["mask"]["bits"] = "AAAA"
    bench.wait(bench.logic.segment(volume, "x"))
    assert "damaged" in bench.errors[-1]
    del bench.server.answer["volume"]
    bench.wait(bench.logic.segment(volume, "x"))
    assert "where its voxels lie" in bench.errors[-1]
    assert bench.mrml.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_evidence_is_an_overlay_that_toggles(bench: Bench) -> None:
    from RadFindLib.Overlay import overlays

    volume = bench.volume()
    evidence = {"text": "what was seen", "mask": Wire.packMask(Mask((0, 0, 0), blob(3))), "span": None,
                "center_kji": None, "values": {}}  # fmt: skip
    bench.answers(gridOf(volume).toLPS, slices=[{**RANKED[1], "evidence": [evidence]}] * 2)
    for _ in range(2):
        bench.wait(bench.logic.rank(volume, "x"))
    assert not overlays(bench.mrml.scene)  # made when it is first wanted
    for _ in range(2):
        bench.logic.showEvidence(True)
        (node,) = overlays(bench.mrml.scene)
        assert node.GetDisplayNode().GetVisibility() and node.GetSegmentation().GetNumberOfSegments() == 1
        bench.logic.showEvidence(False)
        assert not node.GetDisplayNode().GetVisibility()
    np.testing.assert_array_equal(in_scene(node, "what was seen", volume), blob(3))


def test_a_saved_scene_opens_as_it_was_left(bench: Bench, tmp_path: Path) -> None:
    volume = bench.volume(oblique(7))
    bench.answers(gridOf(volume).toLPS, blob(1), blob(1) | blob(2))
    bench.wait(bench.logic.segment(volume, "x"))
    bench.answers(gridOf(volume).toLPS, slices=RANKED)
    bench.server.answer["volume"]["shape_kji"] = list(SHAPE)
    bench.wait(bench.logic.rank(volume, "右肺结节"))
    bench.logic.parameter.set("Text", "右肺结节\n第二行")
    file = tmp_path / "scene.mrb"
    assert bench.mrml.scene.WriteToMRB(str(file))
    other = Scene()
    assert other.scene.ReadFromMRB(str(file), True)
    parameter = Parameter(other.scene)
    assert parameter.get("Text") == "右肺结节\n第二行"
    node, again = parameter.reference("Segmentation"), other.scene.GetFirstNodeByName("scan")
    np.testing.assert_array_equal(in_scene(node, "nodule 2", again), blob(1) | blob(2))
    text = vtk.mutable("")
    assert node.GetSegmentation().GetNthSegment(0).GetTag(PROMPT_TAG, text) and "右肺上叶结节" in str(text)
    rows = readBookmarks(parameter.reference("Bookmarks"))
    assert [(row["index"], row["score"]) for row in rows] == [(3, 0.91), (7, 0.4)]
    assert json.dumps(rows[0]["words"], ensure_ascii=False) == '["结节"]'
