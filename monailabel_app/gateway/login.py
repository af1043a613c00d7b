"""``/auth``: what MONAI Label's clients ask to log in; the password is the token."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from monailabel_app.gateway.access import address_of, who
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.server import Server

_MAX_BODY = 1 << 16


async def auth(request: Request) -> Response:
    """Whether login is on."""
    server = Server.of(request)
    oidc = server.settings.oidc
    return JSONResponse(
        {
            "enabled": server.authenticator.login,
            "client_id": oidc.audience if oidc else "radfind",
            "realm": oidc.issuer if oidc else "",
        }
    )


async def token(request: Request) -> Response:
    """Trade a token typed as a password (with any user name) for itself: stock 3D Slicer's login box works."""
    from urllib.parse import parse_qs

    authenticator = Server.of(request).authenticator
    if not authenticator.login:
        return JSONResponse({"access_token": None, "token_type": None})
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise Refusal(413, "The login is too large.")
    try:
        password = parse_qs(body.decode("utf-8"), max_num_fields=10).get("password", [""])[0]
    except ValueError as error:
        raise Refusal(400, "The login must be a form.") from error
    await authenticator.attempt(password, address_of(request))
    return JSONResponse({"access_token": password, "token_type": "bearer"})


async def valid(request: Request) -> Response:
    """Who the token belongs to."""
    caller = who(request)
    roles = [caller.role.name.lower()]
    return JSONResponse({"username": caller.name, "email": None, "name": caller.name, "roles": roles})
