"""Which files a caller means: a folder, a file, several files, or a zip archive unpacked safely."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from radfind.errors import ImageError

MAX_ARCHIVE_BYTES = 16 * 2**30
"""Largest total of unpacked bytes taken from one zip: above any study of one patient, below filling a disk."""
MAX_ARCHIVE_FILES = 100_000
_MAX_RATIO = 1000  # unpacked : packed of one member; blank images reach a few hundred
_RATIO_FLOOR = 64 * 2**20  # members smaller than this may pack as well as they like

# Files that sit beside images and are no images; skipped when a folder is read.
_NOT_IMAGES = frozenset({
    ".csv", ".dcm-index", ".doc", ".docx", ".exe", ".htm", ".html", ".ini", ".js", ".json", ".log", ".md", ".pdf",
    ".py", ".pyc", ".sh", ".sqlite", ".toml", ".tsv", ".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
})  # fmt: skip


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One file to read.

    Arguments:
        path: where its bytes are now.
        shown: how to name it to a user (inside an archive: ``archive.zip/member``).
        named: the caller named this very file, so it may not be passed over in silence.
    """

    path: Path
    shown: Path
    named: bool = False


@contextlib.contextmanager
def open_source(path: str | Path | Sequence[str | Path]) -> Iterator[list[SourceFile]]:
    """The files behind `path`, sorted by name; archives are unpacked to a temporary folder while the context lasts.

    Raises:
        ImageError: nothing is there, a folder is empty, or an archive is broken or unsafe.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    if not paths:
        raise ImageError("No file was named. Give a DICOM folder, a list of files, a zip, or an image file.")
    with contextlib.ExitStack() as stack:
        files: list[SourceFile] = []
        for each in paths:
            if _is_folder(each):
                files.extend(_folder(each, each))
            elif zipfile.is_zipfile(each):
                target = Path(tempfile.mkdtemp(prefix="radfind-"))
                stack.callback(shutil.rmtree, target, ignore_errors=True)
                _unpack(each, target)
                files.extend(_folder(target, each))
            else:
                files.append(SourceFile(each, each, named=True))
        yield files


def _is_folder(path: Path) -> bool:
    try:
        if not path.exists():
            raise ImageError(
                f"There is no file or folder '{path}'. Check the name; it must be on the machine RadFind runs on."
            )
        return path.is_dir()
    except (OSError, ValueError) as error:  # a name the file system cannot take: too long, a NUL inside
        raise ImageError(
            f"'{str(path)[:200]}' cannot be opened: {error}. Give a DICOM folder or an image file."
        ) from error


def _folder(folder: Path, shown: Path) -> list[SourceFile]:
    files = []
    for path in sorted(_below(folder)):
        if path.suffix.lower() in _NOT_IMAGES or path.name.upper() == "DICOMDIR" or not path.is_file():
            continue
        files.append(SourceFile(path, shown / path.relative_to(folder)))
    if not files:
        raise ImageError(
            f"'{shown}' holds no image files. Give the folder that holds the series (.dcm files, also in subfolders), "
            "or a NIfTI, NRRD, MHA, PNG or JPEG file."
        )
    return files


def _below(folder: Path) -> Iterator[Path]:
    """Everything in a folder and those below it, linked ones too (each once), hidden ones not.

    Raises:
        ImageError: one of them cannot be opened: its slices would be missed in silence.
    """

    def refuse(error: OSError) -> None:
        raise ImageError(
            f"The folder '{error.filename}' cannot be opened ({error.strerror}). Give it the right to be read, or name "
            "the folder of the series itself."
        ) from error

    seen = set()
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:  # a link back to a folder that was walked
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        yield from (Path(root, name) for name in names if not name.startswith("."))


def _unpack(archive: Path, target: Path) -> None:
    """Unpack regular files only, under `target` only, never more than the limits.

    Names are checked here although `zipfile` cleans them too: a member that tries to leave the folder is an
    attack or a broken archive, and the user should hear of it.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            if len(members) > MAX_ARCHIVE_FILES:
                raise ImageError(
                    f"'{archive}' holds {len(members):,} files; at most {MAX_ARCHIVE_FILES:,} are unpacked."
                )
            left = MAX_ARCHIVE_BYTES
            for member in members:
                name = PurePosixPath(member.filename.replace("\\", "/"))
                if name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or "\0" in member.filename:
                    raise ImageError(
                        f"'{archive}' names a file outside itself ('{member.filename[:100]}') and was not unpacked. "
                        "Make the archive again from the folder that holds the series."
                    )
                if (member.external_attr >> 16) & 0o170000 == 0o120000:
                    continue  # a symbolic link could point anywhere
                left -= _unpack_member(file, member, target.joinpath(*name.parts), left, archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ImageError(
            f"'{archive}' cannot be unpacked ({error}). It is damaged, encrypted, or not a zip; "
            "unpack it by hand and give the folder."
        ) from error


def _unpack_member(file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, left: int, archive: Path) -> int:
    """Copy one member, counting the bytes that really come out: the sizes an archive declares can lie."""
    path.parent.mkdir(parents=True, exist_ok=True)
    limit = min(left, max(_RATIO_FLOOR, member.compress_size * _MAX_RATIO))
    written = 0
    with file.open(member) as source, path.open("wb") as sink:
        while chunk := source.read(2**20):
            written += len(chunk)
            if written > limit:
                raise ImageError(
                    f"'{archive}' unpacks to far more than it could hold (stopped at '{member.filename[:100]}' after "
                    f"{written / 2**20:.0f} MB): it looks like a decompression bomb. Unpack it by hand and "
                    "give the folder."
                )
            sink.write(chunk)
    return written
