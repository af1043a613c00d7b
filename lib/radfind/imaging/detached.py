"""Headers that keep their voxels in other files: only files beside them, or below, are theirs to name.

NRRD ("Definition of the NRRD file format", section 5: field "data file") and MetaImage (ElementDataFile) headers may
name any file. One from a stranger could name a file of the machine it is read on.
"""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path

from radfind.errors import ImageError
from radfind.imaging.sources import SourceFile

_LONGEST_HEADER = 2**20
_NRRD_FIELD = re.compile(rb"(?:^|[\r\n])[ \t]*data ?file[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_BLANK = re.compile(rb"\n\n|\r\n\r\n|\r\r")
_META_FIELD = b"ElementDataFile"


def check_detached(source: SourceFile) -> None:
    """Refuse an NRRD or MetaImage header that names data outside its own folder.

    More is looked at than the header itself, so that no reading of it can differ from the library's.

    Raises:
        ImageError: it does, or its header has no end.
    """
    suffix = source.path.suffix.lower()
    named: list[bytes] = []
    if suffix in (".nrrd", ".nhdr"):
        with source.path.open("rb") as file:
            text = file.read(_LONGEST_HEADER)
        if len(text) == _LONGEST_HEADER and not _BLANK.search(text):
            raise ImageError(f"'{source.shown}' has a header without an end. It is damaged; export the image again.")
        for match in _NRRD_FIELD.finditer(text):
            named += _listed(text, match.end()) if match[1].startswith(b"LIST") else [match[1]]
    elif suffix in (".mha", ".mhd") and source.path.stat().st_size:
        with source.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            at = whole.find(_META_FIELD)
            while at >= 0:
                start = at + len(_META_FIELD)
                value = whole[start : start + 4096].lstrip(b" \t=:").splitlines()[:1]
                name = value[0].strip() if value else b""
                named += _listed(whole[:], start) if name.startswith(b"LIST") else [name] if name != b"LOCAL" else []
                at = whole.find(_META_FIELD, start)
    for name in named:
        _check_name(os.fsdecode(name.strip()), source)


def _listed(text: bytes, start: int) -> list[bytes]:
    """File names on the lines that follow."""
    return [line for line in text[start:].splitlines()[1:] if line.strip()]


def _check_name(name: str, source: SourceFile) -> None:
    plain = os.path.normpath(name.replace("\\", "/"))
    if Path(plain).is_absolute() or plain.split("/")[0] == "..":
        raise ImageError(
            f"'{source.shown}' keeps its voxels in another place ('{name[:100]}'), and RadFind reads only files of the "
            "header's own folder. Put the data file beside the header, or save the image as one file."
        )
