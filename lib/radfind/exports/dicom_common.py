"""What every DICOM object we write has in common: its source, its equipment, and how it reaches the disk."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import radfind
from radfind.errors import InputError, NotSupportedError
from radfind.exports.coding import PRIVATE_SCHEME
from radfind.exports.names import UTF8, character_set, value_or_empty
from radfind.measure.quantity import Code
from radfind.volume import SliceSource, Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "RadFind"
MODEL = "RadFind"
DEVICE_SERIAL = "1"
IMPLEMENTATION_UID = "2.25.179216213377402823451862377612563108541"
"""Ours, derived from a UUID as PS3.5 B.2 allows."""


def source_datasets(volume: Volume) -> list[Dataset]:
    """Stand-ins for the instances a volume was read from, in the order of k; one for a multi-frame object.

    They are made of what `Volume` keeps, not of the files: so private attributes cannot leak, and a series that came
    over the network needs no files.

    Raises:
        NotSupportedError: the volume does not come from DICOM, or from DICOM that says too little.
    """
    needed = {
        "SOP Instance UIDs": bool(volume.slices) and all(s.sop_instance_uid for s in volume.slices),
        "SeriesInstanceUID": bool(volume.series_uid),
        "StudyInstanceUID": bool(volume.study_uid),
        "SOPClassUID": "SOPClassUID" in volume.header,
    }
    missing = [name for name, there in needed.items() if not there]
    if missing:
        raise NotSupportedError(
            f"'{volume.name or 'This image'}' cannot be the source of a DICOM object: it has no {', '.join(missing)}. "
            "DICOM objects refer to the series they were made on: load that series, not a NIfTI or NRRD copy of it."
        )
    if any(source.frame is not None for source in volume.slices):
        return [_multi_frame(volume)]
    return [_single(volume, k, source) for k, source in enumerate(volume.slices)]


def require_place(volume: Volume, what: str) -> None:
    """Raises NotSupportedError unless the geometry of `volume` says where it lies in the patient."""
    if not volume.placed:
        raise NotSupportedError(
            f"{what} lies in the patient's space, and this {volume.modality} image does not say where that is. Write a "
            "binary SEG ('seg') of one radiograph, or a labelmap ('nrrd'), instead."
        )


def source_order(volume: Volume) -> list[int]:
    """For each frame of the source datasets, its k."""
    if any(source.frame is not None for source in volume.slices):
        return [k for _, k in sorted((source.frame or 0, k) for k, source in enumerate(volume.slices))]
    return list(range(len(volume.slices)))


def _common(volume: Volume) -> Dataset:
    from pydicom.dataset import Dataset

    header = volume.header
    ds = Dataset()
    ds.SpecificCharacterSet = UTF8
    for keyword in (*_PATIENT, *_STUDY, "FrameOfReferenceUID", "PositionReferenceIndicator", "SOPClassUID"):
        setattr(ds, keyword, value_or_empty(keyword, header.get(keyword, "")))
    if ds.PatientSex not in ("M", "F", "O", ""):
        ds.PatientSex = ""
    ds.StudyInstanceUID, ds.SeriesInstanceUID = volume.study_uid, volume.series_uid
    if volume.placed:
        ds.FrameOfReferenceUID = frame_of_reference(volume)
    else:
        del ds.FrameOfReferenceUID, ds.PositionReferenceIndicator
    ds.Modality = volume.modality
    ds.Rows, ds.Columns = volume.geometry.shape[1:]
    return ds


def frame_of_reference(volume: Volume) -> str:
    """The source's frame of reference; where it states none, one that depends on the series alone."""
    return volume.frame_of_reference_uid or _derived_uid(b"frame of reference", volume.series_uid or "")


def _derived_uid(key: bytes, value: str) -> str:
    digest = hmac.new(key, value.encode(), hashlib.sha256).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
_STUDY = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription")


def _single(volume: Volume, k: int, source: SliceSource) -> Dataset:
    ds = _common(volume)
    geometry = volume.geometry
    ds.SOPInstanceUID = source.sop_instance_uid
    ds.InstanceNumber = k + 1
    if volume.placed:
        ds.ImagePositionPatient = decimals(geometry.to_lps((k, 0, 0)))
        ds.ImageOrientationPatient = decimals(geometry.direction[:, :2].T.ravel())
    ds.PixelSpacing = decimals(geometry.spacing[1:])
    ds.SliceThickness = volume.header.get("SliceThickness") or decimals([geometry.spacing[0]])[0]
    return ds


def _multi_frame(volume: Volume) -> Dataset:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    order = source_order(volume)
    frames = [volume.slices[k].frame for k in order]
    uids = {source.sop_instance_uid for source in volume.slices}
    if len(uids) != 1 or frames != list(range(1, len(frames) + 1)):
        raise NotSupportedError(
            f"'{volume.name}' is a part of a multi-frame object, or of several; DICOM objects are written for "
            "single-frame series and for whole multi-frame objects."
        )
    ds = _common(volume)
    ds.SOPInstanceUID, ds.NumberOfFrames, ds.InstanceNumber = uids.pop(), len(frames), 1
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = decimals(volume.geometry.spacing[1:])
    measures.SliceThickness = volume.header.get("SliceThickness") or decimals([volume.geometry.spacing[0]])[0]
    orientation.ImageOrientationPatient = decimals(volume.geometry.direction[:, :2].T.ravel())
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for k in order:
        position, group = Dataset(), Dataset()
        position.ImagePositionPatient = decimals(volume.geometry.to_lps((k, 0, 0)))
        group.PlanePositionSequence = Sequence([position])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return ds


def decimals(values: Any) -> list[str]:
    """Numbers as DICOM decimal strings: at most 16 characters (PS3.5 6.2, VR DS)."""
    result = []
    for value in np.asarray(values, dtype=float).ravel():
        text = repr(float(value) + 0.0)
        for digits in range(15, 0, -1):
            if len(text) <= 16:
                break
            text = f"{float(value) + 0.0:.{digits}g}"
        result.append(text)
    return result


def dicom_code(code: Code) -> Any:
    """A highdicom `CodedConcept`."""
    from highdicom.sr import CodedConcept

    value = code.value if len(code.value) <= 16 else _short(code.value)
    return CodedConcept(value, code.scheme, code.meaning)


def _short(value: str) -> str:
    """A private id of more than 16 characters, shortened and kept unique by four characters of its hash."""
    return f"{value[:11]}_{hashlib.sha256(value.encode()).hexdigest()[:4]}"


def coding_schemes() -> list[Any]:
    """PS3.3 C.12.1.1: what the private scheme is."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return [
        CodingSchemeIdentificationItem(
            designator=PRIVATE_SCHEME, name="RadFind lexicon", responsible_organization="RadFind"
        )
    ]


def equipment() -> dict[str, Any]:
    """Keyword arguments of highdicom's constructors for the General Equipment module."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL,
        "software_versions": radfind.__version__,
        "device_serial_number": DEVICE_SERIAL,
    }


def finished(dataset: Dataset, volume: Volume) -> Dataset:
    """The attributes that every object takes over from its source study."""
    for keyword in _OPTIONAL:
        if value := value_or_empty(keyword, volume.header.get(keyword, "")):
            setattr(dataset, keyword, value)
    dataset.SpecificCharacterSet = character_set(dataset, volume.header.get("SpecificCharacterSet", ""))
    return dataset


_OPTIONAL = ("StudyDescription", "IssuerOfPatientID", "PatientAge", "PatientSize", "PatientWeight",
             "PatientIdentityRemoved", "DeidentificationMethod")  # fmt: skip


def save(dataset: Dataset, path: str | Path) -> Path:
    """Write a DICOM file; it appears whole or not at all.

    Raises:
        InputError: the folder cannot be written to.
    """
    import pydicom

    target = Path(path)
    draft = target.with_name(f".{target.name}.part")
    try:
        pydicom.dcmwrite(draft, dataset, write_like_original=False)
        draft.replace(target)
    except OSError as error:
        raise InputError(
            f"'{target}' cannot be written ({error.strerror or error}). Name a folder that exists and is writable."
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return target


def deidentified(volume: Volume, key: bytes) -> Volume:
    """The same volume with no identity in what is written from it.

    Names, numbers, dates and free text are dropped, and every UID is replaced by one derived from it and `key`
    (PS3.15 Annex E, basic profile, UIDs kept consistent): objects made with one key still refer to one another, and
    to images de-identified with the same key, and nobody without the key can go back.
    """

    def uid(value: str | None) -> str | None:
        return _derived_uid(key, value) if value else value

    kept = ("Modality", "SOPClassUID", "BodyPartExamined", "SliceThickness", "KVP", "ImageType", "PatientSex")
    header: Mapping[str, str] = {
        **{name: value for name, value in volume.header.items() if name in kept},
        "PatientName": "Anonymous",
        "PatientID": str(uid(volume.header.get("PatientID") or volume.study_uid))[5:21],
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": "RadFind: no identity, dates or texts; keyed UIDs",
    }
    return dataclasses.replace(
        volume,
        slices=tuple(SliceSource(None, uid(s.sop_instance_uid), s.frame) for s in volume.slices),
        series_uid=uid(volume.series_uid),
        study_uid=uid(volume.study_uid),
        frame_of_reference_uid=uid(volume.frame_of_reference_uid),
        header=header,
        name="",
    )
