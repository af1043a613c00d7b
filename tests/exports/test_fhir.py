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
