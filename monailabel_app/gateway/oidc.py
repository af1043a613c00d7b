"""OpenID Connect: bearer tokens of a hospital's own login service, checked against its published keys."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import httpx

from monailabel_app.gateway.policy import Role
from radfind.errors import InputError

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures with a public key only: no "none", and no HMAC, whose key could be the published one."""
_KEYS_SECONDS = 600.0
_RETRY_SECONDS = 30.0
_LEEWAY_SECONDS = 30
_MAX_TOKEN_CHARS = 16_384
_MAX_BYTES = 1 << 20

DEFAULT_ROLES = {
    **{f"radfind-{role.name.lower()}": role.name.lower() for role in Role},
    # what a login service already set up for MONAI Label gives
    "monailabel-user": "reader",
    "monailabel-annotator": "annotator",
    "monailabel-reviewer": "reviewer",
    "monailabel-admin": "admin",
}


@dataclasses.dataclass(frozen=True)
class OidcSettings:
    """How to trust a login service.

    Arguments:
        issuer: its URL, exactly as in its tokens; https, or http on this machine.
        audience: what its tokens for us carry as ``aud``.
        role_claim: where the roles are, names joined by dots ("realm_access.roles").
        name_claim: who it is, for the audit log.
        roles: role names of the service to ours.
    """

    issuer: str
    audience: str
    role_claim: str = "roles"
    name_claim: str = "preferred_username"
    roles: Mapping[str, str] = dataclasses.field(default_factory=lambda: DEFAULT_ROLES)

    def __post_init__(self) -> None:
        url = httpx.URL(self.issuer)
        if url.scheme != "https" and not (url.scheme == "http" and url.host in ("127.0.0.1", "localhost", "::1")):
            raise InputError(f"The issuer {self.issuer} must be an https address.")
        if not self.audience:
            raise InputError("OpenID Connect needs the audience its tokens carry for this server: --oidc-audience.")


class OidcVerifier:
    """Checks tokens of one issuer. Its keys are fetched when first needed and again when they change."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._keys: Any = None
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def verify(self, token: str) -> tuple[str, Role] | None:
        """(name, role) of a valid token; None when it is forged, expired, from or for somebody else, or has no role."""
        from joserfc.errors import JoseError

        if len(token) > _MAX_TOKEN_CHARS or token.count(".") != 2:
            return None
        try:
            claims = await self._claims(token)
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        role = self._role(claims)
        name = claims.get(self._settings.name_claim) or claims.get("sub")
        if role is None or not isinstance(name, str) or not name:
            return None
        return "".join(c if c.isalnum() or c in "._@-" else "_" for c in name)[:64], role

    async def _claims(self, token: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import BadSignatureError, InvalidKeyIdError

        keys = await self._current_keys(fresh=False)
        try:
            decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        except (InvalidKeyIdError, BadSignatureError, ValueError):  # the service may have changed its keys
            decoded = jwt.decode(token, await self._current_keys(fresh=True), algorithms=ALGORITHMS)
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.audience},
            exp={"essential": True},
        )
        registry.validate(decoded.claims)
        return dict(decoded.claims)

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        value: Any = claims
        for part in self._settings.role_claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        known = self._settings.roles
        found = [Role.named(known[name]) for name in names if isinstance(name, str) and name in known]
        return max(found, default=None)

    async def _current_keys(self, *, fresh: bool) -> Any:
        """The published keys; asked for again at most every `_RETRY_SECONDS`, whatever tokens arrive."""
        async with self._lock:
            now = time.monotonic()
            due = now - self._fetched > _KEYS_SECONDS or fresh
            if due and now - self._tried > (_RETRY_SECONDS if self._keys is not None else 1.0):
                self._tried = now
                try:
                    self._keys = await self._fetch()
                    self._fetched = now
                except (httpx.HTTPError, ValueError, KeyError, TypeError):
                    if self._keys is None:
                        raise ValueError("the login service cannot be reached") from None
        if self._keys is None:
            raise ValueError("the login service cannot be reached")
        return self._keys

    async def _fetch(self) -> Any:
        from joserfc.jwk import KeySet

        issuer = self._settings.issuer.rstrip("/")
        async with httpx.AsyncClient(timeout=10.0, follow_redirects=False, trust_env=False) as client:
            about = await _json(client, f"{issuer}/.well-known/openid-configuration")
            if about.get("issuer") != self._settings.issuer:
                raise ValueError("the login service names another issuer")
            OidcSettings(about["jwks_uri"], self._settings.audience)  # the keys' address: https as well
            return KeySet.import_key_set(await _json(client, about["jwks_uri"]))  # type: ignore[arg-type]


async def _json(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    answer = await client.get(url)
    answer.raise_for_status()
    if len(answer.content) > _MAX_BYTES:
        raise ValueError("too large")
    return dict(answer.json())
