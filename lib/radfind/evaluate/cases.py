"""What an evaluation asks: questions about images, each with its known answer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from radfind.results import Answer

Task = Literal["rank", "verify", "segment"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One question with its known answer.

    Arguments:
        task: "rank", "verify" or "segment".
        image: what `radfind.load` reads; relative to the manifest's folder.
        text: the question or statement.
        truth: labelmap on the image's grid (for "segment"; for "rank" a slice counts as positive if the mask
            meets it, as in ReXGroundingCT).
        label: value in the labelmap; any non-zero value when None.
        slices: positive slices, 0-based k, instead of a mask.
        answer: for "verify".
        channel: which finding of a truth file that holds one mask for each (`rexgrounding`).
        series: Series Instance UID when the image holds several.
        modality: of an image file that states none.
    """

    task: Task
    image: Path
    text: str
    truth: Path | None = None
    label: int | None = None
    channel: int | None = None
    slices: tuple[int, ...] = ()
    answer: Answer | None = None
    series: str | None = None
    modality: str | None = None


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A list of cases, and what to know about it (what of a published list is here, say)."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
