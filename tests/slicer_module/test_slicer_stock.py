"""Against MONAI Label itself, without the gateway: what a stock server can offer, it offers."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("monailabel", reason="the server extra is not installed")

from RadFindLib.Address import parseAddress  # noqa: E402
from RadFindLib.Answers import answerOf  # noqa: E402
from RadFindLib.Cancellation import Cancellation  # noqa: E402
from RadFindLib.Client import Client  # noqa: E402
from RadFindLib.Geometry import Grid, flipXY  # noqa: E402
from RadFindLib.Labelmaps import maskOf  # noqa: E402
from RadFindLib.Logic import Logic  # noqa: E402
from RadFindLib.Settings import Settings  # noqa: E402
from RadFindLib.Snapshot import Snapshot  # noqa: E402
from RadFindLib.Transport import Transport  # noqa: E402
from RadFindLib.Volumes import gridOf  # noqa: E402
from scene import Scene, oblique  # noqa: E402
from workbench import Store  # noqa: E402

from radfind.client import RadFindClient  # noqa: E402
from radfind.phantom import LesionSpec, Phantom, make_phantom  # noqa: E402

SERVE = """
import sys, uvicorn
from pathlib import Path
from monailabel_app.gateway.settings import Settings, make_state
from monailabel_app.serve import load_monailabel
make_state(Path(sys.argv[2]))
app, _ = load_monailabel(Settings(sys.argv[1], Path(sys.argv[2])))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
"""


APP = """
import SimpleITK as sitk
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType


class Bright(InferTask):
    def __init__(self):
        super().__init__(InferType.DEEPEDIT, ["bright", "clicked"], 3, "What is brighter than 100, and the clicks")

    def is_valid(self):
        return True

    def __call__(self, request):
        image = sitk.ReadImage(request["image"])
        labels = sitk.Cast(image > 100, sitk.sitkUInt8)
        for index in request.get("foreground", []):
            labels[index] = 2
        file = request["image"] + ".labels.nrrd"
        sitk.WriteImage(labels, file)
        return file, {"label_names": {"bright": 1, "clicked": 2}}


class App(MONAILabelApp):
    def __init__(self, app_dir, studies, conf):
        super().__init__(app_dir, studies, conf, name="someone's app")

    def init_infers(self):
        return {"bright": Bright()}
"""
"""An app that has nothing of ours: a model with labels of its own, whose prompts are voxel indices."""


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[str]:
    """A server on a free port; `command` ends with the option or place for the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, *command, str(port)], stdout=file, stderr=subprocess.STDOUT)
        try:
            RadFindClient(f"http://127.0.0.1:{port}").wait_until_ready(alive=lambda: process.poll() is None)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_the_models_of_a_server_that_has_nothing_of_ours(tmp_path: Path) -> None:
    for name in ("app", "studies"):
        (tmp_path / name).mkdir()
    (tmp_path / "app" / "main.py").write_text(APP)
    start = ["-m", "monailabel.main", "start_server", "--app", str(tmp_path / "app"), "--studies"]
    with running([*start, str(tmp_path / "studies"), "--host", "127.0.0.1", "--port"], tmp_path / "log") as address:
        mrml, settings, errors, said = Scene(), Settings(Store()), [], []
        settings.server = address
        logic = Logic(mrml.scene, mrml.application, settings, lambda text: True)
        logic.failed.connect(errors.append)
        logic.said.connect(said.append)
        voxels = np.random.default_rng(3).integers(0, 200, (6, 7, 8)).astype(np.int16)
        volume = mrml.volume(voxels, oblique(7))

        def wait(job: Any) -> None:
            deadline = time.monotonic() + 60
            while job.state == "working" and time.monotonic() < deadline:
                logic.poll()
                time.sleep(0.01)
            assert job.state == "done" and not errors, errors

        wait(logic.testConnection())
        assert said == [
            f"A MONAI Label server without RadFind answers at http://{address}; models that outline: bright."
        ]
        points = mrml.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
        points.AddControlPointWorld(*flipXY(gridOf(volume).positions((1, 2, 3))))
        logic.parameter.setReference("Positive", points)
        wait(logic.segment(volume, prompts=logic.visualPrompts(volume)))
        node = logic.parameter.reference("Segmentation")
        found = {}
        for number in range(node.GetSegmentation().GetNumberOfSegments()):
            name = node.GetSegmentation().GetNthSegment(number).GetName()
            segment = node.GetSegmentation().GetNthSegmentID(number)
            found[name] = maskOf(node, segment, volume).full(voxels.shape)
        clicked = np.zeros(voxels.shape, bool)
        clicked[1, 2, 3] = True
        np.testing.assert_array_equal(found["clicked"], clicked)
        np.testing.assert_array_equal(found["bright"], (voxels > 100) & ~clicked)
        logic.cleanup()


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MONAI Label with our app in it, without our gateway."""
    folders = [str(tmp_path_factory.mktemp(name)) for name in ("studies", "state")]
    with running(["-c", SERVE, *folders], Path(folders[1]) / "log") as address:
        yield address


@pytest.mark.slow
def test_a_volume_is_sent_segmented_and_ranked_without_jobs(stock: str) -> None:
    phantom: Phantom = make_phantom(seed=4101, lesions=(LesionSpec("solid_nodule", "right", "upper", 16.0),))
    geometry = phantom.volume.geometry
    grid = Grid(geometry.shape, np.array(geometry.affine))
    volume = Snapshot(np.ascontiguousarray(phantom.volume.array), grid)
    client, text = Client(Transport(parseAddress(stock))), "右肺上叶实性结节"
    info = client.info(Cancellation())
    assert not info.radfind and "radfind_segment" in info.models
    assert "without progress" in info.sentence(client.url)
    wire = client.ask("radfind_segment", {"text": text}, volume, Cancellation(), lambda f, m: None)
    (segment,) = answerOf(wire, grid, text).segments
    truth = phantom.truth[phantom.lesions[0].name]
    found = segment.mask.full(grid.shape)
    assert 2.0 * (found & truth).sum() / (found.sum() + truth.sum()) >= 0.7
    wire = client.ask("radfind_rank", {"text": text}, volume, Cancellation(), lambda f, m: None)
    first, last = phantom.lesions[0].slices
    assert first <= answerOf(wire, grid, text).bookmarks[0].index <= last
