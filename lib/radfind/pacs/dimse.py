"""An archive over DIMSE: C-FIND, C-GET and C-STORE (PS3.4, annexes B and C)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radfind.pacs.model import PacsError, SeriesRecord, checked_filters, checked_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # Study Root Query/Retrieve: FIND, GET
_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_PENDING = (0xFF00, 0xFF01)
_BATCH = 64  # instances asked for in one C-GET: bounds what a lost connection costs


class DimsePacs:
    """See the module's docstring. Series come by C-GET, so no port has to be open here.

    Arguments:
        host, port: where it listens.
        called, calling: its AE title and ours; many archives answer only titles they know.
    """

    def __init__(self, host: str, port: int, *, called: str, calling: str = "RADFIND") -> None:
        self._host, self._port, self._called, self._calling = host, port, called, calling

    def find_series(self, **filters: str) -> list[SeriesRecord]:
        wanted = checked_filters(filters)
        keys = {
            **dict.fromkeys(("PatientID", "PatientName", "StudyDate", "StudyInstanceUID", "SeriesInstanceUID"), ""),
            **dict.fromkeys(("Modality", "SeriesDescription", "NumberOfSeriesRelatedInstances"), ""),
            **wanted,
        }
        if not wanted.get("StudyInstanceUID"):
            # The hierarchical model wants the study named at series level (C.4.1.3.1): ask for the studies first.
            study_keys = {k: v for k, v in wanted.items() if k not in ("SeriesInstanceUID", "Modality")}
            studies = self._find("STUDY", {**study_keys, "StudyInstanceUID": ""})
        else:
            studies = [{"StudyInstanceUID": wanted["StudyInstanceUID"]}]
        found = []
        for study in studies:
            found += self._find("SERIES", {**keys, "StudyInstanceUID": study["StudyInstanceUID"]})
        return [
            SeriesRecord(
                series_uid=item.get("SeriesInstanceUID", ""),
                study_uid=item.get("StudyInstanceUID", ""),
                modality=item.get("Modality", ""),
                description=item.get("SeriesDescription", ""),
                patient_id=item.get("PatientID", ""),
                patient_name=item.get("PatientName", ""),
                study_date=item.get("StudyDate", ""),
                count=int(item["NumberOfSeriesRelatedInstances"])
                if item.get("NumberOfSeriesRelatedInstances", "").isdigit()
                else None,
            )
            for item in found
        ]

    def instances(self, record: SeriesRecord) -> list[str]:
        keys = {
            "StudyInstanceUID": record.study_uid,
            "SeriesInstanceUID": record.series_uid,
            "SOPInstanceUID": "",
            "SOPClassUID": "",
        }
        return [item["SOPInstanceUID"] for item in self._find("IMAGE", keys)]

    def fetch(self, record: SeriesRecord, wanted: Sequence[str], folder: Path, done: Callable[[int], None]) -> None:
        from pynetdicom import build_role, evt
        from pynetdicom.presentation import StoragePresentationContexts

        arrived: list[str] = []

        def receive(event: Any) -> int:
            uid = checked_uid(str(event.request.AffectedSOPInstanceUID), "SOP Instance UID")
            draft = folder / f"{uid}.part"
            with draft.open("wb") as file:
                file.write(b"\0" * 128 + b"DICM")
                _write_meta(file, event)
                file.write(event.request.DataSet.getvalue())  # as it came: never decoded, never changed
            draft.replace(folder / f"{uid}.dcm")
            arrived.append(uid)
            return 0x0000

        classes = sorted({item.get("SOPClassUID", "") for item in self._classes(record)} - {""})
        if not classes:  # an archive need not say; then what it may send is what is most common
            classes = [str(context.abstract_syntax) for context in StoragePresentationContexts[:120]]
        roles = [build_role(uid, scp_role=True) for uid in classes]
        contexts = [(_GET, None), *((uid, _SYNTAXES) for uid in classes)]
        association = self._associate(contexts, roles=roles, handlers=[(evt.EVT_C_STORE, receive)])
        try:
            for start in range(0, len(wanted), _BATCH):
                keys = _dataset(
                    "IMAGE",
                    {
                        "StudyInstanceUID": record.study_uid,
                        "SeriesInstanceUID": record.series_uid,
                        "SOPInstanceUID": list(wanted[start : start + _BATCH]),
                    },
                )
                for status, _ in association.send_c_get(keys, _GET):
                    _check(status, "C-GET", self)
                    done(len(arrived))
        except BaseException:
            association.abort()  # the archive is still sending
            raise
        finally:
            _close(association)

    def store(self, files: Sequence[Path]) -> None:
        import pydicom

        datasets = [pydicom.dcmread(file) for file in files]
        contexts = {
            (str(ds.SOPClassUID), str(ds.file_meta.TransferSyntaxUID)): None for ds in datasets
        }  # unique, in order
        association = self._associate([(uid, [syntax]) for uid, syntax in contexts])
        arrived: list[str] = []
        try:
            for file, dataset in zip(files, datasets, strict=True):
                try:
                    _check(association.send_c_store(dataset), "C-STORE", self)
                except (PacsError, ValueError, RuntimeError) as error:
                    told = f" Already stored: {', '.join(arrived)}." if arrived else " Nothing was stored."
                    raise PacsError(f"'{file.name}' was not stored: {error}{told}") from error
                arrived.append(file.name)
        finally:
            _close(association)

    def __str__(self) -> str:
        return f"{self._called} at {self._host}:{self._port}"

    def _classes(self, record: SeriesRecord) -> list[dict[str, str]]:
        keys = {"StudyInstanceUID": record.study_uid, "SeriesInstanceUID": record.series_uid}
        return self._find("IMAGE", {**keys, "SOPInstanceUID": "", "SOPClassUID": ""})

    def _find(self, level: str, keys: dict[str, str]) -> list[dict[str, str]]:
        association = self._associate([(_FIND, None)])
        try:
            found = []
            for status, item in association.send_c_find(_dataset(level, keys), _FIND):
                _check(status, "C-FIND", self)
                if status.Status in _PENDING and item is not None:
                    found.append({element.keyword: str(element.value or "") for element in item})
            return found
        finally:
            _close(association)

    def _associate(
        self, contexts: Sequence[tuple[str, Any]], *, roles: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Any:
        from pynetdicom import AE

        ae = AE(ae_title=self._calling)
        ae.connection_timeout, ae.network_timeout, ae.dimse_timeout, ae.acse_timeout = 5, 60, 60, 30
        for abstract, syntaxes in contexts:
            ae.add_requested_context(abstract, syntaxes) if syntaxes else ae.add_requested_context(abstract)
        association = ae.associate(
            self._host, self._port, ae_title=self._called, ext_neg=list(roles), evt_handlers=list(handlers)
        )
        if not association.is_established:
            why = "refused us" if association.is_rejected else "does not answer"
            raise PacsError(
                f"The archive {self} {why}. Check host, port and its AE title, and that it knows ours "
                f"({self._calling}); then run the same command again: what was fetched is kept."
            )
        return association


_SYNTAXES = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
]


def _write_meta(file: Any, event: Any) -> None:
    from pydicom.filewriter import write_file_meta_info

    write_file_meta_info(file, event.file_meta)


def _dataset(level: str, keys: dict[str, Any]) -> Dataset:
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


def _check(status: Any, what: str, pacs: DimsePacs) -> None:
    """Raises PacsError unless the status is pending, success or a warning (PS3.7 annex C)."""
    code = status.get("Status") if status else None
    if code is None:
        raise PacsError(
            f"The connection to {pacs} was lost during {what}. Run the same command again: what was fetched is kept."
        )
    if code not in (0x0000, *_PENDING) and not 0xB000 <= code <= 0xBFFF:
        comment = str(status.get("ErrorComment", "")).strip()
        raise PacsError(
            f"The archive {pacs} answered {what} with status 0x{code:04X}{f' ({comment})' if comment else ''}."
        )


def _close(association: Any) -> None:
    if association.is_established:
        association.release()
