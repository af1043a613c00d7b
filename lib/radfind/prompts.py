"""What a user asks with: text, clicks, boxes, lassos, scribbles, masks, examples, or everything.

Voxel positions are (k, j, i) indices of the volume asked about, fractional allowed.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from radfind.errors import PromptError
from radfind.volume import Volume

MAX_TEXT = 100_000
"""Longest text taken, in characters: far above any report, far below what would tie up a server."""

Point: TypeAlias = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class TextPrompt:
    """A phrase, a sentence or a whole report, English, Chinese or mixed.

    Raises:
        PromptError: the text is empty or longer than `MAX_TEXT`.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise PromptError(
                "The text is empty. Type what to look for, e.g. 'nodule in the right upper lobe' or '右肺上叶结节'."
            )
        if len(self.text) > MAX_TEXT:
            raise PromptError(
                f"The text has {len(self.text):,} characters; at most {MAX_TEXT:,} are read. "
                "Paste one report, or only the sentences to look for."
            )


@dataclasses.dataclass(frozen=True)
class PointPrompt:
    """A click. `positive` means "this belongs to the object", otherwise "this does not"."""

    kji: Point
    positive: bool = True


@dataclasses.dataclass(frozen=True)
class BoxPrompt:
    """A box, inclusive voxel bounds. 2-D when `start` and `stop` agree on one axis."""

    start: Point
    stop: Point

    def __post_init__(self) -> None:
        if any(a > b for a, b in zip(self.start, self.stop, strict=True)):
            raise PromptError(f"The box starts at {self.start} but stops at {self.stop}: start must not exceed stop.")


@dataclasses.dataclass(frozen=True, eq=False)
class LassoPrompt:
    """A closed line drawn around the object on one slice: (n, 3) corners in (k, j, i) order, the last joined to the
    first, all with the same k, j or i. On that slice nothing outside the line belongs to the object."""

    kji: npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class ScribblePrompt:
    """Painted voxels, (n, 3) indices in (k, j, i) order."""

    kji: npt.NDArray[np.int64]
    positive: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class MaskPrompt:
    """An existing mask to refine, boolean (k, j, i) on the volume's own grid."""

    mask: npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, eq=False)
class ExemplarPrompt:
    """An annotated case: find the same structure in the new volume."""

    volume: Volume
    mask: npt.NDArray[np.bool_]
    name: str


@dataclasses.dataclass(frozen=True)
class EverythingPrompt:
    """No prompt: all that the engine can find."""


Prompt: TypeAlias = (
    TextPrompt | PointPrompt | BoxPrompt | LassoPrompt | ScribblePrompt | MaskPrompt | ExemplarPrompt | EverythingPrompt
)
