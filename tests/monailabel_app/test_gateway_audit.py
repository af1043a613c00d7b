"""The audit log: what it holds, what it never holds, and that tampering shows."""

from __future__ import annotations

import errno
import io
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_fakes import FakeTask, eventually, live

from monailabel_app.gateway.audit import AuditLog, verify
from monailabel_app.gateway.logs import JsonLines


class Ranked(FakeTask):
    """Answers as radfind_rank does."""

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        volume = {"study_uid": "1.2.3", "series_uid": "1.2.3.4", "shape_kji": [98, 512, 512]}
        return None, {"slices": [{"score": 0.9}, {"score": 0.5}], "volume": volume}


def entries(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "audit.jsonl").read_text().splitlines()]


def filled(state: Path, count: int = 20) -> Path:
    state.mkdir()
    log = AuditLog(state)
    for number in range(count):
        log.record("job", who=f"user{number}", latency_ms=number)
    log.close()
    return state


def test_a_question_leaves_one_entry_without_its_text(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": Ranked()}) as server:
        form = {"params": json.dumps({"text": "Mr Doe: solid nodule"})}
        httpx.post(f"{server.url}/infer/fake?image=scan", data=form)
        httpx.get(f"{server.url}/info/", headers={"Host": "evil.example"})
    job, refused = entries(server.state)
    assert job["study"] == "1.2.3" and job["slices"] == 2 and job["mean_score"] == 0.7 and job["who"] == "local"
    assert len(job["report_hash"]) == 32 and job["latency_ms"] >= 0 and job["engine"] == "fake"
    assert refused["event"] == "refused" and refused["status"] == 421
    assert "Doe" not in (server.state / "audit.jsonl").read_text()
    assert verify(server.state).problem is None


def test_only_known_fields(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="text"):
        AuditLog(tmp_path).record("job", text="Mr Doe")


def test_whole_logs_verify(tmp_path: Path) -> None:
    verdict = verify(filled(tmp_path / "s"))
    assert verdict.problem is None and verdict.entries == 20
    assert verify(tmp_path).entries == 0


@pytest.mark.parametrize("line", [0, 7, 19])
def test_changes_show(tmp_path: Path, line: int) -> None:
    log = filled(tmp_path / "s") / "audit.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    changed = lines[line].replace(f"user{line}", "nobody")
    assert changed != lines[line]
    for broken in (
        [*lines[:line], changed, *lines[line + 1 :]],  # changed
        [*lines[:line], *lines[line + 1 :]],  # removed, also at the end
        [*lines[: line + 1], lines[line], *lines[line + 1 :]],  # doubled
        lines[:line],  # cut
    ):
        log.write_text("".join(broken))
        assert verify(tmp_path / "s").problem is not None
    log.write_text("".join(lines))
    assert verify(tmp_path / "s").problem is None


def test_a_killed_writer_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    state = filled(tmp_path / "s", 5)
    log = state / "audit.jsonl"
    whole = log.read_text()
    (state / "audit.head").write_text(json.dumps({"entries": 4, "hash": json.loads(whole.splitlines()[3])["hash"]}))
    log.write_text(whole + '{"number": 6, "ev')  # killed in the middle of a line
    again = AuditLog(state)
    again.record("job", who="after")
    again.close()
    assert verify(state).problem is None and verify(state).entries == 6


def test_a_full_disk_breaks_no_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the disk fills in the middle of a line, while it is synced, or before the head is noted."""
    log = AuditLog(tmp_path)

    def half(file: io.FileIO, data: bytes) -> None:
        file.write(data[: len(data) // 2])
        full()

    def full(*_: object) -> None:
        failed.append(1)
        raise OSError(errno.ENOSPC, "no space left on device")

    def noted() -> str:
        head = tmp_path / "audit.head"
        return head.read_text() if head.exists() else ""

    failed: list[int] = []
    for number, (where, fault) in enumerate((("_write_whole", half), ("os.fsync", full), ("write_atomically", full))):
        log.record("job", who=f"before{number}")
        eventually(lambda: f'"entries": {2 * number + 1},' in noted())  # noqa: B023
        before = verify(tmp_path)
        assert before.problem is None
        with monkeypatch.context() as patch:
            patch.setattr(f"monailabel_app.gateway.audit.{where}", fault)
            log.record("job", who=f"during{number}")
            eventually(lambda: len(failed) > number)  # noqa: B023
        assert verify(tmp_path) == before
    log.record("job", who="after")
    log.close()
    assert verify(tmp_path).problem is None
    assert [e["who"] for e in entries(tmp_path)] == [
        *(f"{when}{number}" for number in range(3) for when in ("before", "during")),
        "after",
    ]


def test_who_knocks_without_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(300):
            assert client.get("/info/", headers={"Origin": "https://evil.example"}).status_code == 403
        text = client.get("/metrics").text
    assert 'route="none",status="403"} 300.0' in text
    assert 100 <= len(entries(server.state)) < 150


def test_many_writers(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    threads = [threading.Thread(target=lambda: [log.record("job") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert verify(tmp_path).entries == 800 and verify(tmp_path).problem is None


def test_the_command(tmp_path: Path) -> None:
    state = filled(tmp_path / "s")
    command = [sys.executable, "-m", "radfind.cli", "audit", "verify", "--state", str(state)]
    good = subprocess.run(command, capture_output=True, text=True)
    assert good.returncode == 0 and "20 entries" in good.stdout
    log = state / "audit.jsonl"
    log.write_text(log.read_text().replace("user3", "user4"))
    bad = subprocess.run(command, capture_output=True, text=True)
    assert bad.returncode == 1 and "entry 4" in bad.stderr


def test_logs_hold_where_but_not_what() -> None:
    try:
        raise ValueError("Mr Doe")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
    line = JsonLines().format(record)
    assert "Doe" not in line and "ValueError at test_gateway_audit.py" in json.loads(line)["fault"]


def test_metrics(tmp_path: Path) -> None:
    with live(tmp_path, {"fake": FakeTask()}) as server, httpx.Client(base_url=server.url) as client:
        client.post("/infer/fake?image=scan")
        client.get("/radfind/jobs/secret-id")
        text = client.get("/metrics").text
        assert 'radfind_jobs_total{engine="fake",model="fake",state="done"} 1.0' in text
        assert 'route="/infer/*",status="200"} 1.0' in text and "secret-id" not in text
        status = client.get("/radfind/status.json").json()
        assert (
            status["stage"] == "ready" and {"name": "fake", "places": 1, "running": 0, "waiting": 0} in status["lanes"]
        )
