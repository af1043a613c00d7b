"""How fast results are written: a SEG of 10 segments x 300 slices against highdicom's default, meshes, measuring.

python tests/bench/bench_exports.py [slices] [rows]
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np

import radfind
from radfind.exports.dicom_common import dicom_code, equipment, source_datasets
from radfind.exports.dicom_rtstruct import write_rtstruct
from radfind.exports.dicom_seg import write_seg
from radfind.exports.meshes import models_of, write_models
from radfind.measure import measure
from radfind.measure.quantity import Code
from radfind.phantom import write_dicom
from radfind.results import Segment, Segmentation
from radfind.volume import Geometry, Volume


def timed(name: str, work: Callable[[], object]) -> None:
    start = time.perf_counter()
    work()
    print(f"{name:<58}{time.perf_counter() - start:8.2f} s", flush=True)


def plain_highdicom(segmentation: Segmentation, volume: Volume, path: Path) -> None:
    """What one gets by passing everything to highdicom as its documentation shows."""
    tissue = dicom_code(Code("85756007", "SCT", "Tissue"))
    algorithm = hd.AlgorithmIdentificationSequence(
        "x", dicom_code(Code("123110", "DCM", "Artificial Intelligence")), "1"
    )
    hd.seg.Segmentation(
        source_images=source_datasets(volume),
        pixel_array=np.stack([s.mask for s in segmentation.segments], axis=-1).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[
            hd.seg.SegmentDescription(n, s.name, tissue, tissue, "AUTOMATIC", algorithm)
            for n, s in enumerate(segmentation.segments, start=1)
        ],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        **equipment(),
    ).save_as(path)


def main() -> None:
    warnings.simplefilter("ignore")
    slices = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 512
    shape = (slices, rows, rows)
    array = np.zeros(shape, np.int16)
    segments = []
    k, j, i = np.ogrid[:slices, :rows, :rows]
    for n in range(10):
        centre = np.array([0.5, 0.25 + 0.05 * n, 0.3 + 0.04 * n]) * shape
        body = (
            ((k - centre[0]) / slices * 1.98) ** 2
            + ((j - centre[1]) / rows * 9) ** 2
            + ((i - centre[2]) / rows * 9) ** 2
        )
        segments.append(Segment(f"organ {n}", body <= 1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dicom(Volume(array, Geometry.from_parts(shape, spacing=(1.0, 0.8, 0.8)), "CT"), folder / "ct")
        volume = radfind.load(folder / "ct")
        segmentation = Segmentation(volume.geometry, tuple(segments), engine="bench")
        print(f"10 segments, {slices} slices of {rows} x {rows}")
        timed("SEG, highdicom's default", lambda: plain_highdicom(segmentation, volume, folder / "plain.dcm"))
        timed("SEG, ours", lambda: write_seg(segmentation, volume, folder / "ours.dcm"))
        timed("RTSTRUCT", lambda: write_rtstruct(segmentation, volume, folder / "rt.dcm"))
        timed("surfaces of all segments, 3MF", lambda: write_models(models_of(segmentation), folder / "m.3mf"))
        timed("measuring all segments", lambda: [measure(volume, segment) for segment in segments])


if __name__ == "__main__":
    main()
