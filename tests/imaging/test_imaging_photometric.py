"""Stored values to final values, against pydicom's own pixel handling and closed forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_writer import enhanced, image, save
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixel_data_handlers.util import apply_color_lut, apply_modality_lut, convert_color_space
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from radfind.imaging import load
from radfind.volume import Geometry

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def rng() -> np.random.Generator:
    """The same numbers whenever asked: no test depends on those before it."""
    return np.random.default_rng(11)


@settings(max_examples=40)
@given(
    signed=st.booleans(),
    bits=st.sampled_from([(8, 8), (16, 10), (16, 12), (16, 16), (32, 32)]),
    slope=st.sampled_from([1, 2, -1, 0.5, 1.7]),
    intercept=st.sampled_from([0, -1024, 0.25]),
    syntax=st.sampled_from(SYNTAXES),
    modality=st.sampled_from(["CT", "MR", "PT", "DX"]),
)
def test_scalar_values_equal_pydicom(
    tmp_path_factory: pytest.TempPathFactory,
    signed: bool,
    bits: tuple[int, int],
    slope: float,
    intercept: float,
    syntax: str,
    modality: str,
) -> None:
    allocated, stored_bits = bits
    low, high = (-(1 << (stored_bits - 1)), 1 << (stored_bits - 1)) if signed else (0, 1 << stored_bits)
    if allocated == 32:
        low, high = max(low, -(2**20)), 2**20  # float32 holds their products exactly enough
    stored = rng().integers(low, high, (6, 7)).astype(f"{'i' if signed else 'u'}{allocated // 8}")
    stored[0, :2] = low, high - 1
    dataset = image(
        stored, modality=modality, syntax=syntax, BitsStored=stored_bits, HighBit=stored_bits - 1,
        RescaleSlope=slope, RescaleIntercept=intercept,
    )  # fmt: skip
    path = save(dataset, tmp_path_factory.mktemp("p") / "a.dcm")
    header = pydicom.dcmread(path)
    volume = load(path)
    expected = apply_modality_lut(header.pixel_array, header)
    assert np.allclose(volume.array[0], expected, rtol=1e-6, atol=1e-6)
    if allocated < 32 and float(slope).is_integer() and float(intercept).is_integer():
        assert volume.array.dtype.kind == "i"
        assert np.array_equal(volume.array[0], expected)


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_floating_point_pixels(tmp_path: Path, keyword: str, dtype: str) -> None:
    values = rng().normal(0, 300, (5, 6)).astype(dtype)
    dataset = image(np.zeros((5, 6), f"u{values.itemsize}"), modality="MR")
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
    setattr(dataset, keyword, values.tobytes())
    path = save(dataset, tmp_path / "a.dcm")
    assert np.array_equal(load(path).array[0], values.astype(np.float32))
    assert np.array_equal(pydicom.dcmread(path).pixel_array, values)


@pytest.mark.parametrize(("value", "limit"), [(-2000, -1990), (-1990, -2000)])
def test_a_range_of_padding_is_one_value_in_either_order(tmp_path: Path, value: int, limit: int) -> None:
    stored = np.array([[-2001, -2000, -1995], [-1990, -1989, 40]], np.int16)
    dataset = image(stored, RescaleSlope=1, RescaleIntercept=-24)
    dataset.add_new("PixelPaddingValue", "SS", value)
    dataset.add_new("PixelPaddingRangeLimit", "SS", limit)
    volume = load(save(dataset, tmp_path / "a.dcm"))
    padded = volume.array[0] == volume.padding
    assert padded.tolist() == [[False, True, True], [True, False, False]]
    assert volume.array[0][~padded].tolist() == [-2025, -2013, 16]


@pytest.mark.parametrize("signed", [True, False])
def test_monochrome1_of_twelve_bits_is_mirrored_within_its_range(tmp_path: Path, signed: bool) -> None:
    """PS3.3 C.7.6.3.1.2: the minimum is shown white. Mirrored, the range stays and the order turns."""
    stored = np.array([[-2048, 0, 2047], [-7, 1, 100]], np.int16)
    if not signed:
        stored = (stored + 2048).astype(np.uint16)
    dataset = image(
        stored, modality="DX", photometric="MONOCHROME1", position=None, BitsStored=12, HighBit=11, RescaleSlope=2,
        RescaleIntercept=10,
    )  # fmt: skip
    low, high = (-2048, 2047) if signed else (0, 4095)
    expected = (low + high - stored.astype(int)) * 2 + 10
    assert load(save(dataset, tmp_path / "a.dcm")).array[0].tolist() == expected.tolist()


def color_values() -> np.ndarray:
    return rng().integers(0, 256, (6, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_by_pixel_and_by_plane(tmp_path: Path, syntax: str, planar: int) -> None:
    values = color_values()
    dataset = image(values, modality="US", position=None, syntax=syntax, PlanarConfiguration=planar)
    if planar:
        dataset.PixelData = values.transpose(2, 0, 1).tobytes()
    path = save(dataset, tmp_path / "a.dcm")
    volume = load(path)
    assert volume.is_color and np.array_equal(volume.array[0], values)
    assert np.array_equal(volume.array[0], pydicom.dcmread(path).pixel_array)


def test_ybr_422_equals_pydicom(tmp_path: Path) -> None:
    """Two pixels share their colour: Y Y Cb Cr (PS3.3 C.7.6.3.1.2)."""
    ybr = color_values()
    ybr[:, 1::2, 1:] = ybr[:, ::2, 1:]
    dataset = image(ybr, modality="US", position=None, photometric="YBR_FULL_422")
    pairs = ybr.reshape(-1, 2, 3)
    dataset.PixelData = np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], -1).tobytes()
    path = save(dataset, tmp_path / "a.dcm")
    expected = convert_color_space(pydicom.dcmread(path).pixel_array, "YBR_FULL", "RGB")
    assert np.array_equal(load(path).array[0], expected)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("first", [0, 10])
def test_palette_equals_pydicom(tmp_path: Path, bits: int, first: int) -> None:
    numbers = rng()
    stored = numbers.integers(0, 40, (5, 6)).astype(np.uint8)
    dataset = image(stored, modality="US", position=None, photometric="PALETTE COLOR")
    for color in ("Red", "Green", "Blue"):
        entries = numbers.integers(0, 1 << bits, 20).astype(f"<u{bits // 8}")
        setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [20, first, bits])
        setattr(dataset, f"{color}PaletteColorLookupTableData", entries.tobytes())
    path = save(dataset, tmp_path / "a.dcm")
    header = pydicom.dcmread(path)
    expected = apply_color_lut(header.pixel_array, header)
    assert np.array_equal(load(path).array[0], expected >> (bits - 8) if bits > 8 else expected)


def test_enhanced_multiframe_equals_simpleitk_where_one_rescale_holds(tmp_path: Path) -> None:
    stored = rng().integers(0, 3000, (4, 5, 6)).astype(np.int16)
    grid = Geometry.from_parts(stored.shape, spacing=(2.5, 0.7, 0.9), origin=(5, 6, 7))
    path = save(enhanced(stored, grid), tmp_path / "e.dcm")
    reference = sitk.ReadImage(str(path))
    volume = load(path)
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(reference))
    assert np.allclose(volume.geometry.to_lps((0, 0, 0)), reference.GetOrigin())
    assert np.allclose(volume.geometry.spacing[::-1], reference.GetSpacing())


@pytest.mark.parametrize("written", [{"RescaleSlope": 0, "RescaleIntercept": 5}, {"RescaleIntercept": 5}])
def test_a_slope_of_nothing_erases_no_image(tmp_path: Path, written: dict[str, Any]) -> None:
    stored = np.array([[1, 2]], np.int16)
    path = save(image(stored, modality="MR", **written), tmp_path / "a.dcm")
    assert load(path).array[0].tolist() == [[6, 7]]


def test_a_table_beside_rescale_is_the_one_used(tmp_path: Path) -> None:
    """PS3.3 C.11.1.1: one of the two is present; the table says what the values mean."""
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType = [3, 1, 16], "US"
    lut.add_new("LUTData", "US", [500, 60, 7])
    dataset = image(np.array([[0, 1, 2, 3, 9]], np.uint8), modality="CR", position=None)
    dataset.ModalityLUTSequence = pydicom.Sequence([lut])
    path = save(dataset, tmp_path / "a.dcm")
    header = pydicom.dcmread(path)
    assert load(path).array[0].tolist() == apply_modality_lut(header.pixel_array, header).tolist()
