"""Verdicts as a findings table: what the report says, what the scan shows, and where."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .Errors import ServerError
from .Geometry import Grid
from .Tables import Table

COLUMNS = ("Sentence", "Verdict", "Reason", "Reported", "Measured", "Confidence", "Place (LPS mm)")
_VOLUME = "RadFind.Volume"
ANSWERS = ("yes", "no", "maybe")


@dataclasses.dataclass(frozen=True)
class VerdictRow:
    """One statement.

    Arguments:
        reported, measured: sizes as text, "" when there is none.
        lps: where the evidence lies, in the volume's own LPS, or None.
    """

    sentence: str
    answer: str
    reason: str
    reported: str
    measured: str
    confidence: float
    lps: tuple[float, float, float] | None

    def cells(self) -> tuple[str, ...]:
        place = " ".join(f"{x:.3f}" for x in self.lps or ())
        return (self.sentence, self.answer, self.reason, self.reported, self.measured, f"{self.confidence:.2f}", place)

    def told(self) -> str:
        """All of it, in lines."""
        sizes = [f"{name} {size}" for name, size in (("reported", self.reported), ("measured", self.measured)) if size]
        lines = [self.sentence, f"{self.answer} (confidence {self.confidence:.2f}): {self.reason}", ", ".join(sizes)]
        return "\n".join(line for line in lines if line)


def verdictRows(verdicts: Sequence[Mapping[str, Any]], grid: Grid) -> list[VerdictRow]:
    """Raises ServerError: a verdict is malformed."""
    try:
        return [_row(item, grid) for item in verdicts]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ServerError("A verdict in the answer is damaged; no table was made.") from None


def _row(item: Mapping[str, Any], grid: Grid) -> VerdictRow:
    if item["answer"] not in ANSWERS:
        raise ValueError(item["answer"])
    lps, measured = None, ""
    for evidence in item["evidence"]:
        center = evidence.get("center_kji")
        if center and lps is None:
            x, y, z = grid.positions([float(c) for c in center]).tolist()
            lps = (x, y, z)
        values = evidence.get("values") or {}
        if not measured and "longest_diameter_mm" in values:
            measured = _millimetres([values["longest_diameter_mm"], values.get("perpendicular_diameter_mm")])
    return VerdictRow(
        sentence=str(item["statement"]["text"]),
        answer=str(item["answer"]),
        reason=str(item["reason"]),
        reported=_reported(item.get("finding")),
        measured=measured,
        confidence=float(item["confidence"]),
        lps=lps,
    )


def _reported(finding: Mapping[str, Any] | None) -> str:
    if not finding:
        return ""
    if finding.get("sizes_mm"):
        return _millimetres(finding["sizes_mm"])
    low, high = finding.get("size_range_mm") or (None, None)
    if low is None:
        return ""
    return f"{low:g}-{high:g} mm" if high is not None else f"over {low:g} mm"


def _millimetres(sizes: Sequence[float | None]) -> str:
    return " x ".join(f"{float(size):.3g}" for size in sizes if size is not None) + " mm"


def makeVerdicts(scene: Any, volume: Any, rows: Sequence[VerdictRow]) -> Any:
    """A table node that is saved with the scene and knows its volume."""
    table = Table(COLUMNS, [row.cells() for row in rows])
    node = table.toNode(scene, f"{volume.GetName()} report check")
    node.SetNodeReferenceID(_VOLUME, volume.GetID())
    return node


def readVerdicts(node: Any) -> list[VerdictRow]:
    """The lines of a table that `makeVerdicts` made, also after a scene was saved and loaded; none for None."""
    rows = []
    for sentence, answer, reason, reported, measured, confidence, place in Table.fromNode(node).rows if node else ():
        x = [float(number) for number in place.split()]
        lps = (x[0], x[1], x[2]) if x else None
        rows.append(VerdictRow(sentence, answer, reason, reported, measured, float(confidence), lps))
    return rows


def verdictVolume(node: Any) -> Any:
    """The volume that a findings table is about, or None."""
    return node.GetNodeReference(_VOLUME) if node is not None else None
