"""``/radfind/jobs``: submit, follow, cancel, fetch."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from monailabel_app.gateway.access import who
from monailabel_app.gateway.endpoints import asked
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.forms import Form
from monailabel_app.gateway.jobs import Job, State
from monailabel_app.gateway.policy import Role
from monailabel_app.gateway.replies import checked_output, reply
from monailabel_app.gateway.server import Server

_HEARTBEAT_SECONDS = 15.0
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


def _job(request: Request) -> Job:
    caller = who(request)
    board = Server.of(request).board
    return board.find(request.path_params["job"], user=caller.name, everyones=caller.role is Role.ADMIN)


async def create(request: Request) -> Response:
    """Queue a job: the query and form of ``/infer/{model}``, with `model` in the query. Answers 202 at once.

    With an ``Idempotency-Key`` header a repeated submission answers 200 with the first one's job.
    """
    server = Server.of(request)
    model = request.query_params.get("model", "")
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Refusal(400, "The Idempotency-Key must be 1 to 128 printable characters without spaces.")
    async with asked(request, model) as (prepared, form):
        fingerprint = await asyncio.to_thread(_fingerprint, request, form) if key else ""
        job, new = server.board.submit(
            prepared, user=who(request).name, folder=form.folder, idempotency=key, fingerprint=fingerprint
        )
    if not new:
        await asyncio.to_thread(form.discard)
    headers = {"Location": f"/radfind/jobs/{job.id}"}
    return JSONResponse(job.to_wire(), status_code=202 if new else 200, headers=headers)


def _fingerprint(request: Request, form: Form) -> str:
    """The same for the same question: query, fields, and the uploaded bytes."""
    digest = hashlib.sha256()
    parts = [sorted(request.query_params.multi_items()), sorted(form.fields.items())]
    digest.update(json.dumps(parts).encode())
    for path in sorted(form.folder.rglob("*")) if form.folder else []:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


async def index(request: Request) -> Response:
    """The caller's jobs, oldest first."""
    caller = who(request)
    jobs = [job.to_wire() for job in Server.of(request).board.jobs() if job.user == caller.name]
    return JSONResponse({"jobs": jobs})


async def show(request: Request) -> Response:
    """State and progress of one job."""
    return JSONResponse(_job(request).to_wire())


async def cancel(request: Request) -> Response:
    """Stop a job that is not finished; forget one that is."""
    server, job = Server.of(request), _job(request)
    if job.state.final:
        server.board.forget(job)
    else:
        server.board.cancel(job)
    return JSONResponse(job.to_wire())


async def events(request: Request) -> Response:
    """Server-sent events: ``progress`` for each change, then ``end`` with the final state."""
    job = _job(request)
    return StreamingResponse(_stream(job), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _stream(job: Job) -> AsyncIterator[str]:
    changes = job.changes()
    pending: asyncio.Future[dict[str, Any]] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(_next(changes))
            done, _ = await asyncio.wait({pending}, timeout=_HEARTBEAT_SECONDS)
            if not done:
                yield ": still here\n\n"
                continue
            try:
                wire = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            kind = "end" if State(wire["state"]).final else "progress"
            yield f"event: {kind}\ndata: {json.dumps(wire, ensure_ascii=False)}\n\n"
    finally:
        if pending is not None:
            pending.cancel()


async def _next(iterator: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    return await iterator.__anext__()


async def result(request: Request) -> Response:
    """The result, in the forms of ``/infer``. `once=true` forgets it when sent."""
    server, job = Server.of(request), _job(request)
    output = checked_output(request.query_params.get("output"))
    if not job.state.final:
        raise Refusal(409, "The job is not finished yet; follow its events.", {"Retry-After": "1"})
    if job.state is State.CANCELLED:
        raise Refusal(410, "The job was cancelled; it has no result.")
    if job.error is not None:
        raise job.error
    assert job.result is not None
    if request.query_params.get("once") == "true":
        taken, job.result = job.result, None
        server.board.forget(job)
        return reply(taken, output)
    return reply(job.result, output, keep=True)
