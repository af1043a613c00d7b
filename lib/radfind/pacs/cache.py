"""Series brought from an archive, kept on disk: bounded, locked, and resumed where a fetch broke off.

Layout under the root::

    <SeriesInstanceUID>/         a whole series, one file an instance
    <SeriesInstanceUID>.part/    a series being fetched; every file in it is whole
    locks/                       one lock a series, across threads and processes
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from radfind.imaging.progress import NoProgress, Progress
from radfind.pacs.model import Pacs, PacsError, SeriesRecord, checked_uid

DEFAULT_BYTES = 20 * 2**30


class SeriesCache:
    """See the module's docstring.

    Arguments:
        root: a folder of its own; made when absent.
        capacity_bytes: the least recently used series go when the whole series together need more than this.
    """

    def __init__(self, root: Path, *, capacity_bytes: int = DEFAULT_BYTES) -> None:
        self._root, self._capacity = root, capacity_bytes
        (root / "locks").mkdir(parents=True, exist_ok=True)

    def folder(self, series_uid: str) -> Path:
        """Where a series lies once it is whole."""
        return self._root / checked_uid(series_uid, "SeriesInstanceUID")

    def get(self, pacs: Pacs, series_uid: str, *, context: Progress | None = None) -> Path:
        """The folder of a series, fetched when it is not here; a fetch that broke off goes on where it stopped.

        Raises:
            PacsError: the archive does not have it, does not answer, or sent less than it lists.
            CancelledError: `context` was cancelled; what was fetched stays for the next time.
        """
        target, progress = self.folder(series_uid), context or NoProgress()
        with self._lock(series_uid):
            if not target.is_dir():
                found = pacs.find_series(SeriesInstanceUID=series_uid)
                if not found:
                    raise PacsError(f"The archive has no series {series_uid}. List what it has: radfind pacs find.")
                self._fetch(pacs, found[0], target, progress)
            target.touch()
        self._shrink(keep=target)
        return target

    def _fetch(self, pacs: Pacs, record: SeriesRecord, target: Path, progress: Progress) -> None:
        part = target.with_name(f"{target.name}.part")
        part.mkdir(exist_ok=True)
        for draft in part.glob("*.part"):
            draft.unlink()
        listed = pacs.instances(record)
        missing = [uid for uid in listed if not (part / f"{checked_uid(uid)}.dcm").is_file()]
        there = len(listed) - len(missing)

        def done(count: int) -> None:
            progress.step((there + count) / max(len(listed), 1), f"fetching {there + count} of {len(listed)}")

        done(0)
        if missing:
            pacs.fetch(record, missing, part, done)
        still = [uid for uid in listed if not (part / f"{uid}.dcm").is_file()]
        if still or not listed:
            raise PacsError(
                f"The archive lists {len(listed)} instances of series {record.series_uid} but sent "
                f"{len(listed) - len(still)}. Run the same command again: what was fetched is kept."
            )
        part.replace(target)

    def _lock(self, series_uid: str) -> FileLock:
        return FileLock(self._root / "locks" / f"{checked_uid(series_uid)}.lock")

    def _shrink(self, keep: Path) -> None:
        """Drop the least recently used whole series that nobody is fetching, until the rest fits."""
        series = [p for p in self._root.iterdir() if p.is_dir() and p.name != "locks" and p.suffix != ".part"]
        sizes = {p: sum(f.stat().st_size for f in p.iterdir()) for p in series}
        total = sum(sizes.values())
        for old in sorted(series, key=lambda p: p.stat().st_mtime):
            if total <= self._capacity:
                return
            if old == keep:
                continue
            lock = self._lock(old.name)
            with contextlib.suppress(Timeout), lock.acquire(blocking=False):
                shutil.rmtree(old)
                total -= sizes[old]
