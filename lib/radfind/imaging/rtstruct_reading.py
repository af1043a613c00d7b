"""Read an RT Structure Set of any tool (PS3.3 A.19) as masks on the grid of its image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError
from radfind.imaging.dicom_origins import concept_of_code, made_on, nested, part_of, side_of_codes
from radfind.results import Segment, Segmentation
from radfind.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_OFF_PLANE = 0.25
"""Share of the slice distance by which a contour may lie beside a slice and still be taken as drawn on it."""


def segmentation_from_rtstruct(dataset: Dataset, volume: Volume, file: Path) -> Segmentation:
    """The regions of a structure set: voxels whose centre lies within an odd number of a slice's contours.

    Odd, because a second contour inside a first is a hole (as planning systems read it); a keyhole, which is a hole
    joined to its outer contour by a line, comes out right in the same way.

    Regions whose contours lie beside or across the slices are named in `not_supported`; one that goes on beyond the
    image is named a part.

    Raises:
        ImageError: it belongs to another series, is damaged, or no region can be placed.
    """
    notes = made_on(volume, file, **_references(dataset))
    contours = {int(item.ReferencedROINumber): item for item in nested(dataset, "ROIContourSequence")}
    observed = {int(item.ReferencedROINumber): item for item in nested(dataset, "RTROIObservationsSequence")}
    segments, refused, empty, cut = [], [], [], False
    for roi in nested(dataset, "StructureSetROISequence"):
        number = int(roi.ROINumber)
        name = " ".join(str(roi.get("ROIName", "")).split()) or f"ROI {number}"
        drawn = contours.get(number)
        closed, other = _polygons(drawn, name, file)
        if other:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(other.items()))
            notes += (f"'{name}' also has what encloses nothing and was left out: {kinds}.",)
        if not closed:
            empty.append(name)
            continue
        mask, levels, whole = _filled(closed, volume)
        if not levels:
            refused.append(f"{name}: its contours do not lie in the slices of this image; give the series of its own")
            continue
        if not mask.any():
            empty.append(name)
            continue
        if not whole:
            name, cut = part_of(name), True
        if len(levels) < max(levels) - min(levels) + 1:
            notes += (f"'{name}' is not drawn on every slice between its ends; slices without a contour stay empty.",)
        segments.append(_segment(name, mask, drawn, observed.get(number)))
    if empty:
        notes += (f"Without voxels on this image: {', '.join(empty)}.",)
    if cut:
        notes += ("Regions named 'part' go on beyond this image: give the whole series to have all of them.",)
    if not segments:
        why = f" {refused[0]}." if refused else ""
        raise ImageError(f"'{file}' has no region that can be placed on this image.{why}")
    return Segmentation(volume.geometry, tuple(segments), not_supported=tuple(refused), engine="imported", notes=notes)


def _references(dataset: Dataset) -> dict[str, Iterable[str]]:
    frames = list(nested(dataset, "ReferencedFrameOfReferenceSequence"))
    series = [
        item for frame in frames for item in nested(frame, "RTReferencedStudySequence", "RTReferencedSeriesSequence")
    ]
    images = [image for item in series for image in nested(item, "ContourImageSequence")]
    images += nested(dataset, "ROIContourSequence", "ContourSequence", "ContourImageSequence")
    own = [str(item.get("ReferencedFrameOfReferenceUID", "")) for item in nested(dataset, "StructureSetROISequence")]
    stated = [*own, *(str(frame.get("FrameOfReferenceUID", "")) for frame in frames)]
    return {
        "series": [str(item.get("SeriesInstanceUID", "")) for item in series],
        "instances": {str(image.get("ReferencedSOPInstanceUID", "")) for image in images} - {""},
        "frames_of_reference": stated,
    }


def _polygons(drawn: Dataset | None, name: str, file: Path) -> tuple[list[npt.NDArray[np.float64]], Counter[str]]:
    """(n, 3) points in LPS mm of each closed contour, and how many there are of other kinds."""
    closed: list[npt.NDArray[np.float64]] = []
    other: Counter[str] = Counter()
    for item in nested(drawn, "ContourSequence") if drawn is not None else ():
        kind = str(item.get("ContourGeometricType", ""))
        values = np.array(item.get("ContourData") or [], dtype=np.float64)
        if values.size % 3 or not np.isfinite(values).all():
            raise ImageError(f"'{file}' has a contour of '{name}' that is not a list of points. Export it again.")
        if kind not in _CLOSED:
            other[kind or "contour of unknown kind"] += 1
        elif values.size < 9:
            other["contour of fewer than three points"] += 1
        else:
            closed.append(values.reshape(-1, 3))
    return closed, other


def _filled(polygons: list[npt.NDArray[np.float64]], volume: Volume) -> tuple[npt.NDArray[np.bool_], set[int], bool]:
    """The mask, the k of all contours (none: they do not lie in slices), and whether all lie on the image."""
    from skimage.draw import polygon2mask

    shape = volume.geometry.shape
    mask = np.zeros(shape, bool)
    levels, whole = set(), True
    for points in polygons:
        index = volume.geometry.to_index(points)
        k = round(float(index[:, 0].mean()))
        if np.abs(index[:, 0] - k).max() > _OFF_PLANE:
            return mask, set(), False
        levels.add(k)
        low, high = np.floor(index[:, 1:].min(axis=0)).astype(int), np.ceil(index[:, 1:].max(axis=0)).astype(int)
        start, stop = np.maximum(low, 0), np.minimum(high + 1, shape[1:])
        whole &= 0 <= k < shape[0] and bool((low >= -1).all() and (high <= shape[1:]).all())
        if 0 <= k < shape[0] and (start < stop).all():
            filled = polygon2mask(tuple(stop - start), index[:, 1:] - start)
            mask[k, start[0] : stop[0], start[1] : stop[1]] ^= filled
    return mask, levels, whole


def _segment(name: str, mask: npt.NDArray[np.bool_], drawn: Dataset | None, observation: Dataset | None) -> Segment:
    codes = list(nested(observation, "RTROIIdentificationCodeSequence")) if observation is not None else []
    side = side_of_codes([c for code in codes for c in nested(code, "SegmentedPropertyTypeModifierCodeSequence")])
    kind = str(observation.get("RTROIInterpretedType", "")) if observation is not None else ""
    concept = concept_of_code(codes[0] if codes else None, name, "anatomy" if kind in ("ORGAN", "") else "finding")
    if side in ("left", "right") and side not in name.lower() and {"left": "左", "right": "右"}[side] not in name:
        name = f"{side} {name}"
    given = drawn.get("ROIDisplayColor") if drawn is not None else None
    color = tuple(min(max(int(v), 0), 255) for v in given) if given is not None and len(given) == 3 else None
    fallback = concept.color if concept is not None else (230, 180, 60)
    return Segment(name, mask, concept, (color[0], color[1], color[2]) if color else fallback)
