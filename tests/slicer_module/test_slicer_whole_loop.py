"""The whole loop on a real scan against the real server, as a radiologist would do it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("monailabel", reason="the server extra is not installed")

import pydicom  # noqa: E402
from picture import save, slice_view  # noqa: E402
from RadFindLib.Bookmarks import readBookmarks  # noqa: E402
from RadFindLib.Geometry import cropped, flipXY  # noqa: E402
from RadFindLib.Labelmaps import maskOf, orientedImage  # noqa: E402
from RadFindLib.Logic import Logic  # noqa: E402
from RadFindLib.Parameter import Parameter  # noqa: E402
from RadFindLib.Settings import Settings  # noqa: E402
from RadFindLib.Tables import Table  # noqa: E402
from RadFindLib.Volumes import gridOf, voxelsOf  # noqa: E402
from scene import Scene  # noqa: E402
from workbench import Store  # noqa: E402

from radfind.client import RadFindClient  # noqa: E402

QUERY = "右肺上叶尖段见一混合磨玻璃结节。"
SLICES = range(56, 68)  # read by eye, from the scan's bottom
NODULE = (63, 283, 182)  # its centre (k, j, i), read by eye


@pytest.fixture(scope="module")
def server(shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A real server that has the series, on loopback."""
    folder = shared_data("chest-ct")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    state = tmp_path_factory.mktemp("state")
    command = [sys.executable, "-m", "radfind.cli", "serve", "--studies", str(folder), "--port", str(port)]
    with (state / "server.log").open("w") as log:
        process = subprocess.Popen([*command, "--state", str(state)], stdout=log, stderr=subprocess.STDOUT)
        try:
            RadFindClient(f"http://127.0.0.1:{port}").wait_until_ready(alive=lambda: process.poll() is None)
            yield f"127.0.0.1:{port}", folder
        finally:
            process.terminate()
            process.wait(timeout=30)


def finished(logic: Logic, job: Any) -> Any:
    assert job is not None
    deadline = time.monotonic() + 200
    while job.state == "working" and time.monotonic() < deadline:
        logic.poll()
        time.sleep(0.01)
    assert job.state == "done", job.error
    return job


def drawn(segmentation: Any, volume: Any, mask: np.ndarray, name: str) -> str:
    identifier = segmentation.GetSegmentation().AddEmptySegment("", name)
    image = orientedImage(cropped(mask), flipXY(gridOf(volume).toLPS))
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, segmentation, identifier)
    return str(identifier)


@pytest.mark.parametrize("known", [True, False], ids=["series on the server", "volume is sent"])
def test_ask_jump_see_segment_measure_undo_save_reload(server: tuple[str, Path], tmp_path: Path, known: bool) -> None:
    address, folder = server
    files = sorted(folder.rglob("*.dcm"))
    mrml = Scene()
    volume = mrml.logics["Volumes"].AddArchetypeVolume(str(files[0]), "chest")
    if known:  # what Slicer's DICOM module notes when it loads a series
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        volume.SetAttribute("DICOM.instanceUIDs", " ".join(h.SOPInstanceUID for h in headers))
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(mrml.scene)
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
        hierarchy.SetItemUID(item, "DICOM", headers[0].SeriesInstanceUID)
    settings = Settings(Store())
    settings.server = address
    asked, errors, told = [], [], []
    logic = Logic(mrml.scene, mrml.application, settings, lambda text: asked.append(text) is None)
    logic.failed.connect(errors.append)
    logic.jobs.changed.connect(lambda job: told.append(job.message))

    # ask in Chinese, bookmarks appear
    finished(logic, logic.rank(volume, QUERY))
    assert not errors and len(asked) == 1
    assert any("sending" in message for message in told) != known
    bookmarks = logic.parameter.reference("Bookmarks")
    rows = readBookmarks(bookmarks)
    assert rows[0]["index"] in SLICES and rows[0]["words"]

    # jump: the axial view lies in that slice
    logic.jump(bookmarks, 0)
    grid = gridOf(volume)
    depth = mrml.views["Red"].GetSliceToRAS().GetElement(2, 3)
    shown = grid.indices(flipXY([0.0, 0.0, depth]))[0]
    assert shown == pytest.approx(
        rows[0]["index"] if grid.toLPS[2, 2] > 0 else grid.shape[0] - 1 - rows[0]["index"], abs=0.01
    )

    # a neighbour drawn by hand, overlapping the nodule
    segmentation = mrml.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    mine = np.zeros(grid.shape, bool)
    mine[60:64, 275:290, 176:230] = True
    neighbour = drawn(segmentation, volume, mine, "drawn by hand")

    # the segment lands on the nodule
    finished(logic, logic.segment(volume, QUERY, segmentation=segmentation))
    assert not errors
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 2
    found = segmentation.GetSegmentation().GetNthSegmentID(1)
    mask = maskOf(segmentation, found, volume).full(grid.shape)
    assert mask[NODULE]
    middle = grid.positions(np.argwhere(mask).mean(axis=0)) - grid.positions(NODULE)
    assert np.linalg.norm(middle) < 5.0  # mm
    assert voxelsOf(volume)[mask].mean() > -750  # denser than lung
    np.testing.assert_array_equal(maskOf(segmentation, neighbour, volume).full(grid.shape), mine)

    # the slice view shows it
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(1400, -500)
    picture = slice_view(mrml, volume, "Red").astype(int)
    save(picture.astype(np.uint8), tmp_path / "slice.png")
    coloured = np.abs(picture - picture.mean(axis=2, keepdims=True)).max(axis=2) > 30
    assert coloured[200:300, 200:300].sum() > 50  # at the middle: the segment and its bookmark
    assert np.unique(picture[~coloured]).size > 50  # over the scan, not over black

    # measured
    tables: list[Any] = []
    logic.measured.connect(lambda node: tables.append(Table.fromNode(node)))
    finished(logic, logic.measure(segmentation, [found], volume))
    values = [float(cell) for cell in tables[0].rows[0][1:]]
    assert values[0] == pytest.approx(mask.sum() * grid.voxelMl, rel=1e-3)
    assert 4.0 < values[1] < 40.0 and values[2] >= values[1] - 1.5

    # undo restores, redo brings it back
    assert logic.undo() and segmentation.GetSegmentation().GetNumberOfSegments() == 1
    np.testing.assert_array_equal(maskOf(segmentation, neighbour, volume).full(grid.shape), mine)
    assert logic.redo()
    again = segmentation.GetSegmentation().GetNthSegmentID(1)
    np.testing.assert_array_equal(maskOf(segmentation, again, volume).full(grid.shape), mask)

    # saved and reloaded
    assert mrml.scene.WriteToMRB(str(tmp_path / "case.mrb"))
    other = Scene()
    assert other.scene.ReadFromMRB(str(tmp_path / "case.mrb"), True)
    reloaded, scan = other.scene.GetFirstNodeByName("mine"), other.scene.GetFirstNodeByName("chest")
    for number, expected in ((0, mine), (1, mask)):
        identifier = reloaded.GetSegmentation().GetNthSegmentID(number)
        np.testing.assert_array_equal(maskOf(reloaded, identifier, scan).full(grid.shape), expected)
    assert [row["score"] for row in readBookmarks(Parameter(other.scene).reference("Bookmarks"))] == [
        row["score"] for row in rows
    ]
    logic.cleanup()
