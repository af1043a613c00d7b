"""Who is asking, and whether they may."""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses

from starlette.requests import HTTPConnection

from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.oidc import OidcSettings, OidcVerifier
from monailabel_app.gateway.policy import Role
from monailabel_app.gateway.rates import Rates
from monailabel_app.gateway.tokens import TokenStore


@dataclasses.dataclass(frozen=True)
class Who:
    """A known caller."""

    name: str
    role: Role

    def check(self, role: Role) -> None:
        """Raises Refusal 403: a higher role is needed."""
        if self.role < role:
            raise Refusal(403, f"This needs the role {role.name.lower()}; you have {self.role.name.lower()}.")


LOCAL = Who("local", Role.ADMIN)
"""Everybody, on a server without login."""


class Authenticator:
    """Finds the caller of a request by its token.

    Login is on as soon as a token was ever made or OpenID Connect is set up.
    """

    def __init__(self, tokens: TokenStore, oidc: OidcSettings | None) -> None:
        self._tokens = tokens
        self._oidc = OidcVerifier(oidc) if oidc is not None else None
        self._failing = Rates(1 / 6, 10)

    @property
    def login(self) -> bool:
        return self._oidc is not None or self._tokens.any()

    async def who(self, request: HTTPConnection) -> Who:
        """The caller.

        Raises:
            Refusal: 401, or 429 after too many wrong tokens from one address.
        """
        if not self.login:
            return LOCAL
        basic = request.url.path.startswith("/radfind/status") and request.scope["method"] == "GET"
        challenge = 'Basic realm="RadFind; the password is your token"' if basic else 'Bearer realm="RadFind"'
        token = _token(request.headers.get("authorization", ""), basic=basic)
        if not token:
            detail = "A token is needed (Authorization: Bearer ...)."
            raise Refusal(401, detail, {"WWW-Authenticate": challenge})
        return await self.attempt(token, address_of(request), challenge)

    async def attempt(self, token: str, address: str, challenge: str = "Bearer") -> Who:
        """Whose token this is.

        Raises:
            Refusal: 401, or 429 after too many wrong tokens from one address. A token verified before still passes
                then: one client that guesses must not lock out its neighbours behind the same proxy.
        """
        if token.startswith("rf_"):
            found = self._tokens.known(token)
            if found is None:
                if self._failing.level(address) < 1.0:
                    raise Refusal(429, "Too many failed logins from here. Try again soon.", {"Retry-After": "60"})
                found = await asyncio.to_thread(self._tokens.verify, token)
            if found is not None:
                return Who(found.name, found.role)
        elif self._oidc is not None and (claimed := await self._oidc.verify(token)) is not None:
            return Who(*claimed)
        self._failing.wait(address)
        raise Refusal(401, "The token is not valid, or no longer.", {"WWW-Authenticate": challenge})


def address_of(request: HTTPConnection) -> str:
    """Where the request comes from. A proxy may have put any text there: no more of it than an address needs."""
    return request.client.host[:64] if request.client else "unknown"


def _token(header: str, *, basic: bool) -> str:
    """The token in an Authorization header, or "". Browsers can send it as a password, to the status page only:
    they would attach it to requests that other pages make, too."""
    kind, _, value = header.strip().partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if basic and kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def who(request: HTTPConnection) -> Who:
    """The caller of a request that passed the door."""
    caller = request.scope["radfind.who"]
    assert isinstance(caller, Who)
    return caller
