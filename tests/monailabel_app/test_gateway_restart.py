"""What a restarted server knows, keys that make retries safe, and fairness."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from gateway_fakes import FakeTask, eventually, live, nrrd

from monailabel_app.gateway.policy import Role
from monailabel_app.gateway.tokens import TokenStore

KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from gateway_fakes import FakeTask, live
with live(Path(sys.argv[2]), {"quick": FakeTask(), "slow": FakeTask(60.0)}) as server:
    print(server.url, flush=True)
    time.sleep(60)
"""


def submit(url: str, key: str | None = None, model: str = "fake", text: str = "", **more: object) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    form = {"params": json.dumps({"text": text})}
    return httpx.post(f"{url}/radfind/jobs?model={model}&image=scan", data=form, headers=headers, **more)  # type: ignore[arg-type]


def wait(url: str, job: str) -> dict[str, object]:
    def wire() -> dict[str, object]:
        return dict(httpx.get(f"{url}/radfind/jobs/{job}").json())

    eventually(lambda: wire()["state"] not in ("queued", "running"))
    return wire()


def test_a_killed_server_leaves_no_job_in_limbo(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        done = submit(url, "key-done", "quick").json()["id"]
        assert wait(url, done)["state"] == "done"
        running = submit(url, "key-run", "slow").json()["id"]
        queued = submit(url, None, "slow").json()["id"]
        eventually(lambda: httpx.get(f"{url}/radfind/jobs/{running}").json()["state"] == "running")
        os.kill(process.pid, signal.SIGKILL)
    (tmp_path / "state" / "uploads" / "request-left").mkdir()
    (tmp_path / "state" / "results" / "left.nrrd").write_bytes(b"x")
    with live(tmp_path, {"quick": FakeTask(), "slow": FakeTask()}) as server:
        assert httpx.get(f"{server.url}/radfind/jobs/{done}/result?output=image").content == b"NRRD0004 fake"
        for job in (running, queued):
            wire = httpx.get(f"{server.url}/radfind/jobs/{job}").json()
            assert wire["state"] == "interrupted" and "submit it again" in wire["error"]["detail"]
            assert httpx.get(f"{server.url}/radfind/jobs/{job}/result").status_code == 503
        assert submit(server.url, "key-done", "quick").json()["id"] == done  # answered before: not asked again
        again = submit(server.url, "key-run", "slow")
        assert again.status_code == 202 and again.json()["id"] != running
        assert wait(server.url, again.json()["id"])["state"] == "done"
        assert not list((server.state / "uploads").iterdir())
        assert not (server.state / "results" / "left.nrrd").exists()


def test_an_orderly_stop_leaves_no_job_in_limbo(tmp_path: Path) -> None:
    slow = FakeTask(until=threading.Event())
    with live(tmp_path, {"slow": slow}) as server:
        running, queued = (submit(server.url, key, "slow").json()["id"] for key in ("k1", "k2"))
        eventually(lambda: slow.running == 1)
    eventually(lambda: slow.cancelled == 1)
    with live(tmp_path, {"slow": FakeTask()}) as server:
        for job, key in ((running, "k1"), (queued, "k2")):
            assert httpx.get(f"{server.url}/radfind/jobs/{job}").json()["state"] == "interrupted"
            again = submit(server.url, key, "slow")
            assert again.status_code == 202 and wait(server.url, again.json()["id"])["state"] == "done"


def test_jobs_of_an_earlier_process_expire_too(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask(file=False)}) as server:
        job = submit(server.url).json()["id"]
        assert wait(server.url, job)["state"] == "done"
    with live(tmp_path, {"fake": FakeTask()}, result_seconds=0.0) as server:
        assert httpx.get(f"{server.url}/radfind/jobs/{job}").status_code == 404
    with live(tmp_path, {"fake": FakeTask()}) as server:  # nor does the journal keep its answer
        assert httpx.get(f"{server.url}/radfind/jobs/{job}").status_code == 404


def test_idempotency(tmp_path: Path) -> None:
    task = FakeTask(0.2)
    with live(tmp_path, {"fake": task}) as server:
        first, second = submit(server.url, "k1"), submit(server.url, "k1")
        assert first.status_code == 202 and second.status_code == 200 and first.json()["id"] == second.json()["id"]
        other = submit(server.url, "k1", text="another question")
        assert other.status_code == 422
        assert submit(server.url, "k2").json()["id"] != first.json()["id"]
        assert submit(server.url, "a b").status_code == 400
        wait(server.url, first.json()["id"])
        assert submit(server.url, "k1").json()["state"] == "done"
        files = {"file": ("a.nrrd", nrrd()), "params": (None, "{}")}
        for size, status in ((8, 202), (8, 200), (4, 422)):
            files["file"] = ("a.nrrd", nrrd(size))
            headers = {"Idempotency-Key": "k3"}
            assert (
                httpx.post(f"{server.url}/radfind/jobs?model=fake", files=files, headers=headers).status_code == status
            )


def test_the_question_is_not_kept(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}) as server:
        wait(server.url, submit(server.url, "k", text="Mr Doe: nodule").json()["id"])
        kept = b"".join(path.read_bytes() for path in server.state.rglob("*") if path.is_file())
        assert b"Doe" not in kept


def test_one_user_cannot_delay_another_by_more_than_a_job(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    store = TokenStore(tmp_path / "state")
    greedy, modest = ({"Authorization": f"Bearer {store.create(n, Role.READER)}"} for n in ("greedy", "modest"))
    over = threading.Event()
    task = FakeTask(until=over)
    with live(tmp_path, {"fake": task}) as server, httpx.Client(base_url=server.url) as client:
        url = "/radfind/jobs?model=fake&image=scan"

        def ask(who: dict[str, str], name: str) -> str:
            return str(client.post(url, headers=who, data={"params": json.dumps({"text": name})}).json()["id"])

        many = [ask(greedy, "many") for _ in range(20)]
        mine = ask(modest, "mine")
        over.set()
        for job, who in [(mine, modest), *((job, greedy) for job in many)]:
            eventually(lambda: client.get(f"/radfind/jobs/{job}", headers=who).json()["state"] == "done")  # noqa: B023
        assert [request["text"] for request in task.requests].index("mine") == 1  # after the one that ran already


def test_queues_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = FakeTask(until=threading.Event())
    with live(tmp_path, {"fake": task}) as server, httpx.Client(base_url=server.url) as client:
        answers = [client.post("/radfind/jobs?model=fake&image=scan") for _ in range(135)]
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(202) == 129 and statuses[-1] == 429  # one runs, 128 of one user wait
        assert answers[-1].headers["retry-after"]
        assert not list((server.state / "uploads").iterdir()) or len(list((server.state / "uploads").iterdir())) <= 129


def test_a_second_server_may_not_share_the_state(tmp_path: Path) -> None:
    from filelock import FileLock

    from monailabel_app.serve import serve
    from radfind.errors import InputError

    studies = tmp_path / "studies"
    studies.mkdir()
    (tmp_path / "state").mkdir()
    with FileLock(tmp_path / "state" / "server.lock"), pytest.raises(InputError, match="Another server"):
        serve(str(studies), state=tmp_path / "state")
