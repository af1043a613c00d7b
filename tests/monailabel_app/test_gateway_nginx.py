"""nginx with the shipped configuration in front of a gateway: TLS, login, uploads, events, hanging up."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gateway_fakes import FakeTask, Live, eventually, live, nrrd
from test_gateway_wire import certificate

from monailabel_app.gateway.http_protocol import GuardedH11
from monailabel_app.gateway.policy import Role
from monailabel_app.gateway.tokens import TokenStore

NGINX = shutil.which("nginx")
CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
NAME = "radfind.example"

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


class Proxied:
    """A gateway behind nginx, and a client that trusts its certificate and has a token."""

    def __init__(self, server: Live, client: httpx.Client, slow: FakeTask) -> None:
        self.server, self.client, self.slow = server, client, slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "state").mkdir()
    token = TokenStore(folder / "state").create("me", Role.ANNOTATOR)
    slow = FakeTask(until=threading.Event())
    protocol = {"http": GuardedH11}
    with live(folder, {"fake": FakeTask(0.5), "slow": slow}, hosts=(NAME,), uvicorn_options=protocol) as server:
        certificate_file, key_file = certificate(folder)
        port = free_port()
        text = CONFIGURATION.read_text()
        for ours, here in (
            ("server radfind:8000", f"server {server.url.removeprefix('http://')}"),
            ("listen 443", f"listen 127.0.0.1:{port}"),
            ("ssl_certificate /etc/nginx/tls/radfind.pem", f"ssl_certificate {certificate_file}"),
            ("ssl_certificate_key /etc/nginx/tls/radfind.key", f"ssl_certificate_key {key_file}"),
            ("pid /var/run/nginx.pid", f"pid {folder}/pid"),
            ("http {", "http {\n" + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in _TEMPORARY)),
        ):
            assert text.count(ours) == 1, ours
            text = text.replace(ours, here)
        (folder / "nginx.conf").write_text(text)
        command = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
        with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            trust = ssl.create_default_context(cafile=str(certificate_file))
            headers = {"Authorization": f"Bearer {token}", "Host": NAME}
            url = f"https://127.0.0.1:{port}"
            try:
                with httpx.Client(base_url=url, verify=trust, headers=headers, timeout=60) as client:
                    eventually(lambda: _answers(client, process))
                    yield Proxied(server, client, slow)
            finally:
                process.terminate()
        assert "scan" not in (folder / "log").read_text()  # no image ids in its log


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _answers(client: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "nginx does not take the configuration"
    try:
        return client.get("/health").status_code == 200
    except httpx.ConnectError:
        return False


def test_login_and_what_is_not_passed_on(proxied: Proxied) -> None:
    client = proxied.client
    assert client.get("/info/").status_code == 200
    assert client.get("/info/", headers={"Authorization": ""}).status_code == 401
    assert client.get("/metrics").status_code == 404
    assert client.get("/info/", headers={"Host": "other.example"}).status_code == 421
    assert "max-age" in client.get("/health").headers["strict-transport-security"]  # it says that this was TLS


def test_the_address_of_the_client_is_nginxs_word_not_its_own(proxied: Proxied) -> None:
    for _ in range(3):
        client = proxied.client
        assert client.get("/info/", headers={"X-Forwarded-For": "6.6.6.6", "Authorization": "x"}).status_code == 401
    eventually(lambda: '"status": 401' in (proxied.server.state / "audit.jsonl").read_text())
    assert "6.6.6.6" not in (proxied.server.state / "audit.jsonl").read_text()


def test_a_large_upload(proxied: Proxied) -> None:
    files = {"file": ("a.nrrd", nrrd(160)), "params": (None, "{}")}  # 8 MB
    assert proxied.client.post("/infer/fake", files=files).status_code == 200


def test_events_arrive_as_they_happen(proxied: Proxied) -> None:
    job = proxied.client.post("/radfind/jobs?model=fake&image=scan").json()["id"]
    seen: list[tuple[float, float]] = []
    with proxied.client.stream("GET", f"/radfind/jobs/{job}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                seen.append((time.monotonic(), json.loads(line[6:])["progress"]))
    assert len(seen) > 3 and seen[-1][1] == 1.0
    assert seen[-1][0] - seen[0][0] > 0.1  # not all at the end


def test_who_hangs_up_cancels(proxied: Proxied) -> None:
    before = proxied.slow.cancelled
    with pytest.raises(httpx.ReadTimeout):
        proxied.client.post("/infer/slow?image=scan", timeout=1.0)
    eventually(lambda: proxied.slow.cancelled == before + 1)
