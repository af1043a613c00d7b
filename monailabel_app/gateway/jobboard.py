"""All jobs this server knows: submitting, finding, expiring."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from monailabel_app.gateway import inference
from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.inference import Inference
from monailabel_app.gateway.jobs import Job, State
from monailabel_app.gateway.lanes import lane
from monailabel_app.gateway.scheduler import Scheduler

MAX_KEPT = 10_000


class JobBoard:
    """Jobs by id. Used from the event loop.

    Arguments:
        results: folder where files of finished jobs wait for their client.
        keep_seconds: how long a finished job and its result stay.
    """

    def __init__(self, backend: Backend, scheduler: Scheduler, results: Path, keep_seconds: float) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._results = results
        self._keep_seconds = keep_seconds
        self._jobs: dict[str, Job] = {}

    async def submit(self, request: Inference, *, user: str, folder: Path | None) -> Job:
        """Queue an inference.

        Raises:
            Refusal: 422 or 429.
        """
        engine, device = await asyncio.to_thread(lane, request.model, request.request)
        job = Job(user=user, model=request.model, engine=engine, device=device, folder=folder, image=request.image)
        self._scheduler.submit(job, lambda: inference.run(self._backend, request, job.context))
        self._jobs[job.id] = job
        return job

    def find(self, job_id: str, *, user: str, everyones: bool = False) -> Job:
        """A user's job, or with `everyones` anybody's.

        Raises:
            Refusal: 404; another user's job looks the same as none.
        """
        self.expire()
        job = self._jobs.get(job_id)
        if job is None or not (everyones or job.user == user):
            raise Refusal(404, "There is no such job, or it has expired.")
        return job

    def jobs(self) -> Iterable[Job]:
        self.expire()
        return self._jobs.values()

    def keep(self, job: Job) -> None:
        """Move a finished job's file to where it survives until it is fetched or expires."""
        result = job.result
        if result is not None and result.file is not None and result.file.parent != self._results:
            kept = self._results / f"{job.id}{''.join(Path(result.name).suffixes)}"
            shutil.move(result.file, kept)
            result.file = kept

    def cancel(self, job: Job) -> None:
        self._scheduler.cancel(job)

    def forget(self, job: Job) -> None:
        """Drop a job; its file goes with it."""
        if not job.state.final:
            job.abandoned = True
            self._scheduler.cancel(job)
        if job.result is not None:
            job.result.discard()
        self._jobs.pop(job.id, None)

    def expire(self) -> None:
        limit = time.time() - self._keep_seconds
        finished = [job for job in self._jobs.values() if job.state.final]
        too_many = len(finished) - MAX_KEPT
        for number, job in enumerate(finished):
            if number < too_many or (job.finished or 0.0) < limit:
                self.forget(job)

    def counts(self) -> dict[str, int]:
        counts = {state.value: 0 for state in State}
        for job in self._jobs.values():
            counts[job.state.value] += 1
        return counts
