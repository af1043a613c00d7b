"""The export task on a running server: what `radfind export` writes, as one zip."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

import radfind
from radfind.errors import RadFindError
from radfind.exports.dicom_sr_reading import read_measurement_report
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.imaging.writing import write_labelmap
from radfind.results import Segment, Segmentation

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def unpacked(file: Path, folder: Path) -> dict[str, Path]:
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.slow
def test_text_becomes_dicom_objects_and_links(server: Any, tmp_path: Path) -> None:
    formats = "seg,sr,ko,fhir,csv"
    reply = server.client.ask_file(
        "radfind_export", server.series, tmp_path / "out.zip", text="left lung", formats=formats
    )
    files = unpacked(tmp_path / "out.zip", tmp_path / "out")
    assert sorted(files) == sorted(reply["files"])
    assert {pydicom.dcmread(f).Modality for n, f in files.items() if n.endswith(".dcm")} == {"SEG", "SR", "KO"}
    volume = radfind.load(server.folder / "series-a")
    found = read_segmentation(files["segmentation.dcm"], volume)
    assert [s.name for s in found.segments] == ["left lung"]
    kind = pydicom.dcmread(files["segmentation.dcm"]).SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodingSchemeDesignator, kind.CodeValue) == ("SCT", "39607008")  # lung structure
    truth = server.phantom.truth["lung_left"]
    mask = found.segments[0].mask
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9
    sizes = {m.name.meaning: m.value for m in read_measurement_report(files["measurements.dcm"], volume).measurements}
    assert sizes["Volume"] == pytest.approx(mask.sum() * volume.geometry.voxel_volume)
    assert json.loads(files["results.fhir.json"].read_text())["resourceType"] == "Bundle"
    with pytest.raises(RadFindError, match="DICOM"):
        server.client.ask_file("radfind_export", server.nifti, tmp_path / "no.zip", text="left lung", formats="seg")


def test_saved_and_uploaded_labels(server: Any, tmp_path: Path) -> None:
    """Both come out as drawn, with their names; without identity when asked."""
    import requests

    volume = radfind.load(server.folder / "series-a")
    mask = np.zeros(volume.geometry.shape, bool)
    mask[10:14, 40:60, 50:70] = True
    label = write_labelmap(Segmentation(volume.geometry, (Segment("liver", mask),)), tmp_path / "l.nrrd", volume)
    with label.open("rb") as file:
        saved = requests.put(
            f"{server.url}/datastore/label",
            params={"image": server.series, "tag": "draft"},
            data={"params": json.dumps({"label_info": [{"name": "liver", "idx": 1}]})},
            files={"label": ("l.nrrd", file)},
            timeout=30,
        )
    assert saved.ok, saved.text
    options = {"formats": "seg,stl", "label_tag": "draft", "anonymous_key": "secret"}
    server.client.ask_file("radfind_export", server.series, tmp_path / "saved.zip", **options)
    files = unpacked(tmp_path / "saved.zip", tmp_path / "saved")
    assert "01_liver.stl" in files
    dataset = pydicom.dcmread(files["segmentation.dcm"])
    assert dataset.PatientName == "Anonymous" and dataset.SegmentSequence[0].SegmentLabel == "liver"
    assert int(dataset.pixel_array.sum()) == int(mask.sum())
    with label.open("rb") as file:
        sent = requests.post(
            f"{server.url}/infer/radfind_export",
            params={"image": server.series, "output": "image"},
            data={"params": json.dumps({"formats": "seg-labelmap", "label_names": {"liver": 1}})},
            files={"label": ("l.nrrd", file)},
            timeout=60,
        )
    assert sent.ok, sent.text
    with zipfile.ZipFile(io.BytesIO(sent.content)) as archive:
        (tmp_path / "lm.dcm").write_bytes(archive.read("segmentation_labelmap.dcm"))
    back = read_segmentation(tmp_path / "lm.dcm", volume)
    assert [s.name for s in back.segments] == ["liver"]
    np.testing.assert_array_equal(back.segments[0].mask, mask)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"formats": "seg"}, "what to export"),
        ({"formats": "doc", "text": "left lung"}, "cannot be written"),
        ({"formats": "seg", "label_tag": "nobody"}, "No label"),
        ({"formats": "ko", "label_tag": "nobody"}, "No label"),
    ],
)
def test_what_cannot_be_exported_is_said(server: Any, tmp_path: Path, options: dict[str, str], told: str) -> None:
    with pytest.raises(RadFindError, match=told):
        server.client.ask_file("radfind_export", server.series, tmp_path / "out.zip", **options)
