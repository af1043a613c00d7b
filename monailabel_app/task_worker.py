"""The process that tasks run in: ``python -m monailabel_app.task_worker FD``. Started by `monailabel_app.task_process`.

Messages are tuples over one `multiprocessing.connection.Connection`; numbers are of jobs or of questions.
    server to worker: ("start", factory) once, ("run", number, task, request), ("cancel", number),
                      ("told", number, value, error), ("stop",)
    worker to server: ("progress", number, fraction, text), ("done", number, answer), ("failed", number, error),
                      ("ask", number, method, arguments)
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import Any

from monailabel_app.gateway import logs
from monailabel_app.gateway.faults import where
from radfind.engines.api import Context
from radfind.errors import InputError, RadFindError

logger = logging.getLogger(__name__)

STORE_METHODS = frozenset(
    {
        "list_images", "get_image_uri", "get_labeled_images", "get_labels_by_image_id", "get_label_uri",
        "get_label_info",
    }
)  # fmt: skip
"""What tasks may ask of the datastore: reading, never writing."""

NICENESS = 5
"""Where all processors are busy, the server's answers go first: they are short, and people wait for them."""

PROGRESS_SECONDS = 0.05
"""Engines may tell their progress much more often than anybody reads it."""


class RemoteStore:
    """The server's datastore, asked over the connection; has the methods of `STORE_METHODS`."""

    def __init__(self, ask: Callable[[str, tuple[Any, ...]], Any]) -> None:
        self._ask = ask

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method not in STORE_METHODS:
            raise AttributeError(f"Tasks may not use '{method}' of the datastore; they may: {sorted(STORE_METHODS)}.")
        return lambda *arguments: self._ask(method, arguments)


class Worker:
    """Runs each job on a thread of its own until the connection ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._cancelled: dict[int, threading.Event] = {}
        self._questions: dict[int, Future[Any]] = {}
        self._numbers = itertools.count()
        self._tasks: Future[Any] = Future()

    def serve(self) -> None:
        """Answer until the server says stop or is gone; the caller then ends the process."""
        with contextlib.suppress(EOFError, OSError):
            while (message := self._connection.recv())[0] != "stop":
                self._take(*message)

    def _take(self, kind: str, *rest: Any) -> None:
        if kind == "start":
            # On a thread: making the tasks may ask the datastore, and the answer arrives here.
            threading.Thread(target=self._make, args=rest, daemon=True).start()
        elif kind == "run":
            self._cancelled[rest[0]] = threading.Event()
            threading.Thread(target=self._run, args=rest, daemon=True).start()
        elif kind == "cancel" and rest[0] in self._cancelled:
            self._cancelled[rest[0]].set()
        elif kind == "told":
            number, value, error = rest
            answer = self._questions.pop(number)
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error)

    def _make(self, factory: str) -> None:
        try:
            module, _, name = factory.partition(":")
            self._tasks.set_result(getattr(importlib.import_module(module), name)(RemoteStore(self._ask)))
            logs.silence()  # importing MONAI Label adds handlers that log requests
        except BaseException as error:
            logger.error("the tasks cannot be made: %s", where(error))
            self._tasks.set_exception(error)

    def _run(self, number: int, task: str, request: dict[str, Any]) -> None:
        cancelled = self._cancelled[number]
        try:
            context = Context(self._teller(number), cancelled)
            answer = self._tasks.result()[task]({**request, "context": context})
            self._send("done", number, answer)
        except BaseException as error:
            if not isinstance(error, RadFindError):
                logger.error("the task %s failed: %s", task, where(error))
            self._send("failed", number, portable(error))
        finally:
            del self._cancelled[number]

    def _teller(self, number: int) -> Callable[[float, str], None]:
        told = 0.0

        def tell(fraction: float, text: str) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told >= PROGRESS_SECONDS:
                told = now
                self._send("progress", number, fraction, text)

        return tell

    def _ask(self, method: str, arguments: tuple[Any, ...]) -> Any:
        number, answer = next(self._numbers), Future[Any]()
        self._questions[number] = answer
        self._send("ask", number, method, arguments)
        return answer.result()

    def _send(self, *message: Any) -> None:
        with contextlib.suppress(OSError), self._sending:  # the server has gone: `serve` ends
            self._connection.send(message)


def portable(error: BaseException) -> BaseException:
    """The error when the server can read it, else one that says its kind: reading some would import a library."""
    own = (InputError.__module__, "builtins", "monailabel.interfaces.exception")
    if type(error).__module__ in own:
        with contextlib.suppress(Exception):
            copied: BaseException = pickle.loads(pickle.dumps(error))
            return copied
    return RuntimeError(type(error).__name__)


def main() -> None:
    os.nice(NICENESS)
    logs.set_up()
    Worker(Connection(int(sys.argv[1]))).serve()
    os._exit(0)  # at once, also in mid-job; engines in processes of their own notice and end as well


if __name__ == "__main__":
    main()
