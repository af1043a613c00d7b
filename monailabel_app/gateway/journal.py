"""The job journal: what a restarted server still knows of the jobs of the one before."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.jobs import Job, Result, State

_TABLE = """
create table if not exists jobs (
    id text primary key, user text not null, model text not null, engine text not null, device text not null,
    state text not null, created real not null, finished real, idempotency text, fingerprint text,
    status integer, detail text, params text, file text, name text,
    unique (user, idempotency)
)
"""


class Journal:
    """Jobs on disk (SQLite). Only jobs that outlive their request are noted. Request texts are not kept;
    results are, until they expire.

    Thread-safe; every call commits.
    """

    def __init__(self, state: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(state / "jobs.sqlite", check_same_thread=False)
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = normal")
        self._database.execute(_TABLE)
        self._database.commit()

    def add(self, job: Job, idempotency: str | None, fingerprint: str) -> None:
        """Note a new job."""
        with self._lock, self._database as database:
            if idempotency is not None:  # the same question after a restart, or after the answer was fetched
                database.execute("delete from jobs where user = ? and idempotency = ?", (job.user, idempotency))
            database.execute(
                "insert into jobs (id, user, model, engine, device, state, created, idempotency, fingerprint)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    job.id, job.user, job.model, job.engine, job.device, job.state.value, job.created, idempotency,
                    fingerprint,
                ),
            )  # fmt: skip

    def finish(self, job: Job) -> None:
        """Note a job's end and its result."""
        result, error = job.result, job.error
        with self._lock, self._database as database:
            database.execute(
                "update jobs set state = ?, finished = ?, status = ?, detail = ?, params = ?, file = ?, name = ?"
                " where id = ?",
                (
                    job.state.value,
                    job.finished,
                    error.status if error else None,
                    error.detail if error else None,
                    json.dumps(result.params, default=str) if result else None,
                    str(result.file) if result and result.file else None,
                    result.name if result else None,
                    job.id,
                ),
            )

    def forget(self, job_id: str) -> None:
        with self._lock, self._database as database:
            database.execute("delete from jobs where id = ?", (job_id,))

    def same(self, user: str, idempotency: str) -> tuple[str, str] | None:
        """(id, fingerprint) of the job a user made with this key."""
        with self._lock:
            row = self._database.execute(
                "select id, fingerprint from jobs where user = ? and idempotency = ?", (user, idempotency)
            ).fetchone()
        return (row[0], row[1]) if row else None

    def rows(self) -> list[dict[str, Any]]:
        """What is known of every job, for `revived`."""
        with self._lock:
            cursor = self._database.execute("select * from jobs")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def close(self) -> None:
        with self._lock:
            self._database.close()


def revived(row: dict[str, Any]) -> Job:
    """A job of an earlier process, with its result when that is still there. Call it on the event loop."""
    job = Job(user=row["user"], model=row["model"], engine=row["engine"], device=row["device"])
    job.durable = True
    job.id, job.state, job.created, job.finished = row["id"], State(row["state"]), row["created"], row["finished"]
    job.progress = 1.0 if job.state is State.DONE else 0.0
    if row["status"] is not None:
        job.error = Refusal(row["status"], row["detail"])
    if row["params"] is not None:
        job.result = Result(json.loads(row["params"]), Path(row["file"]) if row["file"] else None, row["name"] or "")
    return job
