"""Round trips through a real Orthanc, over DICOMweb and over DIMSE."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from orthanc import Orthanc, free_port

import radfind
from radfind.errors import CancelledError, InputError
from radfind.exports.dicom_common import save
from radfind.exports.dicom_seg import segmentation_object
from radfind.exports.dicom_sr import key_objects, measurement_report
from radfind.measure import measure
from radfind.pacs import PacsError, SeriesCache, connect
from radfind.phantom import write_dicom
from radfind.results import RankedSlice, Ranking, Segment, Segmentation
from radfind.volume import Geometry, Volume

pytest.importorskip("dicomweb_client", reason="the pacs extra is not installed")
pytest.importorskip("pynetdicom", reason="the pacs extra is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Watch:
    """Progress that may cancel or call something on the way."""

    def __init__(self, stop_at: float = 2.0) -> None:
        self.seen: list[float] = []
        self._stop_at = stop_at

    def step(self, fraction: float, message: str = "") -> None:
        self.seen.append(fraction)
        if fraction >= self._stop_at:
            raise CancelledError("stop")


def results(source: Path, folder: Path) -> list[Path]:
    volume = radfind.load(source)
    segmentation = Segmentation(volume.geometry, (Segment("ball", volume.array > 0),), engine="test")
    seg = segmentation_object(segmentation, volume)
    report = measurement_report([measure(volume, segmentation.segments[0])], seg, volume)
    ranking = Ranking((RankedSlice(1, 20, 0.9),), np.zeros(40))
    keys = key_objects(ranking, volume, "ball")
    return [save(ds, folder / f"{name}.dcm") for name, ds in (("seg", seg), ("sr", report), ("ko", keys))]


@pytest.mark.parametrize(("way_in", "way_out"), [("web", "dimse"), ("dimse", "web"), ("web", "move")])
def test_round_trip(orthanc: Orthanc, scan: list[Path], tmp_path: Path, way_in: str, way_out: str) -> None:
    """Series in, fetched by UID, measured, results stored back, found and read again."""
    sender, receiver = connect(getattr(orthanc, way_in)), connect(getattr(orthanc, way_out))
    sender.store(scan)
    plain = radfind.load(scan)
    (record,) = receiver.find_series(SeriesInstanceUID=str(plain.series_uid))
    assert (record.modality, record.patient_id, record.study_uid) == ("CT", "PHANTOM9", plain.study_uid)
    watch = Watch()
    folder = SeriesCache(tmp_path / "cache").get(receiver, record.series_uid, context=watch)
    volume = radfind.load(folder)
    np.testing.assert_array_equal(volume.array, plain.array)
    assert [s.sop_instance_uid for s in volume.slices] == [s.sop_instance_uid for s in plain.slices]
    assert watch.seen == sorted(watch.seen) and watch.seen[-1] == 1.0
    files = results(folder, tmp_path)
    sender.store(files)
    found = {r.modality: r for r in receiver.find_series(StudyInstanceUID=record.study_uid)}
    assert {"SEG", "SR", "KO"} <= set(found)
    for modality, file in zip(("SEG", "SR", "KO"), files, strict=True):
        sent = pydicom.dcmread(file)
        back_folder = SeriesCache(tmp_path / "back").get(receiver, str(sent.SeriesInstanceUID))
        back = pydicom.dcmread(back_folder / f"{sent.SOPInstanceUID}.dcm")
        assert back.Modality == modality
        if modality == "SEG":
            assert back.PixelData == sent.PixelData
        else:
            assert back.ContentSequence == sent.ContentSequence


def test_no_answer_is_lost_to_the_listening_thread(
    orthanc: Orthanc, scan: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the thread that listens says late that it is awake, and the one that asked looks late for its
    answer: it must still be there."""
    provider = pytest.importorskip("pynetdicom.dimse").DIMSEServiceProvider
    take = provider.get_msg

    def taken(self: Any, block: bool = False) -> Any:
        time.sleep(0.1 if block else 0.0)
        return take(self, block)

    def say(association: Any, paused: bool) -> None:
        time.sleep(0.0 if paused else 0.02)
        association.__dict__["_is_paused"] = paused

    late = property(lambda association: association.__dict__["_is_paused"], say)
    monkeypatch.setattr("pynetdicom.association.Association._is_paused", late, raising=False)
    monkeypatch.setattr(provider, "get_msg", taken)
    connect(orthanc.dimse).store(scan[:10])


@pytest.mark.parametrize("way", ["web", "dimse", "move"])
def test_a_broken_fetch_goes_on_where_it_stopped(orthanc: Orthanc, scan: list[Path], tmp_path: Path, way: str) -> None:
    pacs = connect(getattr(orthanc, way))
    pacs.store(scan)
    uid = str(pydicom.dcmread(scan[0]).SeriesInstanceUID)
    cache = SeriesCache(tmp_path)
    with pytest.raises(CancelledError):
        cache.get(pacs, uid, context=Watch(stop_at=0.5))
    assert not cache.folder(uid).exists()
    there = {f.name: f.stat().st_mtime_ns for f in (tmp_path / f"{uid}.part").glob("*.dcm")}
    assert there
    cache.get(pacs, uid)
    after = {f.name: f.stat().st_mtime_ns for f in cache.folder(uid).iterdir()}
    assert len(after) == 40 and all(after[name] == time for name, time in there.items())


@pytest.mark.parametrize("way", ["web", "dimse"])
def test_the_archive_dies_in_the_middle(scan: list[Path], tmp_path: Path, way: str) -> None:
    server = Orthanc(tmp_path)
    server.start()
    if way == "web":  # larger than what sockets hold, so that there is a middle to die in
        array = np.random.default_rng(1).integers(0, 2000, (24, 512, 512)).astype(np.int16)
        scan = write_dicom(Volume(array, Geometry.from_parts(array.shape), "CT"), tmp_path / "large")
    try:
        pacs = connect(getattr(server, way))
        pacs.store(scan)
        uid = str(pydicom.dcmread(scan[0]).SeriesInstanceUID)
        cache = SeriesCache(tmp_path / "cache")

        class Killer(Watch):
            def step(self, fraction: float, message: str = "") -> None:
                super().step(fraction)
                if fraction > 0:
                    server.stop()

        if way == "web":
            with pytest.raises(PacsError, match="run the same command again"):
                cache.get(pacs, uid, context=Killer())
            assert 0 < len(list((tmp_path / "cache" / f"{uid}.part").glob("*.dcm"))) < 24
        else:
            server.stop()
            with pytest.raises(PacsError, match="run the same command again"):
                cache.get(pacs, uid)
        assert not cache.folder(uid).exists()
        files = results(scan[0].parent, tmp_path)
        server.stop()
        with pytest.raises(PacsError):
            pacs.store(files)
        server.start()
        assert {r.modality for r in pacs.find_series()} == {"CT"}
        assert len(radfind.load(cache.get(pacs, uid)).slices) == len(scan)
        pacs.store(files)
        assert {r.modality for r in pacs.find_series()} == {"CT", "SEG", "SR", "KO"}
    finally:
        server.stop()


def test_unknown_series_and_addresses(orthanc: Orthanc, tmp_path: Path) -> None:
    for address in (orthanc.web, orthanc.dimse):
        with pytest.raises(PacsError, match="no series"):
            SeriesCache(tmp_path).get(connect(address), "1.2.3")
        with pytest.raises(InputError, match="cannot be searched"):
            connect(address).find_series(Colour="red")
    with pytest.raises(InputError, match="no port"):
        connect(f"{orthanc.dimse}?move=http")
    with pytest.raises(InputError, match="no archive address"):
        connect("ftp://host")
    with pytest.raises(InputError, match="SeriesInstanceUID"):
        SeriesCache(tmp_path).folder("../../etc")


def test_any_text_and_dates_are_searched_alike(orthanc: Orthanc, scan: list[Path]) -> None:
    connect(orthanc.web).store(scan)
    uid = str(pydicom.dcmread(scan[0]).SeriesInstanceUID)
    for address in (orthanc.web, orthanc.dimse):
        pacs = connect(address)
        for wanted in ({"PatientID": "PHANTOM*"}, {"StudyDate": "20241231-20250102"}):
            assert uid in {r.series_uid for r in pacs.find_series(Modality="CT", **wanted)}, (address, wanted)
        for wanted in ({"PatientID": "NOBODY*"}, {"StudyDate": "19990101-19990102"}, {"Modality": "MR"}):
            assert not pacs.find_series(**wanted)


def test_what_is_no_dicom_is_refused_before_anything_is_sent(
    orthanc: Orthanc, scan: list[Path], tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from radfind.cli import app

    (tmp_path / "sizes.csv").write_text("a,b")
    (tmp_path / "empty.dcm").write_bytes(b"")
    copy = tmp_path / "I1.dcm"
    dataset = pydicom.dcmread(scan[0])
    dataset.SeriesInstanceUID = dataset.StudyInstanceUID = uid = pydicom.uid.generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.save_as(copy)
    for address in (orthanc.web, orthanc.dimse):
        pacs = connect(address)
        for bad in ("sizes.csv", "empty.dcm", "absent.dcm"):
            with pytest.raises(InputError, match="Nothing was sent"):
                pacs.store([copy, tmp_path / bad])
        assert not pacs.find_series(SeriesInstanceUID=uid)
    done = CliRunner().invoke(app, ["pacs", "store", orthanc.web, str(tmp_path)])
    assert done.exit_code == 0 and "Left out 2 files" in done.output and "Stored 1 files" in done.output
    assert connect(orthanc.web).find_series(SeriesInstanceUID=uid)


def test_a_series_is_found_by_its_uid_without_going_through_the_archive() -> None:
    """An archive of 500 studies is asked once, and a search by modality over one connection."""
    from pynetdicom import AE, evt

    asked: list[tuple[str, str]] = []
    connections: list[object] = []

    def find(event: evt.Event) -> object:
        wanted = event.identifier
        asked.append((wanted.QueryRetrieveLevel, str(wanted.get("ModalitiesInStudy", ""))))
        names = ["1.1", "1.2"] if wanted.QueryRetrieveLevel == "STUDY" and asked[-1][1] == "CT" else ["1.1"]
        if wanted.QueryRetrieveLevel == "STUDY" and not asked[-1][1]:
            names = [f"1.{n}" for n in range(1, 501)]
        for name in names:
            found = pydicom.Dataset()
            found.StudyInstanceUID, found.SeriesInstanceUID = name, wanted.get("SeriesInstanceUID") or f"{name}.7"
            found.QueryRetrieveLevel = wanted.QueryRetrieveLevel
            yield 0xFF00, found
        yield 0x0000, None

    archive, port = AE(ae_title="BIG"), free_port()
    archive.add_supported_context("1.2.840.10008.5.1.4.1.2.2.1")
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_ACCEPTED, connections.append)]
    server = archive.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        pacs = connect(f"dimse://BIG@127.0.0.1:{port}")
        (record,) = pacs.find_series(SeriesInstanceUID="1.1.7")
        assert (record.series_uid, record.study_uid, asked) == ("1.1.7", "1.1", [("SERIES", "")])
        assert len(pacs.find_series(Modality="CT")) == 2
        assert asked[1:] == [("STUDY", "CT"), ("SERIES", ""), ("SERIES", "")] and len(connections) == 2
    finally:
        server.shutdown()


def test_what_c_move_needs_is_said(orthanc: Orthanc, scan: list[Path], tmp_path: Path) -> None:
    import socket

    uid = str(pydicom.dcmread(scan[0]).SeriesInstanceUID)
    connect(orthanc.web).store(scan)
    with pytest.raises(PacsError, match="AE title"):
        SeriesCache(tmp_path / "a").get(connect(orthanc.move, called_by="STRANGER"), uid)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over what earlier fetches left in TIME_WAIT
        taken.bind(("127.0.0.1", orthanc.move_port))
        taken.listen()
        with pytest.raises(PacsError, match="cannot be opened"):
            SeriesCache(tmp_path / "b").get(connect(orthanc.move), uid)


def test_nobody_else_can_store_while_the_door_is_open(tmp_path: Path) -> None:
    """What was not asked for is refused, and so is a sender by another name."""
    from pynetdicom import AE

    from radfind.pacs import SeriesRecord
    from radfind.pacs.dimse import DimsePacs

    port = free_port()

    class Quiet(DimsePacs):
        def _classes(self, record: SeriesRecord) -> list[str]:
            return ["1.2.840.10008.5.1.4.1.1.2"]

        def _associate(self, *args: object, **keywords: object) -> object:
            sent.append(store_by("PACS"))
            sent.append(store_by("OTHER"))
            raise PacsError("enough")

    def store_by(title: str) -> int | None:
        ae = AE(ae_title=title)
        ae.add_requested_context("1.2.840.10008.5.1.4.1.1.2")
        association = ae.associate("127.0.0.1", port, ae_title="RADFIND")
        if not association.is_established:
            return None
        dataset = pydicom.Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.666"
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
        dataset.is_little_endian, dataset.is_implicit_VR = True, True
        status = int(association.send_c_store(dataset).Status)
        association.release()
        return status

    sent: list[int | None] = []
    pacs = Quiet("127.0.0.1", 1, called="PACS", move_port=port)
    with pytest.raises(PacsError, match="enough"):
        pacs.fetch(SeriesRecord("1.1", "1.2"), ["1.5"], tmp_path, lambda count: None)
    assert sent == [0x0124, None] and not list(tmp_path.iterdir())


class Fake:
    """An archive in memory, to see what the cache does."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self._sizes = sizes
        self.fetched: list[str] = []

    def find_series(self, **filters: str) -> list[radfind.pacs.SeriesRecord]:  # type: ignore[name-defined]
        from radfind.pacs import SeriesRecord

        return [SeriesRecord(filters["SeriesInstanceUID"], "1.1")]

    def instances(self, record: object) -> list[str]:
        return ["1.5"]

    def fetch(self, record: object, wanted: Sequence[str], folder: Path, done: object) -> None:
        uid = record.series_uid  # type: ignore[attr-defined]
        self.fetched.append(uid)
        (folder / "1.5.dcm").write_bytes(b"x" * self._sizes[uid])

    def store(self, files: Sequence[Path]) -> None: ...


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    import os

    pacs, cache = Fake({"1.1": 400, "1.2": 400, "1.3": 400}), SeriesCache(tmp_path, capacity_bytes=1000)
    for age, uid in enumerate(("1.1", "1.2")):
        os.utime(cache.get(pacs, uid), (1000 + age, 1000 + age))
    cache.get(pacs, "1.1")  # used again: now 1.2 is the oldest
    cache.get(pacs, "1.3")
    assert cache.folder("1.1").is_dir() and cache.folder("1.3").is_dir() and not cache.folder("1.2").exists()
    assert pacs.fetched == ["1.1", "1.2", "1.3"]


def test_the_cache_drops_broken_fetches_and_keeps_what_is_being_read(tmp_path: Path) -> None:
    import os

    pacs, cache = Fake({"1.1": 400, "1.2": 700}), SeriesCache(tmp_path, capacity_bytes=1000)
    broken = tmp_path / "1.9.part"
    broken.mkdir()
    (broken / "1.5.dcm").write_bytes(b"x" * 500)
    os.utime(broken, (1000, 1000))
    cache.get(pacs, "1.1")
    assert broken.exists()  # 900 bytes fit
    cache.get(pacs, "1.2")
    assert not broken.exists()
    assert cache.folder("1.1").is_dir()  # too much, but a moment ago somebody got its folder


def test_a_name_in_three_writings() -> None:
    from radfind.pacs.dicomweb import _text

    name = {"vr": "PN", "Value": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}]}
    assert _text({"00100010": name}, "00100010") == "Wang^XiaoDong=王^小东"
    assert _text({"00100010": {"vr": "PN"}}, "00100010") == ""


@pytest.mark.parametrize("size", [1, 3, 7, 50, 1000])
def test_multipart_in_any_chunks(size: int) -> None:
    """Bodies that hold line ends, dashes and half a boundary come back whole however the bytes arrive."""
    from radfind.pacs.dicomweb import boundary_of, multipart

    bodies = [b"one", b"\r\n--bou", b"", b"--boundar\r\n\r\n--", bytes(range(256)) * 3]
    message = b"".join(b"--boundary\r\nContent-Type: application/dicom\r\n\r\n" + b + b"\r\n" for b in bodies)
    message += b"--boundary--\r\n"
    chunks = [message[n : n + size] for n in range(0, len(message), size)]
    assert boundary_of('multipart/related; type="application/dicom"; boundary="boundary"') == b"boundary"
    assert list(multipart(chunks, b"boundary")) == bodies
    with pytest.raises(ValueError, match="broke off"):
        list(multipart(chunks[: len(chunks) // 2] if len(chunks) > 1 else [message[:-20]], b"boundary"))
