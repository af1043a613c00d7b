"""How reading and writing report progress. `radfind.engines.api.Context` fits; imaging imports nothing above it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def step(self, fraction: float, message: str = "") -> None:
        """Report `fraction` (0..1) done; may raise `radfind.errors.CancelledError`."""
        ...


class NoProgress:
    """For callers that do not want to know."""

    def step(self, fraction: float, message: str = "") -> None:
        return None
