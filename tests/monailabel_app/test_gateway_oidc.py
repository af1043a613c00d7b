"""OpenID Connect against a small issuer on loopback: what it signed passes, everything forged does not."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_fakes import FakeTask, live
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from monailabel_app.gateway.oidc import OidcSettings
from radfind.errors import InputError


class Issuer:
    """Publishes its keys; signs what it is told."""

    def __init__(self) -> None:
        self.keys = [RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})]
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                if self.path == "/.well-known/openid-configuration":
                    body: dict[str, Any] = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
                else:
                    body = {"keys": [key.as_dict(private=False) for key in issuer.keys]}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def claims(self, **changes: Any) -> dict[str, Any]:
        claims = {
            "iss": self.url,
            "aud": "radfind",
            "sub": "42",
            "preferred_username": "li",
            "exp": int(time.time()) + 60,
            "roles": ["radfind-annotator"],
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, key: Any = None, alg: str = "RS256", **changes: Any) -> str:
        key = key or self.keys[-1]
        return jwt.encode({"alg": alg, "kid": key.kid}, self.claims(**changes), key, algorithms=[alg])


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def client(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("oidc")
    settings = OidcSettings(issuer.url, "radfind")
    with live(folder, {"fake": FakeTask()}, oidc=settings) as server, httpx.Client(base_url=server.url) as client:
        yield client


def ask(client: httpx.Client, token: str) -> httpx.Response:
    return client.get("/auth/token/valid", headers={"Authorization": f"Bearer {token}"})


def test_a_good_token(client: httpx.Client, issuer: Issuer) -> None:
    answer = ask(client, issuer.token())
    assert answer.status_code == 200 and answer.json()["username"] == "li"
    assert answer.json()["roles"] == ["annotator"]
    assert ask(client, issuer.token(roles=["other", "monailabel-admin"])).json()["roles"] == ["admin"]
    assert ask(client, issuer.token(aud=["else", "radfind"])).status_code == 200


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _part(data: dict[str, Any]) -> str:
    return _encoded(json.dumps(data).encode())


def forged(issuer: Issuer) -> dict[str, str]:
    public = issuer.keys[0].as_pem(private=False)
    other = RSAKey.generate_key(2048, {"kid": "one"})
    good = issuer.token()
    symmetric = f"{_part({'alg': 'HS256', 'kid': 'one'})}.{_part(issuer.claims())}"
    head, _, signature = good.split(".")
    return {
        "alg none": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(issuer.claims())}.",
        "alg None with a key id": f"{_part({'alg': 'None', 'kid': 'one'})}.{_part(issuer.claims())}.",
        "alg none, old signature": f"{_part({'alg': 'none'})}.{good.split('.')[1]}.{signature}",
        "public key as HMAC secret": f"{symmetric}.{_encoded(hmac.digest(public, symmetric.encode(), 'sha256'))}",
        "wrong key, right key id": issuer.token(key=other),
        "changed claims": f"{head}.{_part(issuer.claims(roles=['radfind-admin']))}.{signature}",
        "wrong issuer": issuer.token(iss="https://evil.example"),
        "no issuer": issuer.token(iss=None),
        "other audience": issuer.token(aud="another-app"),
        "no audience": issuer.token(aud=None),
        "expired": issuer.token(exp=int(time.time()) - 60),
        "no expiry": issuer.token(exp=None),
        "not yet valid": issuer.token(nbf=int(time.time()) + 600),
        "no role": issuer.token(roles=["visitor"]),
        "no name": issuer.token(preferred_username=None, sub=None),
        "roles of a wrong type": issuer.token(roles={"radfind-admin": True}),
        "own key in the header": jwt.encode(
            {"alg": "RS256", "jwk": other.as_dict(private=False)}, issuer.claims(), other, algorithms=["RS256"]
        ),
        "key address in the header": jwt.encode(
            {"alg": "RS256", "jku": "http://127.0.0.1:1/keys"}, issuer.claims(), other, algorithms=["RS256"]
        ),
        "not a token": "a.b.c",
        "huge": "a" * 20_000 + ".b.c",
    }


def test_forged_tokens(client: httpx.Client, issuer: Issuer) -> None:
    passed = [name for name, token in forged(issuer).items() if ask(client, token).status_code != 401]
    assert passed == []


def test_a_new_key_is_fetched_and_strangers_cannot_make_us_fetch(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monailabel_app.gateway.oidc._RETRY_SECONDS", 1.0)
    settings = OidcSettings(issuer.url, "radfind")
    with live(tmp_path, {}, oidc=settings) as server, httpx.Client(base_url=server.url) as client:
        assert ask(client, issuer.token()).status_code == 200
        issuer.keys.append(ECKey.generate_key("P-256", {"kid": "two", "alg": "ES256", "use": "sig"}))
        time.sleep(1.1)
        assert ask(client, issuer.token(alg="ES256")).status_code == 200
        monkeypatch.setattr("monailabel_app.gateway.oidc._RETRY_SECONDS", 1000.0)
        asked = issuer.asked
        stranger = ECKey.generate_key("P-256", {"kid": "three"})
        for _ in range(5):
            ask(client, issuer.token(key=stranger, alg="ES256"))
        assert issuer.asked <= asked + 2


def test_an_issuer_that_is_down_lets_nobody_in(tmp_path: Path) -> None:
    settings = OidcSettings("http://127.0.0.1:9", "radfind")
    key = RSAKey.generate_key(2048, {"kid": "one"})
    token = jwt.encode({"alg": "RS256", "kid": "one"}, {"iss": settings.issuer}, key)
    with live(tmp_path, {}, oidc=settings) as server, httpx.Client(base_url=server.url) as client:
        assert ask(client, token).status_code == 401


def test_the_issuer_must_be_https() -> None:
    with pytest.raises(InputError, match="https"):
        OidcSettings("http://login.example", "radfind")
    with pytest.raises(InputError, match="audience"):
        OidcSettings("https://login.example", "")


def test_key_sets_import() -> None:
    """The library this rests on takes only public keys from an issuer."""
    key = RSAKey.generate_key(2048, {"kid": "one"})
    assert KeySet.import_key_set({"keys": [key.as_dict(private=False)]}).keys[0].is_private is False
