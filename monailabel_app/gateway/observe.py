"""Around every request: its errors become answers, safe headers go out, a log line and a number are kept."""

from __future__ import annotations

import logging
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monailabel_app.gateway.access import Who
from monailabel_app.gateway.errors import Refusal, refusal_for
from monailabel_app.gateway.faults import where
from monailabel_app.gateway.policy import Rule
from monailabel_app.gateway.server import Server

logger = logging.getLogger(__name__)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OWN_PAGES = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_OTHER_PAGES = "frame-ancestors 'none'; object-src 'none'; base-uri 'self'"
"""MONAI Label's own pages bring scripts along; they are kept out of frames, and that is all that can be said."""


class Observe:
    """The outermost ASGI middleware."""

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # a web socket: there are none here
        began = time.monotonic()
        scope["radfind.server"] = self._server
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(scope, MutableHeaders(scope=message))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            answer = refusal_for(error)
            if answer.status >= 500 and not isinstance(error, Refusal):
                logger.error("request failed: %s", where(error))
            if status == 0:
                response = JSONResponse({"detail": answer.detail}, status_code=answer.status, headers=answer.headers)
                await response(scope, receive, watched)
        finally:
            self._note(scope, status, time.monotonic() - began)

    def _add_headers(self, scope: Scope, headers: MutableHeaders) -> None:
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        rule = scope.get("radfind.rule")
        headers["Content-Security-Policy"] = _OTHER_PAGES if isinstance(rule, Rule) and not rule.ours else _OWN_PAGES
        if scope["scheme"] == "https":
            headers["Strict-Transport-Security"] = "max-age=31536000"

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        rule, who = scope.get("radfind.rule"), scope.get("radfind.who")
        route = rule.route if isinstance(rule, Rule) else "none"
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS") else "other"
        self._server.metrics.request(method, route, status, seconds)
        if route in ("/health", "/ready", "/metrics"):
            return
        fields = {
            "request": uuid.uuid4().hex[:12],
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "who": who.name if isinstance(who, Who) else None,
        }
        logger.info("request", extra={"fields": fields})
