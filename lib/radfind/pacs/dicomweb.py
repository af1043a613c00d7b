"""An archive over DICOMweb: QIDO-RS, WADO-RS and STOW-RS (PS3.18)."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from radfind.pacs.model import PacsError, SeriesRecord, checked_filters, checked_uid

PARALLEL = 6
"""Instances asked for at once. More gains little against Orthanc and can trouble small archives."""
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
        pool = ThreadPoolExecutor(PARALLEL)
        try:
            jobs = [pool.submit(self._fetch_one, record, uid, folder) for uid in wanted]
            for count, job in enumerate(as_completed(jobs), start=1):
                job.result()
                done(count)
        finally:
            pool.shutdown(cancel_futures=True)

    def store(self, files: Sequence[Path]) -> None:
        import pydicom

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
        # Any transfer syntax: the archive sends what it has instead of decoding it for us.
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        response = self._ask(lambda: self._session().get(url, headers={"Accept": accept}, timeout=_TIMEOUT))
        draft = folder / f"{name}.part"
        draft.write_bytes(_single_part(response.content, response.headers.get("Content-Type", ""), self._url))
        draft.replace(folder / f"{name}.dcm")

    def _session(self) -> Any:
        """One session a thread: requests does not promise more."""
        import requests

        if not hasattr(self._local, "session"):
            session = requests.Session()
            session.auth = self._auth
            session.trust_env = False  # patient data goes where it was told to, not through a proxy of the environment
            self._local.session = session
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
        except (requests.RequestException, ValueError) as error:  # ValueError: a reply that is no JSON
            raise PacsError(
                f"The archive at {self._url} does not answer ({type(error).__name__}). Check that it runs and that the "
                "address is right, then run the same command again: what was fetched is kept."
            ) from error
        return reply


def _single_part(body: bytes, content_type: str, where: str) -> bytes:
    """The one DICOM file of a multipart/related reply (RFC 2387)."""
    boundary = next(
        (
            p.strip()[len("boundary=") :].strip('"')
            for p in content_type.split(";")
            if p.strip().startswith("boundary=")
        ),
        "",
    )
    opening = body.find(b"--" + boundary.encode())
    start = body.find(b"\r\n\r\n", opening) + 4
    stop = body.rfind(b"\r\n--" + boundary.encode())
    part = body[start:stop] if boundary and opening >= 0 and start >= 4 and stop > start else b""
    if part[128:132] != b"DICM":
        raise PacsError(f"The archive at {where} sent an instance that is no whole DICOM file. Fetch the series again.")
    return part


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
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0].get("Alphabetic", "") if isinstance(values[0], dict) else values[0])
