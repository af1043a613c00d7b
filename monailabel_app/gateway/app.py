"""The gateway as one ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp

from monailabel_app.gateway import endpoints, jobs_api, labels_api, login, openapi, status_page, store_endpoints
from monailabel_app.gateway.access import Authenticator, Who, address_of
from monailabel_app.gateway.accounting import record_job
from monailabel_app.gateway.audit import AuditLog
from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.door import Door
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.jobboard import JobBoard
from monailabel_app.gateway.jobs import Job
from monailabel_app.gateway.journal import Journal
from monailabel_app.gateway.metrics import Metrics
from monailabel_app.gateway.observe import Observe
from monailabel_app.gateway.pace import Pace
from monailabel_app.gateway.passthrough import Passthrough
from monailabel_app.gateway.rates import Rates
from monailabel_app.gateway.scheduler import Scheduler
from monailabel_app.gateway.server import Server
from monailabel_app.gateway.settings import Settings, make_state
from monailabel_app.gateway.tokens import TokenStore

_EXPIRE_SECONDS = 30.0
_REFUSALS_PER_SECOND, _REFUSALS_AT_ONCE = 0.1, 100.0  # of one address, in the audit log


def create(settings: Settings, backend: Backend) -> ASGIApp:
    """The application. Its state folder is made; `backend` starts loading when the application starts."""
    server = _server(settings, backend)
    info = endpoints.Info(backend)

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        # Reading images and labels waits for disks: more threads than Python's default for two processors.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(32, thread_name_prefix="radfind-io"))
        server.board.restore()
        backend.start()
        chores = [asyncio.create_task(_expire(server.board)), asyncio.create_task(info.keep_fresh())]
        yield
        for chore in chores:
            chore.cancel()
        await server.scheduler.close()
        await asyncio.to_thread(backend.close)
        await asyncio.to_thread(server.audit.close)
        server.journal.close()

    noted = Rates(_REFUSALS_PER_SECOND, _REFUSALS_AT_ONCE)

    def refused(request: Request, error: Refusal) -> None:
        address = address_of(request)
        if noted.wait(address):
            return  # who knocks without end must not fill the disk; /metrics counts them all
        caller, rule = request.scope.get("radfind.who"), request.scope.get("radfind.rule")
        server.audit.record(
            "refused",
            who=caller.name if isinstance(caller, Who) else None,
            status=error.status,
            route=rule.route if rule else None,
            address=address,
        )

    app: ASGIApp = Router(routes=_routes(backend, server, info), lifespan=lifespan)
    app = Pace(app, settings.max_body)
    app = Door(app, settings, server.authenticator, refused)
    if settings.cors:
        app = CORSMiddleware(
            app,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "HEAD", "PUT", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Content-Disposition", "Location", "Retry-After"],
        )
    return Observe(app, server)


def _server(settings: Settings, backend: Backend) -> Server:
    state = make_state(settings.state)
    for leftover in (state / "uploads").iterdir():  # of requests that a killed process was reading
        shutil.rmtree(leftover, ignore_errors=True)
    scheduler = Scheduler(settings.slots)
    journal, audit, metrics = Journal(state), AuditLog(state), Metrics(scheduler.lanes)

    def finished(job: Job) -> None:
        metrics.job(job)
        record_job(audit, job)

    board = JobBoard(backend, scheduler, journal, state / "results", settings.result_seconds, finished)
    authenticator = Authenticator(TokenStore(state), settings.oidc)
    return Server(settings, backend, scheduler, journal, board, authenticator, audit, metrics)


async def _expire(board: JobBoard) -> None:
    while True:
        await asyncio.sleep(_EXPIRE_SECONDS)
        board.expire()


def _routes(backend: Backend, server: Server, info: endpoints.Info) -> list[Route | Mount]:
    return [
        Route("/health", endpoints.health),
        Route("/ready", endpoints.ready),
        Route("/metrics", endpoints.metrics),
        Route("/auth", login.auth),
        Route("/auth/", login.auth),
        Route("/auth/token", login.token, methods=["POST"]),
        Route("/auth/token/valid", login.valid),
        Route("/info", info.answer),
        Route("/info/", info.answer),
        Route("/datastore/image", store_endpoints.get_image, methods=["GET", "HEAD"]),
        Route("/datastore/image", store_endpoints.put_image, methods=["PUT"]),
        Route("/datastore/", store_endpoints.put_image, methods=["PUT"]),
        Route("/datastore/label", store_endpoints.put_label, methods=["PUT"]),
        Route("/session", store_endpoints.put_session, methods=["PUT"]),
        Route("/session/", store_endpoints.put_session, methods=["PUT"]),
        Route("/session/{session}", store_endpoints.get_session, methods=["GET"]),
        Route("/infer/{model}", endpoints.infer, methods=["POST"]),
        Route("/radfind/jobs", jobs_api.create, methods=["POST"]),
        Route("/radfind/jobs", jobs_api.index, methods=["GET"]),
        Route("/radfind/jobs/{job}", jobs_api.show, methods=["GET"]),
        Route("/radfind/jobs/{job}", jobs_api.cancel, methods=["DELETE"]),
        Route("/radfind/jobs/{job}/events", jobs_api.events, methods=["GET"]),
        Route("/radfind/jobs/{job}/result", jobs_api.result, methods=["GET"]),
        Route("/radfind/labels/history", labels_api.history, methods=["GET"]),
        Route("/radfind/labels/restore", labels_api.restore, methods=["POST"]),
        Route("/radfind/status", status_page.as_page),
        Route("/radfind/status.json", status_page.as_json),
        Route("/radfind/openapi.json", openapi.document),
        Mount("/", Passthrough(backend, server.audit)),
    ]
