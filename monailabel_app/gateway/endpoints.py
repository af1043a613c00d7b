"""What the gateway answers itself of MONAI Label's contract."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from monailabel_app.gateway import checks, inference, sandbox
from monailabel_app.gateway.access import who
from monailabel_app.gateway.backend import Backend, Stage
from monailabel_app.gateway.errors import CLIENT_CLOSED, Refusal
from monailabel_app.gateway.faults import where
from monailabel_app.gateway.forms import Form, read_form
from monailabel_app.gateway.inference import Inference
from monailabel_app.gateway.jobs import Job, State
from monailabel_app.gateway.metrics import CONTENT_TYPE as METRICS_TYPE
from monailabel_app.gateway.policy import Role
from monailabel_app.gateway.replies import PlainJSON, checked_output, reply
from monailabel_app.gateway.server import Server

logger = logging.getLogger(__name__)


async def health(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """MONAI Label is loaded: 200; not yet, or never: 503."""
    backend = Server.of(request).backend
    backend.check_ready()
    return JSONResponse({"status": "ready"})


class Info:
    """``GET /info/`` from a snapshot: many clients poll it, and making it takes MONAI Label a while.

    `keep_fresh` makes a new one every `FRESH` seconds while it is asked for, else every `STALE`; nobody waits for
    that. Only when it could not be made for `LOST` seconds does a request make it, and tell why it fails.
    """

    FRESH = 1.0
    STALE = 10.0
    LOST = 30.0

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._body: bytes = b""
        self._taken = self._asked = float("-inf")
        self._making: asyncio.Future[None] | None = None

    async def answer(self, request: Request) -> Response:
        self._backend.check_ready()
        self._asked = time.monotonic()
        if self._asked - self._taken > self.LOST:
            await self._made()
        return Response(self._body, media_type="application/json")

    async def keep_fresh(self) -> None:
        """Runs as long as the server."""
        while True:
            await asyncio.sleep(self.FRESH)
            now = time.monotonic()
            wanted = now - self._asked < self.STALE or now - self._taken > self.STALE
            if wanted and self._backend.stage is Stage.READY:
                try:
                    await self._made()
                except Exception as error:
                    logger.warning("the answer of /info/ cannot be made: %s", where(error))

    async def _made(self) -> None:
        if self._making is None or self._making.done():
            self._making = asyncio.ensure_future(self._make())
        await asyncio.shield(self._making)

    async def _make(self) -> None:
        began, instance = time.monotonic(), self._backend.instance
        self._body = await asyncio.to_thread(lambda: bytes(PlainJSON(instance.info()).body))
        self._taken = began


async def metrics(request: Request) -> Response:
    """Prometheus' text form."""
    return Response(Server.of(request).metrics.text(), media_type=METRICS_TYPE)


async def infer(request: Request) -> Response:
    """``POST /infer/{model}``: a job that is waited for; a client that hangs up cancels it."""
    server = Server.of(request)
    output = checked_output(request.query_params.get("output"))
    async with asked(request, request.path_params["model"]) as (prepared, form):
        job = server.board.run(prepared, user=who(request).name, folder=form.folder)
    try:
        await _wait_or_hang_up(request, job)
        if job.state is State.CANCELLED:
            raise Refusal(CLIENT_CLOSED, "The job was cancelled.")
        if job.error is not None:
            raise job.error
        assert job.result is not None
        answer = reply(job.result, output)
        job.result = None  # the answer removes its file when it is sent
        return answer
    finally:
        server.board.forget(job)


@contextlib.asynccontextmanager
async def asked(request: Request, model: str) -> AsyncIterator[tuple[Inference, Form]]:
    """This request's question, checked, and its form; its uploads are removed when the body fails.

    Raises:
        Refusal: 4xx or 503.
    """
    server = Server.of(request)
    server.backend.check_ready()
    checks.checked_id(model, "model")
    query = _query(request)
    try:
        form = await read_form(request, server.settings.state / "uploads")
    except ClientDisconnect as error:
        raise Refusal(CLIENT_CLOSED, "The client went away during its upload.") from error
    try:
        prepared = await asyncio.to_thread(inference.prepare, server.backend, model, query, form)
        if prepared.save_as is not None:
            who(request).check(Role.ANNOTATOR)
        for kind, path in prepared.uploads:
            await sandbox.check(kind, path, server.settings)
        yield prepared, form
    except BaseException:
        await asyncio.to_thread(form.discard)
        raise


def _query(request: Request) -> dict[str, str]:
    query: dict[str, Any] = dict(request.query_params)
    unknown = set(query) - {"image", "session_id", "output", "model"}
    if unknown:
        raise Refusal(400, "A query parameter is not known here: use image, session_id and output.")
    return query


async def _wait_or_hang_up(request: Request, job: Job) -> None:
    """Wait for the job; when the client goes away first, cancel it.

    Raises:
        Refusal: 499.
    """
    done = asyncio.ensure_future(job.wait())
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise Refusal(CLIENT_CLOSED, "The client went away.")
    finally:
        done.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
