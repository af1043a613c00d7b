"""A segmentation as an RT Structure Set (PS3.3 A.19): closed contours on the source slices."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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
    require_place,
    save,
    source_datasets,
)
from radfind.exports.names import long_string
from radfind.measure.quantities import require_segments
from radfind.refine.outlines import polygons
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
        NotSupportedError: the volume does not come from a DICOM series, or is not placed in the patient.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    if not segmentation.geometry.same_grid(volume.geometry):
        raise InputError("The segmentation lies on another grid than the volume; export it with its own scan.")
    require_place(volume, "A structure set")
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
    for k, rings in polygons(segment.mask).items():
        source = volume.slices[k]
        for outline in rings:
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
