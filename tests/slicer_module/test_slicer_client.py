"""The client against a real loopback server, with faults."""

from __future__ import annotations

import io
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from loopback import Loopback
from RadFindLib import Wire
from RadFindLib.Address import parseAddress
from RadFindLib.Cancellation import Cancellation
from RadFindLib.Client import Client
from RadFindLib.Errors import Cancelled, ConnectionFailed, RadFindError, ServerError
from RadFindLib.Geometry import Grid
from RadFindLib.Jobs import CANCELLED, DONE, FAILED, Job, Jobs
from RadFindLib.Nrrd import header
from RadFindLib.Snapshot import Snapshot
from RadFindLib.Transport import Transport


def quiet(fraction: float, message: str) -> None:
    pass


def volume(shape: tuple[int, int, int] = (4, 5, 6), series: str = "") -> Snapshot:
    voxels = np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape)
    return Snapshot(voxels, Grid(shape, np.diag([0.7, 0.8, 2.0, 1.0])), series)


def client(server: Loopback, **options: Any) -> Client:
    return Client(Transport(parseAddress(server.url), **options))


def wait(jobs: Jobs, job: Job, seconds: float = 10.0) -> Job:
    deadline = time.monotonic() + seconds
    while job.state == "working" and time.monotonic() < deadline:
        jobs.poll()
        time.sleep(0.005)
    return job


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("localhost", "http://localhost:8000"),
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        ("[::1]:9", "http://[::1]:9"),
        (" radfind.example/ai/ ", "https://radfind.example:443/ai"),
        ("http://radfind.example", "http://radfind.example:80"),
        ("https://radfind.example:8443", "https://radfind.example:8443"),
    ],
)
def test_addresses_as_people_type_them(typed: str, url: str) -> None:
    assert parseAddress(typed).url == url


@pytest.mark.parametrize(
    "typed", ["", "ftp://x", "http://", "a b", "http://u:p@x", "localhost:port", "localhost:99999"]
)
def test_no_address_is_a_sentence(typed: str) -> None:
    with pytest.raises(RadFindError):
        parseAddress(typed)


def test_the_question_reaches_the_server_and_the_volume_goes_once(loopback: Loopback) -> None:
    asking, told = client(loopback), []
    for _ in range(2):
        answer = asking.ask(
            "radfind_rank", {"text": "肺结节"}, volume(), Cancellation(), lambda f, m: told.append((f, m))
        )
        assert answer["not_found"] == ["nodule"]
    assert loopback.params == [{"text": "肺结节"}] * 2
    assert len(loopback.sessions) == 1
    assert any(message.startswith("sending") for _, message in told)


def test_what_is_sent_is_the_volume_and_nothing_of_the_patient(loopback: Loopback, tmp_path: Path) -> None:
    sent = volume()
    client(loopback).ask("radfind_rank", {"text": "x"}, sent, Cancellation(), quiet)
    file = tmp_path / "sent.nrrd"
    file.write_bytes(loopback.sessions["s0"])
    image = sitk.ReadImage(str(file))  # an independent reader
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sent.voxels)
    assert image.GetSpacing() == pytest.approx((0.7, 0.8, 2.0))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_every_voxel_type_reads_back(dtype: str, tmp_path: Path) -> None:
    voxels = np.arange(24).reshape(2, 3, 4).astype(dtype)
    data = io.BytesIO()
    for chunk in Snapshot(voxels, Grid((2, 3, 4), np.eye(4))).chunks(7):
        data.write(chunk)
    file = tmp_path / "v.nrrd"
    file.write_bytes(data.getvalue())
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(file))), voxels)


def test_a_series_the_server_has_is_not_sent_unless_slicer_shows_other_voxels(loopback: Loopback) -> None:
    loopback.images = {"1.2.3": {}}
    shown = volume(series="1.2.3")
    stored = {"shape_kji": [4, 5, 6], "affine_ijk_to_lps": shown.grid.toLPS.tolist()}
    loopback.answer["volume"] = stored
    client(loopback).ask("radfind_rank", {"text": "x"}, shown, Cancellation(), quiet)
    assert not loopback.sessions
    assert any("image=1.2.3" in request for request in loopback.requests)
    for change in ({"shape_kji": [9, 5, 6]}, {"affine_ijk_to_lps": np.diag([0.7, 0.8, 2.5, 1.0]).tolist()}):
        loopback.answer["volume"] = {**stored, **change}  # Slicer's is cropped, or moved by a hardened transform
        loopback.sessions.clear()
        client(loopback).ask("radfind_rank", {"text": "x"}, shown, Cancellation(), quiet)
        asked = [request for request in loopback.requests if request.startswith("POST /radfind/jobs")]
        assert len(loopback.sessions) == 1 and "image=1.2.3" in asked[-2] and "session_id=s0" in asked[-1]


def test_a_forgotten_volume_is_sent_again(loopback: Loopback) -> None:
    asking = client(loopback)
    asking.ask("radfind_rank", {"text": "x"}, volume(), Cancellation(), quiet)
    loopback.fail = {"POST /radfind/jobs": (404, {"detail": "There is no such session."})}
    loopback.once = {"POST /radfind/jobs"}
    asking.ask("radfind_rank", {"text": "x"}, volume(), Cancellation(), quiet)
    assert len(loopback.sessions) == 2


FAULTS = {
    "slow": ("GET /info/", "slow", ConnectionFailed, "in time"),
    "hang up": ("GET /info/", "hang up", ConnectionFailed, "hung up"),
    "cut": ("GET /info/", "cut", ConnectionFailed, "cut off"),
    "half a file": ("GET /radfind/jobs/job1/result", "half", ConnectionFailed, "cut off"),
    "unauthorized": ("GET /info/", (401, {"detail": "no"}), ServerError, "token"),
    "forbidden": ("POST /radfind/jobs", (403, {"detail": "no"}), ServerError, "rights"),
    "too large": ("PUT /session/", (413, {"detail": "no"}), ServerError, "larger"),
    "broken server": ("POST /radfind/jobs", (500, {"detail": "The server failed."}), ServerError, "failed"),
    "no explanation": ("POST /radfind/jobs", (500, b"<html>"), ServerError, "500"),
    "loading": ("GET /info/", (503, {"detail": "not ready"}), ServerError, "loading"),
    "not json": ("GET /info/", (200, b"<html>hello</html>"), ServerError, "not JSON"),
    "wrong json": ("GET /info/", (200, {"hello": 1}), ServerError, "neither"),
    "wrong result": ("GET /radfind/jobs/job1/result", (200, b"[1]"), ServerError, "not what"),
    "moved": ("GET /info/", (302, {}), ServerError, "points to"),
    "bad request": ("POST /radfind/jobs", (422, {"detail": "The text is empty."}), ServerError, "text is empty"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_faults_become_one_sentence(loopback: Loopback, fault: tuple[str, Any, type[Exception], str]) -> None:
    where, what, kind, says = fault
    loopback.fail = {where: what}
    asking = client(loopback, answerSeconds=0.5)
    with pytest.raises(kind, match=says) as caught:
        asking.ask("radfind_rank", {"text": "x"}, volume(), Cancellation(), quiet)
    assert str(caught.value).count("\n") == 0 and len(str(caught.value)) < 250


def test_a_large_upload_that_is_refused_unread_says_so(loopback: Loopback) -> None:
    loopback.fail = {"PUT /session/": (413, {"detail": "The body is too large."})}
    with pytest.raises(RadFindError) as caught:
        client(loopback).ask("radfind_rank", {"text": "x"}, volume((64, 256, 256)), Cancellation(), quiet)
    assert "larger" in str(caught.value) or "hung up" in str(caught.value)


def test_what_may_be_repeated_is_repeated_and_nothing_else(loopback: Loopback) -> None:
    asking = client(loopback)
    loopback.fail = {
        "GET /info/": "hang up",
        "GET /radfind/jobs/job1/events": "hang up",
        "POST /radfind/jobs": "hang up",
    }
    loopback.once = set(loopback.fail)
    asking.ask("radfind_rank", {"text": "x"}, volume(), Cancellation(), quiet)
    keys = [h["Idempotency-Key"] for h in loopback.headers if "Idempotency-Key" in h]
    assert len(keys) == 2 and keys[0] == keys[1]
    loopback.fail = {"PUT /session/": "hang up"}
    loopback.requests.clear()
    with pytest.raises(ConnectionFailed):
        asking.ask("radfind_rank", {"text": "x"}, volume((5, 5, 5)), Cancellation(), quiet)
    assert sum("PUT" in request for request in loopback.requests) == 1


def test_the_token_is_sent_and_wanted(loopback: Loopback) -> None:
    loopback.token = "secret"
    with pytest.raises(ServerError, match="token"):
        client(loopback).info(Cancellation())
    assert client(loopback, token=" secret\n").info(Cancellation()).radfind


def test_what_answers_is_one_sentence(loopback: Loopback) -> None:
    def said() -> str:
        return client(loopback).info(Cancellation()).sentence(loopback.url)

    assert said() == f"RadFind 0.1 answers at {loopback.url} with engines builtin."
    loopback.radfind = False
    assert "without RadFind" in said() and "segmentation_spleen" in said()
    nothing = Client(Transport(parseAddress("127.0.0.1:1")))
    with pytest.raises(ConnectionFailed, match="Nothing answers"):
        nothing.info(Cancellation())
    plain = Client(Transport(parseAddress(loopback.url.replace("http:", "https:"))))
    with pytest.raises(ConnectionFailed, match="http://"):
        plain.info(Cancellation())


def test_a_stock_server_outlines_with_the_models_it_has(loopback: Loopback) -> None:
    loopback.radfind = False
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = 1
    grid = Grid((4, 5, 6), np.eye(4))
    loopback.labelmap = header(labels.dtype, grid) + labels.tobytes()
    scan = Snapshot(np.zeros((4, 5, 6), np.int16), grid)
    shown = Wire.prompts(
        [Wire.point((3, 2, 1), True), Wire.point((0, 4, 3), False), Wire.box((1, 4, 0), (5, 2, 3))]  # LPS = (i, j, k)
    )
    answer = client(loopback).ask("radfind_segment", {"prompts": shown}, scan, Cancellation(), quiet)
    np.testing.assert_array_equal(answer["labels"], labels)
    assert answer["label_names"] == {"spleen": 1}
    assert loopback.params == [{"foreground": [[3, 2, 1]], "background": [[0, 4, 3]], "roi": [1, 5, 2, 4, 0, 3]}]
    assert any(request.startswith("POST /infer/segmentation_spleen?") for request in loopback.requests)
    loopback.labelmap = loopback.labelmap[:-50]
    with pytest.raises(ServerError, match="half a file"):
        client(loopback).ask("radfind_segment", {"engine": "segmentation_spleen"}, scan, Cancellation(), quiet)
    with pytest.raises(ServerError, match="not a RadFind server"):
        client(loopback).ask("radfind_rank", {}, scan, Cancellation(), quiet)
    with pytest.raises(ServerError, match="no scribbles"):
        painted = {"prompts": Wire.prompts([Wire.scribble([(0, 0, 0)], True)])}
        client(loopback).ask("radfind_segment", painted, scan, Cancellation(), quiet)
    loopback.stock_models.append("segmentation_liver")
    with pytest.raises(ServerError, match="Choose one of this server's models"):
        client(loopback).ask("radfind_segment", {"engine": "auto"}, scan, Cancellation(), quiet)


def test_two_questions_at_once_send_a_volume_once(loopback: Loopback) -> None:
    asking, sent, jobs = client(loopback), volume((60, 256, 256)), Jobs()

    def work(cancellation: Cancellation, progress: Any) -> Any:
        return asking.ask("radfind_rank", {"text": "x"}, sent, cancellation, progress)

    for job in [jobs.start("test", work, lambda job: None) for _ in range(3)]:
        assert wait(jobs, job).state == DONE
    assert len(loopback.sessions) == 1 and len(loopback.params) == 3


@pytest.mark.parametrize("stage", ["upload", "work", "silence"])
def test_cancel_takes_less_than_a_tenth_of_a_second(loopback: Loopback, stage: str) -> None:
    loopback.work_seconds = 20.0
    if stage == "silence":
        loopback.fail = {"GET /info/": "slow"}
    jobs, asking, ended, failed = Jobs(), client(loopback), threading.Event(), []
    sent = volume((200, 512, 512)) if stage == "upload" else volume()
    reached = threading.Event()

    def work(cancellation: Cancellation, progress: Any) -> Any:
        def tell(fraction: float, message: str) -> None:
            if (message.startswith("sending") and fraction > 0.2) if stage == "upload" else message == "x":
                reached.set()
                if stage == "upload":
                    time.sleep(0.01)
            progress(fraction, message)

        try:
            return asking.ask("radfind_rank", {"text": "x"}, sent, cancellation, tell)
        except Exception as error:
            failed.append(type(error))
            raise
        finally:
            ended.set()

    job = jobs.start("test", work, lambda job: None)
    if stage == "silence":
        time.sleep(0.2)
    else:
        assert reached.wait(20)
    jobs.cancel(job)
    assert job.state == CANCELLED
    assert ended.wait(5)
    assert failed == [Cancelled]
    jobs.poll()
    assert job.state == CANCELLED and not jobs.running
    if stage == "work":
        deadline = time.monotonic() + 5
        while not loopback.cancelled and time.monotonic() < deadline:
            time.sleep(0.01)
        assert loopback.cancelled == ["/radfind/jobs/job1"]  # the server was told too


def test_two_jobs_at_once_and_a_fault_of_ours() -> None:
    jobs, seen = Jobs(), []
    first = jobs.start("a", lambda c, p: "A", lambda job: seen.append(job.result))
    second = jobs.start("b", lambda c, p: 1 / 0, lambda job: seen.append(job.error))
    assert wait(jobs, first).state == DONE and wait(jobs, second).state == FAILED
    assert "A" in seen and any("ZeroDivisionError" in str(value) for value in seen)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_is_verified_against_the_chosen_authority(tmp_path: Path) -> None:
    pem = tmp_path / "both.pem"
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command + names, check=True, capture_output=True)
    pem.write_bytes(key.read_bytes() + certificate.read_bytes())
    with Loopback(pem) as server:
        with pytest.raises(ConnectionFailed, match="not trusted"):
            client(server).info(Cancellation())
        assert client(server, caFile=str(certificate)).info(Cancellation()).radfind
        with pytest.raises(RadFindError, match="PEM"):
            client(server, caFile=str(tmp_path / "none.pem")).info(Cancellation())
