"""An archive over DICOMweb: QIDO-RS, WADO-RS and STOW-RS (PS3.18)."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from radfind.pacs.model import PacsError, SeriesRecord, checked_filters, checked_instance, checked_uid

PARALLEL = 4
"""Instances asked for at once. More gains little against Orthanc and can trouble small archives."""
_FEW = 8  # up to this many instances are asked for one by one, more as the whole series in one answer
_CHUNK = 1 << 20
# Any transfer syntax: the archive sends what it has instead of decoding it for us.
_ACCEPT = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_TIMEOUT = (5.0, 60.0)  # seconds to connect, and between two bytes
_FIELDS = ("SeriesDescription", "Modality", "PatientID", "PatientName", "StudyDate", "NumberOfSeriesRelatedInstances")


class DicomWebPacs:
    """See the module's docstring.

    Arguments:
        url: the service root, e.g. ``http://127.0.0.1:8042/dicom-web``.
        user, password: for HTTP basic authentication.
    """

    def __init__(self, url: str, *, user: str | None = None, password: str | None = None) -> None:
        from dicomweb_client.api import DICOMwebClient

        self._url = url.rstrip("/")
        self._auth = (user, password or "") if user else None
        self._local = threading.local()
        self._client = DICOMwebClient(self._url, session=self._session())
        self._client.set_http_retry_params(retry=False)

    def find_series(self, **filters: str) -> list[SeriesRecord]:
        wanted = checked_filters(filters)
        found = self._ask(
            lambda: self._client.search_for_series(search_filters=wanted, fields=list(_FIELDS), get_remaining=True)
        )
        return [_record(item) for item in found]

    def instances(self, record: SeriesRecord) -> list[str]:
        found = self._ask(
            lambda: self._client.search_for_instances(record.study_uid, record.series_uid, get_remaining=True)
        )
        return [_text(item, "00080018") for item in found]

    def fetch(self, record: SeriesRecord, wanted: Sequence[str], folder: Path, done: Callable[[int], None]) -> None:
        if len(wanted) > _FEW:  # Orthanc looks each single instance up anew: a series at once comes many times faster
            self._fetch_series(record, frozenset(wanted), folder, done)
            return
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            jobs = [pool.submit(self._fetch_one, record, uid, folder) for uid in wanted]
            for count, job in enumerate(as_completed(jobs), start=1):
                job.result()
                done(count)
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetch_series(
        self, record: SeriesRecord, wanted: frozenset[str], folder: Path, done: Callable[[int], None]
    ) -> None:
        """The series in one answer, each instance written as it arrives."""
        url = f"{self._url}/studies/{record.study_uid}/series/{record.series_uid}"
        response = self._ask(lambda: self._session().get(url, headers=_ACCEPT, stream=True))
        parts = multipart(response.iter_content(_CHUNK), boundary_of(response.headers.get("Content-Type", "")))
        count = 0
        with response:
            while (part := self._ask(lambda: next(parts, None))) is not None:
                uid = _instance_uid(part, self._url)
                if uid in wanted:
                    _write(part, uid, folder)
                    count += 1
                    done(count)

    def store(self, files: Sequence[Path]) -> None:
        import pydicom

        for file in files:
            checked_instance(file)
        arrived: list[str] = []
        for file in files:
            dataset = pydicom.dcmread(file)
            try:
                reply = self._ask(functools.partial(self._client.store_instances, [dataset]))
                refused = [
                    str(item.get("FailureReason", "no reason given")) for item in reply.get("FailedSOPSequence", [])
                ]
                if refused:
                    raise PacsError(f"the archive refused it (failure reason {', '.join(refused)})")
            except PacsError as error:
                told = f" Already stored: {', '.join(arrived)}." if arrived else " Nothing was stored."
                raise PacsError(f"'{file.name}' was not stored: {error}{told}") from error
            arrived.append(file.name)

    def _fetch_one(self, record: SeriesRecord, uid: str, folder: Path) -> None:
        name = checked_uid(uid, "SOP Instance UID")
        url = f"{self._url}/studies/{record.study_uid}/series/{record.series_uid}/instances/{name}"
        response = self._ask(lambda: self._session().get(url, headers=_ACCEPT))
        parts = multipart([response.content], boundary_of(response.headers.get("Content-Type", "")))
        part = self._ask(lambda: next(parts, b""))
        if _instance_uid(part, self._url) != name:
            raise PacsError(f"The archive at {self._url} sent another instance than the one asked for.")
        _write(part, name, folder)

    def _session(self) -> Any:
        """One session a thread: requests does not promise more."""
        if not hasattr(self._local, "session"):
            self._local.session = _session(self._auth)
        return self._local.session

    def _ask(self, call: Callable[[], Any]) -> Any:
        import requests

        try:
            reply = call()
            if isinstance(reply, requests.Response):
                reply.raise_for_status()
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            hint = "Check user and password." if status in (401, 403) else "Look into the archive's log."
            raise PacsError(f"The archive at {self._url} answered with status {status}. {hint}") from error
        except requests.exceptions.SSLError as error:
            raise PacsError(
                f"The certificate of the archive at {self._url} is not trusted. Where the hospital signs its own, name "
                "the file of its authority in the environment variable REQUESTS_CA_BUNDLE."
            ) from error
        except (requests.RequestException, ValueError) as error:  # ValueError: no JSON, or a reply that broke off
            raise PacsError(
                f"The archive at {self._url} does not answer ({type(error).__name__}). Check that it runs and that the "
                "address is right, then run the same command again: what was fetched is kept."
            ) from error
        return reply


def _session(auth: tuple[str, str] | None) -> Any:
    """A session that goes straight to the archive, and gives up waiting for it."""
    import requests

    class Session(requests.Session):
        def request(self, method: str, url: str, **options: Any) -> Any:  # type: ignore[override]
            options.setdefault("timeout", _TIMEOUT)
            # RFC 3986 leaves "*" as it is; dicomweb-client escapes it, and Orthanc then takes it for a plain letter.
            return super().request(method, url.replace("%2A", "*"), **options)

    session = Session()
    session.auth = auth
    session.trust_env = False  # patient data goes where it was told to, not through a proxy of the environment
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    return session


def boundary_of(content_type: str) -> bytes:
    """The boundary of a multipart reply (RFC 2046 5.1.1)."""
    for parameter in content_type.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "boundary":
            return value.strip('"').encode()
    raise PacsError(
        "The archive did not send DICOM files (no multipart reply). Check that the address is its DICOMweb."
    )


def multipart(chunks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """The bodies of a multipart message, one by one, as its bytes arrive.

    Raises:
        ValueError: it ends before its closing boundary.
    """
    mark = b"\r\n--" + boundary
    buffer, searched, started = bytearray(b"\r\n"), 0, False
    for chunk in chunks:
        buffer += chunk
        while (at := buffer.find(mark, searched)) >= 0:
            if started:
                part = bytes(buffer[:at])
                yield part[part.find(b"\r\n\r\n") + 4 :]
            started = True
            del buffer[: at + len(mark)]
            searched = 0
        searched = max(len(buffer) - len(mark), 0)
    if not started or not buffer.startswith(b"--"):
        raise ValueError("the reply broke off")


def _instance_uid(part: bytes, where: str) -> str:
    import io

    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(io.BytesIO(part), stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
        return checked_uid(str(header.SOPInstanceUID), "SOP Instance UID")
    except (InvalidDicomError, AttributeError, EOFError) as error:
        raise PacsError(f"The archive at {where} sent something that is no DICOM file. Look into its log.") from error


def _write(part: bytes, uid: str, folder: Path) -> None:
    """Written beside, then renamed: a file with the final name is whole."""
    draft = folder / f"{uid}.part"
    draft.write_bytes(part)
    draft.replace(folder / f"{uid}.dcm")


def _record(item: dict[str, Any]) -> SeriesRecord:
    count = _text(item, "00201209")
    return SeriesRecord(
        series_uid=_text(item, "0020000E"),
        study_uid=_text(item, "0020000D"),
        modality=_text(item, "00080060"),
        description=_text(item, "0008103E"),
        patient_id=_text(item, "00100020"),
        patient_name=_text(item, "00100010"),
        study_date=_text(item, "00080020"),
        count=int(count) if count.isdigit() else None,
    )


def _text(item: dict[str, Any], tag: str) -> str:
    """First value of an attribute of the DICOM JSON model (PS3.18 Annex F), "" when absent."""
    value = (item.get(tag, {}).get("Value") or [""])[0]
    if isinstance(value, dict):  # a person's name, in up to three writings
        return "=".join(value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")
    return str(value)
