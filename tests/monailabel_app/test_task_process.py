"""Tasks in a process of their own: answers, questions to the datastore, cancelling, and what happens when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("monailabel", reason="the server extra is not installed")

from gateway_fakes import eventually
from hosted_fakes import Fake
from monailabel.interfaces.exception import ImageNotFoundException

from monailabel_app import task_process
from monailabel_app.gateway.lanes import lane
from monailabel_app.task_process import HostedTask, TaskProcess
from radfind.engines.api import Context
from radfind.errors import CancelledError, EngineError, NotSupportedError


class Store:
    def list_images(self) -> list[str]:
        return ["scan"]

    def get_image_uri(self, image: str) -> str:
        if image != "scan":
            raise ImageNotFoundException("no such image")
        return "/studies/scan.nrrd"

    def save_label(self, *_: Any) -> None:
        raise AssertionError("tasks do not write")


@pytest.fixture(scope="module")
def process() -> Iterator[TaskProcess]:
    made = TaskProcess(Store(), "hosted_fakes:tasks")  # type: ignore[arg-type]
    made.start()
    yield made
    made.close()


def ask(
    process: TaskProcess, do: str, context: Context | None = None, **more: Any
) -> tuple[str | None, dict[str, Any]]:
    return process.run("fake", {"do": do, **more}, context or Context())


def test_one_process_answers_all(process: TaskProcess) -> None:
    file, first = ask(process, "tell", text="结节")
    _, second = ask(process, "tell", text="")
    assert file == "/a/file.nrrd" and first["text"] == "结节"
    assert first["pid"] == second["pid"] == process.pid != os.getpid()
    assert second["calls"] == first["calls"] + 1  # the same task, with whatever it keeps


def test_the_datastore_is_asked_here(process: TaskProcess) -> None:
    assert ask(process, "ask", image="scan")[1] == {"images": ["scan"], "uri": "/studies/scan.nrrd"}
    with pytest.raises(ImageNotFoundException):
        ask(process, "ask", image="other")
    with pytest.raises(AttributeError, match="save_label"):
        ask(process, "write")


def test_jobs_run_side_by_side(process: TaskProcess) -> None:
    with ThreadPoolExecutor(2) as pool:  # each waits for the other: one after the other never ends
        both = [pool.submit(ask, process, "meet") for _ in range(2)]
        assert [job.result(60) for job in both] == [(None, {})] * 2


def test_errors_cross_without_their_texts_unless_they_are_ours(process: TaskProcess) -> None:
    with pytest.raises(NotSupportedError, match="The fake does not do that"):
        ask(process, "refuse")
    with pytest.raises(OSError, match="No space left") as full:
        ask(process, "disk")
    assert full.value.errno == 28
    with pytest.raises(RuntimeError) as foreign:
        ask(process, "foreign")
    assert str(foreign.value) == "StubbornError"


def test_progress_and_cancel(process: TaskProcess) -> None:
    seen: list[tuple[float, str]] = []
    cancelled = threading.Event()

    def report(fraction: float, text: str) -> None:
        seen.append((fraction, text))
        cancelled.set()

    before = process.pid
    with pytest.raises(CancelledError):
        ask(process, "step", Context(report, cancelled))
    assert seen[0] == (0.25, "begun")
    assert process.pid == before  # it obeyed: nothing had to be ended


def test_a_job_that_does_not_obey_is_ended(process: TaskProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_process, "CANCEL_SECONDS", 0.2)
    context = Context(lambda fraction, text: context.cancel())
    before = process.pid
    with pytest.raises(CancelledError, match="was ended"):
        ask(process, "stubborn", context)
    assert ask(process, "tell", text="")[1]["pid"] != before


def test_it_dies_and_comes_back(process: TaskProcess) -> None:
    before = process.pid
    runs = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(ask, process, "step", Context(lambda fraction, text: runs.set()))
        assert runs.wait(60)
        with pytest.raises(EngineError, match="signal 9"):
            ask(process, "die")
        with pytest.raises(EngineError, match="starts it again"):
            other.result(60)
    assert ask(process, "tell", text="")[1]["pid"] != before


def test_tasks_that_cannot_be_made() -> None:
    process = TaskProcess(Store(), "hosted_fakes:broken")  # type: ignore[arg-type]
    with pytest.raises(NotSupportedError, match="no tasks here"):
        ask(process, "tell")
    process.close()


def test_closing_leaves_nothing() -> None:
    process = TaskProcess(Store(), "hosted_fakes:tasks")  # type: ignore[arg-type]
    pid = ask(process, "tell", text="")[1]["pid"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, process, "stubborn")
        process.close()
        with pytest.raises(EngineError):
            running.result(60)
    assert not psutil.pid_exists(pid)
    with pytest.raises(EngineError, match="stopping"):
        ask(process, "tell")


KILLED = """
import sys, threading, time
sys.path[:0] = sys.argv[1:]
from monailabel_app.task_process import TaskProcess
from radfind.engines.api import Context
process = TaskProcess(None, "hosted_fakes:tasks")
process.run("fake", {"do": "tell", "text": ""}, Context())
threading.Thread(target=process.run, args=("fake", {"do": "stubborn"}, Context()), daemon=True).start()
print(process.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_server_leaves_no_process() -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        worker = psutil.Process(int(server.stdout.readline()))
        server.kill()
    eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def test_a_hosted_task_says_what_the_task_says(process: TaskProcess) -> None:
    own = Fake(Store())
    hosted = HostedTask("fake", own, process)
    assert hosted.info() == own.info() and hosted.asks == "rank" and hosted.is_valid()
    assert hosted({"do": "tell", "text": "x", "context": Context()})[0] == "/a/file.nrrd"


def test_whose_place_a_job_takes(process: TaskProcess) -> None:
    hosted = HostedTask("new", Fake(Store()), process)
    assert lane("new", hosted, {}) == lane("new", hosted, {"engine": ["auto", "builtin"]}) == ("builtin", "cpu")
    hosted.asks = None  # a task that does not say: the engine's own place all the same
    assert lane("new", hosted, {}) == lane("new", hosted, {"engine": "builtin"}) == ("builtin", "cpu")
    assert lane("bundle", object(), {"device": "cuda:1"}) == ("bundle", "cuda:1")
    with pytest.raises(NotSupportedError):
        lane("new", hosted, {"engine": "nonesuch"})
