"""Measurements as a structured report (TID 1500, PS3.16), and ranked slices as key objects (TID 2010)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import radfind
from radfind.errors import InputError
from radfind.exports.coding import codes_of
from radfind.exports.dicom_common import (
    DEVICE_SERIAL,
    IMPLEMENTATION_UID,
    MANUFACTURER,
    MODEL,
    coding_schemes,
    dicom_code,
    equipment,
    finished,
    save,
    source_datasets,
)
from radfind.exports.dicom_seg import references
from radfind.measure.quantities import Measured
from radfind.measure.quantity import Code
from radfind.results import Ranking
from radfind.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PROCEDURES = {  # CID 100 is open ended; these are its general SNOMED CT codes
    "CT": Code("77477000", "SCT", "Computed tomography"),
    "MR": Code("113091000", "SCT", "Magnetic resonance imaging"),
    "PT": Code("82918005", "SCT", "Positron emission tomography"),
}
_IMAGING = Code("363679005", "SCT", "Imaging procedure")
_DEVICE = Code("121007", "DCM", "Device")
_OF_INTEREST = Code("113000", "DCM", "Of Interest")


def measurement_report(
    measured: Sequence[Measured], segmentation: Dataset, volume: Volume, *, series_number: int = 9002
) -> Dataset:
    """A Comprehensive 3D SR with one volumetric group per segment of the SEG.

    Arguments:
        measured: in the order of the SEG's segments.
        segmentation: what `segmentation_object` made of the same segments.

    Raises:
        InputError: the numbers of measurements and segments differ.
        NotSupportedError: the volume does not come from a DICOM series.
    """
    import highdicom as hd

    targets = references(segmentation)
    if len(targets) != len(measured):
        raise InputError(
            f"There are {len(measured)} measured segments for a SEG of {len(targets)}; pass the same ones."
        )
    groups = [
        _group(item, target.number, target.tracking_uid, target.tracking_id, segmentation)
        for item, target in zip(measured, targets, strict=True)
    ]
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=_observer()),
        procedure_reported=dicom_code(_PROCEDURES.get(volume.modality, _IMAGING)),
        imaging_measurements=groups,
    )
    dataset = hd.sr.Comprehensive3DSR(
        evidence=[*source_datasets(volume), segmentation],
        content=report[0],
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        is_complete=True,
        series_description="RadFind measurements",
        coding_schemes=coding_schemes(),
        **equipment(),
    )
    return finished(dataset, volume)


def key_objects(ranking: Ranking, volume: Volume, query: str, *, series_number: int = 9003) -> Dataset:
    """A Key Object Selection of the ranked slices, best first: any viewer shows them as key images.

    Raises:
        InputError: the ranking is empty.
        NotSupportedError: the volume does not come from a DICOM series.
    """
    import highdicom as hd

    if not ranking.slices:
        raise InputError("The ranking names no slice, so there is no key image to write.")
    sources = source_datasets(volume)
    picked = [sources[item.index] if len(sources) > 1 else sources[0] for item in ranking.slices]
    content = hd.ko.KeyObjectSelection(
        document_title=dicom_code(_OF_INTEREST),
        referenced_objects=picked,
        observer_device_context=_observer(),
        description=f"RadFind: {' '.join(query.split()) or 'ranked slices'}"[:1024],
    )
    images = [item for item in content[0].ContentSequence if item.ValueType == "IMAGE"]
    for image, item in zip(images, ranking.slices, strict=True):
        if (frame := volume.slices[item.index].frame) is not None:
            image.ReferencedSOPSequence[0].ReferencedFrameNumber = frame
    dataset = hd.ko.KeyObjectSelectionDocument(
        evidence=list({source.SOPInstanceUID: source for source in picked}.values()),
        content=content,
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        series_description="RadFind key images",
        **equipment(),
    )
    return finished(dataset, volume)


def write_measurement_report(
    measured: Sequence[Measured], segmentation: Dataset, volume: Volume, path: str | Path
) -> Path:
    """Write `measurement_report` to `path`."""
    return save(measurement_report(measured, segmentation, volume), path)


def write_key_objects(ranking: Ranking, volume: Volume, query: str, path: str | Path) -> Path:
    """Write `key_objects` to `path`."""
    return save(key_objects(ranking, volume, query), path)


def _observer() -> Any:
    import highdicom as hd

    return hd.sr.ObserverContext(
        observer_type=dicom_code(_DEVICE),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=IMPLEMENTATION_UID,
            name=MODEL,
            manufacturer_name=MANUFACTURER,
            model_name=MODEL,
            serial_number=DEVICE_SERIAL,
        ),
    )


def _group(item: Measured, number: int, tracking_uid: str, tracking_id: str, segmentation: Dataset) -> Any:
    import highdicom as hd

    codes = codes_of(item.segment)
    site = codes.region if codes.region is not None else codes.type if codes.category.value == "123037004" else None
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=tracking_uid, identifier=tracking_id),
        referenced_segment=hd.sr.ReferencedSegment.from_segmentation(segmentation, segment_number=number),
        finding_type=dicom_code(codes.type),
        finding_category=dicom_code(codes.category),
        finding_sites=[
            hd.sr.FindingSite(
                anatomic_location=dicom_code(site),
                laterality=dicom_code(codes.side) if codes.side is not None else None,
            )
        ]
        if site is not None
        else None,
        algorithm_id=hd.sr.AlgorithmIdentification(name="RadFind measure", version=radfind.__version__),
        measurements=[
            hd.sr.Measurement(
                name=dicom_code(quantity.code),
                value=float(f"{quantity.value:.9g}"),
                unit=dicom_code(quantity.unit),
                derivation=dicom_code(quantity.derivation) if quantity.derivation is not None else None,
            )
            for quantity in item.quantities
        ],
    )
