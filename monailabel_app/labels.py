"""Saved labels that are never lost: every save is a new version, committed by one atomic rename.

Layout under the root::

    <tag>/<image id>.json             which version is current, and its info: the commit point
    <tag>/versions/<image id>/<n>/    label<ext> and info.json of version n, never changed once there
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from radfind.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
EXTENSIONS = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".json", ".xml", ".png", ".jpg")


def checked_name(value: str, what: str) -> str:
    """`value` when it can be part of a path: letters, digits, dot, underscore, hyphen; at most 128 characters.

    Raises:
        InputError: it cannot.
    """
    if not _NAME.fullmatch(value) or ".." in value:
        raise InputError(
            f"The {what} {value[:80]!r} is not allowed: use letters, digits, '.', '_' and '-', at most 128 characters."
        )
    return value


def _checked_image(value: str) -> str:
    """An image id is often a clinic's own file name: anything that stays one path component."""
    if not value or len(value) > 255 or value.startswith(".") or not value.isprintable() or set(value) & set("/\\"):
        raise InputError("The image id is not allowed: it must be the id of an image in the datastore.")
    return value


def extension(file: str | Path) -> str:
    """The extension of a label or image file, the known double ones whole.

    Raises:
        InputError: it is none that is stored.
    """
    name = Path(file).name.lower()
    for known in EXTENSIONS:
        if name.endswith(known):
            return known
    raise InputError(f"The file {Path(file).name!r} cannot be stored: expected one of {', '.join(EXTENSIONS)}.")


@dataclasses.dataclass(frozen=True)
class LabelVersion:
    """One saved version of a label."""

    image: str
    tag: str
    number: int
    file: Path
    info: dict[str, Any]


class LabelStore:
    """Versioned labels under one folder; safe across threads and processes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def tags(self) -> list[str]:
        if not self._root.is_dir():
            return []
        return sorted(p.name for p in self._root.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))

    def images(self, tag: str) -> list[str]:
        """Image ids that have a current label under `tag`."""
        folder = self._root / checked_name(tag, "tag")
        return sorted(p.name[: -len(".json")] for p in folder.glob("*.json")) if folder.is_dir() else []

    def current(self, image: str, tag: str) -> LabelVersion | None:
        pointer = self._pointer(image, tag)
        try:
            number = int(json.loads(pointer.read_text(encoding="utf-8"))["version"])
        except FileNotFoundError:
            return None
        return self._version(image, tag, number)

    def history(self, image: str, tag: str) -> list[LabelVersion]:
        """All versions, oldest first."""
        folder = self._versions(image, tag)
        numbers = sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []
        return [self._version(image, tag, number) for number in numbers]

    def save(self, image: str, tag: str, source: Path, info: dict[str, Any]) -> LabelVersion:
        """Store `source` as a new version and make it current. Nothing earlier is touched.

        Raises:
            InputError: the tag or extension is not allowed.
            OSError: the disk is full or read-only; earlier versions stay as they were.
        """
        versions = self._versions(image, tag)
        suffix = extension(source)
        versions.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".saving-", dir=versions))
        try:
            _copy_synced(source, staged / f"label{suffix}")
            record = {**info, "ts": int(time.time()), "name": f"{image}{suffix}"}
            _write_synced(staged / "info.json", json.dumps(record, ensure_ascii=False, default=str))
            _sync_folder(staged)
            number = self._commit_new(image, tag, staged, versions)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return self._version(image, tag, number)

    def restore(self, image: str, tag: str, number: int) -> LabelVersion:
        """Make version `number` current again (later versions stay in the history).

        Raises:
            InputError: there is no such version.
        """
        if not (self._versions(image, tag) / str(number)).is_dir():
            numbers = [v.number for v in self.history(image, tag)]
            raise InputError(f"There is no version {number} of label '{tag}' for image {image}; there are: {numbers}.")
        with self._locked():
            self._point(image, tag, number)
        return self._version(image, tag, number)

    def remove(self, image: str, tag: str) -> None:
        """Take the label back; its versions stay and can be restored."""
        self._pointer(image, tag).unlink(missing_ok=True)

    def update_info(self, image: str, tag: str, info: dict[str, Any]) -> None:
        """Add to the info of the current version."""
        version = self.current(image, tag)
        if version is None:
            raise InputError(f"Image {image} has no label '{tag}'.")
        with self._locked():
            path = version.file.parent / "info.json"
            merged = {**json.loads(path.read_text(encoding="utf-8")), **info}
            write_atomically(path, json.dumps(merged, ensure_ascii=False, default=str))

    def _versions(self, image: str, tag: str) -> Path:
        return self._root / checked_name(tag, "tag") / "versions" / _checked_image(image)

    def _pointer(self, image: str, tag: str) -> Path:
        return self._root / checked_name(tag, "tag") / f"{_checked_image(image)}.json"

    def _version(self, image: str, tag: str, number: int) -> LabelVersion:
        folder = self._versions(image, tag) / str(number)
        file = next(p for p in folder.iterdir() if p.name.startswith("label"))
        info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
        return LabelVersion(image, tag, number, file, info)

    def _commit_new(self, image: str, tag: str, staged: Path, versions: Path) -> int:
        """Give the complete folder the next free number and make it current; two savers never get the same one."""
        with self._locked():
            _sweep(versions)
            number = max((int(p.name) for p in versions.iterdir() if p.name.isdigit()), default=0) + 1
            staged.rename(versions / str(number))
            _sync_folder(versions)
            self._point(image, tag, number)
            return number

    def _point(self, image: str, tag: str, number: int) -> None:
        write_atomically(self._pointer(image, tag), json.dumps({"version": number}))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with FileLock(self._root / ".lock"):
            yield


def _sweep(versions: Path) -> None:
    """Remove what killed processes left half written; nothing is written for an hour."""
    for leftover in versions.glob(".saving-*"):
        with contextlib.suppress(FileNotFoundError):  # another saver's, renamed meanwhile
            if time.time() - leftover.stat().st_mtime > 3600.0:
                shutil.rmtree(leftover, ignore_errors=True)


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`: readers see the old or the new file, whole, whatever happens in between."""
    handle, temporary = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        _sync_folder(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _copy_synced(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, 1 << 20)
        write.flush()
        os.fsync(write.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
