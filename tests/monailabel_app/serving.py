"""``radfind serve`` over a folder, in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from radfind.client import RadFindClient


@contextlib.contextmanager
def serving(studies: Path, log: Path) -> Iterator[str]:
    """The address of a server over a folder, while the context lasts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "radfind.cli", "serve", "--studies", str(studies), "--port", str(port)]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            RadFindClient(url).wait_until_ready(alive=lambda: process.poll() is None)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)
