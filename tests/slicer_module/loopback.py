"""A small server on loopback that speaks the contract of RadFind, or of stock MONAI Label, and fails on demand."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

VOLUME = {"shape_kji": [4, 5, 6], "affine_ijk_to_lps": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}
RANKING = {"version": 1, "slices": [], "findings": [], "not_found": ["nodule"], "not_supported": [], "notes": []}


class Loopback:
    """Answers on a free port. Change its attributes to change what it does.

    `fail` maps "METHOD /path-prefix" to (status, body) or to one of "slow", "cut", "half", "hang up".
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.fail: dict[str, Any] = {}
        self.once: set[str] = set()
        self.token = ""
        self.radfind = True
        self.engines = ["auto", "builtin"]
        self.stock_models = ["segmentation_spleen"]
        self.answer: dict[str, Any] = {**RANKING, "engine": "builtin", "volume": VOLUME}
        self.images: dict[str, Any] = {}
        self.labelmap: bytes | None = None
        self.sessions: dict[str, bytes] = {}
        self.params: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.work_seconds = 0.0
        self.cancelled: list[str] = []
        self.upload_bytes = 0
        self._certificate = certificate

    def __enter__(self) -> Loopback:
        outer = self

        class Handler(_Handler):
            loopback = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        scheme = "http"
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    loopback: Loopback
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _all(self) -> None:
        server = self.loopback
        name = f"{self.command} {self.path}"
        server.requests.append(name)
        server.headers.append(dict(self.headers))
        for prefix, fault in list(server.fail.items()):
            if name.startswith(prefix):
                if prefix in server.once:
                    server.fail.pop(prefix)
                if self._fault(fault):
                    return
        if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
            self._json({"detail": "Give a token."}, 401)
            return
        body = self._body()
        path = self.path.split("?")[0]
        if path == "/info/":
            types = {"radfind_segment": "segmentation", "radfind_rank": "others", "radfind_verify": "others"}
            models = {n: {"type": t, "config": {"engine": server.engines}} for n, t in types.items()}
            if not server.radfind:
                models = {name: {"type": "segmentation", "config": {}} for name in server.stock_models}
            self._json({"name": "RadFind", "version": "0.1", "models": models})
        elif path == "/datastore/":
            self._json({"objects": server.images})
        elif path == "/session/":
            match = re.search(rb"\r\n\r\n(.*)\r\n--", body, re.DOTALL)
            session = f"s{len(server.sessions)}"
            server.sessions[session] = match.group(1) if match else b""
            self._json({"session_id": session})
        elif path.startswith("/radfind/") and server.radfind:
            self._jobs(path, body)
        elif path.startswith("/infer/"):
            self._infer(body)
        else:
            self._json({"detail": "Not Found"}, 404)

    do_GET = do_POST = do_PUT = do_DELETE = _all

    def _jobs(self, path: str, body: bytes) -> None:
        server = self.loopback
        if path == "/radfind/jobs" and self.command == "GET":
            self._json({"jobs": []})
        elif path == "/radfind/jobs":
            self._question(body)
            self._json({"id": "job1", "state": "queued"}, 202)
        elif path.endswith("/events"):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            begin = time.monotonic()
            while (spent := time.monotonic() - begin) < server.work_seconds:
                self._event("progress", {"state": "running", "progress": spent / server.work_seconds, "message": "x"})
                time.sleep(0.02)
            self._event("end", {"state": "done", "progress": 1.0})
            self.close_connection = True
        elif path.endswith("/result"):
            self._json(server.answer)
        else:
            server.cancelled.append(path)
            self._json({})

    def _question(self, body: bytes) -> None:
        match = re.search(rb"\r\n\r\n(\{.*\})\r\n--", body, re.DOTALL)
        self.loopback.params.append(json.loads(match.group(1)) if match else {})

    def _infer(self, body: bytes) -> None:
        self._question(body)
        params = json.dumps({"label_names": {"spleen": 1}}).encode()
        data = (
            b'--b\r\nContent-Disposition: form-data; name="params"\r\nContent-Type: application/json\r\n\r\n'
            + params
            + b'\r\n--b\r\nContent-Disposition: form-data; name="image"; filename="x.nrrd"\r\n'
            + b"Content-Type: application/octet-stream\r\n\r\n"
            + (self.loopback.labelmap or b"")
            + b"\r\n--b--\r\n"
        )
        self._send(data, 200, "multipart/form-data; boundary=b")

    def _fault(self, fault: Any) -> bool:
        if fault == "slow":
            time.sleep(5.0)
            return False
        if fault == "hang up":
            self.close_connection = True
            self.connection.close()
            return True
        if fault in ("cut", "half"):
            self._body()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"name": ' if fault == "cut" else json.dumps(self.loopback.answer).encode()[:500])
            self.wfile.flush()
            self.close_connection = True
            return True
        status, text = fault
        if status != 413:  # who refuses a large body does not read it first
            self._body()
        else:
            self.close_connection = True
        self._send(text if isinstance(text, bytes) else json.dumps(text).encode(), status, "application/json")
        return True

    def _body(self) -> bytes:
        left = int(self.headers.get("Content-Length") or 0)
        parts = []
        while left:
            part = self.rfile.read(min(left, 1 << 20))
            if not part:
                break
            self.loopback.upload_bytes += len(part)
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _event(self, kind: str, value: dict[str, Any]) -> None:
        self.wfile.write(f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), status, "application/json")

    def _send(self, data: bytes, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
