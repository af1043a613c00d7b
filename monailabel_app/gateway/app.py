"""The gateway as one ASGI application."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from monailabel_app.gateway import endpoints, jobs_api, store_endpoints
from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.door import Door
from monailabel_app.gateway.errors import Refusal, refusal_for
from monailabel_app.gateway.faults import where
from monailabel_app.gateway.jobboard import JobBoard
from monailabel_app.gateway.passthrough import Passthrough
from monailabel_app.gateway.scheduler import Scheduler
from monailabel_app.gateway.server import Server
from monailabel_app.gateway.settings import Settings, make_state
from radfind.errors import RadFindError

logger = logging.getLogger(__name__)


def create(settings: Settings, backend: Backend) -> Starlette:
    """The application. Its state folder is made; `backend` starts loading when the application starts."""
    state = make_state(settings.state)
    scheduler = Scheduler(settings.slots)
    board = JobBoard(backend, scheduler, state / "results", settings.result_seconds)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        backend.start()
        yield
        await scheduler.close()

    app = Starlette(
        routes=[
            Route("/health", endpoints.health),
            Route("/ready", endpoints.ready),
            Route("/info/", endpoints.Info().__call__),
            Route("/info", endpoints.Info().__call__),
            Route("/datastore/image", store_endpoints.get_image, methods=["GET", "HEAD"]),
            Route("/datastore/image", store_endpoints.put_image, methods=["PUT"]),
            Route("/datastore/", store_endpoints.put_image, methods=["PUT"]),
            Route("/datastore/label", store_endpoints.put_label, methods=["PUT"]),
            Route("/session/", store_endpoints.put_session, methods=["PUT"]),
            Route("/session", store_endpoints.put_session, methods=["PUT"]),
            Route("/infer/{model}", endpoints.infer, methods=["POST"]),
            Route("/radfind/jobs", jobs_api.create, methods=["POST"]),
            Route("/radfind/jobs", jobs_api.index, methods=["GET"]),
            Route("/radfind/jobs/{job}", jobs_api.show, methods=["GET"]),
            Route("/radfind/jobs/{job}", jobs_api.cancel, methods=["DELETE"]),
            Route("/radfind/jobs/{job}/events", jobs_api.events, methods=["GET"]),
            Route("/radfind/jobs/{job}/result", jobs_api.result, methods=["GET"]),
            Mount("/", Passthrough(backend)),
        ],
        exception_handlers={Refusal: refused, RadFindError: failed, Exception: failed},
        lifespan=lifespan,
    )
    app.state.server = Server(settings, backend, scheduler, board)
    app.add_middleware(Door, settings=settings)
    return app


async def failed(request: Request, error: Exception) -> Response:
    answer = refusal_for(error)
    if answer.status >= 500:
        logger.error("request failed: %s", where(error))
    return await refused(request, answer)


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse({"detail": error.detail}, status_code=error.status, headers=error.headers)
