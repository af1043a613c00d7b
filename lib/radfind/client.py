"""A small HTTP client for a RadFind server: what the demo and the sample apps use.

It speaks MONAI Label's contract (``POST /infer/{model}``), so it works with the gateway and without.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Sequence
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from radfind.errors import EngineError, InputError

Uploads: TypeAlias = Sequence[tuple[str, Path]]


class RadFindClient:
    """Ask a server about its images.

    Arguments:
        url: e.g. ``http://127.0.0.1:8000``.
        token: bearer token, when the server asks for one.
        timeout_s: longest wait for one answer, in seconds.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 900.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)

    def wait_until_ready(self, *, timeout_s: float = 300.0, alive: Callable[[], bool] = lambda: True) -> None:
        """Return when the server answers; `alive` tells whether it is still worth waiting.

        Raises:
            EngineError: it did not come up.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and alive():
            try:
                if self._http.get("/info/", timeout=10.0).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        raise EngineError(f"The server at {self._http.base_url} did not become ready within {timeout_s:.0f} s.")

    def images(self) -> list[str]:
        """Ids of the images the server has."""
        return list(self._checked(self._http.get("/datastore/", params={"output": "all"})).json()["objects"])

    def ask(self, task: str, image: str, *, uploads: Uploads = (), **params: Any) -> dict[str, Any]:
        """Run a JSON task (``radfind_rank``, ``radfind_verify``) and return its reply.

        Arguments:
            uploads: (form field, file) of files sent along, e.g. ("example_image", scan), ("example_label", labels).
        """
        return dict(self._infer(task, image, "json", params, uploads).json())

    def ask_file(self, task: str, image: str, target: Path, *, uploads: Uploads = (), **params: Any) -> dict[str, Any]:
        """Run a task that returns a file (``radfind_segment``, ``radfind_bookmarks``), write it to `target`,
        and return the JSON that came with it. `uploads` as in `ask`."""
        response = self._infer(task, image, "all", params, uploads)
        head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
        reply: dict[str, Any] = {}
        for part in BytesParser(policy=HTTP).parsebytes(head + response.content).iter_parts():
            body = part.get_payload(decode=True)
            if not isinstance(body, bytes):
                continue
            if re.search(r'name="?params"?', part.get("Content-Disposition", "")):
                reply = dict(json.loads(body))
            else:
                target.write_bytes(body)
        return reply

    def _infer(self, task: str, image: str, output: str, params: dict[str, Any], uploads: Uploads) -> httpx.Response:
        query = {"image": image, "output": output}
        parts: list[Any] = [("params", (None, json.dumps(params), "application/json"))]
        with contextlib.ExitStack() as files:
            parts += [(field, (path.name, files.enter_context(path.open("rb")))) for field, path in uploads]
            return self._checked(self._http.post(f"/infer/{task}", params=query, files=parts))

    @staticmethod
    def _checked(response: httpx.Response) -> httpx.Response:
        if response.status_code < 400:
            return response
        try:
            detail = str(response.json().get("detail", response.text))
        except ValueError:
            detail = response.text[:500]
        kind = InputError if response.status_code < 500 else EngineError
        raise kind(f"The server answered {response.status_code}: {detail}")
