"""The engine host: crashes, memory, cancellation, idling, several devices; in a process and in-process."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import host_engines
import numpy as np
import pytest

from radfind.engines import devices, host, transfer
from radfind.engines.api import Context
from radfind.errors import CancelledError, EngineError, ImageError, NotSupportedError
from radfind.prompts import TextPrompt
from radfind.volume import Geometry, Volume

Make = Callable[..., host.HostedEngine]


@pytest.fixture
def volume() -> Volume:
    array = np.random.default_rng(0).integers(-1000, 1000, (6, 96, 96)).astype(np.int16)
    return Volume(array, Geometry.from_parts((6, 96, 96)), "CT")


@pytest.fixture
def make() -> Iterator[Make]:
    made = []

    def build(**options: Any) -> host.HostedEngine:
        options = {"factory": "host_engines:TrialEngine", "describe": host_engines.describe, **options}
        made.append(host.HostedEngine(**options))
        return made[-1]

    yield build
    for engine in made:
        engine.close()
    assert list(transfer.block_names(f"radfind-{os.getpid()}-")) == []


def rank(engine: host.HostedEngine, volume: Volume, text: str, context: Context | None = None) -> Any:
    return engine.rank(volume, TextPrompt(text), context=context or Context())


@pytest.mark.parametrize("in_process", [False, True])
def test_results_are_those_of_the_engine_itself(make: Make, volume: Volume, in_process: bool) -> None:
    engine = make(in_process=in_process)
    result = engine.rank(volume, TextPrompt("x"), top_k=3, threshold=0.25, spread=False, context=Context())
    np.testing.assert_allclose(result.scores, volume.array.mean(axis=(1, 2)))
    assert result.notes == ("{'top_k': 3, 'threshold': 0.25, 'spread': False}",)
    segmentation = engine.segment(volume, [TextPrompt("x")], context=Context())
    np.testing.assert_array_equal(segmentation.segments[0].mask, volume.array > 0)
    assert segmentation.geometry.same_grid(volume.geometry)


def test_the_worker_is_another_process_and_stays_between_jobs(make: Make, volume: Volume) -> None:
    engine = make()
    first, second = (rank(engine, volume, "x").engine.split() for _ in range(2))
    assert first[1] == second[1] != str(os.getpid())
    assert (first[2], second[2]) == ("1", "2")


def test_arrays_that_are_not_contiguous_arrive_whole(make: Make, volume: Volume) -> None:
    flipped = dataclasses.replace(
        volume, array=volume.array[::-1, :, ::2][:, :, :48], geometry=Geometry.from_parts((6, 96, 48))
    )
    np.testing.assert_allclose(rank(make(), flipped, "x").scores, flipped.array.mean(axis=(1, 2)))


def test_a_killed_worker_fails_its_job_only(make: Make, volume: Volume) -> None:
    engine = make()
    with pytest.raises(EngineError, match=r"died in the middle of the job: ended by signal 9.*next request starts"):
        rank(engine, volume, "kill")
    assert rank(engine, volume, "x").engine.endswith(" 1")
    assert engine.status()[0]["starts"] == 2


@pytest.mark.parametrize("in_process", [False, True])
@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("crash", EngineError, "'trial' failed: ValueError: a bug in the engine"),
        ("image", ImageError, "slice 3 cannot be read"),
        ("unsupported", NotSupportedError, "it does not know that"),
        ("memory 0", EngineError, "out of memory on cpu even with its smallest batch"),
    ],
)
def test_errors_keep_their_kind(
    make: Make, volume: Volume, in_process: bool, text: str, error: type[Exception], words: str
) -> None:
    engine = make(in_process=in_process)
    with pytest.raises(error, match=words):
        rank(engine, volume, text)
    assert len(rank(engine, volume, "x").scores) == 6  # and the engine still works


def test_memory_pressure_halves_the_batch_and_says_so(make: Make, volume: Volume) -> None:
    result = rank(make(in_process=True), volume, "memory 2")
    assert result.notes[1:] == ("batch of 4 slices: memory ran out", "batch of 2 slices: memory ran out")


def test_a_gpu_without_room_falls_back_to_the_cpu_if_allowed(make: Make, volume: Volume) -> None:
    result = rank(make(devices=("cuda:0",), in_process=True), volume, "gpu-memory")
    assert result.engine.startswith("cpu ")
    assert "ran on the CPU: the GPU's memory was not enough" in result.notes
    with pytest.raises(EngineError, match="out of memory on cuda:0"):
        rank(make(devices=("cuda:0",), allow_cpu=False, in_process=True), volume, "gpu-memory")


@pytest.mark.parametrize("in_process", [False, True])
def test_cancel_stops_the_job_and_keeps_the_worker(make: Make, volume: Volume, in_process: bool) -> None:
    engine = make(in_process=in_process)
    with pytest.raises(CancelledError):
        rank(engine, volume, "sleep 3000", _cancelled_once_running())
    assert rank(engine, volume, "x").engine.endswith(" 2")  # the second job of the same worker


def test_a_worker_deaf_to_cancel_is_ended(make: Make, volume: Volume) -> None:
    engine = make(cancel_seconds=0.2)
    with pytest.raises(CancelledError, match="was ended"):
        rank(engine, volume, "deaf 60", _cancelled_once_running())
    assert engine.status()[0]["pid"] is None


def _cancelled_once_running() -> Context:
    cancel = threading.Event()

    def on_progress(fraction: float, text: str) -> None:
        if text:  # said by the engine itself
            cancel.set()

    return Context(on_progress, cancel)


def test_a_silent_worker_is_ended(make: Make, volume: Volume) -> None:
    with pytest.raises(EngineError, match="no sign of life"):
        rank(make(stall_seconds=1.5), volume, "stop")


def test_progress_passes_through(make: Make, volume: Volume) -> None:
    seen: list[tuple[float, str]] = []
    context = Context(lambda fraction, text: seen.append((fraction, text)))
    rank(make(), volume, "sleep 5", context.part(0.5, 1.0))
    assert (0.9, "step 4") in seen
    assert all(0.5 <= fraction <= 1 for fraction, _ in seen)


def test_a_failing_progress_callback_leaves_no_job_behind(make: Make, volume: Volume) -> None:
    def broken(fraction: float, text: str) -> None:
        raise KeyboardInterrupt

    engine = make()
    with pytest.raises(KeyboardInterrupt):
        rank(engine, volume, "sleep 100", Context(broken))
    assert engine.status()[0]["pid"] is None


def test_an_idle_worker_is_ended_and_comes_back(make: Make, volume: Volume) -> None:
    engine = make(idle_seconds=0.3)
    rank(engine, volume, "x")
    _wait_until(lambda: engine.status()[0]["pid"] is None)
    rank(engine, volume, "x")
    assert engine.status()[0]["starts"] == 2


def test_jobs_spread_over_devices_and_wait_their_turn(make: Make, volume: Volume, tmp_path: Path) -> None:
    engine = make(devices=("cuda:0", "cuda:1"))
    gate = tmp_path / "gate"
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(rank(engine, volume, f"gate {gate}").engine.split()[0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    _wait_until(lambda: [seat["busy"] for seat in engine.status()] == [True, True, False])
    assert answers == []
    gate.touch()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 4
    assert set(answers) == {"cuda:0", "cuda:1"}


def test_the_unavailable_and_the_unknown_are_refused_before_anything_starts(make: Make, volume: Volume) -> None:
    info = dataclasses.replace(host_engines.describe(), available=False, unavailable_reason="weights are missing")
    engine = make(describe=lambda: info)
    with pytest.raises(NotSupportedError, match="weights are missing"):
        rank(engine, volume, "x")
    with pytest.raises(NotSupportedError, match="does not verify; it can segment, rank"):
        make().verify(volume, TextPrompt("x"), context=Context())
    assert engine.status()[0]["starts"] == 0


@pytest.mark.parametrize("in_process", [False, True])
def test_an_engine_that_cannot_be_built_says_why(make: Make, volume: Volume, in_process: bool) -> None:
    engine = make(factory="host_engines:Unbuildable", in_process=in_process)
    with pytest.raises(NotSupportedError, match="no weights"):
        rank(engine, volume, "x")


def test_what_a_worker_prints_stays_out_of_our_output(
    make: Make, volume: Volume, capfd: pytest.CaptureFixture[str]
) -> None:
    rank(make(), volume, "print")
    assert "noise" not in capfd.readouterr().out


def test_shared_memory_too_small_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: type("usage", (), {"free": 0}))
    array = np.arange(100_000)
    parcel = transfer.pack({"a": array}, "radfind-none")
    assert parcel.block is None
    np.testing.assert_array_equal(transfer.unpack(parcel)["a"], array)


def test_views_are_read_only_and_let_go_of() -> None:
    array = np.arange(100_000)
    parcel = transfer.pack((array, "x"), "radfind-view")
    opener = transfer.Opener()
    view, _ = opener.open(parcel)
    assert not view.flags.writeable
    transfer.discard("radfind-view")
    np.testing.assert_array_equal(view, array)
    assert opener.tidy() == 1
    del view
    assert opener.tidy() == 0


def test_devices_follow_the_visible_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: B (UUID: y)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.visible_devices() == ("cuda:0", "cuda:1", "cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert devices.visible_devices() == ("cuda:0", "cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,-1,0")  # CUDA reads no further than the -1
    assert devices.visible_devices() == ("cuda:0", "cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.visible_devices() == ("cpu",)


def test_a_host_that_is_forgotten_ends_its_worker(make: Make, volume: Volume) -> None:
    engine = host.HostedEngine("host_engines:TrialEngine", describe=host_engines.describe)
    pid = int(rank(engine, volume, "x").engine.split()[1])
    del engine
    _wait_until(lambda: _gone(pid))


@pytest.mark.parametrize("in_process", [False, True])
def test_close_ends_a_job_under_way_and_takes_no_other(make: Make, volume: Volume, in_process: bool) -> None:
    engine = make(in_process=in_process)
    said: list[str] = []
    running = threading.Event()

    def job() -> None:
        with pytest.raises(EngineError) as caught:
            rank(engine, volume, "sleep 3000", Context(lambda fraction, text: running.set()))
        said.append(str(caught.value))

    thread = threading.Thread(target=job)
    thread.start()
    assert running.wait(30)
    pid = engine.status()[0]["pid"]
    engine.close()
    thread.join(30)
    assert "was closed before the job was done" in said[0]
    assert engine.status()[0]["pid"] is None
    assert in_process or _gone(pid)
    with pytest.raises(EngineError, match="has been closed"):
        rank(engine, volume, "x")


def test_a_host_that_is_killed_takes_its_worker_and_shared_memory_with_it(tmp_path: Path) -> None:
    """Also while another process, forked from the host, holds the host's end of the connection open."""
    said = tmp_path / "said"
    killed = subprocess.Popen([sys.executable, str(Path(__file__).with_name("host_to_kill.py")), str(said)])
    _wait_until(lambda: said.is_file() and said.read_text().endswith("."), 60)
    worker_pid, forked_pid = (int(word) for word in said.read_text().removesuffix(".").split())
    try:
        assert list(transfer.block_names(f"radfind-{killed.pid}-"))
        killed.kill()
        killed.wait()
        _wait_until(lambda: _gone(worker_pid))
        assert list(transfer.block_names(f"radfind-{killed.pid}-")) == []
        assert not _gone(forked_pid)
    finally:
        os.kill(forked_pid, signal.SIGKILL)


def _gone(pid: int) -> bool:
    """Whether a process has ended (a dead one that nobody has asked about yet counts)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _wait_until(happened: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def _storm(make: Make, volume: Volume, rounds: int) -> None:
    """Kill, run out of memory and cancel at random times; every job must end in a state that says why."""
    rng = random.Random(5)
    engine = make(cancel_seconds=1.0)
    rank(engine, volume, "x")
    before = _resident_kib()
    for _ in range(rounds):
        kind = rng.choice(["kill", "memory 0", "cancel", "x", "outside"])
        context = Context()
        text = "sleep 50" if kind in ("cancel", "outside") else kind
        timer = threading.Timer(rng.uniform(0, 0.3), context.cancel)
        if kind == "outside":
            timer = threading.Timer(rng.uniform(0, 0.3), _kill_worker, (engine,))
        if text != kind:
            timer.start()
        try:
            result = rank(engine, volume, text, context)
        except CancelledError:
            assert kind == "cancel"
        except EngineError as error:
            assert kind in ("kill", "memory 0", "outside")
            assert "next request starts it again" in str(error) or "smallest batch" in str(error)
        else:
            assert kind in ("x", "outside")  # killed before it started or just after it ended
            assert len(result.scores) == 6
        timer.join() if text != kind else None
    assert len(rank(engine, volume, "x").scores) == 6
    growth = _resident_kib() - before
    print(
        f"{rounds} rounds, {engine.status()[0]['starts']} starts of the worker, {growth} KiB more resident than before"
    )
    assert growth < 20_000
    assert threading.active_count() < 12


def _kill_worker(engine: host.HostedEngine) -> None:
    pid = engine.status()[0]["pid"]
    if pid is not None:
        os.kill(pid, 9)


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_a_storm_of_failures_is_survived(make: Make, volume: Volume) -> None:
    _storm(make, volume, 12)


@pytest.mark.slow
def test_two_hundred_failures_are_survived(make: Make, volume: Volume) -> None:
    _storm(make, volume, 200)
