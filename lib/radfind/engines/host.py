"""Runs an engine in a process of its own, one per device.

A crash, an out-of-memory kill or a library's licence then stays inside that process, device memory is
really freed when it ends, and any job can be cancelled. `HostedEngine` speaks the same three protocols
as the engine it hosts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from radfind import errors
from radfind.engines import transfer, worker
from radfind.engines.api import Context, EngineInfo
from radfind.errors import CancelledError, EngineError, NotSupportedError
from radfind.prompts import ExemplarPrompt, Prompt, TextPrompt
from radfind.results import Ranking, Segmentation, Verdict
from radfind.volume import Volume

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_jobs = itertools.count()


def visible_devices() -> tuple[str, ...]:
    """Devices an engine may use, best first: every visible CUDA device, then ``"cpu"``.

    Asks ``nvidia-smi`` rather than torch, which takes seconds to import; ``CUDA_VISIBLE_DEVICES`` is
    honoured, and numbering follows it as CUDA's own does.
    """
    tool = shutil.which("nvidia-smi")
    gpus = _gpus(tool) if tool is not None else 0
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name for name in chosen.split(",") if name.strip() not in ("", "-1")]
        gpus = min(gpus, len(names))
    return (*(f"cuda:{index}" for index in range(gpus)), "cpu")


class HostedEngine:
    """An engine in worker processes, one per device; jobs go to the first free one.

    Arguments:
        factory: ``"module:callable"`` that builds the engine; called in the worker with `options` and
            ``device=``. It must be importable there and light: weights are loaded at the first job.
        options: gives the keyword arguments of the factory, picklable, each time a worker starts (weights may
            have arrived meanwhile).
        describe: gives the engine's `EngineInfo` without starting anything.
        devices: where to run; a job takes the first that is free.
        allow_cpu: after an out-of-memory on a GPU that a smaller batch does not cure, run the job on
            the CPU instead and say so in the result.
        idle_seconds: end a worker (and free its memory) after this long without a job.
        cancel_seconds: a worker that has not obeyed a cancel by then is killed.
        stall_seconds: a worker that has shown no sign of life for that long is killed.
        environment: variables set in the worker, e.g. to keep a library off the network.
        in_process: run the same protocol on a thread of this process, for tests and debugging; nothing
            can then be killed.

    Raises (from the tasks):
        NotSupportedError: the engine is not available or has no such task.
        CancelledError: the job's context was cancelled.
        EngineError: the engine failed or its process died; the next job starts a fresh one.
    """

    def __init__(
        self,
        factory: str,
        options: Callable[[], Mapping[str, Any]] = dict,
        *,
        describe: Callable[[], EngineInfo],
        devices: Sequence[str] = ("cpu",),
        allow_cpu: bool = True,
        idle_seconds: float = 600.0,
        cancel_seconds: float = 10.0,
        stall_seconds: float = 300.0,
        environment: Mapping[str, str] | None = None,
        in_process: bool = False,
    ) -> None:
        self._describe = describe
        self._allow_cpu = allow_cpu
        limits = _Limits(idle_seconds, cancel_seconds, stall_seconds)

        def seat(device: str) -> _Seat:
            return _Seat(
                lambda: describe().name,
                factory,
                options,
                device,
                limits,
                dict(environment or {}),
                in_process,
            )

        self._seats = [seat(device) for device in devices]
        self._refuge = seat("cpu")  # for jobs a GPU has no room for; started only then
        self._free = threading.Condition()
        self._closed = False
        weakref.finalize(self, _stop_all, [*self._seats, self._refuge])

    def info(self) -> EngineInfo:
        return self._describe()

    def segment(self, volume: Volume, prompts: Sequence[Prompt], *, context: Context) -> Segmentation:
        contiguous = tuple(_contiguous_prompt(prompt) for prompt in prompts)
        result: Segmentation = self._call("segment", (_contiguous(volume), contiguous), {}, context)
        return result

    def rank(
        self,
        volume: Volume,
        prompt: TextPrompt,
        *,
        top_k: int = 10,
        threshold: float = 0.0,
        spread: bool = True,
        context: Context,
    ) -> Ranking:
        options = {"top_k": top_k, "threshold": threshold, "spread": spread}
        result: Ranking = self._call("rank", (_contiguous(volume), prompt), options, context)
        return result

    def verify(self, volume: Volume, prompt: TextPrompt, *, context: Context) -> tuple[Verdict, ...]:
        result: tuple[Verdict, ...] = self._call("verify", (_contiguous(volume), prompt), {}, context)
        return result

    def status(self) -> tuple[dict[str, Any], ...]:
        """For each worker: device, process id (None when not running), whether it is busy, starts so far."""
        return tuple(seat.status() for seat in (*self._seats, self._refuge))

    def unload(self) -> None:
        """End every idle worker and free its memory; the next job starts one again."""
        for seat in (*self._seats, self._refuge):
            if seat.lock.acquire(blocking=False):
                try:
                    seat.stop()
                finally:
                    seat.lock.release()

    def close(self) -> None:
        """End every worker, also in mid-job; no job is taken afterwards."""
        self._closed = True
        _stop_all([*self._seats, self._refuge])

    def _call(self, task: str, arguments: tuple[Any, ...], options: dict[str, Any], context: Context) -> Any:
        info = self.info()
        if self._closed:
            raise EngineError(f"The engine '{info.name}' has been closed; start the program again to use it.")
        if not info.available:
            raise NotSupportedError(f"The engine '{info.name}' cannot answer here: {info.unavailable_reason}")
        if task not in info.tasks:
            raise NotSupportedError(f"The engine '{info.name}' does not {task}; it can {', '.join(info.tasks)}.")
        try:
            seat = self._take(self._seats, context)
            try:
                return seat.run(task, arguments, options, context)
            except _OutOfMemoryError:
                seat.stop()  # really gives the device's memory back
                raise
            finally:
                self._give(seat)
        except _OutOfMemoryError as error:
            if not self._allow_cpu or seat.device == "cpu":
                raise EngineError(
                    f"The engine '{info.name}' ran out of memory on {seat.device} even with its smallest batch "
                    f"({error}). Free memory there, choose a smaller model or image size, or another device."
                ) from None
        seat = self._take([self._refuge], context)
        try:
            result = seat.run(task, arguments, options, context)
        except _OutOfMemoryError as error:
            raise EngineError(
                f"The engine '{info.name}' ran out of memory on the GPU and on the CPU ({error}). "
                "Free memory, or choose a smaller model or image size."
            ) from None
        finally:
            self._give(seat)
        return _with_notes(result, ("ran on the CPU: the GPU's memory was not enough",))

    def _take(self, seats: Sequence[_Seat], context: Context) -> _Seat:
        """The first free worker of `seats`; waits for one, checking for cancellation meanwhile."""
        with self._free:
            while True:
                for seat in seats:
                    if seat.lock.acquire(blocking=False):
                        return seat
                context.step(0.0, "waiting for a free engine")
                self._free.wait(_POLL_SECONDS)

    def _give(self, seat: _Seat) -> None:
        with self._free:
            seat.lock.release()
            self._free.notify_all()


@dataclasses.dataclass(frozen=True)
class _Limits:
    idle: float
    cancel: float
    stall: float


class _OutOfMemoryError(Exception):
    """The worker ran out of memory and could shrink no further."""


class _Seat:
    """One device's worker: started when needed, ended when idle, replaced when dead. Use under `lock`."""

    def __init__(
        self,
        name: Callable[[], str],
        factory: str,
        options: Callable[[], Mapping[str, Any]],
        device: str,
        limits: _Limits,
        environment: dict[str, str],
        in_process: bool,
    ) -> None:
        self._name, self._factory, self._options = name, factory, options
        self.device = device
        self.lock = threading.Lock()
        self._limits = limits
        self._environment = environment
        self._in_process = in_process
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._idle: threading.Timer | None = None
        self._starts = 0

    def status(self) -> dict[str, Any]:
        process = self._process
        running = process is not None and process.poll() is None
        return {
            "device": self.device,
            "pid": process.pid if process is not None and running else None,
            "busy": self.lock.locked(),
            "starts": self._starts,
        }

    def run(self, task: str, arguments: tuple[Any, ...], options: dict[str, Any], context: Context) -> Any:
        if self._idle is not None:
            self._idle.cancel()
        job = f"radfind-{os.getpid()}-{next(_jobs)}"
        parcel = transfer.pack((arguments, options), f"{job}-q")
        try:
            connection = self._connected()
            connection.send(("run", job, task, parcel))
            return self._await(connection, job, context)
        except (EOFError, OSError):
            raise EngineError(self._obituary()) from None
        except (CancelledError, errors.InputError, _OutOfMemoryError, EngineError):
            raise
        except BaseException:  # a progress callback or the user's Ctrl-C: leave no half-done job behind
            self.stop()
            raise
        finally:
            for block in (f"{job}-q", f"{job}-r"):
                transfer.discard(block)
            self._arm_idle()

    def _await(self, connection: Connection, job: str, context: Context) -> Any:
        fraction, text = 0.0, ""
        alive = time.monotonic()
        give_up: float | None = None
        while True:
            if connection.poll(_POLL_SECONDS):
                kind, *rest = connection.recv()
                alive = time.monotonic()
                if kind == "failed" and rest[0] in (job, ""):
                    if rest[0] == "":
                        self.stop()  # the engine could not be built: nothing lives in that process
                    raise self._error(rest[1], rest[2])
                if kind in ("progress", "done", "memory") and rest[0] == job:
                    if kind == "done":
                        return _with_notes(transfer.unpack(rest[1]), rest[2])
                    if kind == "memory":
                        raise _OutOfMemoryError(rest[1])
                    _, fraction, text = rest
                    if give_up is None and not context.cancelled:
                        context.step(fraction, text)
            now = time.monotonic()
            if give_up is None and context.cancelled:
                connection.send(("cancel", job))
                give_up = now + self._limits.cancel
            if give_up is not None and now > give_up:
                self.stop()
                raise CancelledError("The job was cancelled (its engine did not stop by itself and was ended).")
            if now - alive > self._limits.stall:
                self.stop()
                raise EngineError(
                    f"The engine '{self._name()}' showed no sign of life for {self._limits.stall:.0f} s and was ended. "
                    "Nothing was returned; the next request starts it again."
                )

    def _error(self, kind: str, text: str) -> Exception:
        if kind == "EngineError":
            return EngineError(f"The engine '{self._name()}' failed: {text}")
        error: Exception = getattr(errors, kind)(text)
        return error

    def _connected(self) -> Connection:
        process = self._process
        if self._connection is not None and (self._in_process or (process is not None and process.poll() is None)):
            return self._connection
        self.stop()
        ours, theirs = multiprocessing.Pipe()
        if self._in_process:
            threading.Thread(target=worker.serve, args=(theirs,), kwargs={"leave": lambda: None}, daemon=True).start()
        else:
            # Not multiprocessing's spawn, which would import the caller's __main__ again in the worker:
            # MONAI Label's takes half a minute.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "radfind.engines.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # a chatty library must not write into our caller's JSON
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **self._environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C goes to the host, which cancels in order
            )
            theirs.close()
        self._starts += 1
        self._connection = ours
        ours.send(("start", list(sys.path), self._factory, {**self._options(), "device": self.device}))
        return ours

    def _obituary(self) -> str:
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=2.0)
        how = f"exit code {code}"
        if code is not None and code < 0:
            how = f"ended by signal {-code} ({signal.strsignal(-code)})"
        if code == -signal.SIGKILL:
            how += "; the system does this when memory runs out, or someone ended it"
        self.stop()
        return (
            f"The process of the engine '{self._name()}' died in the middle of the job: {how}. "
            "Nothing was returned; the next request starts it again."
        )

    def _arm_idle(self) -> None:
        if self._connection is None:
            return
        self._idle = threading.Timer(self._limits.idle, self._unload)
        self._idle.daemon = True
        self._idle.start()

    def _unload(self) -> None:
        if self.lock.acquire(blocking=False):
            try:
                logger.info("engine idle: freeing %s", self.device)
                self.stop()
            finally:
                self.lock.release()

    def stop(self) -> None:
        """End the worker now; its memory returns to the system."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        connection, self._connection = self._connection, None
        process, self._process = self._process, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.kill()
            process.wait()


def gpus_or_cpu() -> tuple[str, ...]:
    """The visible CUDA devices, or the CPU where there is none."""
    devices = visible_devices()
    return devices[:-1] or devices


@functools.cache
def _gpus(tool: str) -> int:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=10, check=True)
        return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return 0


def _stop_all(seats: list[_Seat]) -> None:
    for seat in seats:
        seat.stop()


def _contiguous(volume: Volume) -> Volume:
    # Only contiguous arrays leave the pickle for shared memory.
    if volume.array.flags.c_contiguous:
        return volume
    return dataclasses.replace(volume, array=np.ascontiguousarray(volume.array))


def _contiguous_prompt(prompt: Prompt) -> Prompt:
    if isinstance(prompt, ExemplarPrompt):
        return dataclasses.replace(prompt, volume=_contiguous(prompt.volume), mask=np.ascontiguousarray(prompt.mask))
    return prompt


def _with_notes(result: Any, notes: Sequence[str]) -> Any:
    """The result, saying how memory pressure changed the way it was made."""
    if not notes:
        return result
    if isinstance(result, (Segmentation, Ranking)):
        return dataclasses.replace(result, notes=(*result.notes, *notes))
    said = f" ({'; '.join(notes)})"
    return tuple(dataclasses.replace(verdict, engine=verdict.engine + said) for verdict in result)
