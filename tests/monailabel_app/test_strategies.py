"""Which case an annotator is offered next. (What the examples explain least is tested with them, in test_taught.)"""

from __future__ import annotations

import time
from typing import Any

import pytest

pytest.importorskip("monailabel", reason="the server extra is not installed")

from monailabel_app.strategies import AtRandom, First


class Store:
    def __init__(self, offered: dict[str, float]) -> None:
        self._offered = offered

    def get_unlabeled_images(self, tag: Any, labels: Any) -> list[str]:
        return list(self._offered)

    def get_image_info(self, image: str) -> dict[str, Any]:
        moment = self._offered[image]
        return {"strategy": {"random": {"ts": int(moment)}}} if moment else {}


def test_nothing_is_left() -> None:
    assert First()({}, Store({})) is None and AtRandom()({}, Store({})) is None  # type: ignore[arg-type]


def test_first_goes_by_name() -> None:
    assert First()({}, Store({"b": 0, "a": 0})) == {"id": "a", "weight": 1.0}  # type: ignore[arg-type]


def test_cases_that_were_all_offered_this_second() -> None:
    now = time.time()
    store = Store({"a": now, "b": now + 1})  # a clock may have been put back, too
    seen = {AtRandom()({"strategy": "random"}, store)["id"] for _ in range(200)}  # type: ignore[arg-type, index]
    assert seen == {"a", "b"}


def test_a_case_offered_just_now_rarely_comes_again() -> None:
    store = Store({"a": time.time(), "b": 0.0})  # b was never offered: its weight is that of fifty years
    chosen = [AtRandom()({"strategy": "random"}, store)["id"] for _ in range(50)]  # type: ignore[arg-type, index]
    assert set(chosen) == {"b"}
