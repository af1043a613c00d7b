"""Speaks ``POST /rerank``: one query and several pictures there, one score for each back, every field checked."""

from __future__ import annotations

import base64
import io
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from radfind.errors import EngineError, InputError

Form = Literal["vllm", "jina"]


class RerankClient:
    """A server's ``/rerank`` endpoint.

    Arguments:
        address: of the server (``http://gpu1:8000``) or of the endpoint itself (ending in ``/rerank``).
        model: its model; by default the first one it serves (``GET /v1/models``).
        form: how pictures are written. "vllm": ``{"documents": {"content": [{"type": "image_url", "image_url":
            {"url": "data:..."}}]}}``; "jina": ``{"documents": [{"image": "data:..."}]}``.
        token: sent as ``Authorization: Bearer``.
        timeout: seconds for one request.
    """

    def __init__(
        self,
        address: str,
        *,
        model: str | None = None,
        form: Form = "vllm",
        token: str | None = None,
        timeout: float = 300.0,
    ) -> None:
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(f"'{address}' is not the address of a server: expected e.g. http://gpu1:8000.")
        endpoint = address.rstrip("/")
        self.endpoint = endpoint if endpoint.endswith("/rerank") else f"{endpoint}/rerank"
        self.host = parts.netloc.rpartition("@")[2]
        self._models = f"{parts.scheme}://{parts.netloc}/v1/models"
        self._model, self._form, self._token, self._timeout = model, form, token, timeout

    def scores(self, query: str, pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float64]:
        """Scores (n,) in [0, 1] of RGB pictures (rows, columns, 3), in the order given.

        Raises:
            EngineError: the server cannot be reached, refuses, or answers anything but one score for each.
        """
        urls = [_data_url(pixels) for pixels in pictures]
        documents: Any = [{"image": url} for url in urls]
        if self._form == "vllm":
            documents = {"content": [{"type": "image_url", "image_url": {"url": url}} for url in urls]}
        if self._model is None:
            self._model = self._first_model()
        body = {"model": self._model, "query": query, "documents": documents, "top_n": len(urls)}
        if self._form == "jina":
            body["return_documents"] = False
        answer = self._send(self.endpoint, body)
        return self._checked(answer, len(urls))

    def _checked(self, answer: Any, count: int) -> npt.NDArray[np.float64]:
        scores = np.full(count, np.nan)
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != count:
            raise self._odd(
                f"{count} pictures were sent and {len(results) if isinstance(results, list) else 'no'} scores came back"
            )
        for result in results:
            index = result.get("index") if isinstance(result, dict) else None
            score = result.get("relevance_score") if isinstance(result, dict) else None
            if type(index) is not int or not 0 <= index < count or not math.isnan(scores[index]):
                raise self._odd(f"a result has the index {index!r}")
            if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
                raise self._odd(f"a result has the score {score!r}, which is not between 0 and 1")
            scores[index] = score
        return scores

    def _first_model(self) -> str:
        answer = self._send(self._models, None)
        try:
            name = answer["data"][0]["id"]
        except (TypeError, KeyError, IndexError):
            name = None
        if not isinstance(name, str):
            raise self._odd("it names no model it serves; name one")
        return name

    def _send(self, url: str, body: Any) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=self._timeout) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", "replace")
            raise EngineError(f"The reranker at {self.host} refused with HTTP {error.code}: {said}") from error
        except (OSError, ValueError) as error:
            raise EngineError(
                f"The reranker at {self.host} did not answer: {error}. Check that the server runs and the address is "
                "right."
            ) from error

    def _odd(self, what: str) -> EngineError:
        return EngineError(f"The reranker at {self.host} does not speak the /rerank protocol: {what}.")


def _data_url(pixels: npt.NDArray[np.uint8]) -> str:
    """PNG, so that nothing is lost on the way."""
    from PIL import Image

    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
