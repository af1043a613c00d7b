"""The remote reranker against a stand-in server that checks every field it is sent."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radfind.engines import remote_rerank
from radfind.engines.api import Context
from radfind.engines.remote_rerank.client import RerankClient
from radfind.engines.remote_rerank.engine import RemoteReranker
from radfind.errors import EngineError, InputError, NotSupportedError
from radfind.imaging import windows
from radfind.prompts import TextPrompt
from radfind.volume import Geometry, Volume


class _Server(ThreadingHTTPServer):
    """Scores a picture by its mean brightness; answers in the wrong order, as a real server does (best first)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.form = "vllm"
        self.token: str | None = None
        self.spoil: Any = lambda answer: answer
        self.requests: list[dict[str, Any]] = []
        self.problems: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        assert self.path == "/v1/models"
        self._send(200, {"object": "list", "data": [{"id": "reranker", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._send(401, {"error": {"message": "who are you?"}})
            return
        try:
            urls = self._check(body)
        except AssertionError as problem:
            self.server.problems.append(str(problem))
            self._send(400, {"error": {"message": str(problem)}})
            return
        self.server.requests.append(body)
        scores = []
        for url in urls:
            kind, _, data = url.partition(",")
            assert kind == "data:image/png;base64"
            picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))
            assert picture.ndim == 3 and picture.dtype == np.uint8
            scores.append(float(picture.mean() / 255))
        results = [{"index": n, "relevance_score": score} for n, score in enumerate(scores)]
        results.sort(key=lambda result: -result["relevance_score"])
        answer = {"id": "rerank-1", "model": body["model"], "usage": {"total_tokens": 1}, "results": results}
        self._send(200, self.server.spoil(answer))

    def _check(self, body: dict[str, Any]) -> list[str]:
        assert self.path == "/rerank", self.path
        assert self.headers["Content-Type"] == "application/json"
        extra = {"return_documents"} if self.server.form == "jina" else set()
        assert set(body) == {"model", "query", "documents", "top_n"} | extra, sorted(body)
        assert body["model"] == "reranker"
        assert isinstance(body["query"], str) and body["query"]
        if self.server.form == "jina":
            assert body["return_documents"] is False
            assert all(set(document) == {"image"} for document in body["documents"])
            urls = [document["image"] for document in body["documents"]]
        else:
            assert set(body["documents"]) == {"content"}
            for part in body["documents"]["content"]:
                assert set(part) == {"type", "image_url"} and part["type"] == "image_url"
                assert set(part["image_url"]) == {"url"}
            urls = [part["image_url"]["url"] for part in body["documents"]["content"]]
        assert body["top_n"] == len(urls) > 0
        return urls

    def _send(self, status: int, answer: Any) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
    assert server.problems == []


def _volume(slices: int = 11) -> Volume:
    rng = np.random.default_rng(0)
    array = np.stack([rng.integers(-1400, 0 + 20 * k, (24, 32)) for k in rng.permutation(slices)]).astype(np.int16)
    return Volume(array, Geometry.from_parts(array.shape, spacing=(5, 1, 1)), "CT")


@pytest.mark.parametrize("form", ["vllm", "jina"])
def test_ranking_follows_the_scores_of_the_server(server: _Server, form: Any) -> None:
    server.form = form
    volume = _volume()
    engine = RemoteReranker(server.address, form=form, batch_size=4)
    seen: list[float] = []
    context = Context(lambda fraction, text: seen.append(fraction))
    ranking = engine.rank(volume, TextPrompt("右肺上叶结节"), top_k=3, spread=False, context=context)
    shown = windows.PRESETS["lung"].apply(volume.array)
    np.testing.assert_allclose(ranking.scores, shown.mean(axis=(1, 2)) / 255, atol=1e-9)
    assert [one.index for one in ranking.slices] == np.argsort(-ranking.scores)[:3].tolist()
    assert [
        len(request["documents"]["content"] if form == "vllm" else request["documents"]) for request in server.requests
    ] == [4, 4, 3]
    assert {request["query"] for request in server.requests} == {"右肺上叶结节"}
    assert ranking.slices[0].evidence[0].concept is not None
    assert ranking.notes == (f"pictures of 11 slices were sent to {server.address.removeprefix('http://')}",)
    assert len(seen) == 3


def test_the_token_is_sent_and_a_refusal_is_told(server: _Server) -> None:
    server.token = "secret"
    volume = _volume(2)
    assert (
        len(RemoteReranker(server.address, token="secret").rank(volume, TextPrompt("nodule"), context=Context()).scores)
        == 2
    )
    with pytest.raises(EngineError, match=r"refused with HTTP 401.*who are you") as caught:
        RemoteReranker(server.address, token="wrong").rank(volume, TextPrompt("nodule"), context=Context())
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda answer: {**answer, "results": answer["results"][:-1]}, "3 pictures were sent and 2 scores"),
        (lambda answer: {"data": []}, "no scores came back"),
        (lambda answer: [], "no scores came back"),
        (lambda answer: b"<html>", "did not answer"),
        (lambda answer: {"results": [{**one, "index": 0} for one in answer["results"]]}, "has the index 0"),
        (lambda answer: {"results": [{**one, "index": 7} for one in answer["results"]]}, "has the index 7"),
        (lambda answer: {"results": [{**one, "index": "0"} for one in answer["results"]]}, "has the index '0'"),
        (lambda answer: {"results": [{**one, "relevance_score": 3.2} for one in answer["results"]]}, "score 3.2"),
        (lambda answer: {"results": [{**one, "relevance_score": None} for one in answer["results"]]}, "score None"),
        (lambda answer: {"results": [{"index": one["index"]} for one in answer["results"]]}, "score None"),
        (lambda answer: {"results": ["x"] * 3}, "has the index None"),
    ],
)
def test_an_odd_answer_is_an_error_never_a_score(server: _Server, spoil: Any, words: str) -> None:
    server.spoil = spoil
    with pytest.raises(EngineError, match=words):
        RerankClient(server.address).scores("nodule", [np.zeros((8, 8, 3), np.uint8)] * 3)


def test_addresses() -> None:
    assert RerankClient("http://gpu1:8000/").endpoint == "http://gpu1:8000/rerank"
    assert RerankClient("https://gpu1/v1/rerank").endpoint == "https://gpu1/v1/rerank"
    for wrong in ("gpu1:8000", "file:///etc/passwd", "http://"):
        with pytest.raises(InputError, match="not the address of a server"):
            RerankClient(wrong)


def test_an_absent_server_is_one_sentence() -> None:
    with pytest.raises(EngineError, match=r"127.0.0.1:9 did not answer"):
        RerankClient("http://127.0.0.1:9", model="m").scores("nodule", [np.zeros((8, 8, 3), np.uint8)])


def test_without_an_address_it_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RADFIND_RERANK_URL", raising=False)
    engine = remote_rerank.create()
    assert not engine.info().available
    with pytest.raises(NotSupportedError, match="RADFIND_RERANK_URL"):
        engine.rank(_volume(2), TextPrompt("nodule"), context=Context())
    monkeypatch.setenv("RADFIND_RERANK_URL", "http://gpu1:8000")
    assert remote_rerank.create().info().device == "gpu1:8000"
