"""What every archive can do, and how its address is written."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from radfind.errors import InputError, RadFindError

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")

FILTERS = (
    "PatientID",
    "PatientName",
    "AccessionNumber",
    "StudyDate",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
)
"""What series can be searched by. Dates as in DICOM: ``20250101`` or ``20250101-20251231``; ``*`` is any text."""


class PacsError(RadFindError):
    """The archive does not answer, refuses, or sends less than it lists. What was fetched before is kept."""


@dataclasses.dataclass(frozen=True)
class SeriesRecord:
    """What an archive says of one series; `count` is None where it does not say."""

    series_uid: str
    study_uid: str
    modality: str = ""
    description: str = ""
    patient_id: str = ""
    patient_name: str = ""
    study_date: str = ""
    count: int | None = None


class Pacs(Protocol):
    """An archive."""

    def find_series(self, **filters: str) -> list[SeriesRecord]:
        """The series that match `filters` (keys of `FILTERS`).

        Raises:
            InputError: a filter is unknown.
            PacsError: the archive did not answer.
        """
        ...

    def instances(self, record: SeriesRecord) -> list[str]:
        """SOP Instance UIDs of a series. Raises PacsError."""
        ...

    def fetch(self, record: SeriesRecord, wanted: Sequence[str], folder: Path, done: Callable[[int], None]) -> None:
        """Write each wanted instance to ``<folder>/<SOP Instance UID>.dcm``, each whole or not at all.

        `done` is told how many are there and may raise to stop. Raises PacsError; what is there by then stays.
        """
        ...

    def store(self, files: Sequence[Path]) -> None:
        """Send DICOM files, in order.

        Raises:
            InputError: one of them is no DICOM instance; nothing was sent.
            PacsError: the archive did not take one; the message names what has arrived.
        """
        ...


def connect(address: str, *, user: str | None = None, password: str | None = None, called_by: str = "RADFIND") -> Pacs:
    """The archive at ``http(s)://host/dicom-web``, or at ``dimse://AETITLE@host:port``.

    Series come over DIMSE by C-GET; with ``?move=PORT`` behind the address by C-MOVE to that port of ours.

    Arguments:
        user, password: for HTTP basic authentication.
        called_by: our own AE title, for DIMSE.

    Raises:
        InputError: the address is neither.
    """
    parts = urlsplit(address)
    if parts.scheme in ("http", "https") and parts.hostname:
        from radfind.pacs.dicomweb import DicomWebPacs

        return DicomWebPacs(address, user=user, password=password)
    if parts.scheme == "dimse" and parts.hostname and parts.port and parts.username:
        from radfind.pacs.dimse import DimsePacs

        # urlsplit lowers the host but keeps the user part, where the AE title stands, as written.
        move = parse_qs(parts.query).get("move", [""])[0]
        if move and not (move.isdecimal() and 0 < int(move) < 65536):
            raise InputError(f"'{move}' is no port. Write dimse://AETITLE@host:104?move=11112.")
        port = int(move) if move else None
        return DimsePacs(parts.hostname, parts.port, called=parts.username, calling=called_by, move_port=port)
    raise InputError(
        f"'{address}' is no archive address. Write http://host:8042/dicom-web for DICOMweb, or "
        "dimse://AETITLE@host:104 for DIMSE (?move=PORT behind it for C-MOVE)."
    )


def checked_uid(value: str, what: str = "UID") -> str:
    """`value` when it is a DICOM UID (PS3.5 chapter 9), so that it can name a file.

    Raises:
        InputError: it is none.
    """
    if len(value) > 64 or not _UID.fullmatch(value):
        raise InputError(f"'{value[:80]}' is no {what}: UIDs are digits and dots, at most 64 characters.")
    return value


def checked_filters(filters: dict[str, str]) -> dict[str, str]:
    """Raises InputError for a filter that is none of `FILTERS`; empty ones are left out."""
    for name in filters:
        if name not in FILTERS:
            raise InputError(f"Series cannot be searched by '{name}'. Use one of {', '.join(FILTERS)}.")
    return {name: value for name, value in filters.items() if value}


@dataclasses.dataclass(frozen=True)
class Instance:
    """What the header of a DICOM file says it is."""

    sop_class_uid: str
    transfer_syntax_uid: str


def instance_of(file: Path) -> Instance | None:
    """What a file is to an archive; None when it is no DICOM instance (other files, DICOMDIR)."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
        found = Instance(str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID))
    except (InvalidDicomError, AttributeError, EOFError, ValueError):
        return None
    return found if header.SOPInstanceUID else None


def checked_instance(file: Path) -> Instance:
    """As `instance_of`. Raises InputError when the file is no DICOM instance, or cannot be read."""
    try:
        found = instance_of(file)
    except OSError as error:
        raise InputError(f"'{file}' cannot be read ({error.strerror or error}). Nothing was sent.") from error
    if found is None:
        raise InputError(f"'{file}' is no DICOM instance, and archives take nothing else. Nothing was sent.")
    return found
