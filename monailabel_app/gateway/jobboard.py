"""All jobs this server knows: submitting, finding, expiring, and finding again after a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from monailabel_app.gateway import inference
from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.inference import Inference
from monailabel_app.gateway.jobs import Job, State
from monailabel_app.gateway.journal import Journal, revived
from monailabel_app.gateway.scheduler import Scheduler

MAX_KEPT = 10_000


class JobBoard:
    """Jobs by id. Used from the event loop.

    Arguments:
        results: folder where files of finished jobs wait for their client.
        keep_seconds: how long a finished job and its result stay.
        on_finish: told of every job that ends.
    """

    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        journal: Journal,
        results: Path,
        keep_seconds: float,
        on_finish: Callable[[Job], None],
    ) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._journal = journal
        self._results = results
        self._keep_seconds = keep_seconds
        self._on_finish = on_finish
        self._jobs: dict[str, Job] = {}

    def restore(self) -> None:
        """Take up what an earlier process left: finished jobs with their results, unfinished ones as interrupted."""
        for row in self._journal.rows():
            job = revived(row)
            if not job.state.final:
                job.interrupt()
                self._journal.finish(job)
            if job.result is not None and job.result.file is not None and not job.result.file.is_file():
                self._journal.forget(job.id)
            else:
                self._jobs[job.id] = job
        owned = {job.result.file for job in self._jobs.values() if job.result}
        for file in self._results.iterdir():
            if file not in owned:
                file.unlink()

    def run(self, request: Inference, *, user: str, folder: Path | None) -> Job:
        """Queue an inference somebody waits for; `forget` it when it was answered.

        Raises:
            Refusal: 429.
        """
        return self._start(_job(request, user, folder), request, None)

    def submit(
        self, request: Inference, *, user: str, folder: Path | None, idempotency: str | None, fingerprint: str
    ) -> tuple[Job, bool]:
        """Queue an inference whose result is fetched later; (job, whether it is new).

        Arguments:
            idempotency: the caller's key; a second submission with it finds the first one's job.
            fingerprint: tells whether it is the same question.

        Raises:
            Refusal: 422 or 429.
        """
        if idempotency is not None and (same := self._journal.same(user, idempotency)) is not None:
            if same[1] != fingerprint:
                raise Refusal(422, "This Idempotency-Key was used for another question.")
            known = self._jobs.get(same[0])
            if known is not None and known.state is not State.INTERRUPTED:
                return known, False
        job = _job(request, user, folder)
        job.durable = True
        self._journal.add(job, idempotency, fingerprint)
        try:
            return self._start(job, request, self._results), True
        except Refusal:
            self._journal.forget(job.id)
            raise

    def _start(self, job: Job, request: Inference, keep_in: Path | None) -> Job:
        job.on_finish.append(self._finished)
        self._scheduler.submit(job, lambda: inference.run(self._backend, request, job.context, keep_in))
        self._jobs[job.id] = job
        return job

    def _finished(self, job: Job) -> None:
        if job.durable:
            self._journal.finish(job)
        self._on_finish(job)

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
        if job.durable:
            self._journal.forget(job.id)

    def expire(self) -> None:
        """Drop finished jobs that are old, and the oldest when there are too many."""
        limit = time.time() - self._keep_seconds
        finished = [job for job in self._jobs.values() if job.state.final]
        too_many = len(finished) - MAX_KEPT
        for number, job in enumerate(finished):
            if number < too_many or (job.finished or 0.0) < limit:
                self.forget(job)


def _job(request: Inference, user: str, folder: Path | None) -> Job:
    job = Job(
        user=user,
        model=request.model,
        engine=request.engine,
        device=request.device,
        folder=folder,
        image=request.image,
    )
    job.text = str(request.request.get("text") or "")
    return job
