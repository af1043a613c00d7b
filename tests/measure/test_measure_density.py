"""Density, growth, comparison with reports, and agreement with SimpleITK on real masks."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import radfind
from radfind.errors import InputError, NotSupportedError
from radfind.language.concepts import Concept
from radfind.language.findings import Finding, Place, Span
from radfind.language.lexicon import default_lexicon
from radfind.measure import compare_sizes, measure
from radfind.measure.density import agatston, density, emphysema_index, solid_part
from radfind.measure.growth import doubling_time_days
from radfind.measure.placement import level_of, side_of
from radfind.results import Segment
from radfind.volume import Geometry, Volume


def ct(array: np.ndarray, **fields: object) -> Volume:
    spacing = fields.pop("spacing", (3.0, 1.0, 1.0))
    return Volume(array, Geometry.from_parts(array.shape, spacing=spacing), "CT", **fields)  # type: ignore[arg-type]


def test_statistics_leave_padding_out() -> None:
    array = np.full((2, 4, 5), -2000, np.int16)
    array[0] = np.arange(20).reshape(4, 5)
    found = density(ct(array, padding=-2000), np.ones(array.shape, bool))
    assert (found.voxels, found.mean, found.minimum, found.maximum, found.median) == (20, 9.5, 0, 19, 9.5)
    assert found.deviation == pytest.approx(math.sqrt((20**2 - 1) / 12))
    assert found.unit == "[hnsf'U]"


def test_solid_part_is_the_largest_dense_piece() -> None:
    array = np.full((5, 20, 20), -650, np.int16)
    array[2, 5:9, 5:9] = -50
    array[2, 15, 15] = 100
    core = solid_part(ct(array), np.ones(array.shape, bool))
    assert core.sum() == 16
    assert not solid_part(ct(np.full((3, 5, 5), -700, np.int16)), np.ones((3, 5, 5), bool)).any()


def test_emphysema_index_is_a_share() -> None:
    array = np.full((4, 5, 5), -850, np.int16)
    array[0] = -970
    assert emphysema_index(ct(array), np.ones(array.shape, bool)) == 0.25


def test_agatston_of_painted_plaques() -> None:
    """Areas times weights: 9 mm2 x 2 (peak 250) in two slices, 4 mm2 x 4 (peak 500); one pixel of 0.25 mm2 is none."""
    array = np.zeros((6, 40, 40), np.int16)
    array[1:3, 10:16, 10:16] = 250
    array[4, 20:24, 20:24] = 140
    array[4, 20, 20] = 500
    array[5, 5, 5] = 300
    volume = ct(array, spacing=(3.0, 0.5, 0.5), header={"KVP": "120"})
    assert agatston(volume, np.ones(array.shape, bool)) == pytest.approx(2 * 9 * 2 + 4 * 4)


@pytest.mark.parametrize(
    ("header", "spacing"),
    [
        ({"KVP": "100"}, (3, 1, 1)),
        ({}, (3, 1, 1)),
        ({"KVP": "120", "ContrastBolusAgent": "ULTRAVIST"}, (3, 1, 1)),
        ({"KVP": "120"}, (1, 1, 1)),
        ({"KVP": "120", "SliceThickness": "1"}, (3, 1, 1)),
    ],
)
def test_agatston_refuses_other_scans(header: dict[str, str], spacing: tuple[float, float, float]) -> None:
    with pytest.raises(NotSupportedError, match="not defined for this scan"):
        agatston(ct(np.zeros((4, 5, 5), np.int16), header=header, spacing=spacing), np.ones((4, 5, 5), bool))


def test_what_a_segment_is_decides_what_else_is_measured() -> None:
    """A nodule of 16 mm with a core of 8 mm; a lung, a quarter of it emphysema; calcium where the scan allows it."""
    lexicon = default_lexicon()
    index = np.stack(np.meshgrid(*[np.arange(40) - 19.5] * 3, indexing="ij"), -1)
    radius = np.linalg.norm(index, axis=-1)
    array = np.where(radius <= 4, 20, np.where(radius <= 8, -600, -850)).astype(np.int16)
    array[:10] = -970
    volume = ct(array, spacing=(1, 1, 1))
    nodule = Segment("nodule", radius <= 8, lexicon.get("part_solid_nodule"))
    found = measure(volume, nodule)
    assert found["solid_part_volume_mm3"] == (radius <= 4).sum()
    assert found["solid_part_diameter_mm"] == pytest.approx(8, abs=math.sqrt(2) / 2)
    glass = measure(ct(np.where(radius <= 4, -600, array), spacing=(1, 1, 1)), nodule)
    assert glass["solid_part_volume_mm3"] == glass["solid_part_diameter_mm"] == 0.0
    lobe = measure(volume, Segment("lobe", np.ones(array.shape, bool), lexicon.get("right_upper_lobe")))
    assert lobe["emphysema_index_percent"] == 25.0
    calcium = Segment("calcium", radius <= 4, lexicon.get("coronary_calcification"))
    told = measure(ct(array, spacing=(3, 1, 1)), calcium)
    assert "agatston_score" not in [q.name for q in told.quantities] and "tube voltage" in told.notes[0]
    scored = measure(ct(np.where(radius <= 4, 250, 0), spacing=(3, 1, 1), header={"KVP": "120"}), calcium)
    assert scored["agatston_score"] == pytest.approx(2 * (radius <= 4).sum())  # 1 mm2 a pixel, weight 2
    as_mr = Volume(array, volume.geometry, "MR")
    assert {q.name for q in measure(as_mr, nodule).quantities}.isdisjoint({"solid_part_volume_mm3"})


def test_a_radiograph_has_an_area_and_no_volume() -> None:
    """A rectangle of 20 x 16 mm; the thickness of a radiograph means nothing."""
    geometry = Geometry.from_parts((1, 200, 150), spacing=(1, 0.2, 0.2))
    mask = np.zeros(geometry.shape, bool)
    mask[0, 50:150, 30:110] = True
    pixels = np.zeros(geometry.shape, np.int16)
    found = measure(Volume(pixels, geometry, "DX"), Segment("opacity", mask))
    assert found["area_mm2"] == pytest.approx(320) and "no volume" in found.notes[0]
    assert found["longest_diameter_mm"] == pytest.approx(math.hypot(20, 16), abs=0.15)
    assert not [q.name for q in found.quantities if "volume" in q.name or "surface" in q.name]
    span, concept = Span(0, 1, "x"), Concept("opacity", "finding", "opacity", "影")
    sizes = compare_sizes(found, Finding(concept, "present", Place(), span, span, sizes_mm=(25, 21, 19)))
    assert sizes is not None and len(sizes.measured_mm) == 2
    assert measure(Volume(pixels, geometry, "CT"), Segment("opacity", mask))["volume_mm3"] == pytest.approx(320)


def test_doubling_time() -> None:
    first, second = dt.date(2025, 1, 1), dt.date(2025, 7, 1)
    assert doubling_time_days(100, 200, first, second) == pytest.approx(181)
    assert doubling_time_days(100, 400, first, second) == pytest.approx(90.5)
    assert doubling_time_days(200, 100, first, second) == pytest.approx(-181)
    assert doubling_time_days(100, 100, first, second) == math.inf
    with pytest.raises(InputError, match="later"):
        doubling_time_days(100, 200, second, first)


def test_reported_size_beside_the_measured_one() -> None:
    index = np.stack(np.meshgrid(*[np.arange(30) - 14.5] * 3, indexing="ij"), -1)
    volume = ct(np.zeros((30, 30, 30), np.int16), spacing=(1, 1, 1))
    measured = measure(volume, Segment("nodule", np.linalg.norm(index / (7, 5.5, 7), axis=-1) <= 1))
    span = Span(0, 6, "nodule")
    concept = Concept("pulmonary_nodule", "finding", "pulmonary nodule", "肺结节")

    def finding(*sizes: float) -> Finding:
        return Finding(concept, "present", Place(), span, span, sizes_mm=sizes)

    close, far = compare_sizes(measured, finding(14, 11)), compare_sizes(measured, finding(22))
    assert close is not None and close.agrees
    assert far is not None and not far.agrees and far.difference_mm == pytest.approx(-8, abs=1)
    assert compare_sizes(measured, finding()) is None


def test_side_and_level() -> None:
    shape = (40, 30, 60)
    body = np.ones(shape, bool)
    geometry = Geometry.from_parts(shape, spacing=(5, 5, 5), origin=(-150, 0, 0))

    def block(k: slice, i: slice) -> np.ndarray:
        mask = np.zeros(shape, bool)
        mask[k, 10:20, i] = True
        return mask

    assert side_of(block(slice(3, 8), slice(5, 15)), geometry, body) == "right"
    assert side_of(block(slice(3, 8), slice(45, 55)), geometry, body) == "left"
    assert side_of(block(slice(3, 8), slice(10, 50)), geometry, body) == "both"
    levels = {"L1": block(slice(20, 26), slice(28, 32)), "T12": block(slice(27, 33), slice(28, 32))}
    assert level_of(block(slice(24, 29), slice(5, 9)), geometry, levels) == ("T12", "L1")
    assert level_of(block(slice(0, 2), slice(5, 9)), geometry, levels) == ("L1",)


def test_agrees_with_simpleitk_on_the_shared_abdomen(shared_data: Callable[[str], Path]) -> None:
    """Volume and moments exact, Feret within a voxel diagonal of ITK's (which goes from centre to centre)."""
    folder = shared_data("abdomen-ct")
    volume = radfind.load(folder / "ct.nii.gz")
    labels = radfind.load(folder / "labels.nii.gz")
    values = [int(v) for v in np.unique(labels.array) if v][:24]
    image = sitk.GetImageFromArray(labels.array.astype(np.uint16))
    image.SetSpacing(labels.geometry.spacing[::-1])
    image.SetOrigin(labels.geometry.origin)
    image.SetDirection(labels.geometry.direction.ravel().tolist())
    itk = sitk.LabelShapeStatisticsImageFilter()
    itk.ComputeFeretDiameterOn()
    itk.Execute(image)
    intensity = sitk.LabelIntensityStatisticsImageFilter()
    scan = sitk.GetImageFromArray(volume.array.astype(np.float32))
    scan.CopyInformation(image)
    intensity.Execute(image, scan)
    diagonal = float(np.linalg.norm(labels.geometry.spacing))
    for value in values:
        found = measure(volume, Segment(str(value), labels.array == value))
        assert found["volume_mm3"] == pytest.approx(itk.GetPhysicalSize(value), rel=1e-4)
        assert found["greatest_diameter_mm"] == pytest.approx(itk.GetFeretDiameter(value), abs=diagonal)
        assert found["mean_hu"] == pytest.approx(intensity.GetMean(value), abs=0.01)
        assert found["deviation_hu"] == pytest.approx(intensity.GetStandardDeviation(value), rel=0.01)
