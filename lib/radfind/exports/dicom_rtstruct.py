"""A segmentation as an RT Structure Set (PS3.3 A.19): closed contours on the source slices."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

import radfind
from radfind.errors import InputError
from radfind.exports.coding import codes_of
from radfind.exports.dicom_common import (
    DEVICE_SERIAL,
    MANUFACTURER,
    MODEL,
    dicom_code,
    finished,
    frame_of_reference,
    save,
    source_datasets,
)
from radfind.exports.names import long_string
from radfind.measure.quantities import require_segments
from radfind.results import Segment, Segmentation
from radfind.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, what PS3.3 C.8.8.5 readers expect here


def structure_set(segmentation: Segmentation, volume: Volume, *, series_number: int = 9004) -> Dataset:
    """An RTSTRUCT of the segments that have voxels.

    Contours run half-way between voxels inside and outside, so that filling them gives the mask back. A hole is
    joined to its outer contour by a bridge of no width (the keyhole every planning system reads).

    Raises:
        InputError: there is no voxel to write, or the grids differ.
        NotSupportedError: the volume does not come from a DICOM series.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    if not segmentation.geometry.same_grid(volume.geometry):
        raise InputError("The segmentation lies on another grid than the volume; export it with its own scan.")
    require_segments(segmentation.segments)
    segments = [segment for segment in segmentation.segments if segment.mask.any()]
    sources = source_datasets(volume)
    first, now = sources[0], dt.datetime.now()
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = UID(_STORAGE)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid(prefix=None)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.is_little_endian, ds.is_implicit_VR = True, False
    for keyword in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
        *("AccessionNumber", "ReferringPhysicianName", "StudyInstanceUID", "PositionReferenceIndicator"),
    ):
        setattr(ds, keyword, first.get(keyword, ""))
    ds.FrameOfReferenceUID = frame_of_reference(volume)
    ds.Modality, ds.SeriesInstanceUID, ds.SeriesNumber = "RTSTRUCT", generate_uid(prefix=None), series_number
    ds.SeriesDescription, ds.OperatorsName, ds.InstanceNumber = "RadFind contours", "", 1
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MODEL
    ds.SoftwareVersions, ds.DeviceSerialNumber = radfind.__version__, DEVICE_SERIAL
    ds.StructureSetLabel, ds.StructureSetName = "RADFIND", "RadFind"
    ds.StructureSetDate, ds.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    ds.ReferencedFrameOfReferenceSequence = Sequence([_referenced(sources, volume)])
    rois = [_roi(segment, number, volume) for number, segment in enumerate(segments, start=1)]
    ds.StructureSetROISequence = Sequence([roi[0] for roi in rois])
    ds.ROIContourSequence = Sequence([roi[1] for roi in rois])
    ds.RTROIObservationsSequence = Sequence([roi[2] for roi in rois])
    ds.ApprovalStatus = "UNAPPROVED"
    return finished(ds, volume)


def write_rtstruct(segmentation: Segmentation, volume: Volume, path: str | Path) -> Path:
    """Write `structure_set` to `path`."""
    return save(structure_set(segmentation, volume), path)


def _referenced(sources: list[Dataset], volume: Volume) -> Dataset:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    images = []
    for source in sources:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
        images.append(image)
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = volume.series_uid, Sequence(images)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_COMPONENT, volume.study_uid
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID = frame_of_reference(volume)
    frame.RTReferencedStudySequence = Sequence([study])
    return frame


def _roi(segment: Segment, number: int, volume: Volume) -> tuple[Dataset, Dataset, Dataset]:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    roi, contours, observation = Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName = number, long_string(segment.name)
    roi.ReferencedFrameOfReferenceUID = frame_of_reference(volume)
    roi.ROIGenerationAlgorithm = "AUTOMATIC"
    contours.ROIDisplayColor, contours.ReferencedROINumber = list(segment.color), number
    items = []
    for k in np.flatnonzero(segment.mask.any(axis=(1, 2))):
        source = volume.slices[int(k)]
        for outline in outlines(segment.mask[k]):
            points = volume.geometry.to_lps(np.column_stack([np.full(len(outline), k), outline]))
            image, item = Dataset(), Dataset()
            image.ReferencedSOPClassUID = volume.header["SOPClassUID"]
            image.ReferencedSOPInstanceUID = source.sop_instance_uid
            if source.frame is not None:
                image.ReferencedFrameNumber = source.frame
            item.ContourImageSequence = Sequence([image])
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            item.ContourData = [f"{value:.4f}" for value in points.ravel()]
            items.append(item)
    contours.ContourSequence = Sequence(items)
    observation.ObservationNumber = observation.ReferencedROINumber = number
    codes = codes_of(segment)
    observation.RTROIInterpretedType = "ORGAN" if segment.concept and segment.concept.kind == "anatomy" else ""
    observation.ROIInterpreter = ""
    identification = dicom_code(codes.type)
    if codes.side is not None:
        identification.SegmentedPropertyTypeModifierCodeSequence = Sequence([dicom_code(codes.side)])
    observation.RTROIIdentificationCodeSequence = Sequence([identification])
    return roi, contours, observation


def outlines(plane: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.float64]]:
    """Closed polygons, (n, 2) in fractional (row, column), one per 4-connected part; holes joined by a bridge."""
    import cc3d
    from skimage.measure import find_contours

    labels = cc3d.connected_components(np.ascontiguousarray(plane), connectivity=4)
    for label in range(1, int(labels.max()) + 1):
        rows, columns = np.nonzero(labels == label)
        start = np.array([rows.min(), columns.min()])
        part = np.zeros((int(np.ptp(rows)) + 3, int(np.ptp(columns)) + 3))
        part[rows - start[0] + 1, columns - start[1] + 1] = 1.0
        rings = [_corners(ring[:-1]) for ring in find_contours(part, 0.5, fully_connected="low")]
        rings.sort(key=lambda ring: -abs(_area(ring)))
        outer = rings[0]
        for hole in rings[1:]:
            outer = _bridged(outer, hole)
        yield outer + start - 1.0


def _corners(ring: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The ring without the points in the middle of a straight line."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turning = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    return ring[turning]


def _area(ring: npt.NDArray[np.float64]) -> float:
    following = np.roll(ring, -1, axis=0)
    return float(np.sum(ring[:, 0] * following[:, 1] - ring[:, 1] * following[:, 0]) / 2.0)


def _bridged(outer: npt.NDArray[np.float64], hole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`outer`, at its point nearest to the hole walking in, around the hole against `outer`'s sense, and back."""
    if _area(outer) * _area(hole) > 0:
        hole = hole[::-1]
    gaps = np.linalg.norm(outer[:, None] - hole[None], axis=2)
    a, b = np.unravel_index(int(gaps.argmin()), gaps.shape)
    around = np.concatenate([np.roll(hole, -int(b), axis=0), hole[b : b + 1]])
    return np.concatenate([outer[: a + 1], around, outer[a:]])
