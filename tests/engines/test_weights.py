"""Weights: from a folder, from a hub that breaks off, verified, and named when absent."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from radfind.engines import weights
from radfind.engines.api import Context
from radfind.errors import CancelledError, EngineError, InputError

NAME = "qwen3-vl-reranker-2b"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RADFIND_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights" * 1000)
    (folder / "config.json").write_text("{}")
    (folder / "movie.mp4").write_bytes(b"not needed")
    return folder


def test_absent_weights_name_their_folder_and_the_command(models: Path) -> None:
    assert weights.find(NAME) is None
    with pytest.raises(EngineError, match=re.escape(str(models / NAME / "main")) + ".*radfind models pull " + NAME):
        weights.path(NAME)


def test_from_a_folder(models: Path, source: Path) -> None:
    seen: list[str] = []
    folder = weights.pull(NAME, source=source, context=Context(lambda fraction, text: seen.append(text)))
    assert folder == models / NAME / "main" == weights.path(NAME)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", weights.MANIFEST]
    manifest = json.loads((folder / weights.MANIFEST).read_text())
    assert manifest["licence"] == "Apache-2.0"
    assert manifest["files"]["model.safetensors"]["sha256"] == hashlib.sha256(b"weights" * 1000).hexdigest()
    assert "copying model.safetensors" in seen
    assert weights.verify(NAME) == []
    assert next(line for line in weights.listing() if line.model.name == NAME).size > 7000


def test_damage_is_found(source: Path) -> None:
    folder = weights.pull(NAME, source=source)
    (folder / "model.safetensors").write_bytes(b"WEIGHTS" * 1000)
    (folder / "config.json").unlink()
    assert weights.verify(NAME) == ["config.json is missing.", "model.safetensors is not the file that was pulled."]


def test_a_folder_copied_by_hand_works_without_hashes(models: Path) -> None:
    (models / NAME / "v1").mkdir(parents=True)
    (models / NAME / "v1" / "model.safetensors").write_bytes(b"x")
    assert weights.path(NAME) == models / NAME / "v1"
    assert "copied by hand" in weights.verify(NAME)[0]


@pytest.mark.parametrize("revision", ["../x", "a/b", "", ".hidden"])
def test_a_revision_is_no_path(source: Path, revision: str) -> None:
    with pytest.raises(InputError, match="not a revision"):
        weights.pull(NAME, source=source, revision=revision)


def test_unknown_names_and_useless_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model called 'gpt'"):
        weights.pull("gpt")
    with pytest.raises(InputError, match="holds none of the files"):
        weights.pull(NAME, source=tmp_path)
    with pytest.raises(InputError, match="No public repository"):
        weights.pull("ofa-snli-ve-large")


class _Hub(ThreadingHTTPServer):
    """Speaks the part of the hub's protocol that the client uses; can break off in mid-file."""

    def __init__(self, content: bytes, stated: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.stated = content, stated
        self.break_after: int | None = None
        self.ranges: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        commit = "a" * 40
        if "/api/models/" in self.path:
            lfs = {"sha256": self.server.stated, "size": len(self.server.content), "pointerSize": 1}
            siblings = [
                {"rfilename": "model.safetensors", "size": len(self.server.content), "lfs": lfs},
                {"rfilename": "readme.md", "size": 3},
            ]
            data = json.dumps({"id": "Qwen/x", "sha": commit, "siblings": siblings}).encode()
            self._send(200, data, {"Content-Type": "application/json"}, body)
            return
        headers = {
            "X-Repo-Commit": commit,
            "ETag": f'"{self.server.stated}"',
            "X-Linked-Size": str(len(self.server.content)),
        }
        content, status = self.server.content, 200
        if wanted := self.headers.get("Range"):
            start = int(wanted.split("=")[1].split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content, status = content[start:], 206
        if body:
            self.server.ranges.append(self.headers.get("Range"))
        self._send(status, content, headers, body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        limit = self.server.break_after if len(data) > 1000 else None
        if body:
            self.wfile.write(data[:limit])
        if body and limit is not None:
            self.server.break_after = None
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[_Hub]:
    content = bytes(range(256)) * 100_000  # the client writes in steps of 10 MB
    server = _Hub(content, hashlib.sha256(content).hexdigest())
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _address(hub: _Hub) -> str:
    return f"http://127.0.0.1:{hub.server_address[1]}"


def test_from_a_hub(hub: _Hub) -> None:
    pytest.importorskip("huggingface_hub")
    folder = weights.pull(NAME, endpoint=_address(hub))
    assert (folder / "model.safetensors").read_bytes() == hub.content
    assert not (folder / "readme.md").exists()
    assert json.loads((folder / weights.MANIFEST).read_text())["commit"] == "a" * 40
    assert weights.verify(NAME) == []


def test_a_broken_download_goes_on_where_it_stopped(hub: _Hub) -> None:
    pytest.importorskip("huggingface_hub")
    hub.break_after = 24_000_000
    for _ in range(2):  # the client may go on by itself; if not, the user's second try does
        try:
            folder = weights.pull(NAME, endpoint=_address(hub))
            break
        except EngineError:
            continue
    assert (folder / "model.safetensors").read_bytes() == hub.content
    assert len(hub.ranges) == 2
    assert hub.ranges[0] is None
    assert int(str(hub.ranges[1]).removeprefix("bytes=").split("-")[0]) > 0


def test_a_wrong_hash_is_refused_and_removed(hub: _Hub) -> None:
    pytest.importorskip("huggingface_hub")
    hub.stated = "0" * 64
    with pytest.raises(EngineError, match="arrived damaged"):
        weights.pull(NAME, endpoint=_address(hub))
    assert weights.find(NAME) is None


def test_an_unreachable_hub_is_one_sentence() -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(EngineError, match="could not be fetched from Qwen/Qwen3-VL-Reranker-2B"):
        weights.pull(NAME, endpoint="http://127.0.0.1:9")


def test_cancel_between_files(source: Path) -> None:
    context = Context()
    context.cancel()
    with pytest.raises(CancelledError):
        weights.pull(NAME, source=source, context=context)


def test_weights_that_have_not_all_arrived_are_not_here(models: Path, source: Path) -> None:
    context = Context(lambda fraction, text: context.cancel() if "model" in text else None)
    with pytest.raises(CancelledError):
        weights.pull(NAME, source=source, context=context)
    assert (models / NAME / "main" / "config.json").is_file()
    assert weights.find(NAME) is None
    with pytest.raises(EngineError, match=r"not all in .*main: getting them was broken off"):
        weights.path(NAME)
    assert weights.pull(NAME, source=source) == weights.path(NAME)
    assert weights.verify(NAME) == []


def test_a_hub_out_of_reach_leaves_weights_that_are_here_alone(source: Path) -> None:
    pytest.importorskip("huggingface_hub")
    folder = weights.pull(NAME, source=source)
    with pytest.raises(EngineError, match="could not be fetched"):
        weights.pull(NAME, endpoint="http://127.0.0.1:9")
    assert weights.find(NAME) == folder
