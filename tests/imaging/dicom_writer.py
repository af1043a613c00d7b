"""Writes small DICOM series for the tests, with pydicom and by the letter of the standard."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from radfind.volume import Geometry


@dataclasses.dataclass
class Written:
    """What was written: per k of `geometry`, its SOP Instance UID and its file."""

    geometry: Geometry
    array: npt.NDArray
    uids: list[str]
    paths: list[Path]
    series_uid: str


def image(
    stored: npt.NDArray,
    *,
    position: Sequence[float] | None = (0, 0, 0),
    orientation: Sequence[float] | None = (1, 0, 0, 0, 1, 0),
    spacing: Sequence[float] | None = (1.0, 1.0),
    modality: str = "CT",
    syntax: str = ExplicitVRLittleEndian,
    coded: bytes | list[bytes] | None = None,
    photometric: str = "MONOCHROME2",
    **attributes: Any,
) -> Dataset:
    """A data set for `stored` ((rows, columns), or (rows, columns, 3)); `coded` is its compressed form."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
    dataset.Modality, dataset.PatientName, dataset.PatientID = modality, "Test^Case", "T1"
    if position is not None:
        dataset.ImagePositionPatient = [float(f"{c:.6f}") for c in position]
    if orientation is not None:
        dataset.ImageOrientationPatient = [float(f"{c:.8f}") for c in orientation]
    if spacing is not None:
        dataset.PixelSpacing = [float(f"{c:.6f}") for c in spacing]
    color = stored.ndim == 3 and stored.shape[-1] == 3
    dataset.SamplesPerPixel = 3 if color else 1
    if color:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if color and photometric == "MONOCHROME2" else photometric
    dataset.Rows, dataset.Columns = stored.shape[:2] if color else stored.shape[-2:]
    bits = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    if coded is not None:
        dataset.PixelData = encapsulate([coded] if isinstance(coded, bytes) else coded)
        dataset["PixelData"].is_undefined_length = True
    else:
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        dataset.PixelData = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
        if len(dataset.PixelData) % 2:
            dataset.PixelData += b"\0"
    dataset["PixelData"].VR = "OW" if bits > 8 and coded is None else "OB"
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    dataset.is_little_endian = dataset.file_meta.TransferSyntaxUID != ExplicitVRBigEndian
    dataset.is_implicit_VR = dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    pydicom.dcmwrite(path, dataset, write_like_original=False)
    return path


def write_series(
    folder: Path,
    array: npt.NDArray,
    geometry: Geometry,
    *,
    order: Sequence[int] | None = None,
    name: Callable[[int], str] = lambda k: f"{k:04d}.dcm",
    **attributes: Any,
) -> Written:
    """One file per k; `order[n]` is the k that gets the n-th file and instance number."""
    folder.mkdir(parents=True, exist_ok=True)
    count = len(array)
    uids, paths = [""] * count, [Path()] * count
    matrix = geometry.affine
    k_mm, j_mm, i_mm = geometry.spacing
    orientation = [*(matrix[:3, 0] / i_mm), *(matrix[:3, 1] / j_mm)]
    for n, k in enumerate(order or range(count)):
        dataset = image(
            array[k],
            position=geometry.to_lps((k, 0, 0)).tolist(),
            orientation=orientation,
            spacing=(j_mm, i_mm),
            **{"SliceThickness": f"{k_mm:.6f}", "InstanceNumber": n + 1, **attributes},
        )
        uids[k] = dataset.SOPInstanceUID
        paths[k] = save(dataset, folder / name(n))
    return Written(geometry, array, uids, paths, "1.2.3.2")


def enhanced(array: npt.NDArray, geometry: Geometry, *, slopes: Sequence[float] | None = None) -> Dataset:
    """An enhanced multi-frame CT: geometry and rescale in the functional groups, nothing at the top."""
    dataset = image(array[0], position=None, orientation=None, spacing=None)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames = len(array)
    dataset.PixelData = array.tobytes()
    k_mm, j_mm, i_mm = geometry.spacing
    shared = Dataset()
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [j_mm, i_mm], k_mm
    plane.ImageOrientationPatient = [*(geometry.affine[:3, 0] / i_mm), *(geometry.affine[:3, 1] / j_mm)]
    shared.PixelMeasuresSequence = DicomSequence([measures])
    shared.PlaneOrientationSequence = DicomSequence([plane])
    groups = []
    for k in range(len(array)):
        group, place, value = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = geometry.to_lps((k, 0, 0)).tolist()
        value.RescaleSlope = slopes[k] if slopes else 1
        value.RescaleIntercept, value.RescaleType = -1024, "HU"
        group.PlanePositionSequence = DicomSequence([place])
        group.PixelValueTransformationSequence = DicomSequence([value])
        groups.append(group)
    dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence(groups)
    return dataset
