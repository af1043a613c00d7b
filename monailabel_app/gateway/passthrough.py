"""Hands a request to MONAI Label on a thread of its own, so that what blocks there blocks nobody here."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from monailabel_app.gateway import checks
from monailabel_app.gateway.access import who
from monailabel_app.gateway.audit import AuditLog
from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.errors import Refusal, refusal_for
from monailabel_app.gateway.faults import where

logger = logging.getLogger(__name__)

MAX_BODY = 4 << 20
"""What is passed on are small questions; uploads are the gateway's own."""
_PATH = re.compile(r"/[A-Za-z0-9._/@ +-]*")
_ID_PARAMETERS = frozenset({"image", "label", "id"})
_NAME_PARAMETERS = frozenset({"tag", "session_id", "model", "strategy", "method"})
_SAFE_PARAMETER = re.compile(r"[\w.:+=-]{0,256}")


class Passthrough:
    """An ASGI application: checks, then MONAI Label.

    Requests that change something run one at a time: MONAI Label's own code expects that.
    """

    def __init__(self, backend: Backend, audit: AuditLog, workers: int = 4) -> None:
        self._backend = backend
        self._audit = audit
        self._readers = ThreadPoolExecutor(workers, thread_name_prefix="monailabel")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="monailabel-write")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        application = self._backend.application
        self._check(request)
        # MONAI Label's client repeats the Content-Length of an earlier upload on requests that have no body: waiting
        # for one would never end.
        body = await _body(request) if request.method in ("PUT", "POST") else b""
        await _check_body(request, body)
        pool = self._readers if request.method in ("GET", "HEAD") else self._writer
        inner = {key: scope[key] for key in scope if key not in ("state", "router", "endpoint", "path_params", "app")}
        inner["headers"] = _without_credentials(scope["headers"])
        inner["root_path"] = ""
        channel: asyncio.Queue[Message | None] = asyncio.Queue(maxsize=8)
        loop = asyncio.get_running_loop()
        gone = threading.Event()
        work = loop.run_in_executor(pool, _call, application, inner, body, loop, channel, gone)
        started = False
        held: list[Message] = []
        try:
            while (message := await channel.get()) is not None:
                # A fault there is answered with a bare 500 before it is raised: wait for what it was.
                if not started and (held or message.get("status", 0) >= 500):
                    held.append(message)
                    continue
                started = True
                await send(message)
            error = await work
            if error is None:
                for message in held:
                    await send(message)
            if request.method not in ("GET", "HEAD"):
                self._note(request)
        finally:
            gone.set()
            while not channel.empty():  # frees a sender that waits for room
                channel.get_nowait()
        if error is not None:
            logger.error("MONAI Label failed on %s: %s", request.method, where(error))
            if started:
                raise error
            raise refusal_for(error) from error

    def _note(self, request: Request) -> None:
        query = request.query_params
        target = query.get("image") or query.get("label") or query.get("id")
        route = f"{request.method} {request.scope['radfind.rule'].route}"
        self._audit.record("change", who=who(request).name, route=route, target=target, tag=query.get("tag"))

    def _check(self, request: Request) -> None:
        path = request.url.path
        if not _PATH.fullmatch(path) or ".." in path or "//" in path:
            raise Refusal(400, "The path is not allowed.")
        images: Sequence[str] | None = None
        for name, value in request.query_params.multi_items():
            if name in _ID_PARAMETERS:
                if images is None:
                    images = self._backend.datastore.list_images()
                checks.checked_image_id(value, images)
            elif name in _NAME_PARAMETERS:
                if value:
                    checks.checked_id(value, name.replace("_", " "))
            elif not _SAFE_PARAMETER.fullmatch(value):
                raise Refusal(400, "A query parameter has a value that is not allowed.")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refusal(413, f"The body is larger than {MAX_BODY} bytes.")
    return bytes(body)


async def _check_body(request: Request, body: bytes) -> None:
    """Parameters in a body pass the same checks as those of an inference."""
    if not body:
        return
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        checks.checked_params(checks.parsed_params(body))
        return
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise Refusal(415, "The body must be JSON or a form.")

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        form = await Request(request.scope, receive).form(max_files=0, max_fields=32, max_part_size=MAX_BODY)
    except Exception as error:  # the parsers raise many kinds for broken bodies
        raise Refusal(400, "The form is broken: it could not be parsed.") from error
    _check_fields({name: str(value) for name, value in form.multi_items()})


def _check_fields(fields: dict[str, str]) -> None:
    for name, value in fields.items():
        if name not in ("info", "params"):
            raise Refusal(400, "The form has a field that is not allowed.")
        checks.checked_params(checks.parsed_params(value))


def _without_credentials(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() not in (b"authorization", b"cookie")]


def _call(
    application: Any,
    scope: Scope,
    body: bytes,
    loop: asyncio.AbstractEventLoop,
    channel: asyncio.Queue[Message | None],
    gone: threading.Event,
) -> BaseException | None:
    """Run the application on this thread's own loop; its answer goes to `channel`, then None."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        while not gone.is_set():
            await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if not gone.is_set():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(channel.put(message), loop))

    try:
        asyncio.run(application(scope, receive, send))
        return None
    except BaseException as error:
        return error
    finally:
        if not gone.is_set():
            asyncio.run_coroutine_threadsafe(channel.put(None), loop)
