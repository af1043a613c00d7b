"""The list of cases to evaluate on: CSV or JSON, one question about one image each."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

from radfind.errors import InputError
from radfind.results import Answer

Task = Literal["rank", "verify", "segment"]
_FIELDS = ("task", "image", "text", "truth", "label", "slices", "answer", "series", "modality")


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
        series: Series Instance UID when the image holds several.
        modality: of an image file that states none.
    """

    task: Task
    image: Path
    text: str
    truth: Path | None = None
    label: int | None = None
    slices: tuple[int, ...] = ()
    answer: Answer | None = None
    series: str | None = None
    modality: str | None = None


def read_manifest(path: Path) -> list[Case]:
    """The cases of a manifest.

    CSV: a header with some of task, image, text, truth, label, slices ("56;57;58"), answer, series, modality.
    JSON: a list of objects with these names (slices a list).

    Raises:
        InputError: unreadable, an unknown column, or a case without what its task needs; the message says which.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows: Any = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"The manifest {path} cannot be read: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise InputError(f"The manifest {path} holds no list of cases.")
    return [_case(row, f"{path}, case {number}", path.parent) for number, row in enumerate(rows, start=1)]


def _case(row: dict[str, Any], where: str, base: Path) -> Case:
    unknown = set(row) - set(_FIELDS)
    if unknown:
        raise InputError(
            f"{where}: unknown {', '.join(map(str, sorted(unknown, key=str)))}; known: {', '.join(_FIELDS)}."
        )
    given = {name: value for name, value in row.items() if value not in (None, "", [])}
    task = given.get("task")
    needs = {"rank": ("truth", "slices"), "segment": ("truth",), "verify": ("answer",)}.get(str(task))
    if needs is None:
        raise InputError(f"{where}: the task must be rank, verify or segment, not {task!r}.")
    if "image" not in given or "text" not in given or not any(name in given for name in needs):
        raise InputError(f"{where}: a case to {task} needs image, text and {' or '.join(needs)}.")
    answer = given.get("answer")
    if answer not in (None, "yes", "no", "maybe"):
        raise InputError(f"{where}: the answer must be yes, no or maybe, not {answer!r}.")
    slices = given.get("slices", ())
    try:
        numbers = tuple(int(k) for k in (slices.split(";") if isinstance(slices, str) else slices))
        label = int(given["label"]) if "label" in given else None
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: slices and label must be whole numbers ({error}).") from error
    return Case(
        task=task,  # type: ignore[arg-type]
        image=base / given["image"],
        text=str(given["text"]),
        truth=base / given["truth"] if "truth" in given else None,
        label=label,
        slices=numbers,
        answer=answer,
        series=given.get("series"),
        modality=given.get("modality"),
    )
