"""Every request passes here first: does its route exist, is it open, who asks, may they?"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from monailabel_app.gateway.access import Authenticator, Who, address_of
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.policy import methods_of, rule_for
from monailabel_app.gateway.rates import Rates
from monailabel_app.gateway.settings import Settings

_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PORT = re.compile(r":\d{1,5}$")


class Door:
    """ASGI middleware. What is not in the table of routes does not exist.

    Arguments:
        refused: told of each request turned away for its caller (401, 403, 421, 429), for the audit log.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        authenticator: Authenticator,
        refused: Callable[[Request, Refusal], None],
    ) -> None:
        self._app = app
        self._settings = settings
        self._authenticator = authenticator
        self._refused = refused
        self._asking = Rates(settings.rate, settings.rate * 2)
        self._hosts = frozenset(name.lower() for name in settings.hosts) | (_LOCAL_HOSTS if settings.local else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            try:
                await self._admit(request)
            except Refusal as error:
                if error.status in (401, 403, 421, 429):
                    self._refused(request, error)
                raise
        await self._app(scope, receive, send)

    async def _admit(self, request: Request) -> None:
        self._check_host(request)
        path = request.scope["path"]
        rule = request.scope["radfind.rule"] = rule_for(request.method, path)
        if rule is None:
            methods = methods_of(path)
            if methods:
                raise Refusal(405, "This path does not take that method.", {"Allow": ", ".join(methods)})
            raise Refusal(404, "There is nothing here.")
        if rule.role is None:
            return
        caller = await self._caller(request)
        request.scope["radfind.who"] = caller
        caller.check(rule.role)
        if rule.door is not None and rule.door not in self._settings.open_doors:
            raise Refusal(403, f"This part of the server is closed. Its operator can open it: --open {rule.door}.")

    def _check_host(self, request: Request) -> None:
        """A page in a browser must not reach a server on this machine by a name of its own (DNS rebinding), nor
        ask in the user's name from another site."""
        host = _PORT.sub("", request.headers.get("host", "")).lower()
        if self._hosts and host not in self._hosts:
            raise Refusal(421, "This server does not answer under that name. Its operator can add it: --host-name.")
        forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
        if forwarded and not self._authenticator.login and not self._settings.allow_anonymous:
            raise Refusal(403, "Behind a proxy this server needs login: 'radfind token create', or --allow-anonymous.")
        origin = request.headers.get("origin")
        if origin is not None and origin not in self._settings.cors:
            own = re.sub(r"^https?://", "", origin.lower())
            if own != request.headers.get("host", "").lower():
                raise Refusal(403, "Web pages of other sites may not ask here. Its operator can allow one: --cors.")

    async def _caller(self, request: Request) -> Who:
        caller = await self._authenticator.who(request)
        seconds = self._asking.wait(f"{caller.name}@{address_of(request)}")
        if seconds:
            raise Refusal(429, "Too many requests. Slow down.", {"Retry-After": str(math.ceil(seconds))})
        return caller
