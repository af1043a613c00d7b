"""Measurements read out of other tools' SR documents, and out of our own by the same code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

import radfind
from radfind.errors import ImageError, NotSupportedError
from radfind.exports.dicom_common import save
from radfind.exports.dicom_seg import segmentation_object
from radfind.exports.dicom_sr import measurement_report
from radfind.exports.dicom_sr_reading import read_measurement_report
from radfind.language.lexicon import default_lexicon
from radfind.measure import measure
from radfind.phantom import write_dicom
from radfind.results import Segment, Segmentation
from radfind.volume import Geometry, Volume

pytest.importorskip("highdicom", reason="the export extra is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_planar_measurement_of_another_tool(shared_data: Callable[[str], Path]) -> None:
    """The one number of highdicom's sample, which its own reader refuses, against the values in the file."""
    folder = shared_data("dicom-objects") / "highdicom"
    (found,) = read_measurement_report(folder / "sr_document.dcm").measurements
    item = pydicom.dcmread(folder / "sr_document.dcm")
    values = [e.value for e in item.iterall() if e.keyword == "NumericValue"]
    assert [found.value] == [float(v) for v in values]
    assert (found.name.meaning, found.unit.value) == ("Area of defined region", "cm2")
    assert found.finding is not None and found.finding.meaning == "Spinal cord"
    assert found.sites == ("cervico-thoracic spine",)


def test_groups_are_those_highdicom_reads(shared_data: Callable[[str], Path]) -> None:
    import highdicom as hd

    file = shared_data("dicom-objects") / "highdicom/sr_document_with_multiple_groups.dcm"
    found = read_measurement_report(file).measurements
    content = hd.sr.srread(file).content
    groups = [
        *content.get_image_measurement_groups(),
        *content.get_planar_roi_measurement_groups(),
        *content.get_volumetric_roi_measurement_groups(),
    ]
    truth = {
        (str(g.tracking_uid), m.name.meaning, float(m.value), m.unit.value)
        for g in groups
        for m in g.get_measurements()
    }
    assert {(m.tracking_uid, m.name.meaning, m.value, m.unit.value) for m in found} == truth
    assert len(found) == 4 and any(m.sites == ("lung",) for m in found)


def test_our_report_comes_back(tmp_path: Path) -> None:
    shape = (10, 24, 24)
    array = np.random.default_rng(0).integers(-100, 100, shape).astype(np.int16)
    write_dicom(Volume(array, Geometry.from_parts(shape, spacing=(2, 1, 1)), "CT"), tmp_path / "ct", seed=1)
    volume = radfind.load(tmp_path / "ct")
    mask = np.zeros(shape, bool)
    mask[3:7, 5:15, 6:13] = True
    segment = Segment("right kidney", mask, default_lexicon().get("kidney"))
    seg = segmentation_object(Segmentation(volume.geometry, (segment,)), volume)
    measured = measure(volume, segment)
    file = save(measurement_report([measured], seg, volume), tmp_path / "sr.dcm")
    report = read_measurement_report(file, volume)
    assert not report.notes
    for item, quantity in zip(report.measurements, measured.quantities, strict=True):
        assert (item.name.meaning, item.unit.value) == (quantity.code.meaning, quantity.unit.value)
        assert item.value == pytest.approx(quantity.value, rel=1e-8)
        assert item.segment == (seg.SOPInstanceUID, 1)
        assert item.derivation == quantity.derivation
    assert report.measurements[0].sites == ("right kidney",)
    write_dicom(Volume(array, Geometry.from_parts(shape), "CT"), tmp_path / "other", seed=2)
    assert "another one" in read_measurement_report(file, radfind.load(tmp_path / "other")).notes[0]


def test_what_is_no_measurement_report_is_refused(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shared_data("dicom-objects")
    with pytest.raises(NotSupportedError, match="no DICOM SR"):
        read_measurement_report(folder / "dcmqi/liver.dcm")
    dataset = pydicom.dcmread(folder / "highdicom/sr_document.dcm")
    dataset.ContentTemplateSequence[0].TemplateIdentifier = "2000"
    dataset.save_as(tmp_path / "other.dcm")
    with pytest.raises(NotSupportedError, match="another kind"):
        read_measurement_report(tmp_path / "other.dcm")
    dataset = pydicom.dcmread(folder / "highdicom/sr_document.dcm")
    for element in dataset.iterall():
        if element.keyword == "MeasuredValueSequence":
            del element.value[0].MeasurementUnitsCodeSequence
    dataset.save_as(tmp_path / "broken.dcm")
    with pytest.raises(ImageError, match="TID 1500"):
        read_measurement_report(tmp_path / "broken.dcm")
