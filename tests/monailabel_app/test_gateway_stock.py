"""Stock clients against the gateway over real MONAI Label, with a token and with login off: every call they have.

The one that comes with MONAI Label is always tested. RADFIND_SLICER_CLIENT names the file of 3D Slicer's
(``plugins/slicer/MONAILabel/MONAILabelLib/client.py`` in MONAI Label's repository), which is then tested as well.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_fakes import nrrd

from monailabel_app.gateway.policy import Role
from monailabel_app.gateway.tokens import TokenStore

pip_client = pytest.importorskip("monailabel.client.client", reason="the server extra is not installed")


class Site:
    """Two gateways over one MONAI Label: one that wants a token, one without login."""

    def __init__(self, closed: str, open_: str, token: str) -> None:
        self.closed, self.open, self.token = closed, open_, token


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("stock")
    for part in ("studies", "closed", "open"):
        (folder / part).mkdir()
    (folder / "studies" / "scan.nrrd").write_bytes(nrrd())
    token = TokenStore(folder / "closed").create("li", Role.ADMIN)
    script = str(Path(__file__).parent / "two_servers.py")
    command = [sys.executable, script, *(str(folder / part) for part in ("studies", "closed", "open"))]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdin is not None and process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("http://"))
        try:
            _, closed, open_ = line.split()
            yield Site(closed, open_, token)
        finally:
            process.stdin.close()
            process.terminate()
            process.wait(20)


@pytest.fixture(params=["pip", "slicer"])
def stock(request: pytest.FixtureRequest) -> Any:
    """The module of a client."""
    if request.param == "pip":
        return pip_client
    file = os.environ.get("RADFIND_SLICER_CLIENT")
    if not file:
        pytest.skip("RADFIND_SLICER_CLIENT does not name 3D Slicer's client")
    spec = importlib.util.spec_from_file_location("slicer_client", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["token", "login off"])
def client(request: pytest.FixtureRequest, site: Site, stock: Any, tmp_path: Path) -> Any:
    if request.param == "login off":
        made = stock.MONAILabelClient(site.open, tmpdir=str(tmp_path), client_id="user-xyz")
        assert not made.auth_enabled()
        return made
    made = stock.MONAILabelClient(site.closed, tmpdir=str(tmp_path), client_id="user-xyz")
    assert made.auth_enabled()
    made.update_auth(made.auth_token("any name", site.token))
    assert made.auth_valid_token()
    return made


def image(folder: Path, name: str) -> str:
    (folder / name).write_bytes(nrrd())
    return str(folder / name)


def test_without_a_token(site: Site, stock: Any, tmp_path: Path) -> None:
    stranger = stock.MONAILabelClient(site.closed, tmpdir=str(tmp_path))
    with pytest.raises(stock.MONAILabelClientException):
        stranger.info()
    with pytest.raises(stock.MONAILabelClientException):
        stranger.auth_token("li", "wrong")


def test_info_and_next_sample(client: Any, stock: Any) -> None:
    assert set(client.info()["models"]) == {"echo", "sleep", "quick"}
    assert client.next_sample("first", {})["id"]
    with pytest.raises(stock.MONAILabelClientException, match="Status: 400"):  # plain MONAI Label fails with a 500
        client.next_sample("nonesuch", {})


def test_images_and_labels(client: Any, tmp_path: Path) -> None:
    name = f"added-{tmp_path.name}"
    assert client.upload_image(image(tmp_path, "new.nrrd"), name)["image"] == name
    assert name in client.datastore()["objects"]
    saved = client.save_label(name, image(tmp_path, "label.nrrd"), "final", {"label_info": [{"name": "a / b"}]})
    assert saved["image"] == name
    assert Path(client.download_label(name, "final")).read_bytes() == nrrd()


def test_inference(client: Any, tmp_path: Path) -> None:
    file, params = client.infer("quick", "scan", {})
    assert params == {"label_names": {"bright": 1}} and Path(file).read_bytes().startswith(b"NRRD")
    # An answer without a file, which plain MONAI Label gives as well, breaks Slicer's client: not asked for here.
    file, params = client.infer("quick", "", {}, file=image(tmp_path, "own.nrrd"))
    assert params == {"label_names": {"bright": 1}} and Path(file).read_bytes().startswith(b"NRRD")


def test_sessions(client: Any, stock: Any, tmp_path: Path) -> None:
    session = client.create_session(image(tmp_path, "own.nrrd"))["session_id"]
    assert client.get_session(session)["name"] == session
    _, params = client.infer("quick", "", {}, session_id=session)
    assert params == {"label_names": {"bright": 1}}
    client.remove_session(session)
    with pytest.raises(stock.MONAILabelClientException):
        client.get_session(session)


def test_training_is_closed(client: Any, stock: Any) -> None:
    with pytest.raises(stock.MONAILabelClientException):
        client.train_start("echo", {})
    assert client.train_status(check_if_running=True) is False
