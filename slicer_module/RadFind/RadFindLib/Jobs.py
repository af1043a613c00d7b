"""Work on threads, or in steps on the UI thread where it needs the scene; told about on the UI thread."""

from __future__ import annotations

import itertools
import queue
import threading
import traceback
from collections.abc import Generator
from typing import Any, Callable

from .Cancellation import Cancellation
from .Errors import Cancelled, RadFindError, unexpected
from .Signal import Signal

WORKING, DONE, FAILED, CANCELLED = "working", "done", "failed", "cancelled"
_numbers = itertools.count(1)


class Job:
    """One piece of work. Read and changed on the UI thread only.

    Arguments:
        title: what the user sees.
        finished: called on the UI thread with the job when it ended, except when it was cancelled.
    """

    def __init__(self, title: str, finished: Callable[[Job], None]) -> None:
        self.number = next(_numbers)
        self.title = title
        self.finished = finished
        self.state = WORKING
        self.fraction = 0.0
        self.message = ""
        self.result: Any = None
        self.error = ""
        self.cancellation = Cancellation()


class Jobs:
    """Runs jobs, each on a thread of its own. Call `poll` often on the UI thread (a 30 ms timer)."""

    def __init__(self) -> None:
        self.changed = Signal()
        self._messages: queue.SimpleQueue[tuple[Job, str, Any]] = queue.SimpleQueue()
        self._running: list[Job] = []
        self._steps: dict[Job, Generator[tuple[float, str], None, Any]] = {}

    @property
    def running(self) -> list[Job]:
        return list(self._running)

    def start(
        self,
        title: str,
        work: Callable[[Cancellation, Callable[[float, str], None]], Any],
        finished: Callable[[Job], None],
    ) -> Job:
        """Begin `work(cancellation, progress)` on a thread; what it returns becomes the job's result."""
        job = Job(title, finished)
        self._running.append(job)

        def run() -> None:
            try:
                result = work(job.cancellation, lambda fraction, text: self._put(job, "progress", (fraction, text)))
                self._put(job, DONE, result)
            except Cancelled:
                self._put(job, CANCELLED, None)
            except RadFindError as error:
                self._put(job, FAILED, str(error))
            except Exception as error:  # a fault of ours must not look like silence
                traceback.print_exc()
                self._put(job, FAILED, unexpected(error))

        threading.Thread(target=run, name=f"RadFind {title}", daemon=True).start()
        self.changed.emit(job)
        return job

    def startSteps(
        self, title: str, steps: Generator[tuple[float, str], None, Any], finished: Callable[[Job], None]
    ) -> Job:
        """Begin work that needs the scene: each `poll` takes one step; what the generator returns is the result.

        A step yields (fraction, message). Cancelling closes the generator between two steps.
        """
        job = Job(title, finished)
        self._running.append(job)
        self._steps[job] = steps
        self.changed.emit(job)
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job: it counts as cancelled at once, whatever its thread still does."""
        if job.state == WORKING:
            job.cancellation.cancel()
            self._end(job, CANCELLED)

    def cancelAll(self) -> None:
        for job in self.running:
            self.cancel(job)

    def poll(self) -> None:
        """Take in what the threads have told since the last time, and do one step of what runs in steps."""
        latest: dict[int, tuple[Job, Any]] = {}
        ends = []
        while True:
            try:
                job, kind, value = self._messages.get_nowait()
            except queue.Empty:
                break
            if job.state != WORKING:
                continue
            if kind == "progress":
                latest[job.number] = (job, value)
            else:
                ends.append((job, kind, value))
        for job, (fraction, message) in latest.values():
            job.fraction, job.message = fraction, message
            self.changed.emit(job)
        for job, kind, value in ends:
            if kind == DONE:
                job.result = value
            elif kind == FAILED:
                job.error = value
            self._end(job, kind)
        for job, steps in list(self._steps.items()):
            self._step(job, steps)

    def _step(self, job: Job, steps: Generator[tuple[float, str], None, Any]) -> None:
        try:
            job.fraction, job.message = next(steps)
            self.changed.emit(job)
        except StopIteration as end:
            job.result = end.value
            self._end(job, DONE)
        except RadFindError as error:
            job.error = str(error)
            self._end(job, FAILED)
        except Exception as error:
            traceback.print_exc()
            job.error = unexpected(error)
            self._end(job, FAILED)

    def _put(self, job: Job, kind: str, value: Any) -> None:
        self._messages.put((job, kind, value))

    def _end(self, job: Job, state: str) -> None:
        job.state = state
        if job in self._running:
            self._running.remove(job)
        steps = self._steps.pop(job, None)
        if steps is not None:
            steps.close()
        if state != CANCELLED:
            job.finished(job)
        self.changed.emit(job)
