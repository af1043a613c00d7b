"""The audit log: one JSON line per event, each sealed with the hash of the one before.

A changed, removed or inserted line breaks the chain; a cut tail disagrees with the head kept beside the log. Whoever
can write both files can write a new history: keep a copy of the head (`radfind audit verify` prints it) elsewhere.
No report text, patient names or pixels: only what `record` takes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import io
import json
import logging
import os
import queue
import secrets
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock

from monailabel_app.gateway.faults import where
from monailabel_app.labels import write_atomically

logger = logging.getLogger(__name__)

START = "0" * 64
_BATCH_SECONDS = 0.25  # after each write: what comes meanwhile is synced together; on busy disks each sync stalls saves
_MOST_WAITING = 100_000  # entries kept in memory while the disk is full; the oldest go first
FIELDS = frozenset(
    {
        "event", "who", "role", "study", "series", "model", "engine", "report_hash", "slices", "mean_score",
        "latency_ms", "status", "tag", "version", "address", "route", "job", "target",
    }
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What `verify` found: `problem` is None when the chain is whole."""

    entries: int
    head: str
    problem: str | None = None


class AuditLog:
    """Appends from any thread without waiting; a writer thread seals, writes and syncs.

    Arguments:
        state: the state folder; the log is ``audit.jsonl`` in it.
    """

    def __init__(self, state: Path) -> None:
        self._file = state / "audit.jsonl"
        self._head = state / "audit.head"
        self._lock = FileLock(state / "audit.lock")
        self._key = _key(state / "audit.key")
        with self._lock:
            _recover(self._file, self._head)
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._write_all, name="radfind-audit", daemon=True)
        self._thread.start()

    def record(self, event: str, **fields: Any) -> None:
        """Add an event. Fields that are not of `FIELDS` are a mistake in the code: they could hold patient data."""
        unknown = set(fields) - FIELDS
        if unknown:
            raise ValueError(f"not an audit field: {', '.join(sorted(unknown))}")
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        self._queue.put({"time": now, "event": event, **{k: v for k, v in fields.items() if v is not None}})

    def report_hash(self, text: str) -> str:
        """The hash that stands for a text. Keyed: short phrases could otherwise be found by trying."""
        return hmac.new(self._key, text.encode("utf-8"), hashlib.sha256).hexdigest()[:32]

    def close(self) -> None:
        """Write what is waiting and stop."""
        self._queue.put(None)
        self._thread.join(10)

    def _write_all(self) -> None:
        waiting: list[dict[str, Any]] = []
        last = False
        while not last:
            last = self._take(waiting)
            try:
                self._append(waiting)
                waiting.clear()
            except OSError as error:  # a full disk: they are tried again with the next ones
                logger.error("the audit log cannot be written: %s", where(error))
                del waiting[:-_MOST_WAITING]
            time.sleep(_BATCH_SECONDS)

    def _take(self, waiting: list[dict[str, Any]]) -> bool:
        """Wait for an event and add all there are; whether it was the last."""
        item = self._queue.get()
        while item is not None:
            waiting.append(item)
            if self._queue.empty():
                return False
            item = self._queue.get()
        return True

    def _append(self, batch: list[dict[str, Any]]) -> None:
        """Write all of `batch`, or nothing of it when that fails."""
        if not batch:
            return
        with self._lock:
            count, head = _read_head(self._head)
            lines = []
            for entry in batch:
                count += 1
                sealed = {"number": count, **entry, "previous": head}
                head = _seal(sealed)
                lines.append(json.dumps({**sealed, "hash": head}, ensure_ascii=False) + "\n")
            fresh = not self._file.exists()
            with self._file.open("ab", buffering=0) as file:
                size = file.tell()
                try:
                    _write_whole(file, "".join(lines).encode("utf-8"))
                    os.fsync(file.fileno())
                    write_atomically(self._head, json.dumps({"entries": count, "hash": head}))
                except OSError:
                    if _read_head(self._head)[0] < count:
                        file.truncate(size)  # half a line, or lines the head does not know, would break the chain
                        raise
            if fresh:
                self._file.chmod(0o600)


def _write_whole(file: io.FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def verify(state: Path) -> Verdict:
    """Read the whole log and check every seal.

    A process killed between writing a line and noting the new head leaves sound lines past the head: that is
    reported as sound.
    """
    count, head = 0, START
    noted_count, noted_head = _read_head(state / "audit.head")
    noted_seen = noted_count == 0
    file = state / "audit.jsonl"
    if file.exists():
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                    sealed = entry.pop("hash")
                    sound = entry["previous"] == head and entry["number"] == count + 1 and _seal(entry) == sealed
                except (ValueError, KeyError, AttributeError):
                    sound = False
                if not sound:
                    return Verdict(count, head, f"entry {count + 1} was changed, or entries before it were removed")
                count, head = count + 1, sealed
                noted_seen = noted_seen or (count == noted_count and head == noted_head)
    if not noted_seen:
        return Verdict(count, head, f"entries are missing at the end: {noted_count} were written, {count} are here")
    return Verdict(count, head)


def _recover(file: Path, head: Path) -> None:
    """After a kill in mid-write: drop a half line at the end, and go on from the last whole one."""
    if not file.exists():
        return
    with file.open("r+b") as log:
        size = log.seek(0, os.SEEK_END)
        start = max(0, size - (1 << 20))
        log.seek(start)
        tail = log.read()
        whole = tail.rfind(b"\n") + 1
        if start + whole < size:
            log.truncate(start + whole)
    lines = tail[:whole].splitlines()
    if not lines:
        return
    try:
        last = json.loads(lines[-1])
        number, sealed = int(last["number"]), str(last["hash"])
    except (ValueError, KeyError, TypeError):
        return  # not ours to mend: `verify` reports it
    if number > _read_head(head)[0]:
        write_atomically(head, json.dumps({"entries": number, "hash": sealed}))


def _seal(entry: dict[str, Any]) -> str:
    canonical = json.dumps(entry, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def _read_head(path: Path) -> tuple[int, str]:
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0, START
    return int(noted["entries"]), str(noted["hash"])


def _key(path: Path) -> bytes:
    """A secret of this state folder, made once."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        file.write(key := secrets.token_bytes(32))
    return key
