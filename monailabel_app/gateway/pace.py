"""Bodies have a largest size and a slowest pace. Heads of requests and answers: see `http_protocol`."""

from __future__ import annotations

import time

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monailabel_app.gateway.errors import Refusal

CHUNK_SECONDS = 30.0
"""Longest wait for the next piece of a body."""
GRACE_SECONDS = 20.0
SLOWEST_BYTES_PER_SECOND = 2048
"""After the grace time, a body must have arrived at least this fast: slow on purpose looks like this."""


class Pace:
    """ASGI middleware.

    Arguments:
        max_body: bytes.
    """

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self._app = app
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or int(declared) > self._max_body:
            raise self._too_large()
        began, taken, complete = time.monotonic(), 0, False

        async def paced_receive() -> Message:
            nonlocal taken, complete
            if complete:
                return await receive()
            try:
                with anyio.fail_after(CHUNK_SECONDS):
                    message = await receive()
            except TimeoutError:
                raise Refusal(408, "The body came too slowly.", {"Connection": "close"}) from None
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if taken > self._max_body:
                    raise self._too_large()
                seconds = time.monotonic() - began
                if seconds > GRACE_SECONDS and not complete and taken < SLOWEST_BYTES_PER_SECOND * seconds:
                    raise Refusal(408, "The body came too slowly.", {"Connection": "close"})
            return message

        await self._app(scope, paced_receive, send)

    def _too_large(self) -> Refusal:
        return Refusal(413, f"The body is larger than {self._max_body} bytes.", {"Connection": "close"})
