"""Who runs next: bounded queues per engine and device, fair between users."""

from __future__ import annotations

import asyncio
import collections
import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.jobs import Job, State


class Scheduler:
    """Runs jobs on threads. Used from one event loop only; the work itself runs off it.

    A job waits until its engine and its device each have a free slot. Among users, the one with the fewest
    running jobs goes first, then the one served longest ago: a hundred jobs of one user delay another by one.

    Arguments:
        slots: places per engine name or device name ("cuda:0").
        default_slots: places of an engine that `slots` does not name. A GPU not named there has one.
        max_waiting: most jobs waiting for one engine.
        max_waiting_per_user: most jobs of one user waiting in all.
    """

    def __init__(
        self,
        slots: Mapping[str, int],
        *,
        default_slots: int = 1,
        max_waiting: int = 256,
        max_waiting_per_user: int = 128,
    ) -> None:
        self._slots = dict(slots)
        self._default_slots = default_slots
        self._max_waiting = max_waiting
        self._max_waiting_per_user = max_waiting_per_user
        self._waiting: dict[str, collections.deque[tuple[Job, Callable[[], Any]]]] = {}
        self._busy: collections.Counter[str] = collections.Counter()
        self._running: dict[str, collections.Counter[str]] = {}  # user -> engine -> jobs
        self._served: dict[str, int] = {}
        self._clock = itertools.count()
        self._tasks: dict[asyncio.Task[None], Job] = {}
        # Slots bound what runs at once; the pool only has to be larger than all of them together.
        self._pool = ThreadPoolExecutor(max_workers=256, thread_name_prefix="radfind-job")

    def submit(self, job: Job, work: Callable[[], Any]) -> None:
        """Queue `job`; `work` is called on a thread and its return value becomes the job's result.

        Raises:
            Refusal: 429, the queue of the engine or of the user is full.
        """
        if self.waiting(job.engine) >= self._max_waiting:
            raise Refusal(
                429, f"The queue of the engine '{job.engine}' is full. Try again later.", {"Retry-After": "5"}
            )
        queue = self._waiting.setdefault(job.user, collections.deque())
        if len(queue) >= self._max_waiting_per_user:
            raise Refusal(429, "You have too many jobs waiting. Wait for some to finish.", {"Retry-After": "5"})
        queue.append((job, work))
        self._dispatch()

    def cancel(self, job: Job) -> None:
        """Take a waiting job out of the queue, or ask a running one to stop at its next step."""
        job.context.cancel()
        queue = self._waiting.get(job.user, collections.deque())
        for item in queue:
            if item[0] is job:
                queue.remove(item)
                self._forget_idle(job.user)
                job.finish(State.CANCELLED)
                return
        job.stopping()

    def waiting(self, engine: str | None = None) -> int:
        """Jobs waiting, for one engine or in all."""
        return sum(engine in (None, job.engine) for queue in self._waiting.values() for job, _ in queue)

    def lanes(self) -> list[dict[str, Any]]:
        """For each engine or device that can be full: name, places, running, waiting."""
        names = {job.engine for queue in self._waiting.values() for job, _ in queue}
        names |= (set(self._busy) - {"cpu"}) | set(self._slots)
        return [
            {"name": n, "places": self._places(n), "running": self._busy[n], "waiting": self.waiting(n)}
            for n in sorted(names)
        ]

    async def close(self) -> None:
        """Interrupt everything, without waiting for running work to notice."""
        waiting = [job for queue in self._waiting.values() for job, _ in queue]
        self._waiting.clear()
        for job in [*waiting, *self._tasks.values()]:
            job.interrupt()
        for task in list(self._tasks):
            task.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _places(self, name: str) -> int:
        if name in self._slots:
            return self._slots[name]
        if name == "cpu":
            return 1 << 16  # a CPU is shared: its engines' own places bound it
        return 1 if name.startswith("cuda") else self._default_slots

    def _free(self, job: Job) -> bool:
        return all(self._busy[name] < self._places(name) for name in {job.engine, job.device})

    def _dispatch(self) -> None:
        while True:
            ready = [
                (user, item) for user, queue in self._waiting.items() if (item := self._first_free(queue)) is not None
            ]
            if not ready:
                return

            def turn(entry: tuple[str, tuple[Job, Callable[[], Any]]]) -> tuple[int, int]:
                user, (job, _) = entry
                running = self._running.get(user, collections.Counter())[job.engine]
                return running, self._served.get(user, -1)

            user, item = min(ready, key=turn)
            self._waiting[user].remove(item)
            self._start(*item)

    def _first_free(
        self, queue: collections.deque[tuple[Job, Callable[[], Any]]]
    ) -> tuple[Job, Callable[[], Any]] | None:
        full: set[tuple[str, str]] = set()  # long queues are mostly jobs of one engine: look at its places once
        for item in queue:
            lane = item[0].engine, item[0].device
            if lane not in full:
                if self._free(item[0]):
                    return item
                full.add(lane)
        return None

    def _start(self, job: Job, work: Callable[[], Any]) -> None:
        for name in {job.engine, job.device}:
            self._busy[name] += 1
        self._running.setdefault(job.user, collections.Counter())[job.engine] += 1
        self._served[job.user] = next(self._clock)
        job.start()
        task = asyncio.get_running_loop().create_task(self._run(job, work))
        self._tasks[task] = job
        task.add_done_callback(self._tasks.pop)

    async def _run(self, job: Job, work: Callable[[], Any]) -> None:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except asyncio.CancelledError:
            job.finish(State.CANCELLED)
            raise
        except BaseException as error:
            job.fail(error)
        else:
            job.succeed(result)
        finally:
            for name in {job.engine, job.device}:
                self._busy[name] -= 1
            self._running[job.user][job.engine] -= 1
            self._forget_idle(job.user)
            self._dispatch()

    def _forget_idle(self, user: str) -> None:
        """Keep nothing of a user who has neither waiting nor running jobs."""
        if not self._waiting.get(user) and not sum(self._running.get(user, {}).values()):
            self._waiting.pop(user, None)
            self._running.pop(user, None)
            self._served.pop(user, None)
