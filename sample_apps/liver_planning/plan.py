"""From labels to a plan: margin and remnant, distances to vessels, ways in from the skin, meshes and DICOM objects.

python plan.py ct.nii.gz labels.nii.gz labels.json out/
python plan.py ct-folder labels.seg.nrrd out/ --lesion "liver lesion"

Without --lesion, a stand-in lesion (a ball of --diameter mm at the deepest point of the liver) shows the steps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pictures import draw_plan

import radfind
from radfind.engines.builtin.anatomy import Anatomy
from radfind.errors import InputError
from radfind.exports.meshes import Model, write_models
from radfind.exports.package import write_package
from radfind.exports.plan_markups import write_trajectory_markups
from radfind.imaging.labelmap_reading import concept_of, read_names, read_segmentation
from radfind.measure import measure
from radfind.measure.distances import centroid, distance_between, distance_map
from radfind.measure.margins import margin, resection
from radfind.measure.surface import surface
from radfind.measure.trajectories import Trajectory, trajectories
from radfind.phantom import write_dicom
from radfind.results import Segment, Segmentation
from radfind.volume import Volume

VESSELS = ("portal vein", "inferior vena cava", "aorta")
SPARED = (*VESSELS, "gallbladder", "lung", "kidney", "colon", "stomach", "duodenum", "rib", "costal", "spinal cord")
MARGIN_MM = 10.0


def natural(name: str) -> str:
    """TotalSegmentator's names as words: "lung_lower_lobe_right" is "right lung lower lobe"."""
    words = name.replace("_", " ")
    for side in ("left", "right"):
        if f" {side}" in words:
            words = f"{side} {words.replace(f' {side}', '', 1)}"
    return words


def load(scan: Path, labels: Path, names: Path | None, out: Path) -> tuple[Volume, dict[str, Segment]]:
    """The scan and its segments by name. A scan that is no DICOM is written as a series: DICOM objects need one."""
    volume = radfind.load(scan)
    given = {value: natural(name) for value, name in read_names(names).items()} if names else None
    found = read_segmentation(labels, volume, names=given)
    if not volume.slices:
        write_dicom(volume, out / "ct")
        volume = radfind.load(out / "ct")
        found = read_segmentation(labels, volume, names=given)
    return volume, {segment.name: segment for segment in found.segments}


def stand_in(volume: Volume, liver: npt.NDArray[np.bool_], diameter: float) -> npt.NDArray[np.bool_]:
    """A ball at the point of the liver farthest from its surface."""
    import edt

    depth = edt.edt(np.ascontiguousarray(liver), anisotropy=volume.geometry.spacing, black_border=True)
    middle = volume.geometry.to_lps(np.unravel_index(int(depth.argmax()), depth.shape))
    index = np.stack(np.meshgrid(*map(np.arange, liver.shape), indexing="ij"), axis=-1)
    ball: npt.NDArray[np.bool_] = np.linalg.norm(volume.geometry.to_lps(index) - middle, axis=-1) <= diameter / 2
    return ball & liver


def plan(volume: Volume, segments: dict[str, Segment], lesion: Segment, out: Path) -> dict[str, object]:
    """Everything that is planned, written to `out`; the numbers are returned."""
    geometry = volume.geometry
    liver = segments["liver"]
    removed = margin(lesion.mask, geometry, MARGIN_MM, within=liver.mask | lesion.mask)
    left = resection(liver.mask, lesion.mask, removed, geometry)
    vessels = {name: s for name, s in segments.items() if name.startswith(VESSELS)}
    distances = {name: distance_between(lesion.mask, s.mask, geometry).minimum_mm for name, s in vessels.items()}
    anatomy = Anatomy(volume)
    whole = anatomy.mask("body")
    if whole is None:
        raise InputError("No body was found in the scan, so there is no skin to enter through. Give a CT of a patient.")
    body = volume.restore(whole)
    clear = {name: s for name, s in segments.items() if any(word in name for word in SPARED)}
    spared = {name: s.mask for name, s in clear.items()}
    ways = trajectories(centroid(lesion.mask, geometry), body, spared, geometry, count=5)

    outline = surface(lesion.mask, geometry)
    near = min(distances, key=lambda name: distances[name])
    coloured = Model(
        f"distance to {near}",
        outline,
        values=distance_map(outline, vessels[near].mask, geometry),
        value_name="distance_mm",
    )
    for suffix in ("vtk", "ply"):
        write_models([coloured], out / f"distance_to_{near.replace(' ', '_')}.{suffix}")
    write_trajectory_markups(out / "ways.mrk.json", ways)
    zone = Segment(f"margin {MARGIN_MM:g} mm", removed, color=(255, 220, 0))
    kept = [liver, *vessels.values(), lesion, zone]
    result = Segmentation(geometry, tuple(kept), engine="plan")
    write_package(volume, result, out, ["seg", "sr", "rtstruct", "stl", "3mf", "glb", "seg.nrrd", "csv"])
    draw_plan(volume, result, body, ways, out, spared=[s for name, s in clear.items() if name not in vessels])
    sizes = measure(volume, lesion)
    cut = [s.name for s in (liver, lesion, *vessels.values()) if _at_border(s.mask)]
    return {
        "lesion": {q.name: round(q.value, 2) for q in sizes.quantities[:5]},
        "margin_mm": MARGIN_MM,
        "resected_ml": round(left.resected_mm3 / 1000, 1),
        "remnant_ml": round(left.remnant_mm3 / 1000, 1),
        "remnant_share": round(left.remnant_share, 3),
        "distance_mm": {name: round(value, 1) for name, value in distances.items()},
        "ways": [_told(way) for way in ways],
        "notes": [f"{name} reaches the border of the scan: its numbers are of the part in it." for name in cut],
    }


def _at_border(mask: npt.NDArray[np.bool_]) -> bool:
    """Whether a structure goes on, or may go on, where the scan ends: a remnant's share is then of a part only."""
    return any(bool(np.take(mask, end, axis).any()) for axis in range(3) for end in (0, -1))


def _told(way: Trajectory) -> dict[str, object]:
    nearest = min(way.clearance_mm, key=lambda name: way.clearance_mm[name]) if way.clearance_mm else ""
    return {
        "entry_lps": [round(v, 1) for v in way.entry_lps],
        "length_mm": round(way.length_mm, 1),
        "skin_angle_deg": round(way.skin_angle_deg),
        "axial_angle_deg": round(way.axial_angle_deg),
        "nearest": nearest,
        "clearance_mm": round(way.least_clearance_mm, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("names_or_out", type=Path, nargs="+", help="[labels.json] output-folder")
    parser.add_argument("--lesion", help="name of the segment to remove")
    parser.add_argument("--diameter", type=float, default=25.0, help="of the stand-in lesion, mm")
    given = parser.parse_args()
    *names, out = given.names_or_out
    out.mkdir(parents=True, exist_ok=True)
    volume, segments = load(given.scan, given.labels, names[0] if names else None, out)
    if given.lesion:
        lesion = segments[given.lesion]
    else:
        mask = stand_in(volume, segments["liver"].mask, given.diameter)
        lesion = Segment("stand-in lesion", mask, concept_of("liver lesion"), (220, 40, 40))
    told = plan(volume, segments, lesion, out)
    (out / "plan.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
