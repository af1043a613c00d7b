"""Tokens, roles, and who may knock at all."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from gateway_fakes import FakeTask, eventually, live

from monailabel_app.gateway.policy import Role
from monailabel_app.gateway.settings import Settings
from monailabel_app.gateway.tokens import TokenStore
from radfind.errors import InputError


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    (tmp_path / "state").mkdir()
    return TokenStore(tmp_path / "state")


def test_roles(tmp_path: Path, store: TokenStore) -> None:
    tokens = {role: store.create(role.name.lower(), role) for role in Role}
    asked = {
        ("GET", "/info/"): Role.READER,
        ("POST", "/infer/fake?image=scan"): Role.READER,
        ("PUT", "/datastore/label?image=scan"): Role.ANNOTATOR,
        ("PUT", "/datastore/image/info?image=scan"): Role.ANNOTATOR,
        ("POST", "/radfind/labels/restore?image=scan&version=1"): Role.REVIEWER,
        ("DELETE", "/datastore/label?id=scan&tag=final"): Role.REVIEWER,
        ("DELETE", "/datastore/image?id=scan"): Role.ADMIN,
    }
    with live(tmp_path, {"fake": FakeTask()}) as server, httpx.Client(base_url=server.url) as client:
        for (method, path), needed in asked.items():
            assert client.request(method, path).status_code == 401
            for role, token in tokens.items():
                status = client.request(method, path, headers=bearer(token)).status_code
                assert (status == 403) == (role < needed), (method, path, role, status)
                assert status not in (401, 500)
        assert client.get("/health").status_code == 200


def test_saving_a_result_needs_an_annotator(tmp_path: Path, store: TokenStore) -> None:
    reader, annotator = store.create("r", Role.READER), store.create("a", Role.ANNOTATOR)
    with live(tmp_path, {"fake": FakeTask()}) as server:
        form = {"params": json.dumps({"save_label": True, "label_tag": "draft"})}
        url = f"{server.url}/infer/fake?image=scan"
        assert httpx.post(url, data=form, headers=bearer(reader)).status_code == 403
        assert httpx.post(url, data=form, headers=bearer(annotator)).status_code == 200
        assert server.instance.datastore().saved == [("scan", "draft")]


def test_tokens_are_hashed_revoked_and_expire(
    tmp_path: Path, store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = store.create("li", Role.READER)
    text = (tmp_path / "state" / "tokens.json").read_text()
    assert token.split("_", 2)[2] not in text and "$argon2id$" in text
    with live(tmp_path, {"fake": FakeTask()}) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/info/", headers=bearer(token)).status_code == 200
        short = store.create("wang", Role.READER, days=3.0)
        assert client.get("/info/", headers=bearer(short)).status_code == 200
        with monkeypatch.context() as later:
            now = time.time() + 3.1 * 86400
            later.setattr("monailabel_app.gateway.tokens.time", SimpleNamespace(time=lambda: now))
            assert client.get("/info/", headers=bearer(short)).status_code == 401
        store.revoke(token.split("_", 2)[1])  # as `radfind token revoke` does, in another process
        assert client.get("/info/", headers=bearer(token)).status_code == 401
        assert client.get("/info/").status_code == 401  # the last token is gone: closed, not open


@pytest.mark.parametrize("wrong", ["x", "rf_000000000000_" + "A" * 43, "rf_%s_" + "A" * 43, "rf_%s_", "é" * 40])
def test_wrong_tokens(tmp_path: Path, store: TokenStore, wrong: str) -> None:
    token = store.create("li", Role.READER)
    text = wrong.replace("%s", token.split("_", 2)[1])
    with live(tmp_path, {"fake": FakeTask()}) as server:
        headers = {b"authorization": b"Bearer " + text.encode()}
        assert httpx.get(f"{server.url}/info/", headers=headers).status_code == 401


def test_guessing_is_slowed_and_locks_nobody_out(tmp_path: Path, store: TokenStore) -> None:
    token = store.create("li", Role.READER)
    with live(tmp_path, {"fake": FakeTask()}) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/info/", headers=bearer(token)).status_code == 200
        wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
        statuses = [client.get("/info/", headers=bearer(wrong)).status_code for _ in range(14)]
        assert statuses[0] == 401 and statuses[-1] == 429
        assert client.get("/info/", headers=bearer(token)).status_code == 200


def test_a_users_jobs_are_its_own(tmp_path: Path, store: TokenStore) -> None:
    li, wang, boss = (store.create(n, r) for n, r in [("li", Role.READER), ("wang", Role.READER), ("b", Role.ADMIN)])
    with live(tmp_path, {"fake": FakeTask(2.0)}) as server, httpx.Client(base_url=server.url) as client:
        job = client.post("/radfind/jobs?model=fake&image=scan", headers=bearer(li)).json()["id"]
        for path in ("", "/events", "/result"):
            assert client.get(f"/radfind/jobs/{job}{path}", headers=bearer(wang)).status_code == 404
        assert client.delete(f"/radfind/jobs/{job}", headers=bearer(wang)).status_code == 404
        assert client.get("/radfind/jobs", headers=bearer(wang)).json() == {"jobs": []}
        assert client.get("/radfind/status.json", headers=bearer(wang)).json()["jobs"] == []
        assert client.delete(f"/radfind/jobs/{job}", headers=bearer(boss)).status_code == 200


def test_stock_login(tmp_path: Path, store: TokenStore) -> None:
    """The three calls of MONAI Label's own client: is login on, trade a password, is the token valid."""
    with live(tmp_path, {"fake": FakeTask()}) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/auth/").json()["enabled"] is False
        token = store.create("li", Role.READER)
        assert client.get("/auth/").json()["enabled"] is True
        login = {"username": "li", "password": token, "grant_type": "password"}
        assert client.post("/auth/token", data=login).json() == {"access_token": token, "token_type": "bearer"}
        assert client.post("/auth/token", data={**login, "password": "x"}).status_code == 401
        assert client.get("/auth/token/valid", headers=bearer(token)).json()["roles"] == ["reader"]
        assert client.get("/auth/token/valid", headers=bearer("x")).status_code == 401


def test_the_status_page_quotes_no_question(tmp_path: Path) -> None:
    task = FakeTask(fail=InputError("'Mr Doe <b>' names nothing that can be looked for"))
    with live(tmp_path, {"fake": task}) as server, httpx.Client(base_url=server.url) as client:
        client.post("/radfind/jobs?model=fake&image=scan")
        eventually(lambda: "answered 400" in client.get("/radfind/status").text)
        assert "Doe" not in client.get("/radfind/status").text


def test_a_browser_may_log_in_to_the_status_page_only(tmp_path: Path, store: TokenStore) -> None:
    token = store.create("li", Role.ADMIN)
    basic = {"Authorization": "Basic " + base64.b64encode(f"li:{token}".encode()).decode()}
    with live(tmp_path, {"fake": FakeTask()}) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/radfind/status").headers["www-authenticate"].startswith("Basic")
        page = client.get("/radfind/status", headers=basic)
        assert page.status_code == 200 and "<script" not in page.text
        assert client.get("/info/", headers=basic).status_code == 401


def test_names_and_origins(tmp_path: Path) -> None:
    settings = {"hosts": ("ct.example",), "cors": ("https://ohif.example",)}
    with live(tmp_path, {"fake": FakeTask()}, **settings) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/info/", headers={"Host": "evil.example"}).status_code == 421  # DNS rebinding
        assert client.get("/info/", headers={"Host": "ct.example:8000"}).status_code == 200
        assert client.get("/info/", headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.get("/info/", headers={"Origin": "null"}).status_code == 403
        own = client.get("/info/", headers={"Origin": server.url})
        assert own.status_code == 200 and "access-control-allow-origin" not in own.headers
        listed = client.get("/info/", headers={"Origin": "https://ohif.example"})
        assert listed.headers["access-control-allow-origin"] == "https://ohif.example"
        assert "access-control-allow-credentials" not in listed.headers


def test_a_proxy_does_not_open_a_server_without_login(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    through = {"X-Forwarded-For": "192.0.2.9"}
    with live(tmp_path / "a", {"fake": FakeTask()}) as server:
        assert httpx.get(f"{server.url}/info/", headers=through).status_code == 403
        token = TokenStore(server.state).create("li", Role.READER)
        assert httpx.get(f"{server.url}/info/", headers={**through, **bearer(token)}).status_code == 200
    with live(tmp_path / "b", {"fake": FakeTask()}, allow_anonymous=True) as server:
        assert httpx.get(f"{server.url}/info/", headers=through).status_code == 200


def test_safe_headers(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}) as server:
        for path in ("/health", "/info/", "/radfind/status", "/datastore/", "/nothing"):
            headers = httpx.get(f"{server.url}{path}").headers
            assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"


def test_callers_have_a_rate(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}, rate=5.0) as server, httpx.Client(base_url=server.url) as client:
        answers = [client.get("/info/") for _ in range(20)]
        assert [a.status_code for a in answers[:10]] == [200] * 10
        assert answers[-1].status_code == 429 and int(answers[-1].headers["retry-after"]) >= 1
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "ct.example"])
def test_listening_beyond_this_machine_is_refused(tmp_path: Path, host: str) -> None:
    tls = {"tls_certificate": Path("c"), "tls_key": Path("k")}
    with pytest.raises(InputError, match="without TLS"):
        Settings("x", tmp_path, host).check_exposure(login=True)
    with pytest.raises(InputError, match="without login"):
        Settings("x", tmp_path, host, **tls).check_exposure(login=False)
    Settings("x", tmp_path, host, **tls).check_exposure(login=True)
    Settings("x", tmp_path, host, allow_plain_http=True, allow_anonymous=True).check_exposure(login=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_this_machine_needs_neither(tmp_path: Path, host: str) -> None:
    Settings("x", tmp_path, host).check_exposure(login=False)
