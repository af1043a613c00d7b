"""Which devices an engine may use, asked without importing torch."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import subprocess


def visible_devices() -> tuple[str, ...]:
    """Devices an engine may use, best first: every visible CUDA device, then ``"cpu"``.

    Asks ``nvidia-smi`` rather than torch, which takes seconds to import; ``CUDA_VISIBLE_DEVICES`` is
    honoured, and numbering follows it as CUDA's own does.
    """
    tool = shutil.which("nvidia-smi")
    gpus = _gpus(tool) if tool is not None else 0
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        # CUDA stops reading at the first name that is none.
        named = itertools.takewhile(lambda name: name not in ("", "-1"), map(str.strip, chosen.split(",")))
        gpus = min(gpus, len(list(named)))
    return (*(f"cuda:{index}" for index in range(gpus)), "cpu")


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
