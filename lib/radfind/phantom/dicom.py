"""Writing a volume as a CT Image Storage series (DICOM PS3.3 A.3)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from radfind.volume import Volume

_INTERCEPT = -1024


def write_dicom(
    volume: Volume,
    folder: Path | str,
    *,
    series_description: str = "Synthetic chest CT",
    patient_name: str = "Phantom^Chest",
    seed: int = 0,
) -> list[Path]:
    """Write one file per slice, with file names in random order and UIDs that depend only on the arguments.

    Arguments:
        volume: CT in Hounsfield units, -2048 (padding) to 31743.
        folder: made when absent.
        seed: of the UIDs and file names.

    Returns:
        The files, in the order of k.
    """
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    key = [str(seed), series_description, patient_name, volume.name, str(volume.geometry.affine.tolist())]

    def uid(*what: str) -> UID:
        return generate_uid(entropy_srcs=[*key, *what])

    stored = np.clip(np.rint(volume.array) - _INTERCEPT, -32768, 32767).astype("<i2")
    geometry = volume.geometry
    direction = geometry.direction
    spacing_k, spacing_j, spacing_i = geometry.spacing
    count = geometry.shape[0]
    names = np.random.default_rng(seed).permutation(count)
    paths = []
    for k in range(count):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = uid("instance", str(k))
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"I{names[k]:05d}.dcm"
        ds = FileDataset(str(path), Dataset(), file_meta=meta, preamble=b"\0" * 128)
        ds.is_little_endian, ds.is_implicit_VR = True, False
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20250101"
        ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
        ds.AccessionNumber, ds.ReferringPhysicianName, ds.StudyID = "", "", "1"
        ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "RadFind", "phantom"
        ds.StudyDescription, ds.SeriesDescription = "CT chest (synthetic)", series_description
        ds.PatientName, ds.PatientID = patient_name, f"PHANTOM{seed}"
        ds.PatientBirthDate, ds.PatientSex, ds.PatientPosition = "", "O", "HFS"
        ds.BodyPartExamined = "CHEST"
        ds.KVP, ds.SliceThickness, ds.SpacingBetweenSlices = "120", f"{spacing_k:.6g}", f"{spacing_k:.6g}"
        ds.ConvolutionKernel = "SYNTHETIC"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid("frame"), ""
        ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", "1", str(k + 1)
        ds.ImagePositionPatient = [f"{v:.9g}" for v in geometry.to_lps((k, 0, 0))]
        ds.ImageOrientationPatient = [f"{v:.9g}" for v in (*direction[:, 0], *direction[:, 1])]
        ds.PixelSpacing = [f"{spacing_j:.9g}", f"{spacing_i:.9g}"]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = geometry.shape[1:]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        if volume.padding is not None:
            ds.PixelPaddingValue = round(volume.padding) - _INTERCEPT
        ds.WindowCenter, ds.WindowWidth = ["-600", "40"], ["1500", "400"]
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(_INTERCEPT), "1", "HU"
        ds.PixelData = stored[k].tobytes()
        ds.save_as(path, write_like_original=False)
        paths.append(path)
    return paths
