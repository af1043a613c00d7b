"""MONAI Label's inference contract, answered as a job that is waited for."""

from __future__ import annotations

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gateway_fakes import FakeTask, eventually, live, nrrd

from monailabel_app.gateway.endpoints import Info
from radfind.errors import EngineError, InputError, NotSupportedError


def post(url: str, model: str = "fake", params: object = None, **query: str) -> httpx.Response:
    form = {"params": json.dumps(params if params is not None else {})}
    return httpx.post(f"{url}/infer/{model}", params={"image": "scan", **query}, data=form)


def leftovers(folder: Path) -> list[Path]:
    return [p for part in ("uploads", "results") for p in (folder / part).rglob("*")]


def test_outputs(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask(), "plain": FakeTask(file=False)}) as server:
        both = post(server.url)
        assert both.status_code == 200
        assert both.headers["content-type"].startswith("multipart/form-data")
        assert b'name="params"' in both.content and b'name="image"; filename="fake-' in both.content
        assert b"NRRD0004 fake" in both.content
        assert post(server.url, output="json").json() == {"label_names": {"lung": 1}}
        assert post(server.url, output="image").content == b"NRRD0004 fake"
        assert post(server.url, "plain").json() == {"answer": "yes"}
        assert post(server.url, "plain", output="image").status_code == 404
        assert post(server.url, output="banana").status_code == 422
        assert "needs a DICOM series" in post(server.url, output="dicom_seg").json()["detail"]
        assert not leftovers(server.state)


def test_files_are_removed_when_the_task_fails(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask(fail=EngineError("out of memory"))}) as server:
        files = {"file": ("a.nrrd", nrrd()), "params": (None, "{}")}
        answer = httpx.post(f"{server.url}/infer/fake", files=files)
        assert answer.status_code == 500 and answer.json() == {"detail": "out of memory"}
        assert not leftovers(server.state)


@pytest.mark.parametrize(
    ("error", "status"), [(InputError("x"), 400), (NotSupportedError("x"), 422), (RuntimeError("John Doe"), 500)]
)
def test_errors_have_a_status_and_no_secrets(tmp_path: Path, error: Exception, status: int) -> None:
    with live(tmp_path, {"fake": FakeTask(fail=error)}) as server:
        answer = post(server.url)
        assert answer.status_code == status and "Doe" not in answer.text


def test_an_upload_is_what_the_task_gets(tmp_path: Path) -> None:
    task = FakeTask()
    with live(tmp_path, {"fake": task}) as server:
        files = {"file": ("../../etc/my scan.nrrd", nrrd())}
        assert httpx.post(f"{server.url}/infer/fake", files=files).status_code == 400  # a space is not allowed
        files = {"file": ("../../etc/scan.nrrd", nrrd())}
        assert httpx.post(f"{server.url}/infer/fake", files=files).status_code == 200
        path = Path(task.requests[-1]["image"])
        assert path.suffix == ".nrrd" and server.state in path.parents and not path.exists()


def test_slots_run_side_by_side(tmp_path: Path) -> None:
    over = threading.Event()
    task = FakeTask(until=over)
    with live(tmp_path, {"fake": task}, slots={"fake": 3}) as server, ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(post, server.url) for _ in range(4)]
        eventually(lambda: task.running == 3)
        over.set()
        assert [answer.result().status_code for answer in answers] == [200] * 4 and task.most_running == 3


def test_one_slot_runs_one_at_a_time(tmp_path: Path) -> None:
    task = FakeTask(0.2)
    with live(tmp_path, {"fake": task}) as server, ThreadPoolExecutor(5) as pool:
        assert list(pool.map(lambda _: post(server.url).status_code, range(5))) == [200] * 5
        assert task.most_running == 1


def test_a_client_that_hangs_up_cancels(tmp_path: Path) -> None:
    task = FakeTask(until=threading.Event())
    with live(tmp_path, {"fake": task}) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("POST", "/infer/fake?image=scan")
        eventually(lambda: task.running == 1)
        connection.close()
        eventually(lambda: task.cancelled == 1)
        eventually(lambda: not leftovers(server.state))


def test_everything_answers_while_an_inference_runs(tmp_path: Path) -> None:
    over = threading.Event()
    task = FakeTask(until=over)
    with (
        live(tmp_path, {"fake": task}) as server,
        httpx.Client(base_url=server.url) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(post, server.url)
        eventually(lambda: task.running == 1)
        for path in ("/health", "/info/", "/datastore/"):
            assert client.get(path).status_code == 200
        over.set()  # all answered before the inference was done
        assert answer.result().status_code == 200


def test_loading(tmp_path: Path) -> None:
    release = threading.Event()
    with live(tmp_path, {"fake": FakeTask()}, load=lambda: release.wait(100) and None) as server:
        assert httpx.get(f"{server.url}/health").status_code == 200
        waiting = httpx.get(f"{server.url}/ready")
        assert waiting.status_code == 503 and "loading" in waiting.json()["detail"]
        assert httpx.get(f"{server.url}/info/").status_code == 503
        assert post(server.url).status_code == 503
        release.set()
        eventually(lambda: httpx.get(f"{server.url}/ready").status_code == 200)
        assert post(server.url).status_code == 200


def test_nobody_waits_for_a_new_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Info, "FRESH", 0.02)
    with live(tmp_path, {"fake": FakeTask()}) as server:
        first = httpx.get(f"{server.url}/info/").json()
        asked, release = threading.Event(), threading.Event()

        def slow() -> dict[str, object]:
            asked.set()
            release.wait(100)
            return {"name": "new"}

        monkeypatch.setattr(server.instance, "info", slow)
        assert asked.wait(60)  # a new one is being made
        assert httpx.get(f"{server.url}/info/").json() == first
        release.set()
        eventually(lambda: httpx.get(f"{server.url}/info/").json() == {"name": "new"})


def test_an_info_that_fails_is_not_forever_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, object]:
        raise RuntimeError("John Doe")

    with live(tmp_path, {"fake": FakeTask()}) as server:
        assert httpx.get(f"{server.url}/info/").status_code == 200
        monkeypatch.setattr(server.instance, "info", broken)
        monkeypatch.setattr(Info, "LOST", 0.0)
        answer = httpx.get(f"{server.url}/info/")
        assert answer.status_code == 500 and "Doe" not in answer.text


def test_stopping_closes_the_app(tmp_path: Path) -> None:
    closed = threading.Event()
    with live(tmp_path, {"fake": FakeTask(until=threading.Event())}) as server:
        server.instance.close = closed.set  # type: ignore[attr-defined]
        job = httpx.post(f"{server.url}/radfind/jobs?model=fake&image=scan").json()["id"]
        eventually(lambda: httpx.get(f"{server.url}/radfind/jobs/{job}").json()["state"] == "running")
    assert closed.is_set()  # although a job ran
