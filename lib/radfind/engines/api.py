"""The three small protocols every engine speaks, and how it reports progress and is cancelled."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from radfind.errors import CancelledError
from radfind.prompts import Prompt, TextPrompt
from radfind.results import Ranking, Segmentation, Verdict
from radfind.volume import Volume


@dataclasses.dataclass(frozen=True)
class EngineInfo:
    """What an engine is and covers.

    Arguments:
        name: the name users choose it by.
        tasks: subset of ("segment", "rank", "verify").
        modalities: DICOM modalities it is made for.
        prompts: prompt class names it takes, e.g. ("TextPrompt", "PointPrompt").
        concepts: ids of the concepts it knows, or None when its vocabulary is open.
        licence: SPDX id of its code, and of its weights after a slash when they differ.
        device: "cpu", "cuda:0", ...
        available: whether it can answer now.
        unavailable_reason: what is missing and how to get it, when not available.
    """

    name: str
    tasks: tuple[str, ...]
    modalities: tuple[str, ...]
    prompts: tuple[str, ...]
    concepts: frozenset[str] | None
    licence: str
    device: str = "cpu"
    available: bool = True
    unavailable_reason: str = ""


class Context:
    """Progress out, cancellation in. One per job.

    Engines call `step` between batches: it reports progress and raises when the job was cancelled.
    """

    def __init__(
        self, on_progress: Callable[[float, str], None] | None = None, cancelled: threading.Event | None = None
    ) -> None:
        self._on_progress = on_progress
        self._cancelled = cancelled or threading.Event()
        self._low, self._high = 0.0, 1.0

    def step(self, fraction: float, message: str = "") -> None:
        """Report `fraction` (0..1 of this context's share) done.

        Raises:
            CancelledError: the job was cancelled.
        """
        if self._cancelled.is_set():
            raise CancelledError("The job was cancelled.")
        if self._on_progress is not None:
            clipped = min(max(fraction, 0.0), 1.0)
            self._on_progress(self._low + (self._high - self._low) * clipped, message)

    def part(self, low: float, high: float) -> Context:
        """A context for a stage that fills the share [low, high] of this one."""
        child = Context(self._on_progress, self._cancelled)
        width = self._high - self._low
        child._low, child._high = self._low + width * low, self._low + width * high
        return child

    @property
    def cancelled(self) -> bool:
        """Whether the caller has asked the work to stop."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ask the work to stop; it stops at its next `step`."""
        self._cancelled.set()


@runtime_checkable
class Segmenter(Protocol):
    def info(self) -> EngineInfo: ...

    def segment(self, volume: Volume, prompts: Sequence[Prompt], *, context: Context) -> Segmentation:
        """Raises NotSupportedError when no prompt can be answered at all."""
        ...


@runtime_checkable
class Ranker(Protocol):
    def info(self) -> EngineInfo: ...

    def rank(
        self,
        volume: Volume,
        prompt: TextPrompt,
        *,
        top_k: int = 10,
        threshold: float = 0.0,
        spread: bool = True,
        context: Context,
    ) -> Ranking:
        """`spread` keeps the returned slices from being neighbours of one another."""
        ...


@runtime_checkable
class Verifier(Protocol):
    def info(self) -> EngineInfo: ...

    def verify(self, volume: Volume, prompt: TextPrompt, *, context: Context) -> tuple[Verdict, ...]:
        """One verdict per statement read from the text, in reading order."""
        ...
