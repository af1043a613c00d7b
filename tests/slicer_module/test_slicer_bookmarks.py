"""Bookmarks, thumbnails and verdicts on the real MRML: what is shown is the slice that was meant."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")

import vtk  # noqa: E402
from RadFindLib.Bookmarks import offsetOf, readBookmarks  # noqa: E402
from RadFindLib.Geometry import flipXY  # noqa: E402
from RadFindLib.Thumbnails import thumbnail  # noqa: E402
from RadFindLib.Verdicts import readVerdicts  # noqa: E402
from RadFindLib.Volumes import gridOf  # noqa: E402
from scene import oblique  # noqa: E402
from workbench import RANKED, SHAPE, VERDICTS, Bench, under  # noqa: E402


@pytest.mark.parametrize("seed", range(12))
def test_bookmarks_are_locked_points_and_a_jump_shows_the_slice(bench: Bench, seed: int) -> None:
    volume = bench.volume(oblique(seed))
    if seed % 2:
        under(bench, volume, seed + 1)
    bench.answers(gridOf(volume).toLPS, slices=RANKED)
    bench.server.answer["volume"]["shape_kji"] = list(SHAPE)
    bench.wait(bench.logic.rank(volume, "右肺结节\nline 2"))
    assert not bench.errors
    node = bench.logic.parameter.reference("Bookmarks")
    assert node.GetName() == "右肺结节" and node.GetLocked() and node.GetFixedNumberOfControlPoints()
    assert node.GetNthControlPointLabel(0) == "#1 k=3 0.91"
    rows = readBookmarks(node)
    assert [row["index"] for row in rows] == [3, 7] and rows[0]["words"] == ["结节"]
    bench.logic.jump(node, 0)
    world = np.zeros(3)
    node.GetNthControlPointPositionWorld(0, world)
    toWorld = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(volume.GetParentTransformNode(), None, toWorld)
    local = gridOf(volume).positions((3, 5, 6))
    expected = np.array(toWorld.MultiplyPoint([*flipXY(local), 1.0]))[:3]
    np.testing.assert_allclose(world, expected, atol=1e-6)
    normals = []
    for view in bench.mrml.views.values():
        matrix = view.GetSliceToRAS()
        normal = np.array([matrix.GetElement(row, 2) for row in range(3)])
        origin = np.array([matrix.GetElement(row, 3) for row in range(3)])
        assert abs((world - origin) @ normal) < 1e-3  # every view shows the point
        normals.append(normal)
    axis = np.array(toWorld.MultiplyPoint([*flipXY(gridOf(volume).toLPS)[:3, 2], 0.0]))[:3]
    axis /= np.linalg.norm(axis)
    assert max(abs(normal @ axis) for normal in normals) > 1 - 1e-6  # one view lies in the scan's slices


def test_a_jump_brings_the_volume_and_its_planes_back_into_the_views(bench: Bench) -> None:
    volume, other = bench.volume(), bench.volume(oblique(7), name="oblique")
    layers = slicer.vtkMRMLSliceCompositeNode()
    layers.SetLayoutName("Red")
    bench.mrml.scene.AddNode(layers)
    bench.answers(gridOf(volume).toLPS, slices=RANKED)
    bench.server.answer["volume"]["shape_kji"] = list(SHAPE)
    bench.wait(bench.logic.rank(volume, "nodule"))
    layers.SetBackgroundVolumeID(other.GetID())
    red = bench.mrml.views["Red"]
    red.RotateToVolumePlane(other)
    bench.logic.jump(bench.logic.parameter.reference("Bookmarks"), 0)
    assert layers.GetBackgroundVolumeID() == volume.GetID()  # else another scan would show at that place
    normal = np.array([red.GetSliceToRAS().GetElement(row, 2) for row in range(3)])
    assert abs(normal).max() == pytest.approx(1.0)
    layers.SetBackgroundVolumeID(other.GetID())
    layers.SetForegroundVolumeID(volume.GetID())
    bench.logic.jump(bench.logic.parameter.reference("Bookmarks"), 1)
    assert layers.GetBackgroundVolumeID() == other.GetID()  # it shows as an overlay: left as the user has it


def test_verdicts_become_a_table_with_sizes_and_jumps(bench: Bench) -> None:
    volume, seen = bench.volume(), []
    bench.logic.verified.connect(lambda node: seen.extend(readVerdicts(node)))
    bench.answers(gridOf(volume).toLPS, verdicts=VERDICTS)
    bench.wait(bench.logic.verify(volume, "12 mm nodule. No effusion."))
    assert [row.answer for row in seen] == ["yes", "maybe"]
    assert (seen[0].reported, seen[0].measured) == ("12 mm", "11.4 x 9 mm")
    table = bench.logic.parameter.reference("Verdicts")
    bench.logic.jumpToVerdict(table, 0)
    red = bench.mrml.views["Red"].GetSliceToRAS()
    assert red.GetElement(2, 3) == pytest.approx(gridOf(volume).positions((2, 3, 4))[2])
    bench.logic.jumpToVerdict(table, 1)
    assert "nothing to show" in bench.errors[-1]
    assert table.GetTable().GetNumberOfRows() == 2 and table.GetTable().GetValue(0, 1).ToString() == "yes"


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, 1)], ids=str)
def test_a_thumbnail_shows_left_right_and_up_as_a_slice_view_does(
    bench: Bench, order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    """Values grow to the patient's left, less to the back and least to the head, whatever the order of the voxels."""
    steps = np.zeros((3, 3))
    for axis, patient in enumerate(order):  # the i, j or k axis runs along L, P or S
        steps[patient, axis] = flips[axis] * (1.0, 1.5, 2.0)[axis]
    toLPS = np.eye(4)
    toLPS[:3, :3] = steps
    shape = (10, 20, 30)
    lps = np.moveaxis(np.indices(shape), 0, -1)[..., ::-1] @ steps.T
    values = np.where(lps[..., 0] > np.median(lps[..., 0]), 400, 0) + np.where(
        lps[..., 1] > np.median(lps[..., 1]), 200, 0
    )
    values = values + np.where(lps[..., 2] > np.median(lps[..., 2]), 100, 0)
    volume = bench.mrml.volume(values.astype(np.int16), toLPS)
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(700, 350)
    data = thumbnail(volume, gridOf(volume).positions((4, 9, 14)), 60)
    kind, width, height, _ = data.split(maxsplit=4)[:4]
    picture = np.frombuffer(data[-3 * int(width) * int(height) :], np.uint8).reshape(int(height), int(width), 3)[..., 0]
    assert kind == b"P6" and max(picture.shape) == 60
    extent = np.abs(steps) @ (30, 20, 10)
    normal = order[2]
    across, down = {2: (0, 1), 1: (0, 2), 0: (1, 2)}[normal]
    assert picture.shape[0] / picture.shape[1] == pytest.approx(extent[down] / extent[across], rel=0.05)
    top, bottom, left, right = (
        float(np.median(part)) for part in (picture[:5], picture[-5:], picture[:, :5], picture[:, -5:])
    )
    grows = {0: right > left, 1: bottom > top if normal == 2 else right > left, 2: top > bottom}
    assert all(grows[axis] for axis in (0, 1, 2) if axis != normal)


def test_the_offset_of_a_slice_is_the_one_on_the_ruler_of_the_view(bench: Bench) -> None:
    for toLPS, expected in ((np.diag([0.8, 0.9, -2.0, 1.0]), "I 6.0 mm"), (oblique(1), "")):
        volume = bench.volume(toLPS)
        bench.answers(toLPS, slices=RANKED)
        bench.server.answer["volume"]["shape_kji"] = list(SHAPE)
        bench.wait(bench.logic.rank(volume, "x"))
        assert offsetOf(bench.logic.parameter.reference("Bookmarks"), 0) == expected
