"""A small stand-in for MONAI Label (whose import takes half a minute), and a live gateway over it."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from monailabel_app.gateway.app import create
from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.settings import Settings


def nrrd(size: int = 8) -> bytes:
    """A small true image."""
    header = f"NRRD0004\ntype: int16\ndimension: 3\nsizes: {size} {size} {size}\nencoding: raw\nendian: little\n"
    space = "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n\n"
    return (header + space).encode() + bytes(2 * size**3)


class ImageNotFoundException(Exception):  # noqa: N818
    """Called as MONAI Label calls it: the gateway goes by the name."""


def eventually(true: Callable[[], bool]) -> None:
    """Wait until it is; a minute is for machines under load, not for what is tested."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


class FakeTask:
    """Sleeps in steps, reporting progress; returns a small file and JSON.

    Arguments:
        until: go on stepping until this is set; a test then knows what runs while it looks.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        *,
        until: threading.Event | None = None,
        file: bool = True,
        fail: BaseException | None = None,
    ) -> None:
        self.description = "a fake"
        self.seconds, self.until, self.file, self.fail = seconds, until, file, fail
        self.requests: list[dict[str, Any]] = []
        self.running = self.most_running = self.cancelled = 0
        self._lock = threading.Lock()

    def is_valid(self) -> bool:
        return True

    def config(self) -> dict[str, Any]:
        return {"text": "", "engine": ["auto", "fake"]}

    def info(self) -> dict[str, Any]:
        return {"type": "segmentation", "labels": [], "config": self.config()}

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        with self._lock:
            self.requests.append(request)
            self.running += 1
            self.most_running = max(self.running, self.most_running)
        try:
            steps = max(1, int(self.seconds / 0.02))
            for step in range(steps):
                request["context"].step(step / steps, f"step {step}")
                time.sleep(self.seconds / steps)
            while self.until is not None and not self.until.wait(0.02):
                request["context"].step(0.5, "waiting")
            if self.fail is not None:
                raise self.fail
        except Exception:
            self.cancelled += request["context"].cancelled
            raise
        finally:
            with self._lock:
                self.running -= 1
        if not self.file:
            return None, {"answer": "yes"}
        handle = tempfile.NamedTemporaryFile(prefix="fake-", suffix=".nrrd", delete=False)  # noqa: SIM115
        handle.write(b"NRRD0004 fake")
        handle.close()
        return handle.name, {"label_names": {"lung": 1}}


class FakeDatastore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved: list[tuple[str, str]] = []
        (folder / "scan.nrrd").write_bytes(nrrd())

    def list_images(self) -> list[str]:
        return ["scan"]

    def get_image_uri(self, image: str) -> str:
        if image != "scan":
            raise ImageNotFoundException("no such image")
        return str(self.folder / "scan.nrrd")

    def save_label(self, image: str, file: str, tag: str, info: dict[str, Any]) -> str:
        self.saved.append((image, tag))
        return image


class FakeInstance:
    def __init__(self, folder: Path, tasks: dict[str, Any]) -> None:
        self._infers = tasks
        self._datastore = FakeDatastore(folder)

    def datastore(self) -> FakeDatastore:
        return self._datastore

    def on_save_label(self, image: str, label: str) -> None:
        pass

    def sessions(self) -> None:
        return None

    def info(self) -> dict[str, Any]:
        return {"name": "fake", "models": {name: task.info() for name, task in self._infers.items()}}


def fake_application(seen: list[dict[str, Any]]) -> Starlette:
    """MONAI Label's side of what is passed on: notes what arrives."""

    async def note(request: Request) -> JSONResponse:
        body = await request.body()
        seen.append({"method": request.method, "path": request.url.path, "body": body, "headers": request.headers})
        if request.url.path == "/scoring/" and request.query_params.get("all") == "sleep":
            time.sleep(2.0)  # blocks, as MONAI Label does
        if request.url.path == "/scoring/fault":
            raise RuntimeError("patient John Doe")
        return JSONResponse({"seen": len(seen)})

    return Starlette(routes=[Route("/{path:path}", note, methods=["GET", "HEAD", "PUT", "POST", "DELETE"])])


class Live:
    """A gateway that runs, and what is behind it."""

    def __init__(self, url: str, instance: FakeInstance, seen: list[dict[str, Any]], state: Path) -> None:
        self.url, self.instance, self.seen, self.state = url, instance, seen, state


@contextlib.contextmanager
def live(
    folder: Path,
    tasks: dict[str, Any],
    *,
    load: Callable[[], None] = lambda: None,
    uvicorn_options: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[Live]:
    """Serve a gateway over fakes on a free loopback port."""
    studies = folder / "studies"
    studies.mkdir(exist_ok=True)
    instance, seen = FakeInstance(studies, tasks), []  # type: ignore[var-annotated]

    def loader() -> tuple[Any, Any]:
        load()
        return fake_application(seen), instance

    settings = Settings(str(studies), folder / "state", **options)
    backend = Backend(loader)
    app = create(settings, backend)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", **(uvicorn_options or {}))
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    scheme = "https" if config.is_ssl else "http"
    try:
        yield Live(f"{scheme}://127.0.0.1:{port}", instance, seen, settings.state)
    finally:
        server.should_exit = True
        thread.join(100)
