"""A job: one question to one task, from its arrival to its result."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from monailabel_app.gateway.errors import Refusal, refusal_for
from monailabel_app.gateway.faults import where
from radfind.engines.api import Context
from radfind.errors import CancelledError

logger = logging.getLogger(__name__)

SMALL = 1 << 20
"""Bytes: most 2-D labelmaps, and 3-D ones of one structure."""


class State(str, enum.Enum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """The server stopped before the job was finished; ask again with the same key."""

    @property
    def final(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING)


@dataclasses.dataclass
class Result:
    """What a task returned.

    Arguments:
        params: its JSON.
        file: its file (a temporary one the job owns), if any.
        name: the file's name as clients see it; "" when there is none.
        content: what the file held, when it was small and nobody needs it on disk any more.
    """

    params: dict[str, Any]
    file: Path | None = None
    name: str = ""
    content: bytes | None = None

    def take_in(self) -> None:
        """Hold a small file in memory instead: answering then waits for no disk and no thread."""
        if self.file is not None and self.file.stat().st_size <= SMALL:
            self.content = self.file.read_bytes()
            self.discard()

    def discard(self) -> None:
        if self.file is not None:
            self.file.unlink(missing_ok=True)
            self.file = None


class Job:
    """State, progress and result of one job. Changed only on the event loop, except by `context`.

    Arguments:
        user: who asked.
        model: the task's name.
        engine, device: what it will occupy.
        folder: its uploads; removed when it is finished.
    """

    def __init__(
        self, *, user: str, model: str, engine: str, device: str, folder: Path | None = None, image: str = ""
    ) -> None:
        self.id = uuid.uuid4().hex
        self.user = user
        self.model = model
        self.engine = engine
        self.device = device
        self.image = image
        self.folder = folder
        self.state = State.QUEUED
        self.progress = 0.0
        self.message = ""
        self.created = time.time()
        self.started: float | None = None
        self.finished: float | None = None
        self.result: Result | None = None
        self.error: Refusal | None = None
        self.text = ""  # the question, for the audit log's hash of it; never shown or stored
        self.durable = False  # outlives its request, and is noted in the journal
        self.abandoned = False  # nobody waits for its result any more
        self.context = Context(self._report)
        self.on_finish: list[Callable[[Job], None]] = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._told = 0.0

    # --- what happens to it, on the loop

    def start(self) -> None:
        self.state, self.started = State.RUNNING, time.time()
        self._tell()

    def stopping(self) -> None:
        """A running job was asked to stop."""
        if not self.state.final:
            self.message = "stopping"
            self._tell()

    def succeed(self, result: Result) -> None:
        if self.context.cancelled or self.abandoned:
            result.discard()
            self.finish(State.CANCELLED)
            return
        self.result, self.progress = result, 1.0
        self.finish(State.DONE)

    def fail(self, error: BaseException) -> None:
        if isinstance(error, CancelledError) or self.context.cancelled:
            self.finish(State.CANCELLED)
            return
        self.error = refusal_for(error)
        if self.error.status >= 500:
            logger.error("job %s on %s failed: %s", self.id, self.engine, where(error))
        self.finish(State.FAILED)

    def interrupt(self) -> None:
        """The server stops, or stopped, before the job was finished."""
        self.error = Refusal(503, "The server was stopped before the job was finished; submit it again.")
        self.context.cancel()
        self.finish(State.INTERRUPTED)

    def finish(self, state: State) -> None:
        if self.state.final:
            return
        self.state, self.finished, self.message = state, time.time(), ""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        try:
            for callback in self.on_finish:
                callback(self)
        finally:  # whoever waits must hear of it
            self._over.set()
            self._tell()

    # --- who follows it

    async def wait(self) -> None:
        """Return when the job is in a final state."""
        if not self.state.final:
            await self._over.wait()

    async def changes(self) -> AsyncIterator[dict[str, Any]]:
        """The job's state now and after each change; slow followers miss steps in between, never the last."""
        while True:
            changed, last = self._changed, self.state.final
            yield self.to_wire()
            if last:
                return
            if changed is self._changed:
                await changed.wait()

    def to_wire(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "model": self.model,
            "engine": self.engine,
            "device": self.device,
            "state": self.state.value,
            "progress": round(self.progress, 4),
            "message": self.message,
            "created": round(self.created, 3),
            "started": round(self.started, 3) if self.started else None,
            "finished": round(self.finished, 3) if self.finished else None,
            "error": {"status": self.error.status, "detail": self.error.detail} if self.error else None,
        }

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _report(self, fraction: float, message: str) -> None:
        """Called by the engine, on its thread; at most 20 times a second reach the loop."""
        now = time.monotonic()
        if now - self._told >= 0.05:
            self._told = now
            self._loop.call_soon_threadsafe(self._progressed, fraction, message)

    def _progressed(self, fraction: float, message: str) -> None:
        if self.state is State.RUNNING:
            self.progress, self.message = max(self.progress, fraction), message[:200]
            self._tell()
