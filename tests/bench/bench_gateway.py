"""How the gateway holds up beside plain MONAI Label: responsiveness during an inference, slots, and a soak.

Run: ``python tests/bench/bench_gateway.py [--seconds 300] [--clients 100]``; under 8 minutes. Each line that has a
target ends in PASS or FAIL, and so does the process: its exit code is the number of targets missed. Server and clients
share the machine, so each line also tells how much of a processor the server's process and the clients took, and the
load: a machine that others keep busy measures them.
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

POLL_MS, SOAK_MS, SLOTS_SECONDS, MEMORY_GROWTH = 50.0, 300.0, 2.5, 1.03
missed = 0


def verdict(met: bool, target: str) -> str:
    """PASS or FAIL, counted."""
    global missed
    missed += not met
    return f"{'PASS' if met else 'FAIL'} (target: {target})"


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
        self._began, self._server, self._clients = time.monotonic(), self._server_seconds(), time.process_time()

    def _server_seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def each(self, requests: int) -> str:
        seconds = time.monotonic() - self._began
        server, clients = self._server_seconds() - self._server, time.process_time() - self._clients
        return (
            f"server {server / requests * 1000:.2f} ms a request, {server / seconds:.0%} of a processor; "
            f"clients {clients / seconds:.0%}; load {psutil.getloadavg()[0]:.1f}"
        )


class Answers:
    """What many clients saw."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors = 0


def show(what: str, answers: Answers, cost: Cost) -> tuple[float, float]:
    """Print; returns the 95th and 99th percentile in ms."""
    p50, p95, p99 = (float(p) for p in np.percentile(np.array(answers.seconds) * 1000, [50, 95, 99]))
    figures = f"n {len(answers.seconds)}, p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms, errors {answers.errors}"
    print(f"{what}: {figures}\n    {cost.each(len(answers.seconds))}", flush=True)
    return p95, p99


class Connection(asyncio.Protocol):
    """One client, kept alive. Bare on purpose: a full HTTP client costs more processor time than the server does."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, url: str) -> Connection:
        host, port = url.removeprefix("http://").split(":")
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r")[0])
        if len(self._received) >= end + length and self._answer is not None:
            self._answer.set_result(bytes(self._received))
            self._received.clear()

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("closed"))

    async def ask(self, request: bytes) -> bytes:
        """The whole answer, head and body."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    return (head + "Content-Type: application/x-www-form-urlencoded\r\n\r\n").encode() + body


def client(url: str) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    return httpx.AsyncClient(base_url=url, timeout=120, limits=limits)


async def infer(http: httpx.AsyncClient, model: str, **params: object) -> httpx.Response:
    return await http.post(f"/infer/{model}", params={"image": "scan"}, data={"params": json.dumps(params)})


async def repeat(
    url: str, question: bytes, expected: bytes, until: float, pause: float, offset: float, answers: Answers
) -> None:
    """One client that asks every `pause` seconds; with 0 it asks again at once."""
    await asyncio.sleep(offset)
    connection = await Connection.open(url)
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            answer = await connection.ask(question)
        except ConnectionError:
            answer, connection = b"", await Connection.open(url)
        took = time.monotonic() - began
        answers.seconds.append(took)
        answers.errors += not answer.startswith(b"HTTP/1.1 200") or expected not in answer
        if pause > took:
            await asyncio.sleep(pause - took)
    connection.transport.close()


async def asked(
    url: str, question: bytes, expected: bytes, clients: int, duration: float, pause: float = 1.0
) -> Answers:
    """`clients` ask the same for `duration` seconds, spread over the pause."""
    answers, until = Answers(), time.monotonic() + duration
    offsets = (number * pause / clients for number in range(clients))
    await asyncio.gather(*(repeat(url, question, expected, until, pause, offset, answers) for offset in offsets))
    return answers


async def responsive(url: str, name: str, path: str, process: psutil.Process, clients: int) -> None:
    """Polled while an inference that waits runs for 10 s."""
    async with client(url) as http:
        running = asyncio.create_task(infer(http, "sleep", seconds=10))
        await asyncio.sleep(0.2)
        cost = Cost(process)
        answers = await asked(url, request("GET", path), b"{", clients, 9.0)
        _, p99 = show(f"{name}: {path} once a second by {clients} clients while a 10 s inference waits", answers, cost)
        if name == "gateway":
            print("   ", verdict(p99 < POLL_MS and not answers.errors, f"p99 < {POLL_MS:.0f} ms"), flush=True)
        await running


async def responsive_beside_work(url: str, path: str, process: psutil.Process, clients: int) -> None:
    """Polled while the engine reads a series and looks through it: all of a processor and more."""
    async with client(url) as http:
        (image,) = (await http.get("/datastore/?output=all")).json()["objects"]
        over, asked_for = asyncio.Event(), 0

        async def work() -> None:
            nonlocal asked_for
            while not over.is_set():  # another question each time, so that nothing is remembered
                texts = ("a nodule of 12 mm in the right lung", "ground-glass opacity", "pleural effusion", "emphysema")
                params = json.dumps({"text": texts[asked_for % len(texts)]})
                answer = await http.post("/infer/radfind_segment", params={"image": image}, data={"params": params})
                assert answer.status_code == 200, answer.text
                asked_for += 1

        working = asyncio.create_task(work())
        await asyncio.sleep(0.5)
        cost = Cost(process)
        answers = await asked(url, request("GET", path), b"{", clients, 9.0)
        _, p99 = show(f"RadFind: {path} once a second by {clients} clients while it looks through a CT", answers, cost)
        print("   ", verdict(p99 < POLL_MS and not answers.errors, f"p99 < {POLL_MS:.0f} ms"), flush=True)
        over.set()
        await working


async def slots(url: str, name: str) -> None:
    async with client(url) as http:
        began = time.monotonic()
        await asyncio.gather(*(infer(http, "sleep", seconds=2) for _ in range(3)))
        seconds = time.monotonic() - began
        told = verdict(seconds < SLOTS_SECONDS, f"< {SLOTS_SECONDS} s, not 6") if name == "gateway" else ""
        print(f"{name}: three 2 s inferences on three slots: {seconds:.2f} s {told}", flush=True)


async def soak(url: str, name: str, process: psutil.Process, clients: int, duration: float, pause: float) -> None:
    """`clients` ask for a segmentation with a 20 ms engine, each every `pause` seconds."""
    memory: list[float] = []

    async def watch() -> None:
        while True:
            memory.append(process.memory_info().rss / 2**20)
            await asyncio.sleep(1.0)

    watching, cost = asyncio.create_task(watch()), Cost(process)
    question = request("POST", "/infer/quick?image=scan", b"params=%7B%7D")
    answers = await asked(url, question, b"NRRD", clients, duration, pause)
    watching.cancel()
    when = f"each every {pause:g} s" if pause else "each again at once"
    p95, _ = show(f"{name}: {clients} clients, 20 ms engine, {when}, {duration:.0f} s", answers, cost)
    tenth = max(1, len(memory) // 10)
    first, last = float(np.mean(memory[tenth : 2 * tenth])), float(np.mean(memory[-tenth:]))
    print(f"    {len(answers.seconds) / duration:.0f} a second; memory {first:.0f} MB early, {last:.0f} MB at the end")
    if name == "gateway":
        print("   ", verdict(p95 < SOAK_MS, f"p95 < {SOAK_MS:.0f} ms"))
        print("   ", verdict(answers.errors == 0, "no errors"))
        print("   ", verdict(last < first * MEMORY_GROWTH, f"memory within {MEMORY_GROWTH - 1:.0%}"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="of the soak; a tenth without pauses")
    parser.add_argument("--clients", type=int, default=100)
    arguments = parser.parse_args()
    clients, seconds = arguments.clients, arguments.seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with radfind_server(folder / "product") as (url, process):
            for path in ("/info/", "/health"):
                asyncio.run(responsive_beside_work(url, path, process, clients))
        with server(folder / "a") as (plain, _, theirs), server(folder / "b") as (_, ours, process):
            for path in ("/info/", "/health"):
                asyncio.run(responsive(ours, "gateway", path, process, clients))
            asyncio.run(responsive(plain, "plain MONAI Label", "/info/", theirs, clients))
            asyncio.run(slots(ours, "gateway"))
            asyncio.run(slots(plain, "plain MONAI Label"))
            asyncio.run(soak(ours, "gateway", process, clients, seconds, 1.0))
            asyncio.run(soak(ours, "gateway", process, clients, seconds / 10, 0.0))
            asyncio.run(soak(plain, "plain MONAI Label", theirs, clients, min(seconds, 15.0), 1.0))
    print(f"{missed} targets missed" if missed else "all targets met")
    sys.exit(missed)


if __name__ == "__main__":
    main()
