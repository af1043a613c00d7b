"""Series brought from an archive, kept on disk: bounded, locked, and resumed where a fetch broke off.

Layout under the root::

    <SeriesInstanceUID>/         a whole series, one file an instance
    <SeriesInstanceUID>.part/    a series being fetched; every file in it is whole
    locks/                       one lock a series, across threads and processes
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from filelock import FileLock, Timeout

from radfind.imaging.progress import NoProgress, Progress
from radfind.pacs.model import Pacs, PacsError, SeriesRecord, checked_uid

DEFAULT_BYTES = 20 * 2**30


class SeriesCache:
    """See the module's docstring.

    Arguments:
        root: a folder of its own; made when absent.
        capacity_bytes: the least recently used series and broken fetches go when all together need more than this.
            What was used in the last ten minutes may be being read and stays, even beyond the bound.
    """

    def __init__(self, root: Path, *, capacity_bytes: int = DEFAULT_BYTES) -> None:
        self._root, self._capacity = root, capacity_bytes
        (root / "locks").mkdir(parents=True, exist_ok=True)

    def folder(self, series_uid: str) -> Path:
        """Where a series lies once it is whole."""
        return self._root / checked_uid(series_uid, "SeriesInstanceUID")

    def get(self, pacs: Pacs, series_uid: str, *, study_uid: str = "", context: Progress | None = None) -> Path:
        """The folder of a series, fetched when it is not here; a fetch that broke off goes on where it stopped.

        Arguments:
            study_uid: for archives that find a series only within its study.

        Raises:
            PacsError: the archive does not have it, does not answer, or sent less than it lists.
            CancelledError: `context` was cancelled; what was fetched stays for the next time.
        """
        target, progress = self.folder(series_uid), context or NoProgress()
        with self._lock(series_uid):
            if not target.is_dir():
                found = pacs.find_series(SeriesInstanceUID=series_uid, StudyInstanceUID=study_uid)
                if not found:
                    raise PacsError(
                        f"The archive has no series {series_uid}, or finds it only within its study. List what it has "
                        "with radfind pacs find, and name the study as well (--study)."
                    )
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
        """Drop what was used longest ago and nobody is fetching or reading, until the rest fits."""
        folders = [p for p in self._root.iterdir() if p.is_dir() and p.name != "locks"]
        sizes, used = {p: _bytes(p) for p in folders}, {p: _used(p) for p in folders}
        total = sum(sizes.values())
        for old in sorted(folders, key=lambda p: used[p]):
            if total <= self._capacity or time.time() - used[old] < _IN_USE_S:
                return
            if old == keep:
                continue
            with contextlib.suppress(Timeout), self._lock(old.name.removesuffix(".part")).acquire(blocking=False):
                shutil.rmtree(old, ignore_errors=True)
                total -= sizes[old]


_IN_USE_S = 600.0


def _bytes(folder: Path) -> int:
    """What the files of a folder need; files that go away meanwhile need nothing."""
    total = 0
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def _used(folder: Path) -> float:
    return folder.stat().st_mtime if folder.exists() else 0.0
