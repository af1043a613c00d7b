"""Jobs: progress, cancel, results, fairness."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_fakes import FakeTask, eventually, live

from monailabel_app.gateway.jobs import Job, State


def submit(url: str, **query: str) -> httpx.Response:
    return httpx.post(f"{url}/radfind/jobs", params={"model": "fake", "image": "scan", **query}, data={"params": "{}"})


def events(url: str, job: str) -> list[tuple[str, dict[str, Any]]]:
    found, kind = [], ""
    with httpx.stream("GET", f"{url}/radfind/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                found.append((kind, json.loads(line[6:])))
    return found


def test_submit_follow_fetch(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask(0.6)}) as server:
        answer = submit(server.url)
        assert answer.status_code == 202
        job = answer.json()["id"]
        assert answer.headers["location"] == f"/radfind/jobs/{job}"
        assert httpx.get(f"{server.url}/radfind/jobs/{job}/result").status_code == 409
        told = events(server.url, job)
        fractions = [wire["progress"] for _, wire in told]
        assert len(told) > 4 and fractions == sorted(fractions)
        assert told[-1][0] == "end" and told[-1][1]["state"] == "done" and fractions[-1] == 1.0
        for _ in range(2):
            result = httpx.get(f"{server.url}/radfind/jobs/{job}/result?output=image")
            assert result.content == b"NRRD0004 fake"
        assert httpx.get(f"{server.url}/radfind/jobs/{job}/result?once=true&output=json").status_code == 200
        assert httpx.get(f"{server.url}/radfind/jobs/{job}/result").status_code == 404
        assert not list((server.state / "results").iterdir())


def test_cancel_a_running_job(tmp_path: Path) -> None:
    task = FakeTask(until=threading.Event())
    with live(tmp_path, {"fake": task}) as server:
        job = submit(server.url).json()["id"]
        eventually(lambda: task.running == 1)
        assert httpx.delete(f"{server.url}/radfind/jobs/{job}").status_code == 200
        assert events(server.url, job)[-1][1]["state"] == "cancelled"
        assert task.cancelled == 1
        assert httpx.get(f"{server.url}/radfind/jobs/{job}/result").status_code == 410


def test_cancel_a_waiting_job(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask(until=threading.Event())}) as server:
        submit(server.url)
        job = submit(server.url).json()
        assert job["state"] == "queued"
        assert httpx.delete(f"{server.url}/radfind/jobs/{job['id']}").json()["state"] == "cancelled"


def test_a_follower_who_is_slow_still_hears_the_end() -> None:
    async def follow() -> list[str]:
        job, told = Job(user="", model="fake", engine="fake", device="cpu"), []
        job.start()
        async for wire in job.changes():
            told.append(wire["state"])
            job.finish(State.CANCELLED)  # while the follower is busy with what it was told
        return told

    assert asyncio.run(follow()) == ["running", "cancelled"]


def test_whoever_waits_hears_the_end_whatever_goes_wrong_with_it() -> None:
    async def wait() -> State:
        job = Job(user="", model="fake", engine="fake", device="cpu")
        job.on_finish.append(lambda _: 1 // 0)
        job.start()
        waiting = asyncio.ensure_future(job.wait())
        await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            job.finish(State.CANCELLED)
        await asyncio.wait_for(waiting, 60)
        return job.state

    assert asyncio.run(wait()) is State.CANCELLED


def test_results_expire(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}, result_seconds=0.3) as server:
        job = submit(server.url).json()["id"]
        eventually(lambda: httpx.get(f"{server.url}/radfind/jobs/{job}").status_code == 404)
        assert not list((server.state / "results").iterdir())
