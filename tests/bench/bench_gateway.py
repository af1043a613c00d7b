"""How the gateway holds up beside plain MONAI Label: responsiveness during an inference, slots, and a soak.

Run: ``python tests/bench/bench_gateway.py [--seconds 60] [--clients 100]``. Server and clients share the machine, so
each line also tells the processor time a request cost the server and the clients, and how busy the machine was.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
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


@contextlib.contextmanager
def radfind_server(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The whole product over a made-up CT: (its address, its process). Its engine computes in a process of its own."""
    from radfind.client import RadFindClient
    from radfind.phantom import LesionSpec, make_phantom, write_dicom

    scan = folder / "studies" / "scan"
    scan.mkdir(parents=True)
    lesions = (LesionSpec("solid_nodule", "right", "upper", 12.0), LesionSpec("solid_nodule", "left", "lower", 8.0))
    write_dicom(make_phantom(seed=7, shape=(160, 256, 256), lesions=lesions).volume, scan)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "radfind.cli", "serve", "--studies", str(folder / "studies"), "--port", port]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, "--state", str(folder / "state")], stdout=log, stderr=log)
        try:
            RadFindClient(f"http://127.0.0.1:{port}").wait_until_ready(alive=lambda: process.poll() is None)
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


class Cost:
    """Processor time since it was made: the server's and this process's, in seconds."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._server, self._clients = self._server_seconds(), time.process_time()

    def _server_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def each(self, requests: int) -> str:
        server = (self._server_seconds() - self._server) / requests * 1000
        clients = (time.process_time() - self._clients) / requests * 1000
        return f"CPU server {server:5.2f} clients {clients:4.2f} ms  load {psutil.getloadavg()[0]:4.1f}"


def show(what: str, seconds: list[float], errors: int, cost: Cost) -> None:
    p50, p95, p99 = np.percentile(np.array(seconds) * 1000, [50, 95, 99])
    figures = f"n {len(seconds):>6}  p50 {p50:7.1f}  p95 {p95:7.1f}  p99 {p99:7.1f} ms  errors {errors}"
    print(f"{what:<58} {figures}  {cost.each(len(seconds))}", flush=True)


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


async def polled(url: str, path: str, clients: int, duration: float) -> tuple[list[float], int]:
    """`clients` ask for `path` once a second each: (seconds each answer took, how many failed)."""
    until = time.monotonic() + duration
    asking = (repeat(url, ("GET", path, b""), b"{", until, 1.0, number / clients) for number in range(clients))
    answers = await asyncio.gather(*asking)
    return [s for a in answers for s in a[0]], sum(a[1] for a in answers)


async def responsive(url: str, name: str, path: str, process: psutil.Process, clients: int) -> None:
    """Polled while an inference that waits runs for 10 s."""
    async with client(url) as http:
        running = asyncio.create_task(infer(http, "sleep", seconds=10))
        await asyncio.sleep(0.2)
        cost = Cost(process)
        seconds, errors = await polled(url, path, clients, 9.0)
        await running
        show(f"{name} {path} while 10 s inference waits", seconds, errors, cost)


async def responsive_beside_work(url: str, path: str, process: psutil.Process, clients: int) -> None:
    """Polled while the engine reads a series and looks through it: all of a processor and more."""
    async with client(url) as http:
        (image,) = (await http.get("/datastore/?output=all")).json()["objects"]
        over, asked = asyncio.Event(), 0

        async def work() -> None:
            nonlocal asked
            while not over.is_set():  # another question each time, so that nothing is remembered
                texts = ("a nodule of 12 mm in the right lung", "ground-glass opacity", "pleural effusion", "emphysema")
                params = json.dumps({"text": texts[asked % len(texts)]})
                answer = await http.post("/infer/radfind_segment", params={"image": image}, data={"params": params})
                assert answer.status_code == 200, answer.text
                asked += 1

        working = asyncio.create_task(work())
        await asyncio.sleep(0.5)
        cost = Cost(process)
        seconds, errors = await polled(url, path, clients, 9.0)
        show(f"RadFind {path} while it looks through a CT", seconds, errors, cost)
        over.set()
        await working


async def slots(url: str, name: str) -> None:
    async with client(url) as http:
        began = time.monotonic()
        await asyncio.gather(*(infer(http, "sleep", seconds=2) for _ in range(3)))
        print(f"{name}: three 2 s inferences together: {time.monotonic() - began:.2f} s", flush=True)


async def soak(url: str, name: str, process: psutil.Process, clients: int, duration: float, pause: float) -> None:
    """`clients` ask for a segmentation with a 20 ms engine every `pause` seconds each."""
    memory: list[float] = []
    cost = Cost(process)
    until = time.monotonic() + duration

    async def watch() -> None:
        while time.monotonic() < until:
            memory.append(process.memory_info().rss / 2**20)
            await asyncio.sleep(1.0)

    request = ("POST", "/infer/quick?image=scan", b"params=%7B%7D")
    asking = (repeat(url, request, b"NRRD", until, pause, n * pause / clients) for n in range(clients))
    *answers, _ = await asyncio.gather(*asking, watch())
    seconds = [s for a in answers for s in a[0]]
    errors = sum(a[1] for a in answers)
    show(f"{name} {clients} clients, 20 ms engine, each every {pause:g} s", seconds, errors, cost)
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
        clients = arguments.clients
        with radfind_server(folder / "product") as (url, process):
            for path in ("/info/", "/health"):
                asyncio.run(responsive_beside_work(url, path, process, clients))
        with server(folder / "a") as (plain, _, theirs), server(folder / "b") as (_, ours, process):
            for path in ("/info/", "/health"):
                asyncio.run(responsive(ours, "gateway", path, process, clients))
            asyncio.run(responsive(plain, "plain MONAI Label", "/info/", theirs, clients))
            asyncio.run(slots(ours, "gateway"))
            asyncio.run(slots(plain, "plain MONAI Label"))
            asyncio.run(soak(ours, "gateway", process, clients, arguments.seconds, 1.0))
            asyncio.run(soak(plain, "plain MONAI Label", theirs, clients, min(arguments.seconds, 15.0), 1.0))


if __name__ == "__main__":
    main()
