"""A resection plan as files: numbers, ways for 3D Slicer, coloured models, and its segments in every format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radfind.exports.meshes import Model, write_models
from radfind.exports.names import printable
from radfind.exports.package import write_package
from radfind.exports.plan_markups import write_trajectory_markups
from radfind.measure.distances import distance_map
from radfind.measure.planning import Plan
from radfind.measure.quantities import measure
from radfind.measure.surface import surface
from radfind.measure.trajectories import Trajectory
from radfind.results import Segment, Segmentation
from radfind.volume import Volume


def write_plan(
    plan: Plan, volume: Volume, folder: str | Path, formats: Sequence[str], *, spared: Sequence[Segment] = ()
) -> list[Path]:
    """Write ``plan.json``, ``ways.mrk.json``, the lesion coloured by its distance to the nearest spared structure
    (``distance_to_*.vtk`` with scalars in mm, ``.ply`` with colours), and organ, lesion, margin and `spared` in each of
    `formats` (`exports.package`).

    Raises:
        InputError: as `write_package`.
        NotSupportedError: DICOM is asked for and the volume does not come from DICOM.
    """
    target = Path(folder)
    kept = ([plan.organ] if plan.organ is not None else []) + [*spared, plan.lesion, plan.margin]
    files = write_package(volume, Segmentation(volume.geometry, tuple(kept), engine="plan"), target, formats)
    near = next((s for name in plan.distances for s in spared if s.name == name), None)
    if near is not None:
        outline = surface(plan.lesion.mask, volume.geometry)
        values = distance_map(outline, near.mask, volume.geometry)
        model = Model(f"distance to {printable(near.name)}", outline, values=values, value_name="distance_mm")
        stem = "_".join(model.name.replace("/", " ").split())
        files += [write_models([model], target / f"{stem}.{suffix}") for suffix in ("vtk", "ply")]
    if plan.ways:
        files.append(write_trajectory_markups(target / "ways.mrk.json", plan.ways))
    text = json.dumps(plan_numbers(plan, volume), ensure_ascii=False, indent=2)
    (target / "plan.json").write_text(text + "\n", encoding="utf-8")
    return [*files, target / "plan.json"]


def plan_numbers(plan: Plan, volume: Volume) -> dict[str, Any]:
    """The numbers of a plan, JSON-ready: units in the names, positions in LPS mm."""
    sizes, left = measure(volume, plan.lesion), plan.resection
    return {
        "lesion": {"name": plan.lesion.name, **{q.name: round(q.value, 2) for q in sizes.quantities[:6]}},
        "margin": plan.margin.name,
        "margin_ml": round(float(plan.margin.mask.sum()) * volume.geometry.voxel_volume / 1000, 2),
        "organ": plan.organ.name if plan.organ is not None else None,
        "resected_ml": round(left.resected_mm3 / 1000, 1) if left is not None else None,
        "remnant_ml": round(left.remnant_mm3 / 1000, 1) if left is not None else None,
        "remnant_share": round(left.remnant_share, 3) if left is not None else None,
        "distance_mm": {name: round(found.minimum_mm, 1) for name, found in plan.distances.items()},
        "ways": [_told(way) for way in plan.ways],
        "notes": list(plan.notes),
    }


def _told(way: Trajectory) -> dict[str, Any]:
    nearest = min(way.clearance_mm, key=lambda name: way.clearance_mm[name]) if way.clearance_mm else None
    return {
        "entry_lps": [round(v, 1) for v in way.entry_lps],
        "target_lps": [round(v, 1) for v in way.target_lps],
        "length_mm": round(way.length_mm, 1),
        "skin_angle_deg": round(way.skin_angle_deg),
        "axial_angle_deg": round(way.axial_angle_deg),
        "nearest": nearest,
        "clearance_mm": round(way.least_clearance_mm, 1) if nearest is not None else None,
    }
