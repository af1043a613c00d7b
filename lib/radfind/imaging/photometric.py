"""Stored values to final values: rescale, Modality LUT, padding, inverted greyscale, colour (PS3.3 C.7.6.3, C.11.1)."""

from __future__ import annotations

import dataclasses
import warnings as python_warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixel_data_handlers.util import apply_color_lut, apply_modality_lut

from radfind.errors import ImageError
from radfind.imaging.dicom_header import Frame, floats, value_of
from radfind.imaging.dicom_pixels import PixelLayout

SECTIONAL = frozenset({"CT", "MR", "PT"})
"""Modalities whose voxels are measurements: values are never inverted for display."""

_COLOR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "PALETTE COLOR"})
INT16 = np.iinfo(np.int16)


def is_color(layout: PixelLayout) -> bool:
    return layout.samples > 1 or layout.photometric in _COLOR


@dataclasses.dataclass(frozen=True, eq=False)
class Converter:
    """Turns the stored values of frame k into final values.

    Arguments:
        dtype: that holds every value the header allows: uint8 for colour; int16, int32 or float32 otherwise.
        padding: the final value of padded voxels, or None.
        warnings: what a user should know.
    """

    frames: tuple[Frame, ...]
    layouts: tuple[PixelLayout, ...]
    color: bool
    dtype: np.dtype
    invert: bool
    padding: float | None
    warnings: tuple[str, ...]

    def fits(self, k: int, stored: npt.NDArray, dtype: np.dtype) -> bool:
        """Whether all final values of frame k fit the integer type `dtype`."""
        ends = [float(end) * self.frames[k].slope + self.frames[k].intercept for end in (stored.min(), stored.max())]
        if self.padding is not None:
            ends.append(self.padding)
        return np.iinfo(dtype).min <= min(ends) and max(ends) <= np.iinfo(dtype).max

    def write(self, k: int, stored: npt.NDArray, out: npt.NDArray) -> None:
        """Put the final values of frame k, (rows, columns) or (rows, columns, 3), into `out`."""
        frame, layout = self.frames[k], self.layouts[k]
        dataset = frame.instance.dataset
        if self.color:
            out[...] = _to_rgb(stored, dataset, layout)
            return
        if _has_lut(dataset):
            with python_warnings.catch_warnings():
                python_warnings.simplefilter("ignore")
                out[...] = apply_modality_lut(stored, dataset)
        elif self.dtype.kind == "f":
            out[...] = stored * np.float64(frame.slope) + frame.intercept
        else:
            # In place and modulo 2^n: exact, because the final values fit.
            np.copyto(out, stored, casting="unsafe")
            if frame.slope != 1:
                np.multiply(out, _wrapped(frame.slope, out.dtype), out=out)
            if frame.intercept != 0:
                np.add(out, _wrapped(frame.intercept, out.dtype), out=out)
        if self.invert:
            low, high = _stored_range(layout)
            np.subtract((low + high) * frame.slope + 2 * frame.intercept, out, out=out, casting="unsafe")
        if self.padding is not None and (span := _padding_span(frame, layout)) is not None:
            out[(stored >= span[0]) & (stored <= span[1])] = self.padding


def converter(frames: Sequence[Frame], layouts: Sequence[PixelLayout]) -> Converter:
    """Choose one type and one padding value that hold for all frames of a volume."""
    first, layout = frames[0], layouts[0]
    color = is_color(layout)
    if layout.samples == 4:
        raise ImageError(
            f"'{first.instance.source.shown}' has four colour channels ({layout.photometric}), which DICOM retired and "
            "RadFind does not read. Convert it to RGB."
        )
    if color:
        return Converter(tuple(frames), tuple(layouts), True, np.dtype(np.uint8), False, None, ())
    told = []
    invert = layout.photometric == "MONOCHROME1" and first.instance.text("Modality") not in SECTIONAL
    if invert:
        told.append(
            "The image is stored inverted (MONOCHROME1: low values are bright); its values are mirrored so that "
            "high values are bright."
        )
    if (
        any(frame.instance.text("RescaleType").upper() == "US" for frame in frames)
        and first.instance.text("Modality") == "CT"
    ):
        told.append(
            "The file does not say that its values are Hounsfield units (Rescale Type US); they are taken as such."
        )
    if first.instance.text("Modality") == "CT" and not any(_states_rescale(frame) for frame in frames):
        told.append("The file states no Rescale Intercept; its stored values are taken as Hounsfield units.")
    span = _padding_span(first, layout)
    padding = None
    if span is not None and not _has_lut(first.instance.dataset):
        padding = span[0] * first.slope + first.intercept
    return Converter(
        tuple(frames), tuple(layouts), False, _value_type(frames, layouts, padding), invert, padding, tuple(told)
    )


def _states_rescale(frame: Frame) -> bool:
    dataset = frame.instance.dataset
    plain = (frame.slope, frame.intercept) == (1.0, 0.0)
    return not plain or _has_lut(dataset) or value_of(dataset, "RescaleIntercept") is not None


def _value_type(frames: Sequence[Frame], layouts: Sequence[PixelLayout], padding: float | None) -> np.dtype:
    low, high = 0.0, 0.0
    for frame, layout in zip(frames, layouts, strict=True):
        lut = _lut_range(frame.instance.dataset)
        if lut is not None:
            low, high = min(low, lut[0]), max(high, lut[1])
            continue
        whole = frame.slope.is_integer() and frame.intercept.is_integer()
        if layout.is_float or not whole:
            return np.dtype(np.float32)
        ends = [end * frame.slope + frame.intercept for end in _stored_range(layout)]
        low, high = min(low, *ends), max(high, *ends)
    if padding is not None:
        low, high = min(low, padding), max(high, padding)
    if low >= INT16.min and high <= INT16.max:
        return np.dtype(np.int16)
    return np.dtype(np.int32 if max(-low, high) < 2**31 else np.float32)


def _wrapped(number: float, dtype: np.dtype) -> npt.NDArray:
    """A whole number as `dtype`, modulo its range."""
    bits = dtype.itemsize * 8
    return np.array(int(number) % (1 << bits), np.dtype(f"u{dtype.itemsize}")).astype(dtype)


def _stored_range(layout: PixelLayout) -> tuple[int, int]:
    if layout.signed:
        return -(1 << (layout.bits_stored - 1)), (1 << (layout.bits_stored - 1)) - 1
    return 0, (1 << layout.bits_stored) - 1


def _padding_span(frame: Frame, layout: PixelLayout) -> tuple[int, int] | None:
    """Inclusive range of stored values that mean "no data" (PS3.3 C.7.5.1.1.2)."""
    value = floats(value_of(frame.instance.dataset, "PixelPaddingValue"))
    if not value:
        return None
    limit = floats(value_of(frame.instance.dataset, "PixelPaddingRangeLimit")) or value
    ends = sorted(_as_stored(int(end[0]), layout) for end in (value, limit))
    return ends[0], ends[1]


def _as_stored(value: int, layout: PixelLayout) -> int:
    """Writers mix up the two types this attribute may have: 63536 is -2000 when the pixels are signed."""
    if layout.signed and value >= 1 << (layout.bits_allocated - 1):
        return value - (1 << layout.bits_allocated)
    if not layout.signed and value < 0:
        return value + (1 << layout.bits_allocated)
    return value


def _has_lut(dataset: Dataset) -> bool:
    return bool(value_of(dataset, "ModalityLUTSequence"))


def _lut_range(dataset: Dataset) -> tuple[float, float] | None:
    sequence = value_of(dataset, "ModalityLUTSequence")
    if not sequence:
        return None
    descriptor = floats(value_of(sequence[0], "LUTDescriptor"))
    if len(descriptor) != 3 or not 1 <= descriptor[2] <= 16:
        raise ImageError("The image has a Modality LUT without a sound LUTDescriptor. Export the series again.")
    return 0.0, float((1 << int(descriptor[2])) - 1)


def _to_rgb(stored: npt.NDArray, dataset: Dataset, layout: PixelLayout) -> npt.NDArray[np.uint8]:
    bits = layout.bits_stored
    if layout.photometric == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)[..., :3]
        bits = stored.dtype.itemsize * 8
    return (stored >> (bits - 8) if bits > 8 else stored).astype(np.uint8)
