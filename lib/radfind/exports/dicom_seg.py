"""A segmentation as a DICOM SEG object (PS3.3 A.51)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import radfind
from radfind.errors import InputError
from radfind.exports.coding import SegmentCodes, codes_of
from radfind.exports.dicom_common import (
    coding_schemes,
    decimals,
    dicom_code,
    equipment,
    finished,
    require_place,
    save,
    source_datasets,
    source_order,
)
from radfind.exports.dicom_seg_frames import fill
from radfind.exports.names import long_string
from radfind.measure.quantities import require_segments
from radfind.measure.quantity import Code
from radfind.results import Segment, Segmentation
from radfind.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_AI = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162 surface processing / algorithm families


def segmentation_object(segmentation: Segmentation, volume: Volume, *, series_number: int = 9001) -> Dataset:
    """A binary SEG of the segments that have voxels, on the slices of its source series.

    Segments may overlap. Frames without voxels are left out. Each segment carries its codes, colour, algorithm and a
    tracking UID by which SR and later time points refer to it.

    Raises:
        InputError: there is no voxel to write, or the grids differ.
        NotSupportedError: the volume does not come from a DICOM series, or is a loop or several views whose frames are
            not placed in the patient. One radiograph is written, with no place either.
    """
    from pydicom.sequence import Sequence

    if not segmentation.geometry.same_grid(volume.geometry):
        raise InputError("The segmentation lies on another grid than the volume; export it with its own scan.")
    if volume.geometry.shape[0] > 1:
        require_place(volume, "A SEG of several frames")
    require_segments(segmentation.segments)
    segments = [segment for segment in segmentation.segments if segment.mask.any()]
    sources = source_datasets(volume)
    order = source_order(volume)
    used = [n for n, k in enumerate(order) if any(segment.mask[k].any() for segment in segments)]
    descriptions = [
        description(segment, number, segmentation.engine) for number, segment in enumerate(segments, start=1)
    ]
    dataset = frame_of_one(volume, sources, used, descriptions[0], series_number)
    dataset.SegmentSequence = Sequence(descriptions)
    finished(dataset, volume)
    fill(dataset, segments, volume.geometry)
    return dataset


def frame_of_one(volume: Volume, sources: list[Dataset], used: list[int], first: Any, series_number: int) -> Any:
    """highdicom's SEG of one segment that fills every used slice: all but the frames of the others is in it."""
    import highdicom as hd

    shape = (len(sources), *volume.geometry.shape[1:]) if len(sources) > 1 else volume.geometry.shape
    frames: npt.NDArray[np.uint8] = np.zeros(shape, np.uint8)
    frames[used] = 1
    if len(sources) > 1:  # slices that hold nothing need not be passed through at all
        frames, sources = frames[used], [sources[n] for n in used]
    dataset = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=frames,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[first],
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        series_description="RadFind segmentation",
        content_label="RADFIND",
        content_description="Segments found by RadFind",
        coding_schemes=coding_schemes(),
        **equipment(),
    )
    if not volume.placed:  # pixel for pixel on its source, which also says what scale it has, if any
        dataset.PatientOrientation = ""  # of the rows and columns (C.7.6.1.1.1): not told
        del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    if volume.geometry.shape[0] > 1:
        # Where slices have gaps, readers that are told nothing else lay the frames one slice thickness apart (dcmqi).
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.SpacingBetweenSlices = decimals(volume.geometry.spacing[:1])[0]
    return dataset


def write_seg(segmentation: Segmentation, volume: Volume, path: str | Path) -> Path:
    """Write `segmentation_object` to `path`."""
    return save(segmentation_object(segmentation, volume), path)


def description(segment: Segment, number: int, engine: str) -> Any:
    """highdicom's description of a segment: codes, colour, algorithm, and a tracking UID of its own."""
    import highdicom as hd
    from pydicom.sequence import Sequence

    codes: SegmentCodes = codes_of(segment)
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=long_string(segment.name),
        segmented_property_category=dicom_code(codes.category),
        segmented_property_type=dicom_code(codes.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=f"RadFind {engine.split(' ')[0] or 'builtin'}"[:64],
            family=dicom_code(_AI),
            version=radfind.__version__,
        ),
        tracking_uid=hd.UID(),
        tracking_id=f"{long_string(segment.name)} {number}",
        anatomic_regions=[dicom_code(codes.region)] if codes.region is not None else None,
    )
    if codes.side is not None:
        modifier = Sequence([dicom_code(codes.side)])
        if codes.region is not None:
            item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = modifier
        else:
            item.SegmentedPropertyTypeModifierCodeSequence = modifier
    item.RecommendedDisplayCIELabValue = cielab(segment.color)
    return item


def cielab(color: tuple[int, int, int]) -> list[int]:
    """An sRGB colour as DICOM's scaled CIELab triplet (PS3.3 C.10.7.1.1)."""
    from skimage.color import rgb2lab

    light, a, b = rgb2lab(np.array([[color]], dtype=np.float64) / 255.0, illuminant="D50")[0, 0]
    return [round(light * 65535 / 100), round((a + 128) * 65535 / 255), round((b + 128) * 65535 / 255)]


@dataclasses.dataclass(frozen=True)
class SegmentReference:
    """Where a segment went: what SR items point to."""

    number: int
    tracking_uid: str
    tracking_id: str


def references(dataset: Dataset) -> list[SegmentReference]:
    """One entry per segment of a SEG, in order."""
    return [
        SegmentReference(int(item.SegmentNumber), str(item.TrackingUID), str(item.TrackingID))
        for item in dataset.SegmentSequence
    ]
