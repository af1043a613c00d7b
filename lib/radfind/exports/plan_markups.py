"""Trajectories as a 3D Slicer Markups file (.mrk.json): one locked line each, best first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radfind.exports.bookmarks import SCHEMA
from radfind.measure.trajectories import Trajectory


def trajectory_markups(ways: Sequence[Trajectory]) -> dict[str, Any]:
    """The content of the file, in Slicer's markups schema 1.0.3, LPS millimetres."""
    return {"@schema": SCHEMA, "markups": [_line(way, number) for number, way in enumerate(ways, start=1)]}


def write_trajectory_markups(path: Path | str, ways: Sequence[Trajectory]) -> Path:
    """Write `trajectory_markups` to `path`, whose name should end in ``.mrk.json`` so that Slicer knows it."""
    target = Path(path)
    target.write_text(json.dumps(trajectory_markups(ways), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return target


def _line(way: Trajectory, number: int) -> dict[str, Any]:
    room = "; ".join(f"{name} {room:.1f} mm" for name, room in sorted(way.clearance_mm.items(), key=lambda p: p[1]))
    points = [
        {
            "id": str(index),
            "label": label,
            "description": f"{way.length_mm:.1f} mm; {room}" if index == 1 else "",
            "associatedNodeID": "",
            "position": [round(value, 4) for value in point],
            "selected": True,
            "locked": True,
            "visibility": True,
            "positionStatus": "defined",
        }
        for index, (label, point) in enumerate((("entry", way.entry_lps), ("target", way.target_lps)), start=1)
    ]
    return {
        "type": "Line",
        "name": f"way {number}",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": True,
        "fixedNumberOfControlPoints": True,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": 2,
        "controlPoints": points,
        "measurements": [{"name": "length", "enabled": True, "value": round(way.length_mm, 4), "units": "mm"}],
    }
