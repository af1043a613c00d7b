"""The list of cases to evaluate on: CSV or JSON, one question about one image each."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from radfind.errors import InputError
from radfind.evaluate import rexgrounding
from radfind.evaluate.cases import Case, Manifest

_FIELDS = ("task", "image", "text", "truth", "label", "slices", "answer", "series", "modality")


def read_manifest(path: Path, *, images: Path | None = None, split: str = "val") -> Manifest:
    """The cases of a manifest.

    CSV: a header with some of task, image, text, truth, label, slices ("56;57;58"), answer, series, modality.
    JSON: a list of objects with these names (slices a list); or a list of ReXGroundingCT as published.

    Arguments:
        images, split: for ReXGroundingCT, see `rexgrounding.read_rexgrounding`.

    Raises:
        InputError: unreadable, an unknown column, a case without what its task needs, or a file that does not exist;
            the message says which.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows: Any = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"The manifest {path} cannot be read: {error}") from error
    if rexgrounding.is_rexgrounding(rows):
        return rexgrounding.read_rexgrounding(path, rows, images=images, split=split)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise InputError(f"The manifest {path} holds no list of cases.")
    return Manifest(tuple(_case(row, f"{path}, case {n}", path.parent) for n, row in enumerate(rows, start=1)))


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
    for field in ("image", "truth"):
        if field in given and not (base / given[field]).exists():
            raise InputError(f"{where}: the {field} {base / given[field]} does not exist.")
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
