"""FHIR R5 documents, validated by fhir.resources, and the table of measurements."""

from __future__ import annotations

import base64
import csv
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from export_sample import sample

from radfind.errors import NotSupportedError
from radfind.exports.fhir import bundle, linked, write_fhir
from radfind.exports.measurement_table import measured_rows
from radfind.exports.table import write_measurements
from radfind.measure import measure
from radfind.volume import SliceSource, Volume

pytest.importorskip("fhir.resources", reason="the export extra is not installed")


def with_uids(volume: Volume) -> Volume:
    slices = tuple(SliceSource(sop_instance_uid=f"1.2.3.{k}") for k in range(volume.geometry.shape[0]))
    header = {"PatientID": "P1", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}
    return dataclasses.replace(volume, slices=slices, series_uid="1.2.3", study_uid="1.2", header=header)


def test_every_sentence_that_was_found_links_to_its_slice(tmp_path: Path) -> None:
    case = sample()
    volume = with_uids(case.phantom.volume)
    measured = [measure(volume, segment) for segment in case.segmentation.segments]
    content = bundle(volume, text=case.text, verdicts=case.verdicts, ranking=case.ranking, measured=measured)
    write_fhir(tmp_path / "b.json", content)
    entries = {entry["fullUrl"]: entry["resource"] for entry in content["entry"]}
    report = next(r for r in entries.values() if r["resourceType"] == "DiagnosticReport")
    page = base64.b64decode(report["presentedForm"][0]["data"]).decode()
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', page)
    assert len(links) == 2  # the third statement has no evidence in the scan
    for (url, words), verdict in zip(links, case.verdicts, strict=False):
        assert words.strip() == verdict.statement.text.strip()
        selection = entries[url]
        assert selection["resourceType"] == "ImagingSelection" and selection["seriesUid"] == "1.2.3"
        mask = verdict.evidence[0].mask
        assert mask is not None
        k = int(selection["instance"][0]["uid"].rsplit(".", 1)[1])
        assert mask[k].any()
    values = {
        (r["bodySite"]["text"], r["code"]["text"]): r["valueQuantity"]
        for r in entries.values()
        if r["resourceType"] == "Observation"
    }
    volume_item = values["solid nodule", "volume mm3"]
    assert volume_item["code"] == "mm3"
    truth = case.segmentation.segments[0].mask.sum() * volume.geometry.voxel_volume
    assert float(volume_item["value"]) == pytest.approx(truth, rel=1e-5)
    assert {item["reference"] for item in report["result"]} <= set(entries)
    assert len(report["supportingInfo"]) == len(
        [r for r in entries.values() if r["resourceType"] == "ImagingSelection"]
    )


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [r for v in value.values() for r in references(v)]
    return [r for v in value for r in references(v)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("header", "name", "gender", "born"),
    [
        ({"PatientName": "Yamada^Tarou=山田^太郎", "PatientSex": "M", "PatientBirthDate": "19600229"},
         [("Yamada", ["Tarou"]), ("山田", ["太郎"])], "male", "1960-02-29"),
        ({"PatientName": "Doe^Jane^A", "PatientSex": "F", "PatientBirthDate": "unknown"},
         [("Doe", ["Jane", "A"])], "female", None),
        ({}, [], None, None),
    ],
)  # fmt: skip
def test_the_bundle_stands_on_its_own(
    header: dict[str, str], name: list[tuple[str, list[str]]], gender: str | None, born: str | None
) -> None:
    """Each reference ends in an entry; patient and study say what the images say."""
    from fhir.resources.bundle import Bundle

    case = sample()
    volume = with_uids(case.phantom.volume)
    volume = dataclasses.replace(volume, header={**volume.header, "StudyDate": "20250131", **header})
    measured = [measure(volume, case.segmentation.segments[0])]
    content = bundle(volume, text=case.text, verdicts=case.verdicts, ranking=case.ranking, measured=measured)
    Bundle.model_validate(content)
    entries = {entry["fullUrl"]: entry["resource"] for entry in content["entry"]}
    assert len(entries) == len(content["entry"])
    found = references(content)
    assert found and set(found) <= set(entries)
    by_type = {resource["resourceType"]: resource for resource in entries.values()}
    patient, study = by_type["Patient"], by_type["ImagingStudy"]
    assert [(n["family"], n["given"]) for n in patient.get("name", [])] == name
    assert (patient.get("gender"), patient.get("birthDate")) == (gender, born)
    assert patient["identifier"][0]["value"] == "P1"
    assert study["identifier"][0]["value"] == "urn:oid:1.2" and study["started"].startswith("2025-01-31")
    assert study["series"][0]["uid"] == "1.2.3"
    assert study["series"][0]["numberOfInstances"] == volume.geometry.shape[0]
    again = bundle(volume, text=case.text, verdicts=case.verdicts, ranking=case.ranking, measured=measured)
    assert [e["fullUrl"] for e in again["entry"]][:3] == [e["fullUrl"] for e in content["entry"]][:3]


def test_text_is_escaped_and_overlaps_are_dropped() -> None:
    assert linked("a < b\nc", [(0, 1, "u:1"), (0, 3, "u:2")]) == '<a href="u:1">a</a> &lt; b<br>\nc'


def test_without_uids_there_is_nothing_to_point_at() -> None:
    case = sample()
    with pytest.raises(NotSupportedError, match="UIDs"):
        bundle(dataclasses.replace(case.phantom.volume, slices=(), series_uid=None))


def test_the_table_states_units_and_uncertainty(tmp_path: Path) -> None:
    case = sample()
    volume = with_uids(case.phantom.volume)
    measured = [measure(volume, segment) for segment in case.segmentation.segments]
    write_measurements(tmp_path / "m.csv", measured_rows(measured, volume))
    with (tmp_path / "m.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["segment"] for row in rows] == [s.name for s in case.segmentation.segments]
    assert float(rows[0]["longest_diameter_mm"]) == pytest.approx(measured[0]["longest_diameter_mm"], rel=1e-3)
    assert float(rows[0]["longest_diameter_uncertainty_mm"]) > 0
    assert np.isfinite(float(rows[0]["longest_end1_L_mm"]))
    assert rows[0]["diameter_sop_instance_uid"] == f"1.2.3.{measured[0].slice_index}"
