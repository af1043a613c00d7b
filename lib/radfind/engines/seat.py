"""One device's worker process as the host sees it: started when needed, ended when idle, replaced when dead."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from radfind import errors
from radfind.engines import transfer, worker
from radfind.engines.api import Context
from radfind.errors import CancelledError, EngineError
from radfind.results import Ranking, Segmentation

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05
_jobs = itertools.count()


@dataclasses.dataclass(frozen=True)
class Limits:
    """Seconds after which a worker is ended: idle, deaf to a cancel, without a sign of life."""

    idle: float
    cancel: float
    stall: float


class OutOfMemoryError(Exception):
    """The worker ran out of memory and could shrink no further."""


class Seat:
    """One device's worker. Everything but `status` and `close` is for whoever holds `lock`.

    Arguments:
        name: gives the engine's name, for messages.
        factory, options, environment, in_process: as for `radfind.engines.host.HostedEngine`.
        device: where its engine runs.
    """

    def __init__(
        self,
        name: Callable[[], str],
        factory: str,
        options: Callable[[], Mapping[str, Any]],
        device: str,
        limits: Limits,
        environment: dict[str, str],
        in_process: bool,
    ) -> None:
        self._name, self._factory, self._options = name, factory, options
        self.device = device
        self.lock = threading.Lock()
        self._limits = limits
        self._environment = environment
        self._in_process = in_process
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._idle: threading.Timer | None = None
        self._starts = 0
        self._closed = False
        self._changing = threading.Lock()  # held while the process is started or ended

    def status(self) -> dict[str, Any]:
        process = self._process
        running = process is not None and process.poll() is None
        return {
            "device": self.device,
            "pid": process.pid if process is not None and running else None,
            "busy": self.lock.locked(),
            "starts": self._starts,
        }

    def run(self, task: str, arguments: tuple[Any, ...], options: dict[str, Any], context: Context) -> Any:
        if self._idle is not None:
            self._idle.cancel()
        job = f"radfind-{os.getpid()}-{next(_jobs)}"
        parcel = transfer.pack((arguments, options), f"{job}-q")
        try:
            connection = self._connected()
            connection.send(("run", job, task, parcel))
            return self._await(connection, job, context)
        except (EOFError, OSError):
            raise EngineError(self._obituary()) from None
        except (CancelledError, errors.InputError, OutOfMemoryError, EngineError):
            raise
        except BaseException:  # a progress callback or the user's Ctrl-C: leave no half-done job behind
            self.stop()
            raise
        finally:
            for block in (f"{job}-q", f"{job}-r"):
                transfer.discard(block)
            self._arm_idle()

    def _await(self, connection: Connection, job: str, context: Context) -> Any:
        fraction, text = 0.0, ""
        alive = time.monotonic()
        give_up: float | None = None
        while True:
            if self._closed:
                self.stop()
                raise EngineError(self._farewell())
            if connection.poll(POLL_SECONDS):
                kind, *rest = connection.recv()
                alive = time.monotonic()
                if kind == "failed" and rest[0] in (job, ""):
                    if rest[0] == "":
                        self.stop()  # the engine could not be built: nothing lives in that process
                    raise self._error(rest[1], rest[2])
                if kind in ("progress", "done", "memory") and rest[0] == job:
                    if kind == "done":
                        return with_notes(transfer.unpack(rest[1]), rest[2])
                    if kind == "memory":
                        raise OutOfMemoryError(rest[1])
                    _, fraction, text = rest
                    if give_up is None and not context.cancelled:
                        context.step(fraction, text)
            now = time.monotonic()
            if give_up is None and context.cancelled:
                connection.send(("cancel", job))
                give_up = now + self._limits.cancel
            if give_up is not None and now > give_up:
                self.stop()
                raise CancelledError("The job was cancelled (its engine did not stop by itself and was ended).")
            if now - alive > self._limits.stall:
                self.stop()
                raise EngineError(
                    f"The engine '{self._name()}' showed no sign of life for {self._limits.stall:.0f} s and was ended. "
                    "Nothing was returned; the next request starts it again."
                )

    def _error(self, kind: str, text: str) -> Exception:
        if kind == "EngineError":
            return EngineError(f"The engine '{self._name()}' failed: {text}")
        error: Exception = getattr(errors, kind)(text)
        return error

    def _connected(self) -> Connection:
        process = self._process
        if self._connection is not None and (self._in_process or (process is not None and process.poll() is None)):
            return self._connection
        self.stop()
        with self._changing:
            if self._closed:
                raise EngineError(self._farewell())
            self._connection = self._started()
        self._connection.send(("start", list(sys.path), self._factory, {**self._options(), "device": self.device}))
        return self._connection

    def _started(self) -> Connection:
        ours, theirs = multiprocessing.Pipe()
        self._starts += 1
        if self._in_process:
            threading.Thread(target=worker.serve, args=(theirs,), kwargs={"leave": lambda: None}, daemon=True).start()
            return ours
        with theirs:
            # Not multiprocessing's spawn, which would import the caller's __main__ again in the worker:
            # MONAI Label's takes half a minute.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "radfind.engines.worker", str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # a chatty library must not write into our caller's JSON
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **self._environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C goes to the host, which cancels in order
            )
        return ours

    def _farewell(self) -> str:
        return f"The engine '{self._name()}' was closed before the job was done; start the program again to use it."

    def _obituary(self) -> str:
        if self._closed:
            self.stop()
            return self._farewell()
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=2.0)
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = f"ended by signal {-code} ({signal.strsignal(-code)})"
        if code == -signal.SIGKILL:
            how += "; the system does this when memory runs out, or someone ended it"
        self.stop()
        return (
            f"The process of the engine '{self._name()}' died in the middle of the job: {how}. "
            "Nothing was returned; the next request starts it again."
        )

    def _arm_idle(self) -> None:
        if self._connection is None or self._closed:
            return
        self._idle = threading.Timer(self._limits.idle, self._unload)
        self._idle.daemon = True
        self._idle.start()

    def _unload(self) -> None:
        if self.lock.acquire(blocking=False):
            try:
                logger.info("engine idle: freeing %s", self.device)
                self.stop()
            finally:
                self.lock.release()

    def stop(self) -> None:
        """End the worker now; its memory returns to the system."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        with self._changing:
            connection, self._connection = self._connection, None
            process, self._process = self._process, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End the worker for good, also in mid-job: that job ends as failed. From any thread."""
        with self._changing:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
            process.wait()
        # In mid-job the connection is left to the thread that reads it: it is closed there, within a poll.
        if self.lock.acquire(blocking=False):
            try:
                self.stop()
            finally:
                self.lock.release()


def with_notes(result: Any, notes: Sequence[str]) -> Any:
    """The result, saying how memory pressure changed the way it was made."""
    if not notes:
        return result
    if isinstance(result, (Segmentation, Ranking)):
        return dataclasses.replace(result, notes=(*result.notes, *notes))
    said = f" ({'; '.join(notes)})"
    return tuple(dataclasses.replace(verdict, engine=verdict.engine + said) for verdict in result)
