"""Runs the app's tasks in a process of their own: reading scans and looking through them holds no lock of the server's,
and a crash there ends no server.

The caches of volumes and analyses live in that process, where they are used: a second click on a scan finds them.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask

from monailabel_app.task_worker import STORE_METHODS, portable
from radfind.engines.api import Context
from radfind.errors import CancelledError, EngineError

logger = logging.getLogger(__name__)

Answer = tuple[str | None, dict[str, Any]]

CANCEL_SECONDS = 30.0
"""A process whose only job has not obeyed a cancel by then is ended; the next job starts a fresh one."""
_POLL_SECONDS = 0.05
_STOP_SECONDS = 5.0


class TaskProcess:
    """The process and who waits for it. Jobs run side by side on its threads; how many is up to the caller.

    Arguments:
        store: the datastore that the tasks read; they ask for it here.
        factory: ``"module:callable"`` that makes the tasks (name to task) from a datastore, in the process.
    """

    def __init__(self, store: Datastore, factory: str = "monailabel_app.setup:tasks") -> None:
        self._store = store
        self._factory = factory
        self._lock = threading.Lock()
        self._life: _Life | None = None
        self._closed = False

    def start(self) -> None:
        """Start the process if it does not run; it is ready some seconds later, and jobs wait for that."""
        self._alive()

    def run(self, task: str, request: Mapping[str, Any], context: Context) -> Answer:
        """Call a task there: its file's path and JSON.

        Raises:
            CancelledError: the context was cancelled.
            EngineError: the process died in the middle; the next call starts a fresh one.
            What the task raises otherwise.
        """
        return self._alive().run(task, dict(request), context)

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        life = self._life
        return life.process.pid if life is not None and not life.ended else None

    def close(self) -> None:
        """End the process, also in mid-job; no job is taken afterwards."""
        with self._lock:
            self._closed = True
            life, self._life = self._life, None
        if life is not None:
            life.stop()

    def _alive(self) -> _Life:
        with self._lock:
            if self._closed:
                raise EngineError("The server is stopping; ask again when it is back.")
            if self._life is None or self._life.ended:
                if self._life is not None:
                    self._life.stop()
                self._life = _Life(self._store, self._factory)
            return self._life


class HostedTask(InferTask):
    """A task as clients see it, run by a `TaskProcess`.

    Arguments:
        task: the same task here, for what it says of itself; it is never called.
    """

    def __init__(self, name: str, task: InferTask, process: TaskProcess) -> None:
        super().__init__(task.type, task.labels, task.dimension, task.description, task.config())
        self._name = name
        self._process = process
        self.asks: str | None = getattr(task, "asks", None)
        """What its engine must be able to do (see `RadFindTask.asks`)."""

    def is_valid(self) -> bool:
        return True

    def __call__(self, request: dict[str, Any]) -> Answer:
        context = request.get("context")
        plain = {key: value for key, value in request.items() if key != "context"}
        return self._process.run(self._name, plain, context if isinstance(context, Context) else Context())


class _Life:
    """One run of the process, from its start to its end."""

    def __init__(self, store: Datastore, factory: str) -> None:
        self.ended = False
        self._store = store
        self._numbers = itertools.count()
        self._inboxes: dict[int, queue.SimpleQueue[tuple[Any, ...]]] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        # Archives can take long to answer: not on the thread that hears everybody.
        self._answers = ThreadPoolExecutor(4, thread_name_prefix="radfind-store")
        ours, theirs = multiprocessing.Pipe()
        self._connection = ours
        self.process = subprocess.Popen(
            [sys.executable, "-m", "monailabel_app.task_worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C goes to the server, which ends this one in order
        )
        theirs.close()
        self._send("start", factory)
        threading.Thread(target=self._receive, name="radfind-tasks", daemon=True).start()

    def run(self, task: str, request: dict[str, Any], context: Context) -> Answer:
        number, inbox = next(self._numbers), queue.SimpleQueue[tuple[Any, ...]]()
        with self._lock:
            if self.ended:
                raise EngineError(self._obituary())
            self._inboxes[number] = inbox
        try:
            self._send("run", number, task, request)
            return self._await(number, inbox, context)
        finally:
            with self._lock:
                self._inboxes.pop(number, None)

    def _await(self, number: int, inbox: queue.SimpleQueue[tuple[Any, ...]], context: Context) -> Answer:
        give_up: float | None = None
        while True:
            with contextlib.suppress(queue.Empty):
                kind, *rest = inbox.get(timeout=_POLL_SECONDS)
                if kind == "done":
                    answer: Answer = rest[0]
                    return answer
                if kind == "failed":
                    raise rest[0]
                if kind == "died":
                    raise EngineError(self._obituary())
                with contextlib.suppress(CancelledError):  # told to the process below
                    context.step(*rest)
            if give_up is None and context.cancelled:
                self._send("cancel", number)
                give_up = time.monotonic() + CANCEL_SECONDS
            if give_up is not None and time.monotonic() > give_up and len(self._inboxes) == 1:
                self.stop()
                raise CancelledError("The job was cancelled (it did not stop by itself and its process was ended).")

    def stop(self) -> None:
        """End the process. It notices that the connection has ended, and so do the engines it started."""
        self.ended = True
        with contextlib.suppress(OSError), self._sending:
            self._connection.send(("stop",))
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOP_SECONDS)
        self.process.kill()
        self.process.wait()
        self._answers.shutdown(wait=False, cancel_futures=True)

    def _send(self, *message: Any) -> None:
        with contextlib.suppress(OSError), self._sending:  # a process that has gone is told by `_receive`
            self._connection.send(message)

    def _receive(self) -> None:
        while True:
            try:
                kind, *rest = self._connection.recv()
            except (EOFError, OSError):
                break
            if kind == "ask":
                with contextlib.suppress(RuntimeError):  # closed meanwhile
                    self._answers.submit(self._answer, *rest)
            else:
                inbox = self._inboxes.get(rest[0])
                if inbox is not None:
                    inbox.put((kind, *rest[1:]))
        with self._lock:
            self.ended = True
            waiting = list(self._inboxes.values())
        for inbox in waiting:
            inbox.put(("died",))
        self._connection.close()

    def _answer(self, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            if method not in STORE_METHODS:
                raise EngineError(f"Tasks may not call {method} of the datastore.")
            self._send("told", number, getattr(self._store, method)(*arguments), None)
        except Exception as error:
            self._send("told", number, None, portable(error))

    def _obituary(self) -> str:
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(timeout=2.0)
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = f"ended by signal {-code} ({signal.strsignal(-code)})"
        if code == -signal.SIGKILL:
            how += "; the system does this when memory runs out, or someone ended it"
        logger.error("the process of the tasks died: %s", how)
        return (
            f"The process that computes died in the middle of the job: {how}. "
            "Nothing was returned; the next request starts it again."
        )
