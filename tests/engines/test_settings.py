"""An installation's options for its engines: a file, read once, refused where it is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from radfind.engines import registry
from radfind.errors import InputError

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    def settings(held: Any) -> Path:
        file = tmp_path / "engines.json"
        file.write_text(held if isinstance(held, str) else json.dumps(held))
        monkeypatch.setenv("RADFIND_ENGINES", str(file))
        registry.engine.cache_clear()
        return file

    yield settings
    registry.engine.cache_clear()


def test_without_a_file_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RADFIND_ENGINES", raising=False)
    registry.engine.cache_clear()
    assert {info.name for info in registry.infos()} == set(registry.ENGINES)


def test_options_reach_the_engine_in_its_worker(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    write({"qwen3vl": {"model": str(folder), "coarse": False, "clip_seconds": 2}, "remote_rerank": {"batch_size": 3}})
    hosted = registry.engine("qwen3vl")
    assert hosted._seats[0]._options() == {"folder": folder, "coarse": False, "clip_seconds": 2}
    assert registry.engine("remote_rerank")._batch == 3
    assert registry.engine("ofa")._seats[0]._options() == {"folder": None}


@pytest.mark.parametrize(
    ("held", "name", "words"),
    [
        ({"yoloe": {"tilling": 2}}, "yoloe", r"no option tilling; it has size, text_encoder, windows, .*tiling"),
        ({"ofa": {"device": "cpu"}}, "ofa", "no option device; it has dtype"),
        ({"qwen3vl": {"a": 1, "b": 2}}, "qwen3vl", "no option a, b; it has dtype"),
        ({"remote_rerank": {"token": "secret"}}, "remote_rerank", "no option token; it has model"),
        ({"builtin": {"fast": True}}, "builtin", "no option fast; it has none"),
        ({"yolo": {}}, "builtin", r"names yolo; engines: builtin, qwen3vl"),
        (["yoloe"], "ofa", "must hold"),
        ({"ofa": 3}, "ofa", "must hold"),
        ("{", "ofa", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(write: Write, held: Any, name: str, words: str) -> None:
    write(held)
    with pytest.raises(InputError, match=words):
        registry.engine(name)


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RADFIND_ENGINES", str(tmp_path / "none.json"))
    registry.engine.cache_clear()
    with pytest.raises(InputError, match=r"none\.json \(RADFIND_ENGINES\), cannot be read"):
        registry.engine("builtin")
