"""Decompress frames of DICOM pixel data.

GDCM (inside SimpleITK) decodes JPEG, JPEG-LS and JPEG 2000 without holding Python's lock, so frames decode in
parallel; pydicom's handlers (pylibjpeg) decode RLE, which they do many times faster, and what GDCM does not know, e.g.
High-Throughput JPEG 2000.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixel_data_handlers.util import convert_color_space
from pydicom.uid import UID, RLELossless, SecondaryCaptureImageStorage, generate_uid

from radfind.errors import ImageError

if TYPE_CHECKING:
    from radfind.imaging.dicom_header import Instance
    from radfind.imaging.dicom_pixels import PixelLayout

_PIXEL_DATA = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"  # (7FE0,0010) of undefined length
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_EMPTY_TABLE = _ITEM + b"\x00\x00\x00\x00"

_GDCM_SYNTAXES = frozenset({
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",
})  # fmt: skip

CODED_SYNTAXES = _GDCM_SYNTAXES | {
    "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.5",
}  # fmt: skip
"""Transfer syntaxes of compressed images that can be decoded: those of GDCM, High-Throughput JPEG 2000, and RLE."""


def decode(data: bytes, layout: PixelLayout, instance: Instance) -> npt.NDArray:
    """Stored values of one compressed frame: (rows, columns), or (rows, columns, 3) RGB.

    Raises:
        ImageError: the stream is damaged, does not fit the header, or no decoder knows its transfer syntax.
    """
    _check_stream(data, layout, instance)
    wrapped = _wrap([data], layout, instance.syntax)
    problem: BaseException | None = None
    if by_gdcm(layout, instance.syntax):
        try:
            return _checked(_with_gdcm(wrapped)[0], layout, instance)
        except RuntimeError as error:  # SimpleITK's only exception
            problem = error
    try:
        return _checked(_with_pydicom(wrapped), layout, instance)
    except ImageError:
        raise
    except BaseException as error:  # each handler raises its own kinds; a panic in Rust code (RLE) is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        problem = problem or error
    detail = (str(problem).strip().splitlines() or ["no detail"])[-1][:160]
    raise ImageError(
        f"'{instance.source.shown}' cannot be decompressed ({UID(instance.syntax).name}): {detail}. "
        "The pixels are damaged or the compression is not supported; export the series uncompressed."
    ) from problem


def by_gdcm(layout: PixelLayout, syntax: str) -> bool:
    """Whether GDCM decodes this kind of frame, so that `decode_together` can take several at once."""
    return layout.samples == 1 and syntax in _GDCM_SYNTAXES


def decode_together(data: Sequence[bytes], layout: PixelLayout, instances: Sequence[Instance]) -> npt.NDArray | None:
    """Several compressed frames of one layout and transfer syntax as (frame, rows, columns), where `by_gdcm`.

    As one multi-frame image they cost GDCM a third less than one by one. None when they do not decode: one by one it
    shows which is damaged.

    Raises:
        ImageError: a stream does not fit its header.
    """
    for one, instance in zip(data, instances, strict=True):
        _check_stream(one, layout, instance)
    try:
        values = _with_gdcm(_wrap(data, layout, instances[0].syntax))
    except RuntimeError:
        return None
    return values if values.shape == (len(data), layout.rows, layout.columns) else None


def _checked(values: npt.NDArray, layout: PixelLayout, instance: Instance) -> npt.NDArray:
    expected = (layout.rows, layout.columns) if layout.samples == 1 else (layout.rows, layout.columns, 3)
    if values.shape != expected:
        raise ImageError(
            f"'{instance.source.shown}' decompresses to {' x '.join(map(str, values.shape))}, but its header says "
            f"{' x '.join(map(str, expected))}. The file is damaged; export the series again."
        )
    return values


def _check_stream(data: bytes, layout: PixelLayout, instance: Instance) -> None:
    """Refuse a stream that disagrees with the header before a codec sees it.

    A codec allocates what the stream asks for, and GDCM's crashes on a precision that does not fit the pixel type.
    """
    frame = _stream_frame(data, instance.syntax)
    if frame is None:
        return
    rows, columns, bits, samples = frame
    # JPEG 2000 may hold 8-bit samples for a 16-bit image; JPEG decoders write the width their stream names.
    narrow = bits <= 8 < layout.bits_allocated and data[:2] == b"\xff\xd8"
    if (
        (rows, columns, samples) != (layout.rows, layout.columns, layout.samples)
        or narrow
        or bits > min(layout.bits_allocated, 16)
    ):
        raise ImageError(
            f"'{instance.source.shown}' holds a compressed image of {rows} x {columns} pixels with {samples} x {bits} "
            f"bits, but its header says {layout.rows} x {layout.columns} with {layout.samples} x {layout.bits_stored} "
            f"(in {layout.bits_allocated}). The file is damaged; export the series again."
        )


def _stream_frame(data: bytes, syntax: str) -> tuple[int, int, int, int] | None:
    """(rows, columns, bits per sample, samples) that a JPEG, JPEG-LS or JPEG 2000 stream declares, or None."""
    if syntax == RLELossless:
        return None  # RLE allocates by our header only
    if data[:4] == b"\xff\x4f\xff\x51" and len(data) >= 43:  # JPEG 2000 SOC, SIZ (ISO 15444-1 A.5.1)
        width, height, left, top = (int.from_bytes(data[n : n + 4], "big") for n in (8, 12, 16, 20))
        return height - top, width - left, (data[42] & 0x7F) + 1, int.from_bytes(data[40:42], "big")
    position = 2
    while data[:2] == b"\xff\xd8" and position + 10 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        # SOF0..SOF15 but DHT (C4), JPG (C8), DAC (CC); F7 is SOF55 of JPEG-LS (ISO 10918-1 B.2.2, 14495-1 C.2.2)
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            height, width = (int.from_bytes(data[n : n + 2], "big") for n in (position + 5, position + 7))
            return height, width, data[position + 4], data[position + 9]
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def _wrap(frames: Sequence[bytes], layout: PixelLayout, syntax: str) -> bytes:
    """Frames as a DICOM file of their own, with nothing in the header but what decoding needs.

    So the codec sees neither the rescale (GDCM would apply it, for some kinds of image only) nor the rest of a
    header that may be malformed.
    """
    parts = [_header(layout, syntax, len(frames)), _PIXEL_DATA, _EMPTY_TABLE]
    for data in frames:
        padding = b"\x00" * (len(data) % 2)
        parts += [_ITEM, (len(data) + len(padding)).to_bytes(4, "little"), data, padding]
    return b"".join((*parts, _END))


@lru_cache(maxsize=64)
def _header(layout: PixelLayout, syntax: str, frames: int) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Modality = "OT"
    dataset.SamplesPerPixel = layout.samples
    dataset.PhotometricInterpretation = "MONOCHROME2" if layout.samples == 1 else layout.photometric
    if layout.samples > 1:
        dataset.PlanarConfiguration = int(layout.planar)
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.Rows, dataset.Columns = layout.rows, layout.columns
    dataset.BitsAllocated, dataset.BitsStored = layout.bits_allocated, layout.bits_stored
    dataset.HighBit, dataset.PixelRepresentation = layout.bits_stored - 1, int(layout.signed)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, write_like_original=False)
    return buffer.getvalue()


def _with_gdcm(wrapped: bytes) -> npt.NDArray:
    import SimpleITK as sitk

    with tempfile.NamedTemporaryFile(prefix="radfind-", suffix=".dcm") as file:
        file.write(wrapped)
        file.flush()
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(file.name)
        return sitk.GetArrayFromImage(reader.Execute())


def _with_pydicom(wrapped: bytes) -> npt.NDArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(wrapped))
        values = dataset.pixel_array
        if dataset.PhotometricInterpretation in ("YBR_FULL", "YBR_FULL_422"):
            values = convert_color_space(values, dataset.PhotometricInterpretation, "RGB")
        return values
