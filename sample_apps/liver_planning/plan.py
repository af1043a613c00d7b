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
from radfind.exports.plan_files import plan_numbers, write_plan
from radfind.imaging.labelmap_reading import concept_of, read_names, read_segmentation
from radfind.measure.body import body_of
from radfind.measure.planning import plan
from radfind.phantom import write_dicom
from radfind.results import Segment, Segmentation
from radfind.volume import Volume

VESSELS = ("portal vein", "inferior vena cava", "aorta")
SPARED = (
    *VESSELS,
    *("gallbladder", "lung", "kidney", "colon", "stomach", "duodenum", "heart", "rib", "bone", "costal", "spinal cord"),
)
MARGIN_MM = 10.0
FORMATS = ("seg", "sr", "rtstruct", "stl", "3mf", "glb", "seg.nrrd", "csv")


def load(scan: Path, labels: Path, names: Path | None, out: Path) -> tuple[Volume, dict[str, Segment]]:
    """The scan and its segments by name. A scan that is no DICOM is written as a series: DICOM objects need one."""
    volume = radfind.load(scan)
    given = read_names(names) if names else None
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


def plan_and_draw(volume: Volume, segments: dict[str, Segment], lesion: Segment, out: Path) -> dict[str, object]:
    """Everything that is planned, written to `out` and drawn; the numbers are returned."""
    clear = [s for name, s in segments.items() if any(word in name for word in SPARED) and s.mask.any()]
    made = plan(volume, lesion, organ=segments["liver"], spared=clear, margin_mm=MARGIN_MM)
    vessels = [s for s in clear if s.name.startswith(VESSELS)]
    write_plan(made, volume, out, FORMATS, spared=vessels)
    shown = Segmentation(volume.geometry, (segments["liver"], *vessels, lesion, made.margin))
    draw_plan(volume, shown, body_of(volume), made.ways, out, spared=[s for s in clear if s not in vessels])
    return plan_numbers(made, volume)


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
    print(json.dumps(plan_and_draw(volume, segments, lesion, out), indent=2))


if __name__ == "__main__":
    main()
