"""MONAI Label's own client against the gateway over real MONAI Label, with a token: every call it has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_fakes import nrrd

from monailabel_app.gateway.policy import Role
from monailabel_app.gateway.tokens import TokenStore

stock = pytest.importorskip("monailabel.client.client", reason="the server extra is not installed")


class Site:
    def __init__(self, url: str, token: str, folder: Path) -> None:
        self.url, self.token, self.folder = url, token, folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("stock")
    for part in ("studies", "state"):
        (folder / part).mkdir()
    (folder / "studies" / "scan.nrrd").write_bytes(nrrd())
    token = TokenStore(folder / "state").create("li", Role.ADMIN)
    script = str(Path(__file__).parent / "two_servers.py")
    command = [sys.executable, script, str(folder / "studies"), str(folder / "state")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdin is not None and process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("http://"))
        try:
            yield Site(line.split()[1], token, folder)
        finally:
            process.stdin.close()
            process.terminate()
            process.wait(20)


@pytest.fixture
def client(site: Site, tmp_path: Path) -> Any:
    made = stock.MONAILabelClient(site.url, tmpdir=str(tmp_path), client_id="user-xyz")
    assert made.auth_enabled()
    made.update_auth(made.auth_token("any name", site.token))
    assert made.auth_valid_token()
    return made


def image(folder: Path, name: str) -> str:
    (folder / name).write_bytes(nrrd())
    return str(folder / name)


def test_without_a_token(site: Site, tmp_path: Path) -> None:
    stranger = stock.MONAILabelClient(site.url, tmpdir=str(tmp_path))
    with pytest.raises(stock.MONAILabelClientException):
        stranger.info()
    with pytest.raises(stock.MONAILabelClientException):
        stranger.auth_token("li", "wrong")


def test_info_and_next_sample(client: Any) -> None:
    assert set(client.info()["models"]) == {"echo", "sleep", "quick"}
    assert client.next_sample("random", {})["id"]


def test_images_and_labels(client: Any, tmp_path: Path) -> None:
    assert client.upload_image(image(tmp_path, "new.nrrd"), "added")["image"] == "added"
    assert "added" in client.datastore()["objects"]
    saved = client.save_label("added", image(tmp_path, "label.nrrd"), "final", {"label_info": [{"name": "a / b"}]})
    assert saved["image"] == "added"
    assert Path(client.download_label("added", "final")).read_bytes() == nrrd()


def test_inference(client: Any, tmp_path: Path) -> None:
    file, params = client.infer("quick", "scan", {})
    assert params == {"label_names": {"bright": 1}} and Path(file).read_bytes().startswith(b"NRRD")
    sent, answer = client.infer("echo", "", {}, file=image(tmp_path, "own.nrrd"))
    assert sent is None and b"NRRD" in (answer if isinstance(answer, bytes) else str(answer).encode())


def test_sessions(client: Any, tmp_path: Path) -> None:
    session = client.create_session(image(tmp_path, "own.nrrd"))["session_id"]
    assert client.get_session(session)["name"] == session
    _, params = client.infer("quick", "", {}, session_id=session)
    assert params == {"label_names": {"bright": 1}}
    client.remove_session(session)
    with pytest.raises(stock.MONAILabelClientException):
        client.get_session(session)


def test_training_is_closed(client: Any) -> None:
    with pytest.raises(stock.MONAILabelClientException):
        client.train_start("echo", {})
    assert client.train_status(check_if_running=True) is False
