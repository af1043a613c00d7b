"""Every request passes here first: does the route exist, is it open, who asks, may they."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from monailabel_app.gateway.access import Who
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.policy import Role, methods_of, rule_for
from monailabel_app.gateway.settings import Settings


class Door:
    """ASGI middleware. What is not in the table of routes does not exist."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(Request(scope, receive))
        except Refusal as error:
            response = JSONResponse({"detail": error.detail}, status_code=error.status, headers=error.headers)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, request: Request) -> None:
        path = request.scope["path"]
        rule = rule_for(request.method, path)
        if rule is None:
            methods = methods_of(path)
            if methods:
                raise Refusal(405, "This path does not take that method.", {"Allow": ", ".join(methods)})
            raise Refusal(404, "There is nothing here.")
        if rule.door is not None and rule.door not in self._settings.open_doors:
            raise Refusal(403, f"This part of the server is closed. Its operator can open it: --open {rule.door}.")
        caller = Who("local", Role.ADMIN)
        if rule.role is not None:
            caller.check(rule.role)
        request.scope["radfind.who"] = caller
