"""Our measurements beside SimpleITK's and pyradiomics', on labelled scans.

    python tests/bench/compare_measurements.py SCAN LABELS [SCAN LABELS ...] [--pyradiomics PYTHON]

pyradiomics wants an environment of its own; PYTHON is its interpreter. Prints the largest differences.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

import radfind
from radfind.measure import measure
from radfind.results import Segment

_THEIRS = """
import json, logging, sys, SimpleITK as sitk
from radiomics import firstorder, shape
import radiomics; radiomics.setVerbosity(logging.CRITICAL)
scan, labels = (sitk.ReadImage(p) for p in sys.argv[1:3])
out = {}
for value in json.loads(sys.argv[3]):
    mask = sitk.Cast(labels == value, sitk.sitkUInt8)
    s, f = shape.RadiomicsShape(scan, mask, label=1), firstorder.RadiomicsFirstOrder(scan, mask, label=1)
    s.enableAllFeatures(); f.enableFeatureByName("Mean"); f.enableFeatureByName("Median")
    found = {**s.execute(), **f.execute()}
    out[value] = {k: float(v) for k, v in found.items()}
print(json.dumps(out))
"""
_PAIRS = {  # ours: pyradiomics'
    "volume_mm3": "VoxelVolume",
    "surface_area_mm2": "SurfaceArea",
    "sphericity": "Sphericity",
    "greatest_diameter_mm": "Maximum3DDiameter",
    "major_axis_mm": "MajorAxisLength",
    "mean_hu": "Mean",
    "mean_value": "Mean",
    "median_hu": "Median",
}


def image_of(array: np.ndarray, geometry: radfind.volume.Geometry) -> sitk.Image:  # type: ignore[name-defined]
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing[::-1])
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction.ravel().tolist())
    return image


def compare(scan: Path, labels: Path, python: str | None, least: int) -> None:
    volume, map_ = radfind.load(scan), radfind.load(labels)
    label = image_of(map_.array.astype(np.uint16), map_.geometry)
    scalar = image_of(volume.array.astype(np.float32), volume.geometry)
    values = [int(v) for v in np.unique(map_.array) if v and (map_.array == v).sum() >= least]
    shape, intensity = sitk.LabelShapeStatisticsImageFilter(), sitk.LabelIntensityStatisticsImageFilter()
    shape.ComputeFeretDiameterOn()
    shape.Execute(label)
    intensity.Execute(label, scalar)
    theirs: dict[str, dict[str, float]] = {}
    if python:
        with tempfile.TemporaryDirectory() as name:
            files = [str(Path(name) / f"{n}.nrrd") for n in ("scan", "labels")]
            sitk.WriteImage(scalar, files[0])
            sitk.WriteImage(label, files[1])
            command = [python, "-c", _THEIRS, *files, json.dumps(values)]
            theirs = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    apart: dict[str, list[float]] = {}
    for value in values:
        ours = {q.name: q.value for q in measure(volume, Segment(str(value), map_.array == value)).quantities}
        itk = {
            "volume_mm3": shape.GetPhysicalSize(value),
            "greatest_diameter_mm": shape.GetFeretDiameter(value),
            "mean_hu": intensity.GetMean(value),
            "mean_value": intensity.GetMean(value),
        }
        pairs = [(f"SimpleITK {name}", ours[name], other) for name, other in itk.items() if name in ours]
        radiomics = theirs.get(str(value), {})
        pairs += [
            # Its axes are 4 standard deviations (a convention); a solid ellipsoid's are 2 times the root of 5.
            (f"pyradiomics {name}", ours[name], radiomics[other] * (5**0.5 / 2 if "_axis_" in name else 1.0))
            for name, other in _PAIRS.items()
            if name in ours and other in radiomics
        ]
        for name, one, other in pairs:
            apart.setdefault(name, []).append(
                one - other if "hu" in name or "_value" in name else (one / other - 1) * 100
            )
    print(f"{labels.name}: {len(values)} structures of at least {least} voxels")
    for name, differences in apart.items():
        unit = "" if "hu" in name or "_value" in name else " %"
        print(
            f"  {name:<36} median {np.median(differences):+8.3f}{unit}  largest {max(differences, key=abs):+8.3f}{unit}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--pyradiomics", help="interpreter of an environment that has it")
    parser.add_argument("--least", type=int, default=200, help="voxels a structure must have")
    given = parser.parse_args()
    for scan, labels in zip(given.files[::2], given.files[1::2], strict=True):
        compare(scan, labels, given.pyradiomics, given.least)


if __name__ == "__main__":
    main()
