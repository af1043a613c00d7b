"""The parts of one running server, in one place."""

from __future__ import annotations

import dataclasses

from starlette.requests import Request

from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.jobboard import JobBoard
from monailabel_app.gateway.scheduler import Scheduler
from monailabel_app.gateway.settings import Settings


@dataclasses.dataclass(frozen=True)
class Server:
    settings: Settings
    backend: Backend
    scheduler: Scheduler
    board: JobBoard

    @classmethod
    def of(cls, request: Request) -> Server:
        server = request.app.state.server
        assert isinstance(server, cls)
        return server
