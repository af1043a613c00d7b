"""Results as FHIR R5: slices as ImagingSelection, sizes as Observation, sentences as links in a DiagnosticReport.

The shape follows the IHE Radiology profile Interactive Multimedia Report (IMR): the report's text is an HTML form
whose sentences are hyperlinks to the ImagingSelection of the slice that shows what they say.
"""

from __future__ import annotations

import datetime as dt
import html
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import radfind
from radfind.errors import InputError, NotSupportedError
from radfind.exports.coding import PRIVATE_SCHEME, codes_of
from radfind.exports.dicom_common import IMPLEMENTATION_UID
from radfind.exports.names import printable
from radfind.exports.table import main_evidence
from radfind.measure.quantities import Measured
from radfind.measure.quantity import Code
from radfind.results import Ranking, Verdict
from radfind.volume import Volume

_SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "UCUM": "http://unitsofmeasure.org",
    PRIVATE_SCHEME: f"urn:oid:{IMPLEMENTATION_UID}",
}
_REPORT = {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"}
_KEY_IMAGE = Code("113000", "DCM", "Of Interest")


def bundle(
    volume: Volume,
    *,
    text: str = "",
    verdicts: Sequence[Verdict] = (),
    ranking: Ranking | None = None,
    measured: Sequence[Measured] = (),
    issued: dt.datetime | None = None,
) -> dict[str, Any]:
    """A FHIR R5 collection Bundle as JSON-ready data, validated as it is built.

    Everything in it is preliminary: no person has read it yet. It stands on its own: patient, study and device are in
    it as resources, and every reference is to one of its entries.

    Arguments:
        text: the report; its sentences become links where `verdicts` found them in the scan.
        issued: the time to state; now by default.

    Raises:
        NotSupportedError: the volume has no UIDs, so that nothing in it can be pointed at.
    """
    if not (volume.series_uid and volume.study_uid and volume.slices and volume.slices[0].sop_instance_uid):
        raise NotSupportedError(
            f"'{volume.name or 'This image'}' has no DICOM UIDs, and FHIR resources point at images by them. "
            "Load the DICOM series itself."
        )
    builder = _Builder(volume, (issued or dt.datetime.now(dt.timezone.utc)).isoformat(timespec="seconds"))
    for item in ranking.slices if ranking is not None else ():
        note = item.evidence[0].text if item.evidence else None
        builder.selection((item.index,), note or f"rank {item.rank}, score {item.score:.2f}")
    links = [(verdict.statement, builder.of_verdict(verdict)) for verdict in verdicts]
    for each in measured:
        builder.measurements(each)
    builder.report(text, [(span.start, span.stop, url) for span, url in links if url is not None])
    return builder.finished()


def write_fhir(path: str | Path, content: dict[str, Any]) -> Path:
    """Write a bundle as JSON.

    Raises:
        InputError: the folder cannot be written to.
    """
    import json

    target = Path(path)
    try:
        target.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"'{target}' cannot be written ({error.strerror or error}). Name a writable folder."
        ) from error
    return target


class _Builder:
    def __init__(self, volume: Volume, issued: str) -> None:
        self._volume, self._issued = volume, issued
        self._entries: list[tuple[str, dict[str, Any]]] = []
        self._selections: dict[tuple[int, ...], str] = {}
        self._results: list[str] = []
        # Whole resources, so that every reference in the bundle ends in the bundle: it can be read on its own.
        self._subject = {"reference": self._add(_patient(volume)), "type": "Patient"}
        self._study = {"reference": self._add(_imaging_study(volume, self._subject)), "type": "ImagingStudy"}
        self._device = {"reference": self._add(_DEVICE), "type": "Device"}

    def _add(self, resource: dict[str, Any]) -> str:
        # From the content, so that the same results give the same document.
        url = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{self._volume.series_uid} {len(self._entries)} {resource}')}"
        self._entries.append((url, resource))
        return url

    def selection(self, slices: tuple[int, ...], note: str) -> str:
        """An ImagingSelection of slices (k); the same slices are selected once."""
        if slices in self._selections:
            return self._selections[slices]
        volume = self._volume
        instances = []
        for k in slices:
            source = volume.slices[k]
            instance: dict[str, Any] = {"uid": source.sop_instance_uid}
            if volume.header.get("SOPClassUID"):
                instance["sopClass"] = {
                    "system": "urn:ietf:rfc:3986",
                    "code": f"urn:oid:{volume.header['SOPClassUID']}",
                }
            if source.frame is not None:
                instance["subset"] = [str(source.frame)]
            instances.append(instance)
        resource: dict[str, Any] = {
            "resourceType": "ImagingSelection",
            "status": "available",
            "subject": self._subject,
            "issued": self._issued,
            "performer": [{"actor": self._device}],
            "derivedFrom": [self._study],
            "code": {**_concept(_KEY_IMAGE), "text": note},
            "studyUid": volume.study_uid,
            "seriesUid": volume.series_uid,
            "instance": instances,
        }
        if volume.frame_of_reference_uid:
            resource["frameOfReferenceUid"] = volume.frame_of_reference_uid
        self._selections[slices] = self._add(resource)
        return self._selections[slices]

    def of_verdict(self, verdict: Verdict) -> str | None:
        """The selection of the slice that shows what a statement says; None when the scan shows nothing to link."""
        evidence = main_evidence(verdict)
        if evidence is None or (evidence.center_kji is None and evidence.slices is None):
            return None
        if evidence.center_kji is not None:
            k = round(evidence.center_kji[0])
        else:
            first, last = evidence.slices or (0, 0)
            k = (first + last) // 2
        return self.selection((min(max(k, 0), self._volume.geometry.shape[0] - 1),), evidence.text)

    def measurements(self, measured: Measured) -> None:
        """One Observation per quantity, derived from the slice of the diameters."""
        codes = codes_of(measured.segment)
        name = printable(measured.segment.name)
        selection = self.selection((measured.slice_index,), name)
        body: dict[str, Any] = {"text": name}
        site = codes.region or codes.type
        body["coding"] = [_coding(site)] + ([_coding(codes.side)] if codes.side is not None else [])
        for quantity in measured.quantities:
            code = _concept(quantity.code)
            code["text"] = quantity.name.replace("_", " ")
            resource: dict[str, Any] = {
                "resourceType": "Observation",
                "status": "preliminary",
                "code": code,
                "subject": self._subject,
                "effectiveDateTime": self._issued,
                "issued": self._issued,
                "device": self._device,
                "bodySite": body,
                "derivedFrom": [{"reference": selection}],
                "valueQuantity": {
                    "value": float(f"{quantity.value:.6g}"),
                    "unit": quantity.unit.meaning,
                    "system": _SYSTEMS["UCUM"],
                    "code": quantity.unit.value,
                },
            }
            if quantity.derivation is not None:
                resource["method"] = _concept(quantity.derivation)
            if quantity.uncertainty is not None:
                resource["note"] = [{"text": f"± {quantity.uncertainty:.3g} {quantity.unit.value} from the voxel size"}]
            self._results.append(self._add(resource))

    def report(self, text: str, links: list[tuple[int, int, str]]) -> None:
        import base64

        resource: dict[str, Any] = {
            "resourceType": "DiagnosticReport",
            "status": "preliminary",
            "code": {"coding": [_REPORT]},
            "subject": self._subject,
            "effectiveDateTime": self._issued,
            "issued": self._issued,
            "study": [self._study],
        }
        if self._results:
            resource["result"] = [{"reference": url} for url in self._results]
        if self._selections:
            resource["supportingInfo"] = [
                {"type": _concept(_KEY_IMAGE), "reference": {"reference": url}} for url in self._selections.values()
            ]
        if text.strip():
            head = '<!DOCTYPE html><html><head><meta charset="utf-8"></head>'
            form = f"{head}<body><p>{linked(text, links)}</p></body></html>"
            data = base64.b64encode(form.encode()).decode()
            resource["presentedForm"] = [{"contentType": "text/html; charset=utf-8", "data": data}]
        self._add(resource)

    def finished(self) -> dict[str, Any]:
        import json

        from fhir.resources.bundle import Bundle

        content = {
            "resourceType": "Bundle",
            "type": "collection",
            "timestamp": self._issued,
            "entry": [{"fullUrl": url, "resource": resource} for url, resource in self._entries],
        }
        return dict(json.loads(Bundle.model_validate(content).model_dump_json()))


_DEVICE = {
    "resourceType": "Device",
    "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{IMPLEMENTATION_UID}"}],
    "manufacturer": "RadFind",
    "version": [{"value": radfind.__version__}],
    "name": [{"value": "RadFind", "type": "user-friendly-name", "display": True}],
    "note": [{"text": "Research software, not a medical device."}],
}
_GENDERS = {"M": "male", "F": "female", "O": "other"}  # PS3.3 Patient's Sex


def _patient(volume: Volume) -> dict[str, Any]:
    header = volume.header
    identifier = {"value": header.get("PatientID") or "unknown"}
    if header.get("IssuerOfPatientID"):
        identifier["system"] = f"urn:radfind:{header['IssuerOfPatientID']}".replace(" ", "-")
    resource: dict[str, Any] = {"resourceType": "Patient", "identifier": [identifier]}
    # PS3.5 6.2, PN: up to three writings, "=" between; family, given, middle names, "^" between.
    for number, writing in enumerate(str(header.get("PatientName", "")).split("=")):
        family, *given = [part.strip() for part in writing.split("^")[:3]]
        if family or any(given):
            name: dict[str, Any] = {"text": " ".join(filter(None, [family, *given]))}
            if number == 0:
                name["use"] = "official"
            if family:
                name["family"] = family
            if any(given):
                name["given"] = [part for part in given if part]
            resource.setdefault("name", []).append(name)
    if header.get("PatientSex") in _GENDERS:
        resource["gender"] = _GENDERS[header["PatientSex"]]
    if (born := _date(header.get("PatientBirthDate", ""))) is not None:
        resource["birthDate"] = born
    return resource


def _imaging_study(volume: Volume, subject: dict[str, Any]) -> dict[str, Any]:
    modality = [{"coding": [{"system": _SYSTEMS["DCM"], "code": volume.modality}]}]
    series: dict[str, Any] = {
        "uid": volume.series_uid,
        "modality": modality[0],
        "numberOfInstances": len({source.sop_instance_uid for source in volume.slices}),
    }
    if volume.header.get("SeriesDescription"):
        series["description"] = volume.header["SeriesDescription"]
    resource: dict[str, Any] = {
        "resourceType": "ImagingStudy",
        "status": "available",
        "subject": subject,
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{volume.study_uid}"}],
        "modality": modality,
        "series": [series],
    }
    if (started := _date(volume.header.get("StudyDate", ""))) is not None:
        resource["started"] = started
    if volume.header.get("StudyDescription"):
        resource["description"] = volume.header["StudyDescription"]
    return resource


def _date(value: str) -> str | None:
    """A DICOM date (PS3.5 6.2, DA) as FHIR writes it; None when it is none."""
    try:
        return dt.datetime.strptime(value.strip(), "%Y%m%d").date().isoformat()
    except ValueError:
        return None


def linked(text: str, links: Sequence[tuple[int, int, str]]) -> str:
    """`text` as HTML with each (start, stop, url) a hyperlink; of overlapping ones the first wins."""
    parts, at = [], 0
    for start, stop, url in sorted(links):
        if start < at:
            continue
        parts.append(html.escape(text[at:start]))
        parts.append(f'<a href="{html.escape(url)}">{html.escape(text[start:stop])}</a>')
        at = stop
    parts.append(html.escape(text[at:]))
    return "".join(parts).replace("\n", "<br>\n")


def _coding(code: Code) -> dict[str, str]:
    return {"system": _SYSTEMS[code.scheme], "code": code.value, "display": code.meaning}


def _concept(code: Code) -> dict[str, Any]:
    return {"coding": [_coding(code)]}
