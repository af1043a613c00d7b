"""Windows against the closed form of PS3.3 C.11.2.1.2.1 and against pydicom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixel_data_handlers.util import apply_windowing

from radfind.errors import InputError
from radfind.imaging import windows
from radfind.imaging.windows import PRESETS, Window
from radfind.volume import Geometry, Volume


def volume(array: np.ndarray, modality: str = "CT", padding: float | None = None) -> Volume:
    return Volume(array, Geometry.from_parts(array.shape[:3]), modality, padding=padding)


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_equal_pydicom(name: str) -> None:
    values = np.arange(-3000, 4000, dtype=np.int16)
    header = Dataset()
    header.WindowCenter, header.WindowWidth = PRESETS[name].center, PRESETS[name].width
    header.PhotometricInterpretation, header.BitsStored, header.PixelRepresentation = "MONOCHROME2", 8, 0
    header.VOILUTFunction = "LINEAR"
    expected = apply_windowing(values.astype(np.float64), header)
    assert np.abs(PRESETS[name].apply(values) - expected).max() <= 0.5 + 1e-9


@given(center=st.floats(-1000, 2000), width=st.floats(1, 4000), x=st.integers(-3000, 3000), kind=st.sampled_from("if"))
def test_closed_form(center: float, width: float, x: int, kind: str) -> None:
    if x <= center - 0.5 - (width - 1) / 2:
        expected = 0.0
    elif x > center - 0.5 + (width - 1) / 2:
        expected = 255.0
    else:
        expected = ((x - (center - 0.5)) / (width - 1) + 0.5) * 255
    grey = Window(center, width).apply(np.array([x], np.int16 if kind == "i" else np.float64))
    assert abs(int(grey[0]) - expected) <= 0.5 + 1e-6


def test_values_outside_eight_bits_are_not_squashed_first() -> None:
    """10 HU apart in a 40 HU window is 65 greys apart, whatever else the volume holds."""
    array = np.full((1, 4, 4), -1024, np.int16)
    array[0, 0] = (30, 40, 3071, 50)
    grey = windows.apply(volume(array), "stroke")
    assert grey[0, 0, 1] - grey[0, 0, 0] == pytest.approx(255 * 10 / 39, abs=1)


def test_channels_and_colour_and_nan() -> None:
    array = np.full((2, 3, 4), 50, np.float32)
    array[0, 0, 0] = np.nan
    stacked = windows.channels(volume(array), ["lung", "mediastinum", "bone"])
    assert stacked.shape == (2, 3, 4, 3)
    assert np.array_equal(stacked[..., 1], windows.apply(volume(array), "mediastinum"))
    assert stacked[0, 0, 0].tolist() == [0, 0, 0]
    color = np.zeros((2, 3, 4, 3), np.uint8)
    assert windows.apply(volume(color, "ES")) is color


def test_robust_mr_ignores_background_padding_and_hot_spots() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(5, 2, (8, 64, 64)).clip(0).astype(np.float32)
    array[:, 20:44, 20:44] = rng.normal(500, 50, (8, 24, 24))
    array[0, 30, 30] = 60_000
    grey = windows.apply(volume(array, "MR"))
    inside = grey[:, 22:42, 22:42]
    assert 120 < np.median(inside) < 230 and np.median(grey[:, :10]) < 20
    padded = array.copy()
    padded[:, :8] = -9999
    window = windows.window_for(volume(padded, "MR", padding=-9999))
    assert window.center - window.width / 2 > -100


def test_unknown_preset_is_named() -> None:
    with pytest.raises(InputError, match=r"'lnug'.*lung"):
        windows.preset("lnug")
    with pytest.raises(InputError):
        Window(0, 0)
