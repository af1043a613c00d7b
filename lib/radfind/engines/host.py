"""Runs an engine in a process of its own, one per device.

A crash, an out-of-memory kill or a library's licence then stays inside that process, device memory is
really freed when it ends, and any job can be cancelled. `HostedEngine` speaks the same three protocols
as the engine it hosts.
"""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from radfind.engines.api import Context, EngineInfo
from radfind.engines.seat import POLL_SECONDS, Limits, OutOfMemoryError, Seat, with_notes
from radfind.errors import EngineError, NotSupportedError
from radfind.prompts import ExemplarPrompt, Prompt, TextPrompt
from radfind.results import Ranking, Segmentation, Verdict
from radfind.volume import Volume


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
        limits = Limits(idle_seconds, cancel_seconds, stall_seconds)

        def seat(device: str) -> Seat:
            return Seat(
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
        weakref.finalize(self, _close_all, [*self._seats, self._refuge])

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

    def close(self) -> None:
        """End every worker, also in mid-job (such a job fails and says so); no job is taken afterwards.

        Happens by itself when the host is forgotten and when the program ends; a host that is killed takes
        its workers with it.
        """
        self._closed = True
        _close_all([*self._seats, self._refuge])

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
            except OutOfMemoryError:
                seat.stop()  # really gives the device's memory back
                raise
            finally:
                self._give(seat)
        except OutOfMemoryError as error:
            if not self._allow_cpu or seat.device == "cpu":
                raise EngineError(
                    f"The engine '{info.name}' ran out of memory on {seat.device} even with its smallest batch "
                    f"({error}). Free memory there, choose a smaller model or image size, or another device."
                ) from None
        seat = self._take([self._refuge], context)
        try:
            result = seat.run(task, arguments, options, context)
        except OutOfMemoryError as error:
            raise EngineError(
                f"The engine '{info.name}' ran out of memory on the GPU and on the CPU ({error}). "
                "Free memory, or choose a smaller model or image size."
            ) from None
        finally:
            self._give(seat)
        return with_notes(result, ("ran on the CPU: the GPU's memory was not enough",))

    def _take(self, seats: Sequence[Seat], context: Context) -> Seat:
        """The first free worker of `seats`; waits for one, checking for cancellation meanwhile."""
        with self._free:
            while True:
                for seat in seats:
                    if seat.lock.acquire(blocking=False):
                        return seat
                context.step(0.0, "waiting for a free engine")
                self._free.wait(POLL_SECONDS)

    def _give(self, seat: Seat) -> None:
        with self._free:
            seat.lock.release()
            self._free.notify_all()


def _close_all(seats: list[Seat]) -> None:
    for seat in seats:
        seat.close()


def _contiguous(volume: Volume) -> Volume:
    # Only contiguous arrays leave the pickle for shared memory.
    if volume.array.flags.c_contiguous:
        return volume
    return dataclasses.replace(volume, array=np.ascontiguousarray(volume.array))


def _contiguous_prompt(prompt: Prompt) -> Prompt:
    if isinstance(prompt, ExemplarPrompt):
        return dataclasses.replace(prompt, volume=_contiguous(prompt.volume), mask=np.ascontiguousarray(prompt.mask))
    return prompt
