"""Read measurements out of a DICOM SR of any tool that follows TID 1500 (PS3.16, Measurement Report)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radfind.errors import ImageError, NotSupportedError
from radfind.imaging.dicom_origins import read_object
from radfind.measure.quantity import Code
from radfind.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class ReportedMeasurement:
    """One number of a report.

    Arguments:
        name, value, unit: what was measured, as coded there.
        derivation: "Mean", "Maximum" ..., or None.
        tracking_id, tracking_uid: of the thing measured, by which reports of other dates name it again.
        finding: what it is, or None.
        sites: where it lies, with the side in words ("right lung").
        segment: (SOP Instance UID of the SEG, segment number), or None.
        instances: SOP Instance UIDs of the images it was measured on.
    """

    name: Code
    value: float
    unit: Code
    derivation: Code | None = None
    tracking_id: str = ""
    tracking_uid: str = ""
    finding: Code | None = None
    sites: tuple[str, ...] = ()
    segment: tuple[str, int] | None = None
    instances: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ReadReport:
    """The measurements of one SR, and what a user should know of them."""

    measurements: tuple[ReportedMeasurement, ...]
    notes: tuple[str, ...] = ()


def read_measurement_report(path: str | Path, volume: Volume | None = None) -> ReadReport:
    """The measurements of a TID 1500 report.

    Arguments:
        volume: the scan it should be about; a note says when it is about another one.

    Raises:
        ImageError: the file cannot be read, or is damaged.
        NotSupportedError: it is no SR, or follows another template.
    """
    file = Path(path)
    dataset = read_object(file)
    if dataset is None or str(dataset.get("Modality", "")) != "SR":
        raise NotSupportedError(f"'{file}' is no DICOM SR. Segments (SEG, RTSTRUCT) are read with the scan instead.")
    template = next(iter(dataset.get("ContentTemplateSequence") or ()), None)
    if template is None or str(template.get("TemplateIdentifier", "")) != "1500":
        title = next(iter(dataset.get("ConceptNameCodeSequence") or ()), None)
        raise NotSupportedError(
            f"'{file}' is a report of another kind ({title.CodeMeaning if title is not None else 'no title'}). "
            "Measurements are read from reports that follow TID 1500, Measurement Report."
        )
    try:
        found = tuple(m for group in _groups(dataset) for m in _measurements(group))
    except (AttributeError, ValueError, IndexError, TypeError) as error:
        raise ImageError(f"'{file}' does not follow its template TID 1500 ({error}). Export it again.") from error
    notes = []
    if not found:
        notes.append(f"'{file.name}' holds no measurement.")
    own = {source.sop_instance_uid for source in volume.slices} - {None} if volume is not None else set()
    if volume is not None and own and not _evidence(dataset) & {*own, volume.series_uid}:
        notes.append(f"'{file.name}' does not name this scan; its measurements were made on another one.")
    return ReadReport(found, tuple(notes))


# PS3.16, DCM unless said otherwise.
_GROUP, _TRACKING_ID, _TRACKING_UID, _SEGMENT = "125007", "112039", "112040", "121191"
_FINDING = ("121071", "276214006")  # Finding; Finding category (SCT)
_SITE = ("363698007", "G-C0E3")  # Finding Site: SCT, and SRT in older reports
_SIDE = ("272741003", "G-C171")  # Laterality
_DERIVATION = "121401"


def _groups(item: Dataset) -> Iterator[Dataset]:
    """The containers "Measurement Group", at any depth."""
    for child in item.get("ContentSequence") or ():
        if child.get("ValueType") == "CONTAINER" and _name(child) == _GROUP:
            yield child
        else:
            yield from _groups(child)


def _measurements(group: Dataset) -> Iterator[ReportedMeasurement]:
    children = list(group.get("ContentSequence") or ())
    texts = {_name(c): str(c.TextValue) for c in children if c.get("ValueType") == "TEXT"}
    uids = {_name(c): str(c.UID) for c in children if c.get("ValueType") == "UIDREF"}
    codes = [c for c in children if c.get("ValueType") == "CODE"]
    finding = next((c for c in codes if _name(c) == _FINDING[0]), None)
    sites = tuple(_site(c) for c in codes if _name(c) in _SITE)
    for item in children:
        if item.get("ValueType") != "NUM" or not item.get("MeasuredValueSequence"):
            continue  # an empty MeasuredValueSequence says that there is no value
        measured = item.MeasuredValueSequence[0]
        images = [
            reference
            for holder in (group, item)
            for child in _below(holder)
            if child.get("ValueType") == "IMAGE"
            for reference in child.ReferencedSOPSequence
        ]
        segment = next((r for r in images if "ReferencedSegmentNumber" in r), None)
        derivation = next((c for c in item.get("ContentSequence") or () if _name(c) == _DERIVATION), None)
        yield ReportedMeasurement(
            name=_code(item.ConceptNameCodeSequence[0]),
            value=float(measured.get("FloatingPointValue", measured.NumericValue)),
            unit=_code(measured.MeasurementUnitsCodeSequence[0]),
            derivation=_code(derivation.ConceptCodeSequence[0]) if derivation is not None else None,
            tracking_id=texts.get(_TRACKING_ID, ""),
            tracking_uid=uids.get(_TRACKING_UID, ""),
            finding=_code(finding.ConceptCodeSequence[0]) if finding is not None else None,
            sites=sites,
            segment=(str(segment.ReferencedSOPInstanceUID), _number(segment)) if segment is not None else None,
            instances=tuple(dict.fromkeys(str(r.ReferencedSOPInstanceUID) for r in images if r is not segment)),
        )


def _below(item: Dataset) -> Iterator[Dataset]:
    """Everything under `item` but other measurements."""
    for child in item.get("ContentSequence") or ():
        if child.get("ValueType") != "NUM":
            yield child
            yield from _below(child)


def _site(item: Dataset) -> str:
    side = next((c for c in item.get("ContentSequence") or () if _name(c) in _SIDE), None)
    words = str(item.ConceptCodeSequence[0].CodeMeaning)
    return f"{side.ConceptCodeSequence[0].CodeMeaning} {words}".lower() if side is not None else words.lower()


def _evidence(dataset: Dataset) -> set[str]:
    """UIDs of all series and instances the report names as its evidence."""
    found = set()
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in dataset.get(keyword) or ():
            for series in study.get("ReferencedSeriesSequence") or ():
                found.add(str(series.get("SeriesInstanceUID", "")))
                found |= {str(r.ReferencedSOPInstanceUID) for r in series.get("ReferencedSOPSequence") or ()}
    return found


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence")
    return str(names[0].get("CodeValue", "")) if names else ""


def _number(reference: Dataset) -> int:
    number: Any = reference.ReferencedSegmentNumber
    return int(number if isinstance(number, int) else number[0])


def _code(item: Dataset) -> Code:
    value = item.get("CodeValue") or item.get("LongCodeValue") or ""
    return Code(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))
