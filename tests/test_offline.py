"""The guard itself: neither the tests nor the processes they start can leave this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

# 192.0.2.0/24 and .invalid belong to nobody (RFC 5737, RFC 2606).
LEAVE = {
    "connect to 192.0.2.1": "import socket; socket.create_connection(('192.0.2.1', 80), 1)",
    "look up nowhere.invalid": "import urllib.request; urllib.request.urlopen('http://nowhere.invalid/', timeout=1)",
}


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another file than the one the whole run is judged by."""
    monkeypatch.setenv("RADFIND_REFUSED", str(tmp_path / "refused"))
    yield tmp_path / "refused"


@pytest.mark.parametrize("what", list(LEAVE))
def test_a_process_of_a_test_is_kept_here_and_the_try_is_remembered(what: str, record: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LEAVE[what]], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"a test tried to {what}" in done.stderr
    assert record.read_text().startswith(what)


def test_the_tests_themselves_are_kept_here(record: Path) -> None:
    with pytest.raises(PermissionError, match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(PermissionError):
        udp.sendto(b"x", ("192.0.2.1", 53))
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nowhere.invalid", 80)
    assert len(record.read_text().splitlines()) == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", socket.gethostname()])
def test_this_machine_can_be_reached(host: str) -> None:
    with socket.create_server(("", 0)) as server:
        accepted = threading.Thread(target=server.accept)
        accepted.start()
        address = "127.0.0.1" if host == socket.gethostname() else host
        socket.create_connection((address, server.getsockname()[1]), 5).close()
        accepted.join(5)
    assert "RADFIND_REFUSED" in os.environ
