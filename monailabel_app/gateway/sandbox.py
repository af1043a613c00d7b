"""Uploads are decoded once in a child process with limits before anything here opens them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.settings import Settings

WALL_SECONDS = 180.0
_PLACES = 2
_places: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}


async def check(kind: str, path: Path, settings: Settings) -> None:
    """Decode an upload in a child.

    Arguments:
        kind: "image", "label", or "session" (an image, or a folder of files).

    Raises:
        Refusal: 422, it cannot be read within the limits, and why.
    """
    loop = asyncio.get_running_loop()
    async with _places.setdefault(loop, asyncio.Semaphore(_PLACES)):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "monailabel_app.gateway.decode",
            kind,
            str(path),
            str(settings.decode_memory),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=path.parent,
            env=_environment(path.parent),
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), WALL_SECONDS)
        except asyncio.TimeoutError:
            raise Refusal(422, "The upload takes too long to decode and was refused.") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    try:
        verdict = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        raise Refusal(422, "The upload needs more memory or time to decode than is allowed.") from None
    if not verdict["ok"]:
        raise Refusal(422, f"The upload was refused: {verdict['reason']}")


def _environment(folder: Path) -> dict[str, str]:
    """Little: the child needs no secrets, and its temporary files belong into the request's folder."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "TMPDIR": str(folder), "HOME": str(folder), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
