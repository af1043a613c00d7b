"""Against MONAI Label itself, without the gateway: what a stock server can offer, it offers."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("monailabel", reason="the server extra is not installed")

from RadFindLib.Address import parseAddress  # noqa: E402
from RadFindLib.Answers import answerOf  # noqa: E402
from RadFindLib.Cancellation import Cancellation  # noqa: E402
from RadFindLib.Client import Client  # noqa: E402
from RadFindLib.Geometry import Grid  # noqa: E402
from RadFindLib.Snapshot import Snapshot  # noqa: E402
from RadFindLib.Transport import Transport  # noqa: E402

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


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = [str(tmp_path_factory.mktemp(name)) for name in ("studies", "state")]
    log = Path(folders[1]) / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, *folders, str(port)], stdout=file, stderr=subprocess.STDOUT
        )
        try:
            RadFindClient(f"http://127.0.0.1:{port}").wait_until_ready(alive=lambda: process.poll() is None)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


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
