"""A segmentation as a DICOM label map SEG (PS3.3 C.8.20.2, Segmentation Type LABELMAP): one value a voxel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError
from radfind.exports.dicom_common import dicom_code, finished, require_place, save, source_datasets, source_order
from radfind.exports.dicom_seg import description, frame_of_one
from radfind.measure.quantities import require_segments
from radfind.measure.quantity import Code
from radfind.results import Segment, Segmentation
from radfind.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage
_BACKGROUND = Code("125040", "DCM", "Background")
_SPATIAL = Code("309825002", "SCT", "Spatial and Relational Concept")


def labelmap_object(segmentation: Segmentation, volume: Volume, *, series_number: int = 9005) -> Dataset:
    """A LABELMAP SEG of the segments that have voxels: many times smaller than a binary one of many segments.

    It is new (DICOM 2024d) and not every archive or viewer takes it; `segmentation_object` writes the binary one that
    all do. Codes, colours and tracking ids are the same. 0 is the background.

    Raises:
        InputError: there is no voxel to write, the grids differ, or segments overlap, which a label map cannot hold.
        NotSupportedError: the volume does not come from a DICOM series, or is not placed in the patient.
    """
    from pydicom.sequence import Sequence
    from pydicom.uid import UID

    if not segmentation.geometry.same_grid(volume.geometry):
        raise InputError("The segmentation lies on another grid than the volume; export it with its own scan.")
    require_place(volume, "A label map SEG")
    require_segments(segmentation.segments)
    segments = [segment for segment in segmentation.segments if segment.mask.any()]
    labels = _labels(segments, volume)
    used = [n for n, k in enumerate(source_order(volume)) if labels[k].any()]
    described = [description(segment, number, segmentation.engine) for number, segment in enumerate(segments, start=1)]
    dataset = frame_of_one(volume, source_datasets(volume), used, described[0], series_number)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(_STORAGE)
    dataset.SegmentationType, dataset.SegmentsOverlap = "LABELMAP", "NO"
    dataset.SegmentSequence = Sequence([_background(), *described])
    dataset.BitsAllocated = dataset.BitsStored = 8 * labels.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.add_new(0x00280120, "US", 0)  # Pixel Padding Value: the background
    # Which segment a frame shows is no dimension any more: a frame shows all of them.
    dataset.DimensionIndexSequence = Sequence(dataset.DimensionIndexSequence[1:])
    frames = []
    for group in dataset.PerFrameFunctionalGroupsSequence:
        del group.SegmentIdentificationSequence
        content = group.FrameContentSequence[0]
        content.DimensionIndexValues = content.DimensionIndexValues[1]
        position = group.PlanePositionSequence[0].ImagePositionPatient
        frames.append(labels[round(float(volume.geometry.to_index(position)[0]))])
    pixels = np.stack(frames).astype(f"<u{labels.itemsize}").tobytes()
    dataset.add_new(0x7FE00010, "OB" if labels.itemsize == 1 else "OW", pixels + b"\0" * (len(pixels) % 2))
    return finished(dataset, volume)


def write_labelmap_seg(segmentation: Segmentation, volume: Volume, path: str | Path) -> Path:
    """Write `labelmap_object` to `path`."""
    return save(labelmap_object(segmentation, volume), path)


def _labels(segments: list[Segment], volume: Volume) -> npt.NDArray[Any]:
    labels: npt.NDArray[Any] = np.zeros(volume.geometry.shape, np.uint8 if len(segments) < 256 else np.uint16)
    for number, segment in enumerate(segments, start=1):
        taken = int(labels[segment.mask].max())
        if taken:
            other = segments[taken - 1]
            raise InputError(
                f"'{other.name}' and '{segment.name}' overlap, and a label map holds one segment a voxel. Write a "
                "binary SEG instead (format 'seg')."
            )
        labels[segment.mask] = number
    return labels


def _background() -> Dataset:
    import highdicom as hd

    item: Dataset = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Background",
        segmented_property_category=dicom_code(_SPATIAL),
        segmented_property_type=dicom_code(_BACKGROUND),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    item.SegmentNumber = 0
    item.RecommendedDisplayCIELabValue = [0, 32896, 32896]
    return item
