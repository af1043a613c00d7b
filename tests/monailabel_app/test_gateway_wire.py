"""TLS, slow clients, oversized and broken requests."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import random
import socket
import ssl
from pathlib import Path

import httpx
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway_fakes import FakeTask, Live, eventually, live, nrrd

from monailabel_app.gateway import http_protocol, pace
from monailabel_app.gateway.http_protocol import GuardedH11


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "c.pem", folder / "k.pem"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    return certificate_file, key_file


def test_tls(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path)
    options = {"ssl_certfile": certificate_file, "ssl_keyfile": key_file, "http": GuardedH11}
    with live(tmp_path, {"fake": FakeTask()}, uvicorn_options=options) as server:
        trust = ssl.create_default_context(cafile=str(certificate_file))
        answer = httpx.get(f"{server.url}/info/", verify=trust)
        assert answer.status_code == 200 and "max-age" in answer.headers["strict-transport-security"]
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/info/")  # not trusted: refused by the client


def raw(server: Live) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=100)


def until_closed(connection: socket.socket) -> bytes:
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


def test_a_head_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.6)
    with live(tmp_path, {"fake": FakeTask(1.0)}, uvicorn_options={"http": GuardedH11}) as server:
        for first in (b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "):
            with raw(server) as connection:
                connection.sendall(first)
                assert until_closed(connection) == b""
        assert httpx.post(f"{server.url}/infer/fake?image=scan").status_code == 200  # slower than a head may be


def served_ports() -> set[int]:
    """Local ports of the connections this process holds; those of its own clients have other ports."""
    return {c.laddr.port for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED}


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux ends such connections")
def test_a_client_that_does_not_take_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "TAKE_SECONDS", 0.5)
    size = 64 << 20  # more than the system holds for one connection
    with live(tmp_path, {"fake": FakeTask()}, uvicorn_options={"http": GuardedH11}) as server:
        (tmp_path / "studies" / "scan.nrrd").write_bytes(bytes(size))
        with raw(server) as connection:
            connection.sendall(b"GET /datastore/image?image=scan HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            port = connection.getpeername()[1]
            eventually(lambda: port in served_ports())  # it is being sent
            eventually(lambda: port not in served_ports())
            with contextlib.suppress(ConnectionResetError):
                assert len(until_closed(connection)) < size
        assert len(httpx.get(f"{server.url}/datastore/image?image=scan").content) == size


def test_a_body_that_trickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "CHUNK_SECONDS", 0.5)
    head = (
        b"POST /infer/fake?image=scan HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    )
    with live(tmp_path, {"fake": FakeTask()}) as server, raw(server) as connection:
        connection.sendall(head + b"Content-Length: 1000\r\n\r\n--x\r\n")
        assert b" 408 " in until_closed(connection).split(b"\r\n")[0]
        assert not list((server.state / "uploads").iterdir())


def test_large_bodies(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}, max_body=100_000) as server, httpx.Client(base_url=server.url) as client:
        files = {"file": ("a.nrrd", b"x" * 200_000)}
        assert client.post("/infer/fake", files=files).status_code == 413

        def unannounced():  # type: ignore[no-untyped-def]
            for _ in range(300):
                yield b"x" * 1000

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        assert client.post("/infer/fake", content=unannounced(), headers=headers).status_code in (400, 413)
        assert client.post("/activelearning/first", content=b"x" * 90_000, headers=headers).status_code in (400, 413)
        assert client.post("/auth/token", content=b"x" * 99_000).status_code in (200, 413)
        assert client.get("/health").status_code == 200
        assert not list((server.state / "uploads").iterdir())


def mutated(body: bytes, chance: random.Random) -> bytes:
    """The body with a few bytes changed, cut out, doubled, or cut off."""
    data = bytearray(body)
    for _ in range(chance.randint(1, 6)):
        at, size = chance.randrange(len(data)), chance.randint(1, 30)
        kind = chance.randrange(5)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        elif kind == 3:
            data[at:at] = chance.choice([b"\r\n", b"--x", b"\0", b"%s" * 5, b"\xff\xfe", b'"', b";", b"A" * 300])
        else:
            del data[chance.randrange(len(data)) :]
        if not data:
            return b""
    return bytes(data)


def _mutate(server: Live, count: int, seed: int) -> dict[int, int]:
    request = httpx.Request(
        "POST",
        server.url,
        files={
            "params": (None, '{"text": "solid nodule", "prompts": {"version": 1, "prompts": []}}'),
            "label": ("label.json", b'{"markups": []}', "application/json"),
        },
        headers={"Content-Type": "multipart/form-data; boundary=xyz"},
    )
    body, chance, seen = request.read(), random.Random(seed), {}  # type: ignore[var-annotated]
    with httpx.Client(base_url=server.url) as client:
        for number in range(count):
            path = ("/infer/fake?image=scan", "/datastore/label?image=scan&tag=final", "/session/")[number % 3]
            method = "POST" if path.startswith("/infer") else "PUT"
            headers = {"Content-Type": request.headers["content-type"]}
            if chance.random() < 0.1:
                kinds = ["multipart/form-data", "multipart/form-data; boundary=", "text/plain", "application/json", "x"]
                headers = {"Content-Type": chance.choice(kinds)}
            status = client.request(method, path, content=mutated(body, chance), headers=headers).status_code
            seen[status] = seen.get(status, 0) + 1
    return seen


@pytest.fixture
def quick_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in this process: starting a child for each of thousands of bodies tests nothing more."""
    import json

    async def check(kind: str, path: Path, settings: object) -> None:
        from monailabel_app.gateway.errors import Refusal

        if path.suffix == ".json":
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, RecursionError):
                raise Refusal(422, "refused") from None

    monkeypatch.setattr("monailabel_app.gateway.sandbox.check", check)


@pytest.mark.usefixtures("quick_decoding")
def test_mutated_forms(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}, rate=1e6) as server:
        assert all(status < 500 for status in _mutate(server, 500, seed=1))
        assert not list((server.state / "uploads").iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("quick_decoding")
def test_10000_mutated_forms(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}, rate=1e6) as server:
        seen = _mutate(server, 10_000, seed=2)
        print(seen)
        assert all(status < 500 for status in seen)
        assert not list((server.state / "uploads").iterdir())


def test_an_upload_stays_off_the_loop(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}) as server:
        assert httpx.post(f"{server.url}/infer/fake", files={"file": ("a.nrrd", nrrd(128))}).status_code == 200
