"""A signal without Qt, so that logic can be used and tested without an application."""

from __future__ import annotations

from typing import Any, Callable


class Signal:
    """Call everyone who connected, in order. Connect and emit on one thread."""

    def __init__(self) -> None:
        self._slots: list[Callable[..., Any]] = []

    def connect(self, slot: Callable[..., Any]) -> None:
        if slot not in self._slots:
            self._slots.append(slot)

    def disconnect(self, slot: Callable[..., Any]) -> None:
        if slot in self._slots:
            self._slots.remove(slot)

    def emit(self, *values: Any) -> None:
        for slot in list(self._slots):
            slot(*values)
