"""What a RadFind server, or a stock MONAI Label server, can be asked. Blocks: call it on a worker thread."""

from __future__ import annotations

import contextlib
import dataclasses
import email.parser
import email.policy
import json
import re
import threading
import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from . import Nrrd, Wire
from .Cancellation import Cancellation
from .Errors import Cancelled, ConnectionFailed, RadFindError, ServerError
from .Geometry import Grid, sameVoxels
from .Snapshot import Example, Snapshot
from .Transport import CHUNK, Body, Transport, parsedJson

Progress = Callable[[float, str], None]
INFER_SECONDS = 1800.0
"""Longest wait for a stock server, which is silent while it works."""
RETRIES = 3
SEGMENT = "radfind_segment"
_OUTLINING = ("segmentation", "deepedit", "deepgrow", "annotation")
"""MONAI Label's types of models that answer with a labelmap."""


@dataclasses.dataclass(frozen=True)
class ServerInfo:
    """What a server said of itself.

    Arguments:
        radfind: it has RadFind's jobs (progress, cancel), not only MONAI Label's contract.
        models: name to type ("segmentation", "others", ...).
        engines: the choices it offers, "auto" first; of a stock server, its models that outline.
    """

    name: str
    version: str
    radfind: bool
    models: Mapping[str, str]
    engines: tuple[str, ...]

    def sentence(self, url: str) -> str:
        """What answers at an address."""
        choices = ", ".join(engine for engine in self.engines if engine != "auto") or "none"
        if SEGMENT in self.models:
            extra = "" if self.radfind else ", without progress and cancel on the server"
            return f"{self.name} {self.version} answers at {url} with engines {choices}{extra}."
        return f"A MONAI Label server without RadFind answers at {url}; models that outline: {choices}."


class Client:
    """Questions to one server. Safe to use from several threads.

    Arguments:
        transport: says where and as whom.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._sessions: dict[str, str] = {}
        self._uploads: dict[str, threading.Lock] = {}
        self.known: ServerInfo | None = None
        """What the server said it is, once it was asked."""

    @property
    def url(self) -> str:
        return self._transport.address.url

    def info(self, cancellation: Cancellation) -> ServerInfo:
        """Ask the server what it is."""
        wire = self._get("/info/", cancellation)
        try:
            models = {str(name): str(model.get("type", "")) for name, model in wire["models"].items()}
            engines = [name for name, kind in models.items() if kind in _OUTLINING]
            if SEGMENT in models:
                engines = wire["models"][SEGMENT].get("config", {}).get("engine") or ["auto"]
            info = ServerInfo(
                str(wire.get("name", "")),
                str(wire.get("version", "")),
                self._hasJobs(cancellation),
                models,
                tuple(str(engine) for engine in ([engines] if isinstance(engines, str) else engines)),
            )
        except (AttributeError, KeyError, TypeError):
            raise ServerError("What answers there is neither RadFind nor MONAI Label.") from None
        self.known = info
        return info

    def _hasJobs(self, cancellation: Cancellation) -> bool:
        try:
            self._get("/radfind/jobs", cancellation)
            return True
        except ServerError as error:
            if error.status in (404, 405):
                return False
            raise

    def hasImage(self, image: str, cancellation: Cancellation) -> bool:
        """Whether the server has an image (a SeriesInstanceUID) of its own."""
        wire = self._get("/datastore/?output=all", cancellation)
        return isinstance(wire, dict) and image in wire.get("objects", {})

    def ask(
        self,
        model: str,
        params: Mapping[str, Any],
        volume: Snapshot,
        cancellation: Cancellation,
        progress: Progress,
        examples: Sequence[Example] = (),
    ) -> dict[str, Any]:
        """Ask a model about a volume, sending it and the examples' volumes first where the server has them not.

        A stock server is asked with the model of its own that is named as the engine.

        Returns:
            The answer's JSON; for a stock server with a labelmap also "labels" (array) and "grid".
        """
        info = self.known or self.info(cancellation)
        if model not in info.models:
            model, params = _asStock(info, model, params, volume, examples)
        answer, query = self._placedAndAsked(info, model, params, volume, examples, cancellation, progress)
        if "image" in query and not _isOn(answer, volume.grid):
            # Not the series as it is stored: cropped, part of it, or moved by a hardened transform. So it is sent.
            volume = dataclasses.replace(volume, series="")
            answer, _ = self._placedAndAsked(info, model, params, volume, examples, cancellation, progress)
        return answer

    def _placedAndAsked(
        self,
        info: ServerInfo,
        model: str,
        params: Mapping[str, Any],
        volume: Snapshot,
        examples: Sequence[Example],
        cancellation: Cancellation,
        progress: Progress,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The answer, and the query that named the volume."""
        query, full, fresh = self._placed(params, volume, examples, cancellation, progress)
        try:
            return self._asked(info, model, full, query, cancellation, progress), query
        except ServerError as error:
            if error.status != 404 or fresh:
                raise
        with self._lock:  # the server has forgotten a volume: send them once more
            self._sessions.clear()
        query, full, _ = self._placed(params, volume, examples, cancellation, progress)
        return self._asked(info, model, full, query, cancellation, progress), query

    def _placed(
        self,
        params: Mapping[str, Any],
        volume: Snapshot,
        examples: Sequence[Example],
        cancellation: Cancellation,
        progress: Progress,
    ) -> tuple[dict[str, str], Mapping[str, Any], bool]:
        """The query that names the volume, the params with the examples, and whether no session is an old one."""
        query, fresh = self._place(volume, cancellation, progress)
        if not examples:
            return query, params, fresh
        prompts = list(params["prompts"]["prompts"]) if "prompts" in params else []
        for example in examples:
            place, sent = self._place(example.volume, cancellation, progress)
            named = {"session": place["session_id"]} if "session_id" in place else place
            prompts.append(Wire.example(example.name, named, example.mask, example.volume.grid))
            fresh = fresh and sent
        return query, {**params, "prompts": Wire.prompts(prompts)}, fresh

    # --- the volume

    def _place(self, volume: Snapshot, cancellation: Cancellation, progress: Progress) -> tuple[dict[str, str], bool]:
        """The query that names the volume to the server, and whether the server cannot have forgotten it since."""
        if volume.series:
            progress(0.0, "looking for the series on the server")
            if self.hasImage(volume.series, cancellation):
                return {"image": volume.series}, True
        progress(0.0, f"reading the volume ({volume.nbytes / 1e6:.0f} MB)")
        digest = volume.digest(cancellation)
        with self._lock:
            upload = self._uploads.setdefault(digest, threading.Lock())
        while not upload.acquire(timeout=0.05):  # another question sends it already
            cancellation.check()
            progress(0.0, "waiting for the volume that is being sent")
        try:
            with self._lock:
                session = self._sessions.get(digest)
            if session is not None:
                return {"session_id": session}, False
            session = self._upload(volume, cancellation, progress)
            with self._lock:
                self._sessions[digest] = session
            return {"session_id": session}, True
        finally:
            upload.release()

    def _upload(self, volume: Snapshot, cancellation: Cancellation, progress: Progress) -> str:
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="volume.nrrd"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        total = len(head) + volume.nbytes + len(tail)

        def chunks() -> Any:
            yield head
            yield from volume.chunks(CHUNK)
            yield tail

        def sent(count: int) -> None:
            done = f"{count / 1e6:.0f} of {total / 1e6:.0f} MB"
            progress(count / total, f"sending {done}" if count < total else "the server reads the volume")

        body = Body(chunks, total, f"multipart/form-data; boundary={boundary}")
        wire = self._transport.json("PUT", "/session/", cancellation, body=body, onSent=sent, answerSeconds=240.0)
        if not isinstance(wire, dict) or not isinstance(wire.get("session_id"), str):
            raise ServerError("The server took the volume but gave it no name. Is it a MONAI Label server?")
        return str(wire["session_id"])

    # --- the question

    def _asked(
        self,
        info: ServerInfo,
        model: str,
        params: Mapping[str, Any],
        query: Mapping[str, str],
        cancellation: Cancellation,
        progress: Progress,
    ) -> dict[str, Any]:
        if info.radfind:
            return self._job(model, params, query, cancellation, progress)
        return self._infer(model, params, query, cancellation, progress)

    def _job(
        self,
        model: str,
        params: Mapping[str, Any],
        query: Mapping[str, str],
        cancellation: Cancellation,
        progress: Progress,
    ) -> dict[str, Any]:
        path = "/radfind/jobs?" + urllib.parse.urlencode({"model": model, **query})
        body = _form(params)
        key = {"Idempotency-Key": uuid.uuid4().hex}  # makes the submission safe to repeat
        job = self._retried(
            lambda: self._transport.json("POST", path, cancellation, body=body, headers=key), cancellation
        )
        name = job.get("id") if isinstance(job, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,64}", name):
            raise ServerError("The server took the question but gave no job for it.")
        try:
            end = self._retried(lambda: self._followed(name, cancellation, progress), cancellation)
            if end.get("state") == "cancelled":
                raise Cancelled
            if end.get("state") == "interrupted":
                raise ServerError("The server was restarted while it worked. Ask again.")
            progress(1.0, "receiving the answer")

            def received(size: int, total: int) -> None:
                progress(1.0, f"receiving {size / 1e6:.1f} MB" if total > CHUNK else "receiving the answer")

            result = f"/radfind/jobs/{name}/result?output=json"
            data, _ = self._retried(
                lambda: self._transport.read("GET", result, cancellation, onReceived=received), cancellation
            )
            wire = parsedJson(data)
        finally:
            self._forget(name)
        if not isinstance(wire, dict):
            raise ServerError("The answer is not what RadFind sends. Is the server of the same version?")
        return wire

    def _followed(self, job: str, cancellation: Cancellation, progress: Progress) -> dict[str, Any]:
        """Read the job's events until its end."""
        with self._transport.open("GET", f"/radfind/jobs/{job}/events", cancellation) as response:
            while True:
                line = response.readline(1 << 16)
                cancellation.check()
                if not line:
                    raise ConnectionFailed("The server stopped telling about the job. Ask again.")
                if not line.startswith(b"data: "):
                    continue
                wire = parsedJson(line[6:])
                if wire.get("state") in ("queued", "running"):
                    waits = wire["state"] == "queued"
                    progress(float(wire.get("progress", 0.0)), "waiting for its turn" if waits else _said(wire))
                else:
                    return dict(wire)

    def _forget(self, job: str) -> None:
        """Tell the server that nobody waits any more: it stops, or drops the result. Best effort, never waits long."""

        def tell() -> None:
            with contextlib.suppress(RadFindError):  # it will expire by itself
                self._transport.read("DELETE", f"/radfind/jobs/{job}", Cancellation(), answerSeconds=5.0)

        threading.Thread(target=tell, name="RadFind cancel", daemon=True).start()

    def _infer(
        self,
        model: str,
        params: Mapping[str, Any],
        query: Mapping[str, str],
        cancellation: Cancellation,
        progress: Progress,
    ) -> dict[str, Any]:
        """A stock server: one request that is silent until it is done."""
        progress(0.0, "the server works (it cannot say how far it is)")
        path = f"/infer/{urllib.parse.quote(model)}?" + urllib.parse.urlencode({**query, "output": "all"})
        data, kind = self._transport.read("POST", path, cancellation, body=_form(params), answerSeconds=INFER_SECONDS)
        if not kind.startswith("multipart/"):
            wire = parsedJson(data)
            if not isinstance(wire, dict):
                raise ServerError("The answer is not a JSON object.")
            return wire
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        message = parser.parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + data)
        wire, labelmap = {}, None
        for part in message.iter_parts():
            payload = part.get_payload(decode=True)
            content = payload if isinstance(payload, bytes) else b""
            if re.search(r'name="?params"?', part.get("Content-Disposition", "")):
                wire = parsedJson(content)
            else:
                labelmap = content
        if labelmap is not None:
            wire["labels"], wire["grid"] = Nrrd.readLabelmap(labelmap)
        return dict(wire)

    def _get(self, path: str, cancellation: Cancellation) -> Any:
        return self._retried(lambda: self._transport.json("GET", path, cancellation), cancellation)

    @staticmethod
    def _retried(call: Callable[[], Any], cancellation: Cancellation) -> Any:
        """Only for what may be repeated without harm: a broken connection is tried again, twice."""
        for attempt in range(1, RETRIES + 1):
            try:
                return call()
            except ConnectionFailed as error:
                broken = isinstance(error.__cause__, ConnectionError) and not isinstance(
                    error.__cause__, ConnectionRefusedError
                )
                if attempt == RETRIES or not (broken or error.__cause__ is None):
                    raise
                cancellation.wait(0.2 * attempt)
        raise AssertionError("unreachable")


def _isOn(answer: Mapping[str, Any], grid: Grid) -> bool:
    """Whether an answer is about these voxels; one that does not say where it lies is refused later."""
    if "volume" not in answer and "grid" not in answer:
        return True
    return sameVoxels(answer["grid"] if "grid" in answer else Wire.grid(answer["volume"]), grid)


def _asStock(
    info: ServerInfo, model: str, params: Mapping[str, Any], volume: Snapshot, examples: Sequence[Example]
) -> tuple[str, dict[str, Any]]:
    """The model and parameters by which a stock server does what one of RadFind's models was asked for.

    Raises:
        ServerError: it cannot, or the user has to choose one of its models first.
    """
    if model != SEGMENT or not info.engines or examples:
        raise ServerError("This server cannot do that: it is not a RadFind server and has no model for it.")
    named = str(params.get("engine", "auto"))
    if named not in info.engines and (named != "auto" or len(info.engines) > 1):
        raise ServerError(f"Choose one of this server's models as the engine: {', '.join(info.engines)}.")
    shown = params["prompts"]["prompts"] if "prompts" in params else ()
    return (named if named in info.engines else info.engines[0]), Wire.stockPrompts(shown, volume.grid)


def _form(params: Mapping[str, Any]) -> Body:
    boundary = uuid.uuid4().hex
    text = json.dumps(params, ensure_ascii=False)
    data = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\n'
        f"Content-Type: application/json\r\n\r\n{text}\r\n--{boundary}--\r\n"
    ).encode()
    return Body(lambda: [data], len(data), f"multipart/form-data; boundary={boundary}")


def _said(wire: Mapping[str, Any]) -> str:
    return str(wire.get("message") or "the server works")[:200]
