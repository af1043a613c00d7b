"""Ranked slices as a 3D Slicer Markups file (.mrk.json): a locked point list, best first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from radfind.results import RankedSlice, Ranking
from radfind.volume import Geometry, Volume

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def bookmarks(ranking: Ranking, volume: Volume, query: str) -> dict[str, Any]:
    """The content of the file, in Slicer's markups schema 1.0.3, LPS millimetres.

    One point per ranked slice, on that slice: in the middle of what was found there, else in the middle of the
    slice. Its label is ``#1 k=12 0.91`` (k is 0-based), its description JSON with rank, index, score, SOP instance
    UID, query and evidence, its orientation the slice's plane (columns: image column, row and normal directions).
    """
    orientation = _plane(volume.geometry)
    points = []
    for item in ranking.slices:
        description = {
            "rank": item.rank,
            "index": item.index,
            "score": round(float(item.score), 4),
            "sop_instance_uid": item.sop_instance_uid or volume.sop_instance_uid(item.index),
            "query": query,
            "evidence": [e.text for e in item.evidence],
        }
        points.append(
            {
                "id": str(item.rank),
                "label": f"#{item.rank} k={item.index} {item.score:.2f}",
                "description": json.dumps(description, ensure_ascii=False),
                "associatedNodeID": "",
                "position": [round(float(v), 4) for v in point_on_slice(item, volume.geometry)],
                "orientation": orientation,
                "selected": True,
                "locked": True,
                "visibility": True,
                "positionStatus": "defined",
            }
        )
    markup = {
        "type": "Fiducial",
        "name": query.strip().splitlines()[0][:80] if query.strip() else "RadFind",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": True,
        "fixedNumberOfControlPoints": True,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(points),
        "controlPoints": points,
        "measurements": [],
    }
    return {"@schema": SCHEMA, "markups": [markup]}


def write_bookmarks(path: Path | str, ranking: Ranking, volume: Volume, query: str) -> None:
    """Write `bookmarks` to `path`, whose name should end in ``.mrk.json`` so that Slicer knows it."""
    text = json.dumps(bookmarks(ranking, volume, query), ensure_ascii=False, indent=2)
    Path(path).write_text(text + "\n", encoding="utf-8")


def point_on_slice(item: RankedSlice, geometry: Geometry) -> npt.NDArray[np.float64]:
    """LPS of the point that stands for a ranked slice; it lies on the slice."""
    _, rows, columns = geometry.shape
    for evidence in item.evidence:
        if evidence.mask is not None and evidence.mask[item.index].any():
            j, i = np.argwhere(evidence.mask[item.index]).mean(axis=0)
            return geometry.to_lps((item.index, j, i))
        if evidence.center_kji is not None:
            return geometry.to_lps((item.index, *evidence.center_kji[1:]))
    return geometry.to_lps((item.index, (rows - 1) / 2, (columns - 1) / 2))


def _plane(geometry: Geometry) -> list[float]:
    """Row-major 3x3 in LPS: columns are the image's column and row directions and their right-handed normal."""
    direction = geometry.direction
    first = direction[:, 0]
    second = direction[:, 1] - first * (direction[:, 1] @ first)
    second /= np.linalg.norm(second)
    return [round(float(v), 9) for v in np.column_stack([first, second, np.cross(first, second)]).ravel()]
