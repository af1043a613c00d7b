"""An archive over DIMSE: C-FIND, C-GET or C-MOVE, and C-STORE (PS3.4, annexes B and C)."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radfind.pacs.model import PacsError, SeriesRecord, checked_filters, checked_instance, checked_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # Study Root Query/Retrieve: FIND, MOVE, GET
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_PENDING = (0xFF00, 0xFF01)
_BATCH = 64  # instances asked for in one C-GET: bounds what a lost connection costs


class DimsePacs:
    """See the module's docstring. Series come by C-GET, so no port has to be open here; or by C-MOVE, for the many
    archives that offer only that: then the archive connects to us, and must know our AE title, address and port.

    Arguments:
        host, port: where it listens.
        called, calling: its AE title and ours; many archives answer only titles they know.
        move_port: our port for C-MOVE, open only while a series is fetched; None for C-GET.
    """

    def __init__(
        self, host: str, port: int, *, called: str, calling: str = "RADFIND", move_port: int | None = None
    ) -> None:
        self._host, self._port, self._called, self._calling = host, port, called, calling
        self._move_port = move_port

    def find_series(self, **filters: str) -> list[SeriesRecord]:
        wanted = checked_filters(filters)
        keys = {
            **dict.fromkeys(("PatientID", "PatientName", "StudyDate", "StudyInstanceUID", "SeriesInstanceUID"), ""),
            **dict.fromkeys(("Modality", "SeriesDescription", "NumberOfSeriesRelatedInstances"), ""),
            **wanted,
        }
        study = wanted.get("StudyInstanceUID", "")
        with self._finding() as find:
            if study or set(wanted) == {"SeriesInstanceUID"}:
                # A series by its UID alone is a relational query (C.4.1.2.2.2). Many archives answer it; to go through
                # all their studies instead would keep any of them busy for hours.
                found = find("SERIES", keys)
            else:
                # The hierarchical model wants the study named at series level (C.4.1.3.1): ask for the studies first.
                study_keys = {k: v for k, v in wanted.items() if k not in ("SeriesInstanceUID", "Modality")}
                study_keys["ModalitiesInStudy"] = wanted.get("Modality", "")
                studies = find("STUDY", {**study_keys, "StudyInstanceUID": ""})
                found = [
                    item
                    for study in studies
                    for item in find("SERIES", {**keys, "StudyInstanceUID": study["StudyInstanceUID"]})
                ]
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
        from pynetdicom import evt

        asked, arrived = frozenset(wanted), set[str]()

        def receive(event: Any) -> int:
            uid = checked_uid(str(event.request.AffectedSOPInstanceUID), "SOP Instance UID")
            if uid not in asked:
                return 0x0124  # refused, not authorized: nobody stores here what was not asked for
            draft = folder / f"{uid}.part"
            with draft.open("wb") as file:
                file.write(b"\0" * 128 + b"DICM")
                _write_meta(file, event)
                file.write(event.request.DataSet.getvalue())  # as it came: never decoded, never changed
            draft.replace(folder / f"{uid}.dcm")
            arrived.add(uid)
            return 0x0000

        handlers = [(evt.EVT_C_STORE, receive)]
        way = self._getting(record, handlers)
        if self._move_port is not None:
            way = self._moving(record, handlers, self._move_port)
        with way as retrieve:
            for start in range(0, len(wanted), _BATCH):
                keys = {
                    "StudyInstanceUID": record.study_uid,
                    "SeriesInstanceUID": record.series_uid,
                    "SOPInstanceUID": list(wanted[start : start + _BATCH]),
                }
                for status, _ in retrieve(_dataset("IMAGE", keys)):
                    _check(status, "C-MOVE" if self._move_port else "C-GET", self)
                    done(len(arrived))

    @contextlib.contextmanager
    def _getting(self, record: SeriesRecord, handlers: list[Any]) -> Iterator[Callable[[Dataset], Any]]:
        """What sends a C-GET: the instances come over the same association."""
        from pynetdicom import build_role

        classes = self._classes(record)
        roles = [build_role(uid, scp_role=True) for uid in classes]
        contexts = [(_GET, None), *((uid, _SYNTAXES) for uid in classes)]
        association = self._associate(contexts, negotiation=roles, handlers=handlers)
        try:
            if not any(str(context.abstract_syntax) == _GET for context in association.accepted_contexts):
                raise PacsError(
                    f"The archive {self} does not offer C-GET. Let it send by C-MOVE: make our AE title "
                    f"({self._calling}), address and a port known to it, and add ?move=PORT to its address here."
                )
            yield lambda keys: association.send_c_get(keys, _GET)
        except BaseException:
            association.abort()  # the archive is still sending
            raise
        finally:
            _close(association)

    @contextlib.contextmanager
    def _moving(self, record: SeriesRecord, handlers: list[Any], port: int) -> Iterator[Callable[[Dataset], Any]]:
        """What sends a C-MOVE: the archive connects to a port that is open for it alone, for so long."""
        from pynetdicom import AE

        receiver = AE(ae_title=self._calling)
        receiver.require_called_aet, receiver.require_calling_aet = True, [self._called]
        for uid in self._classes(record):
            receiver.add_supported_context(uid, _SYNTAXES)
        # An archive on this machine needs no door to the network.
        where = "127.0.0.1" if _is_loopback(self._host) else "0.0.0.0"
        try:
            server = receiver.start_server((where, port), block=False, evt_handlers=handlers)
        except OSError as error:
            raise PacsError(
                f"Port {port} cannot be opened for C-MOVE ({error.strerror or error}). Another program may "
                "use it: end that one, or make another port known to the archive and give that."
            ) from error
        assert server is not None  # it is one unless it blocks
        try:
            association = self._associate([(_MOVE, None)])
            try:
                yield lambda keys: association.send_c_move(keys, self._calling, _MOVE)
            except BaseException:
                association.abort()
                raise
            finally:
                _close(association)
        finally:
            server.shutdown()

    def store(self, files: Sequence[Path]) -> None:
        instances = [checked_instance(file) for file in files]
        contexts = dict.fromkeys((i.sop_class_uid, i.transfer_syntax_uid) for i in instances)  # unique, in order
        association = self._associate([(uid, [syntax]) for uid, syntax in contexts])
        arrived: list[str] = []
        try:
            for file in files:
                try:
                    _check(association.send_c_store(file), "C-STORE", self)
                except (PacsError, ValueError, RuntimeError) as error:
                    told = f" Already stored: {', '.join(arrived)}." if arrived else " Nothing was stored."
                    raise PacsError(f"'{file.name}' was not stored: {error}{told}") from error
                arrived.append(file.name)
        finally:
            _close(association)

    def __str__(self) -> str:
        return f"{self._called} at {self._host}:{self._port}"

    def _classes(self, record: SeriesRecord) -> list[str]:
        """SOP classes of a series; where the archive does not say, those that are most common."""
        from pynetdicom.presentation import StoragePresentationContexts

        keys = {"StudyInstanceUID": record.study_uid, "SeriesInstanceUID": record.series_uid}
        found = self._find("IMAGE", {**keys, "SOPInstanceUID": "", "SOPClassUID": ""})
        classes = sorted({item.get("SOPClassUID", "") for item in found} - {""})
        return classes or [str(context.abstract_syntax) for context in StoragePresentationContexts[:120]]

    def _find(self, level: str, keys: dict[str, str]) -> list[dict[str, str]]:
        with self._finding() as find:
            return find(level, keys)

    @contextlib.contextmanager
    def _finding(self) -> Iterator[Callable[[str, dict[str, str]], list[dict[str, str]]]]:
        """What sends C-FINDs, all over one association."""
        from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

        relational = SOPClassExtendedNegotiation()
        relational.sop_class_uid, relational.service_class_application_information = _FIND, b"\x01"  # C.5.1.1.1
        association = self._associate([(_FIND, None)], negotiation=[relational])

        def find(level: str, keys: dict[str, str]) -> list[dict[str, str]]:
            found = []
            for status, item in association.send_c_find(_dataset(level, keys), _FIND):
                _check(status, "C-FIND", self)
                if status.Status in _PENDING and item is not None:
                    found.append({element.keyword: str(element.value or "") for element in item})
            return found

        try:
            yield find
        finally:
            _close(association)

    def _associate(
        self, contexts: Sequence[tuple[str, Any]], *, negotiation: Sequence[Any] = (), handlers: Sequence[Any] = ()
    ) -> Any:
        from pynetdicom import AE, evt

        ae = AE(ae_title=self._calling)
        ae.connection_timeout, ae.network_timeout, ae.dimse_timeout, ae.acse_timeout = 5, 60, 60, 30
        for abstract, syntaxes in contexts:
            ae.add_requested_context(abstract, syntaxes) if syntaxes else ae.add_requested_context(abstract)
        association = ae.associate(
            self._host,
            self._port,
            ae_title=self._called,
            ext_neg=list(negotiation),
            evt_handlers=[(evt.EVT_CONN_OPEN, _at_once), (evt.EVT_CONN_OPEN, _take_turns), *handlers],
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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _at_once(event: Any) -> None:
    """Each message goes out when it is complete. Held back for the one before to be acknowledged (Nagle), every
    instance takes 40 ms more."""
    import socket

    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _take_turns(event: Any) -> None:
    event.assoc._reactor_checkpoint = _Turns(event.assoc)


class _Turns:
    """Where the thread that listens on an association waits while a request of ours is under way.

    It stands in for pynetdicom's own event (2.1), which leaves a gap: between its waking and its saying that it is
    awake, a request may start, and the answer goes to that thread, which throws it away as unexpected.
    """

    def __init__(self, association: Any) -> None:
        self._association, self._open, self._change = association, True, threading.Condition()

    def set(self) -> None:
        with self._change:
            self._open = True
            self._change.notify_all()

    def clear(self) -> None:
        with self._change:
            self._open = False

    def wait(self) -> None:
        with self._change:
            self._change.wait_for(lambda: self._open)
            self._association._is_paused = False  # said before anything else may be asked


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
            + (" Make our AE title known to it, with our address and port." if what == "C-MOVE" else "")
        )


def _close(association: Any) -> None:
    if association.is_established:
        association.release()
