"""Images without a place in the patient: X-ray, ultrasound, endoscopy, photographs, cine loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from radfind.imaging.dicom_header import Frame, Instance, floats, value_of
from radfind.imaging.photometric import SECTIONAL
from radfind.imaging.stacking import Stack
from radfind.volume import Geometry

_CENTIMETRES = 3  # PhysicalUnitsXDirection (PS3.3 C.8.5.5.1.15)


def flat_stack(frames: Sequence[Frame], title: str) -> Stack:
    """Frames along k in the order they were taken (Instance Number, then frame number)."""
    ordered = sorted(frames, key=lambda frame: (frame.instance.integer("InstanceNumber"), frame.index))
    warnings = []
    spacing, source = _pixel_size(ordered[0])
    if source:
        warnings.append(source)
    if ordered[0].instance.text("Modality") in SECTIONAL:
        warnings.append("The slice does not say where it lies in the patient: left, right and position are unknown.")
    if len(ordered) > 1:
        warnings.append(
            f"The {len(ordered)} images have no place in the patient: the slice axis counts images, not mm."
        )
    rows, columns = ordered[0].instance.size
    geometry = Geometry.from_parts((len(ordered), rows, columns), spacing=(1.0, *spacing))
    return Stack(tuple(ordered), geometry, False, tuple(warnings), placed=False)


def _pixel_size(frame: Frame) -> tuple[tuple[float, float], str]:
    """(row, column) spacing in mm, and what to say about it."""
    instance = frame.instance
    if frame.spacing is not None:
        return frame.spacing, ""
    for keyword, told in (
        (
            "ImagerPixelSpacing",
            "Sizes are measured at the detector, not in the patient: magnification is not corrected.",
        ),
        ("NominalScannedPixelSpacing", "Pixel size is that of the scanned film."),
    ):
        found = floats(value_of(instance.dataset, keyword))
        if len(found) == 2 and min(found) > 0:
            return (found[0], found[1]), told
    region = _ultrasound_region(instance)
    if region is not None:
        return region, "Pixel size is that of the first calibrated ultrasound region."
    return (1.0, 1.0), "The image states no pixel size: one pixel counts as 1 mm, so sizes in mm are meaningless."


def _ultrasound_region(instance: Instance) -> tuple[float, float] | None:
    for region in value_of(instance.dataset, "SequenceOfUltrasoundRegions") or ():
        units = [floats(value_of(region, f"PhysicalUnits{axis}Direction")) for axis in "YX"]
        deltas = [floats(value_of(region, f"PhysicalDelta{axis}")) for axis in "YX"]
        if all(u and u[0] == _CENTIMETRES for u in units) and all(d and d[0] != 0 for d in deltas):
            y, x = (abs(float(np.float64(d[0]))) * 10 for d in deltas)
            return y, x
    return None
