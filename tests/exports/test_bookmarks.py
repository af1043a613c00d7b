"""Bookmarks parsed back: geometry against the volume's own, and Slicer's reader where it is installed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from export_sample import sample

from radfind.exports.bookmarks import bookmarks, write_bookmarks
from radfind.results import RankedSlice, Ranking
from radfind.volume import Geometry, SliceSource


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PSL"])
def test_points_lie_on_their_slices(axes: str) -> None:
    s = sample(axes=axes)
    volume = s.phantom.volume
    points = bookmarks(s.ranking, volume, "nodule")["markups"][0]["controlPoints"]
    assert len(points) == len(s.ranking.slices)
    for point, item in zip(points, s.ranking.slices, strict=True):
        k, j, i = volume.geometry.to_index(point["position"])
        assert k == pytest.approx(item.index, abs=1e-3)
        mask = item.evidence[0].mask
        assert mask is not None
        assert np.allclose((j, i), np.argwhere(mask[item.index]).mean(axis=0), atol=1e-2)
        assert point["label"] == f"#{item.rank} k={item.index} {item.score:.2f}"
        assert json.loads(point["description"])["index"] == item.index
        plane = np.reshape(point["orientation"], (3, 3))
        assert np.allclose(plane.T @ plane, np.eye(3), atol=1e-6) and np.linalg.det(plane) == pytest.approx(1)
        assert np.allclose(plane[:, 0], volume.geometry.direction[:, 0], atol=1e-6)


def test_sheared_grid_still_gives_a_rotation() -> None:
    s = sample()
    affine = s.phantom.volume.geometry.affine.copy()
    affine[0, 1] += 0.3
    volume = dataclasses.replace(s.phantom.volume, geometry=Geometry(s.phantom.volume.geometry.shape, affine))
    plane = np.reshape(bookmarks(s.ranking, volume, "x")["markups"][0]["controlPoints"][0]["orientation"], (3, 3))
    assert np.allclose(plane.T @ plane, np.eye(3), atol=1e-6)


def test_slice_without_evidence_gets_its_middle_and_uid() -> None:
    s = sample()
    k, j, i = s.phantom.volume.geometry.shape
    sources = tuple(SliceSource(sop_instance_uid=f"1.2.{n}") for n in range(k))
    volume = dataclasses.replace(s.phantom.volume, slices=sources)
    ranking = Ranking((RankedSlice(1, 7, 0.5),), np.zeros(k))
    (point,) = bookmarks(ranking, volume, "结节")["markups"][0]["controlPoints"]
    assert np.allclose(volume.geometry.to_index(point["position"]), [7, (j - 1) / 2, (i - 1) / 2], atol=1e-3)
    assert json.loads(point["description"])["sop_instance_uid"] == "1.2.7"


@pytest.mark.slicer
def test_slicer_reads_what_was_written(tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer")
    s = sample()
    path = tmp_path / "bookmarks.mrk.json"
    write_bookmarks(path, s.ranking, s.phantom.volume, "右肺结节 nodule")
    scene = slicer.vtkMRMLScene()
    node, storage = slicer.vtkMRMLMarkupsFiducialNode(), slicer.vtkMRMLMarkupsJsonStorageNode()
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    assert node.GetNumberOfControlPoints() == len(s.ranking.slices)
    assert node.GetLocked() and node.GetFixedNumberOfControlPoints()
    for n, (item, written) in enumerate(
        zip(s.ranking.slices, json.loads(path.read_text("utf-8"))["markups"][0]["controlPoints"], strict=True)
    ):
        ras = np.zeros(3)
        node.GetNthControlPointPosition(n, ras)
        assert np.allclose(ras * [-1, -1, 1], written["position"], atol=1e-3)  # Slicer works in RAS
        assert node.GetNthControlPointLabel(n) == f"#{item.rank} k={item.index} {item.score:.2f}"
        assert json.loads(node.GetNthControlPointDescription(n))["query"] == "右肺结节 nodule"
        matrix = np.reshape(node.GetNthControlPointOrientationMatrix(n), (3, 3))
        expected = np.diag([-1, -1, 1]) @ s.phantom.volume.geometry.direction
        assert np.allclose(matrix, expected, atol=1e-6)
