"""Saved labels: versions, restore, concurrent savers, and saves that are killed or run out of disk."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monailabel_app.labels import LabelStore
from radfind.errors import InputError

SAVER = """
import sys
from pathlib import Path
from monailabel_app.labels import LabelStore
store, source = LabelStore(Path(sys.argv[1])), Path(sys.argv[2])
while True:
    version = store.save("scan", "final", source, {"user": "killed"})
    print(version.number, flush=True)
"""


def source(folder: Path, content: bytes = b"label", name: str = "label.nrrd") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def check_sound(root: Path, content: bytes) -> int:
    """Every visible version is whole; the current one is the number returned (0: none)."""
    store = LabelStore(root)
    for version in store.history("scan", "final"):
        assert version.file.read_bytes() == content
        assert json.loads((version.file.parent / "info.json").read_text())["name"]
    current = store.current("scan", "final")
    return current.number if current else 0


def test_every_save_is_a_version(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "labels")
    for number in range(1, 4):
        saved = store.save("scan", "final", source(tmp_path, b"v%d" % number), {"user": "li"})
        assert saved.number == number
    assert [v.file.read_bytes() for v in store.history("scan", "final")] == [b"v1", b"v2", b"v3"]
    store.restore("scan", "final", 1)
    current = store.current("scan", "final")
    assert current is not None and current.number == 1 and current.file.read_bytes() == b"v1"
    assert store.save("scan", "final", source(tmp_path, b"v4"), {}).number == 4
    store.remove("scan", "final")
    assert store.current("scan", "final") is None and len(store.history("scan", "final")) == 4
    with pytest.raises(InputError, match="no version 9"):
        store.restore("scan", "final", 9)


@pytest.mark.parametrize("tag", ["../../x", "/etc", "a/b", "", ".hidden", "a..b", "x" * 200, "a\0b", "ta g"])
def test_tags_stay_inside(tmp_path: Path, tag: str) -> None:
    with pytest.raises(InputError):
        LabelStore(tmp_path / "labels").save("scan", tag, source(tmp_path), {})
    assert not (tmp_path / "labels").exists()


@pytest.mark.parametrize("image", ["../x", "/etc/passwd", "a/b", "", ".x", "a\\b", "a\nb", "x" * 300])
def test_images_stay_inside(tmp_path: Path, image: str) -> None:
    with pytest.raises(InputError):
        LabelStore(tmp_path / "labels").save(image, "final", source(tmp_path), {})


def test_code_is_no_label(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be stored"):
        LabelStore(tmp_path / "labels").save("scan", "final", source(tmp_path, name="main.py"), {})


def test_two_annotators_at_once_lose_nothing(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "labels")
    files = [source(tmp_path, b"from %d" % n, f"{n}.nrrd") for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda file: store.save("scan", "final", file, {}), files))
    versions = store.history("scan", "final")
    assert [v.number for v in versions] == list(range(1, 41))
    assert {v.file.read_bytes() for v in versions} == {file.read_bytes() for file in files}


def _save_many(root: Path, file: Path) -> None:
    store = LabelStore(root)
    for _ in range(10):
        store.save("scan", "final", file, {})


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    file = source(tmp_path)
    savers = [context.Process(target=_save_many, args=(tmp_path / "labels", file)) for _ in range(2)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join(60)
    assert [v.number for v in LabelStore(tmp_path / "labels").history("scan", "final")] == list(range(1, 21))


def kill_savers(root: Path, file: Path, kills: int, seed: int) -> None:
    """Kill -9 a saving process `kills` times at random moments; after each, everything it confirmed is there."""
    content, chance, confirmed = file.read_bytes(), random.Random(seed), 0
    while kills:
        command = [sys.executable, "-c", SAVER, str(root), str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            confirmed = max(confirmed, int(process.stdout.readline()))  # it has begun
            time.sleep(chance.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            rest = [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
            confirmed = max([confirmed, *rest])
        kills -= 1
        current = check_sound(root, content)
        assert current >= confirmed


def test_killed_saves(tmp_path: Path) -> None:
    kill_savers(tmp_path / "labels", source(tmp_path, os.urandom(200_000)), kills=8, seed=1)


@pytest.mark.slow
def test_200_killed_saves(tmp_path: Path) -> None:
    kill_savers(tmp_path / "labels", source(tmp_path, os.urandom(1_000_000)), kills=200, seed=2)


@contextlib.contextmanager
def full_disk(size: int):  # type: ignore[no-untyped-def]
    """Files of this process cannot grow past `size` bytes: a write fails in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_50_saves_on_a_full_disk(tmp_path: Path) -> None:
    root, content = tmp_path / "labels", os.urandom(100_000)
    file = source(tmp_path, content)
    store = LabelStore(root)
    store.save("scan", "final", file, {})
    chance = random.Random(3)
    for _ in range(50):
        # between nothing and all of it: label, info and pointer each fail at some point
        with full_disk(chance.choice([0, 1, 10, 100, chance.randrange(len(content))])), pytest.raises(OSError):
            store.save("scan", "final", file, {})
        assert check_sound(root, content) == 1
    assert len(store.history("scan", "final")) <= 51
    assert not list(root.rglob(".saving-*")) and not list(root.rglob(".writing-*"))
    assert store.save("scan", "final", file, {}).number >= 2


def test_a_truly_full_disk(tmp_path: Path) -> None:
    """On a small tmpfs, where the administrator's tests may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        content = os.urandom(300_000)
        file, store, failed = source(tmp_path, content), LabelStore(disk / "labels"), 0
        for _ in range(10):
            try:
                store.save("scan", "final", file, {})
            except OSError:
                failed += 1
            check_sound(disk / "labels", content)
        assert failed >= 6 and check_sound(disk / "labels", content) >= 2
    finally:
        subprocess.run(["umount", disk], check=True)


def test_readers_never_see_half_a_save(tmp_path: Path) -> None:
    store, stop, seen = LabelStore(tmp_path / "labels"), threading.Event(), []
    files = [source(tmp_path, bytes([n]) * 50_000, f"{n}.nrrd") for n in range(5)]
    store.save("scan", "final", files[0], {})

    def read() -> None:
        while not stop.is_set():
            current = store.current("scan", "final")
            assert current is not None
            seen.append(set(current.file.read_bytes()))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20):
        store.save("scan", "final", files[number % 5], {})
    stop.set()
    reader.join()
    assert seen and all(len(content) == 1 for content in seen)
