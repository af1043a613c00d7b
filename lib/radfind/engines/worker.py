"""The process an engine lives in: ``python -m radfind.engines.worker FD HOST_PID``. Started by `radfind.engines.seat`.

Messages are tuples over one `multiprocessing.connection.Connection`.
    host to worker: ("start", sys_path, factory, options) once, ("run", job, task, parcel), ("cancel", job)
    worker to host: ("ready",), ("beat",), ("progress", job, fraction, text), ("done", job, parcel, notes),
                    ("failed", job, error class name, text), ("memory", job, text)
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from radfind import errors
from radfind.engines import transfer
from radfind.engines.api import Context

BEAT_SECONDS = 1.0
"""How often a worker says that it is alive."""

TASKS = ("segment", "rank", "verify")

logger = logging.getLogger(__name__)


def serve(connection: Connection, *, leave: Callable[[], None]) -> None:
    """Answer jobs until the connection ends.

    Arguments:
        connection: to the host.
        leave: called when the host has gone; in a process of its own it ends that process at once, even
            in mid-job.
    """
    _, sys_path, factory, options = connection.recv()
    sys.path[:] = [*sys_path, *(entry for entry in sys.path if entry not in sys_path)]
    sending = threading.Lock()

    def send(*message: Any) -> None:
        try:
            with sending:
                connection.send(message)
        except (OSError, ValueError):  # the host has gone
            leave()

    jobs: queue.Queue[tuple[str, str, transfer.Parcel] | None] = queue.Queue()
    cancelled: dict[str, threading.Event] = {}
    ended = threading.Event()

    def receive() -> None:
        while True:
            try:
                kind, job, *rest = connection.recv()
            except (EOFError, OSError, ValueError, TypeError):
                ended.set()
                jobs.put(None)
                for event in list(cancelled.values()):
                    event.set()
                leave()
                return
            if kind == "run":
                cancelled[job] = threading.Event()
                jobs.put((job, *rest))
            elif kind == "cancel" and job in cancelled:
                cancelled[job].set()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            send("beat")

    threading.Thread(target=receive, name="radfind-receive", daemon=True).start()
    threading.Thread(target=beat, name="radfind-beat", daemon=True).start()
    try:
        module, _, name = factory.partition(":")
        engine = getattr(importlib.import_module(module), name)(**options)
    except BaseException as error:
        send("failed", "", *_describe(error))
        return
    send("ready")
    opener = transfer.Opener()
    while (item := jobs.get()) is not None:
        job, task, parcel = item
        _answer(engine, job, task, parcel, opener, cancelled[job], send)
        del cancelled[job], parcel, item
        gc.collect()
        opener.tidy()


def _answer(
    engine: Any,
    job: str,
    task: str,
    parcel: transfer.Parcel,
    opener: transfer.Opener,
    cancelled: threading.Event,
    send: Callable[..., None],
) -> None:
    context = Context(lambda fraction, text: send("progress", job, fraction, text), cancelled)
    notes: list[str] = []
    try:
        if task not in TASKS:
            raise errors.EngineError(f"There is no task {task!r}; engines know {', '.join(TASKS)}.")
        arguments, options = opener.open(parcel)
        while True:
            try:
                context.step(0.0, "")
                result = getattr(engine, task)(*arguments, **options, context=context)
                break
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                shrunk = engine.shrink() if hasattr(engine, "shrink") else None
                message = str(error)
            # Outside the except block: the traceback held the frames, and with them the tensors.
            release_memory()
            if shrunk is None:
                send("memory", job, message)
                return
            notes.append(shrunk)
        send("done", job, transfer.pack(result, f"{job}-r"), tuple(notes))
    except BaseException as error:
        send("failed", job, *_describe(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, host's or device's."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch; not imported here
        or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())
    )


def release_memory() -> None:
    """Give cached memory back to the system and the device."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _describe(error: BaseException) -> tuple[str, str]:
    if isinstance(error, errors.RadFindError):
        return type(error).__name__, str(error)
    logger.error("engine failed:\n%s", "".join(traceback.format_exception(error)))
    return "EngineError", f"{type(error).__name__}: {error}"


def main() -> None:
    logging.basicConfig(level=os.environ.get("RADFIND_LOG", "WARNING"), format="%(name)s: %(message)s")
    connection, host = Connection(int(sys.argv[1])), int(sys.argv[2])

    def leave() -> None:
        # A host that was killed closes its end just before it is gone; nobody else removes its shared memory then.
        patience = time.monotonic() + BEAT_SECONDS
        while os.getppid() == host and time.monotonic() < patience:
            time.sleep(0.01)
        if os.getppid() != host:
            for block in list(transfer.block_names(f"radfind-{host}-")):
                transfer.discard(block)
        os._exit(0)

    def watch() -> None:
        # The connection alone does not tell: a process forked by the host may hold its end open.
        while os.getppid() == host:
            time.sleep(BEAT_SECONDS)
        leave()

    threading.Thread(target=watch, name="radfind-watch", daemon=True).start()
    serve(connection, leave=leave)


if __name__ == "__main__":
    main()
