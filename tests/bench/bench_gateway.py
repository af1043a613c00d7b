"""How the gateway holds up beside plain MONAI Label: responsiveness during an inference, slots, and a soak.

Run: ``python tests/bench/bench_gateway.py [--seconds 60] [--clients 100]``. Server and clients share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "monailabel_app"))

from gateway_fakes import nrrd  # noqa: E402


@contextlib.contextmanager
def server(folder: Path) -> Iterator[tuple[str, str, psutil.Process]]:
    """(address of plain MONAI Label, address of the gateway, their process)."""
    studies = folder / "studies"
    studies.mkdir(parents=True)
    (studies / "scan.nrrd").write_bytes(nrrd())
    command = [sys.executable, str(TESTS / "monailabel_app" / "two_servers.py"), str(studies), str(folder / "state")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None and process.stdin is not None
        line = next(line for line in process.stdout if line.startswith("http://"))
        try:
            plain, ours = line.split()
            yield plain, ours, psutil.Process(process.pid)
        finally:
            process.stdin.close()
            process.terminate()
            process.wait(20)


def show(what: str, seconds: list[float], errors: int = 0) -> None:
    p50, p95, p99 = np.percentile(np.array(seconds) * 1000, [50, 95, 99])
    figures = f"n {len(seconds):>6}  p50 {p50:7.1f}  p95 {p95:7.1f}  p99 {p99:7.1f} ms  errors {errors}"
    print(f"{what:<58} {figures}", flush=True)


class Connection:
    """One client, kept alive. Bare on purpose: a full HTTP client costs more processor time than the server does."""

    def __init__(self, url: str) -> None:
        self._host, port = url.removeprefix("http://").split(":")
        self._port = int(port)

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """(status, body)."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        self._writer.write((head + "Content-Type: application/x-www-form-urlencoded\r\n\r\n").encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
        return int(lines[0].split()[1]), await self._reader.readexactly(length)


def client(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    return httpx.AsyncClient(base_url=url, timeout=120, limits=limits)


async def infer(http: httpx.AsyncClient, model: str, **params: object) -> httpx.Response:
    return await http.post(f"/infer/{model}", params={"image": "scan"}, data={"params": json.dumps(params)})


async def repeat(
    url: str, request: tuple[str, str, bytes], expected: bytes, until: float, pause: float, offset: float
) -> tuple[list[float], int]:
    """One client that asks every `pause` seconds: (seconds each took, how many failed)."""
    await asyncio.sleep(offset)
    seconds, errors = [], 0
    async with Connection(url) as connection:
        while time.monotonic() < until:
            began = time.monotonic()
            status, body = await connection.ask(*request)
            seconds.append(time.monotonic() - began)
            errors += status != 200 or expected not in body
            await asyncio.sleep(max(0.0, pause - seconds[-1]))
    return seconds, errors


async def responsive(url: str, name: str, path: str, clients: int) -> None:
    """`clients` poll `path` once a second each while a 10 s inference runs."""
    async with client(url) as http:
        running = asyncio.create_task(infer(http, "sleep", seconds=10))
        await asyncio.sleep(0.2)
        until = time.monotonic() + 9.0
        request = ("GET", path, b"")
        answers = await asyncio.gather(
            *(repeat(url, request, b"{", until, 1.0, number / clients) for number in range(clients))
        )
        await running
        show(f"{name} {path} while 10 s inference runs", [s for a in answers for s in a[0]], sum(a[1] for a in answers))


async def slots(url: str, name: str) -> None:
    async with client(url) as http:
        began = time.monotonic()
        await asyncio.gather(*(infer(http, "sleep", seconds=2) for _ in range(3)))
        print(f"{name}: three 2 s inferences together: {time.monotonic() - began:.2f} s", flush=True)


async def soak(url: str, name: str, process: psutil.Process, clients: int, duration: float, pause: float) -> None:
    """`clients` ask for a segmentation with a 20 ms engine every `pause` seconds each."""
    memory: list[float] = []
    until = time.monotonic() + duration

    async def watch() -> None:
        while time.monotonic() < until:
            memory.append(process.memory_info().rss / 2**20)
            await asyncio.sleep(1.0)

    request = ("POST", "/infer/quick?image=scan", b"params=%7B%7D")
    asking = (repeat(url, request, b"NRRD", until, pause, n * pause / clients) for n in range(clients))
    *answers, _ = await asyncio.gather(*asking, watch())
    seconds = [s for a in answers for s in a[0]]
    show(f"{name} {clients} clients, 20 ms engine, each every {pause:g} s", seconds, sum(a[1] for a in answers))
    tenth = max(1, len(memory) // 10)
    first, last = np.mean(memory[tenth : 2 * tenth]), np.mean(memory[-tenth:])
    print(
        f"    {len(seconds) / duration:.0f} a second; memory {first:.0f} MB early, {last:.0f} MB at the end", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the soak")
    parser.add_argument("--clients", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder / "a") as (plain, _, _), server(folder / "b") as (_, ours, process):
            for path in ("/info/", "/health"):
                asyncio.run(responsive(ours, "gateway", path, arguments.clients))
            asyncio.run(responsive(plain, "plain MONAI Label", "/info/", arguments.clients))
            asyncio.run(slots(ours, "gateway"))
            asyncio.run(slots(plain, "plain MONAI Label"))
            asyncio.run(soak(ours, "gateway", process, arguments.clients, arguments.seconds, 1.0))
            asyncio.run(soak(plain, "plain MONAI Label", process, arguments.clients, min(arguments.seconds, 15.0), 1.0))


if __name__ == "__main__":
    main()
