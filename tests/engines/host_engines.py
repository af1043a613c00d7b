"""Engines that misbehave on purpose, for the tests of the host. Imported in the worker process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from radfind.engines.api import Context, EngineInfo
from radfind.errors import ImageError, NotSupportedError
from radfind.prompts import TextPrompt
from radfind.results import Ranking, Segment, Segmentation
from radfind.volume import Volume


def describe() -> EngineInfo:
    return EngineInfo("trial", ("segment", "rank"), ("CT",), ("TextPrompt",), None, "Apache-2.0")


class TrialEngine:
    """Does what the prompt's text says."""

    def __init__(self, device: str, batch: int = 8) -> None:
        self.device = device
        self.batch = batch
        self.jobs = 0

    def shrink(self) -> str | None:
        if self.batch <= 1:
            return None
        self.batch //= 2
        return f"batch of {self.batch} slices: memory ran out"

    def segment(self, volume: Volume, prompts: Any, *, context: Context) -> Segmentation:
        mask = volume.array > 0
        return Segmentation(volume.geometry, (Segment("above zero", mask),), engine=self.device)

    def rank(self, volume: Volume, prompt: TextPrompt, *, context: Context, **options: Any) -> Ranking:
        self.jobs += 1
        word, _, number = prompt.text.partition(" ")
        if word == "kill":
            context.step(0.5, "half way")
            os.kill(os.getpid(), signal.SIGKILL)
        elif word == "crash":
            raise ValueError("a bug in the engine")
        elif word == "image":
            raise ImageError("slice 3 cannot be read")
        elif word == "unsupported":
            raise NotSupportedError("it does not know that")
        elif word == "memory":
            if self.batch > int(number):
                raise MemoryError("no room for the batch")
        elif word == "gpu-memory":
            if self.device != "cpu":
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        elif word == "sleep":
            for step in range(int(number)):
                context.step(step / int(number), f"step {step}")
                time.sleep(0.02)
        elif word == "gate":
            while not Path(number).exists():
                context.step(0.5, "at the gate")
                time.sleep(0.02)
        elif word == "deaf":
            context.step(0.5, "deaf from here on")
            time.sleep(float(number))
        elif word == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif word == "print":
            print("noise")
        scores = volume.array.reshape(len(volume.array), -1).mean(axis=1).astype(float)
        return Ranking((), scores, engine=f"{self.device} {os.getpid()} {self.jobs}", notes=(str(options),))


class Unbuildable:
    def __init__(self, device: str) -> None:
        raise NotSupportedError("no weights")


def zeros(shape: tuple[int, int, int] = (4, 64, 64)) -> np.ndarray:
    return np.zeros(shape, np.int16)
