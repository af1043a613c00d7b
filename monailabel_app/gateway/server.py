"""The parts of one running server, in one place."""

from __future__ import annotations

import dataclasses

from starlette.requests import HTTPConnection

from monailabel_app.gateway.access import Authenticator
from monailabel_app.gateway.audit import AuditLog
from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.jobboard import JobBoard
from monailabel_app.gateway.journal import Journal
from monailabel_app.gateway.metrics import Metrics
from monailabel_app.gateway.scheduler import Scheduler
from monailabel_app.gateway.settings import Settings


@dataclasses.dataclass(frozen=True)
class Server:
    settings: Settings
    backend: Backend
    scheduler: Scheduler
    journal: Journal
    board: JobBoard
    authenticator: Authenticator
    audit: AuditLog
    metrics: Metrics

    @classmethod
    def of(cls, request: HTTPConnection) -> Server:
        server = request.scope["radfind.server"]
        assert isinstance(server, cls)
        return server
