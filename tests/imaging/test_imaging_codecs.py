"""Compressed pixels come back as they went in; damaged ones give an error and nothing worse."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import SimpleITK as sitk
from dicom_writer import image, save
from PIL import Image
from pydicom.encaps import generate_pixel_data_frame
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from radfind.errors import ImageError
from radfind.imaging import dicom_pixels, load


def noisy(dtype: str = "int16", *, color: bool = False) -> npt.NDArray:
    """A smooth picture with noise, so that codecs have real work; 40 x 56."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:40, :56]
    base = 60 + 40 * np.sin(x / 9) + 30 * np.cos(y / 7) + rng.normal(0, 3, (40, 56))
    if color:
        return np.stack([base, base[::-1], base[:, ::-1]], -1).clip(0, 255).astype(np.uint8)
    return base.astype(np.uint8) if dtype == "uint8" else (base * 20 - 1000).astype(dtype)


def rle_frame(stored: npt.NDArray) -> bytes:
    """PS3.5 Annex G with literal runs only: valid, and independent of any encoder."""
    planes = [stored[..., c] for c in range(3)] if stored.ndim == 3 else [stored]
    segments = []
    for plane in planes:
        little = plane.astype(plane.dtype.newbyteorder("<"))
        octets = np.frombuffer(little.tobytes(), np.uint8).reshape(-1, plane.dtype.itemsize)
        for byte in range(plane.dtype.itemsize - 1, -1, -1):  # most significant first
            column = octets[:, byte].tobytes()
            packed = b"".join(
                bytes([len(p) - 1]) + p for p in (column[n : n + 128] for n in range(0, len(column), 128))
            )
            segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = np.zeros(16, "<u4")
    offsets[0] = len(segments)
    offsets[1 : len(segments) + 1] = 64 + np.cumsum([0, *map(len, segments[:-1])])
    return offsets.tobytes() + b"".join(segments)


def with_gdcm(stored: npt.NDArray, path: Path, compressor: str) -> Path:
    """Compressed by GDCM's encoder."""
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetCompressor(compressor)
    writer.UseCompressionOn()
    writer.SetFileName(str(path))
    writer.Execute(sitk.GetImageFromArray(stored[None]))
    return path


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8"])
@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_lossless_from_gdcm(tmp_path: Path, compressor: str, dtype: str) -> None:
    stored = np.abs(noisy(dtype)) if dtype[0] == "u" else noisy(dtype)
    volume = load(with_gdcm(stored.astype(dtype), tmp_path / "a.dcm", compressor))
    assert np.array_equal(volume.array[0], stored)


@pytest.mark.parametrize("dtype", ["int16", "uint8"])
def test_rle(tmp_path: Path, dtype: str) -> None:
    stored = noisy(dtype)
    path = save(image(stored, syntax=RLELossless, coded=rle_frame(stored)), tmp_path / "a.dcm")
    assert np.array_equal(load(path).array[0], stored)


@pytest.mark.parametrize("above", [0x0000, 0xF000])
def test_rle_of_twelve_signed_bits(tmp_path: Path, above: int) -> None:
    """Whatever stands above the stored bits: nothing, an overlay, or copies of the sign."""
    values = np.array([[-2048, -1, 0, 2047]], np.int16)
    packed = (values.view(np.uint16) & 0x0FFF) | np.uint16(above)
    path = save(
        image(values, syntax=RLELossless, coded=rle_frame(packed), BitsStored=12, HighBit=11), tmp_path / "a.dcm"
    )
    assert np.array_equal(load(path).array[0], values)


def test_jpeg_ls_of_twelve_signed_bits(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jpls")
    values = (noisy() // 2).clip(-2048, 2047).astype(np.int16)
    buffer = io.BytesIO()
    Image.fromarray(values.view(np.uint16) & 0x0FFF).save(buffer, "JPEG-LS")
    path = save(
        image(values, syntax=JPEGLSLossless, coded=buffer.getvalue(), BitsStored=12, HighBit=11), tmp_path / "a.dcm"
    )
    assert np.array_equal(load(path).array[0], values)


def test_rle_color_frames_of_a_cine(tmp_path: Path) -> None:
    one = noisy(color=True)
    frames = [one, one[::-1].copy(), one // 2]
    dataset = image(
        one,
        modality="US",
        position=None,
        syntax=RLELossless,
        coded=[rle_frame(frame) for frame in frames],
        NumberOfFrames=3,
    )
    assert np.array_equal(load(save(dataset, tmp_path / "a.dcm")).array, np.stack(frames))


def test_jpeg_ls(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jpls")
    stored = (noisy() + 2000).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG-LS")
    path = save(image(stored, syntax=JPEGLSLossless, coded=buffer.getvalue()), tmp_path / "a.dcm")
    assert np.array_equal(load(path).array[0], stored)


def test_jpeg_baseline_color_is_rgb(tmp_path: Path) -> None:
    stored = noisy(color=True)
    stored[...] = (200, 40, 90)  # one strong colour: a missed colour transform is far off
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG", quality=95)
    dataset = image(
        stored,
        modality="ES",
        position=None,
        syntax=JPEGBaseline8Bit,
        coded=buffer.getvalue(),
        photometric="YBR_FULL_422",
    )
    volume = load(save(dataset, tmp_path / "a.dcm"))
    assert np.abs(volume.array[0].astype(int) - (200, 40, 90)).max() <= 3


@pytest.mark.parametrize(("photometric", "mct"), [("YBR_RCT", True), ("RGB", False)])
def test_jpeg2000_color(tmp_path: Path, photometric: str, mct: bool) -> None:
    stored = noisy(color=True)
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG2000", irreversible=False, mct=int(mct), no_jp2=True)
    dataset = image(
        stored, modality="SM", position=None, syntax=JPEG2000Lossless, coded=buffer.getvalue(), photometric=photometric
    )
    assert np.array_equal(load(save(dataset, tmp_path / "a.dcm")).array[0], stored)


def test_raw_ybr_full_is_rgb(tmp_path: Path) -> None:
    stored = noisy(color=True)
    ybr = np.asarray(Image.fromarray(stored).convert("YCbCr"))
    dataset = image(ybr, modality="US", position=None, photometric="YBR_FULL")
    volume = load(save(dataset, tmp_path / "a.dcm"))
    assert np.abs(volume.array[0].astype(int) - stored).max() <= 3


def test_palette_color(tmp_path: Path) -> None:
    stored = np.array([[0, 1], [2, 3]], np.uint8)
    dataset = image(stored, modality="US", position=None, photometric="PALETTE COLOR")
    for n, color in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [4, 0, 16])
        entries = np.array([0, 0xFFFF, 0x8000, 0x4000], "<u2")
        setattr(dataset, f"{color}PaletteColorLookupTableData", np.roll(entries, n).tobytes())
    volume = load(save(dataset, tmp_path / "a.dcm"))
    assert volume.array[0, 0, 1].tolist() == [255, 0, 64]


def compressed_series(folder: Path, count: int) -> npt.NDArray:
    """`count` slices of JPEG lossless by GDCM, each unlike the others; their values."""
    folder.mkdir()
    values = np.stack([np.roll(noisy(), 3 * k, axis=1) + np.int16(k) for k in range(count)])
    for k, stored in enumerate(values):
        dataset = pydicom.dcmread(with_gdcm(stored, folder / "one", "JPEG"))
        (coded,) = generate_pixel_data_frame(dataset.PixelData, 1)
        made = image(stored, position=(0, 0, k), syntax=JPEGLosslessSV1, coded=coded, RescaleSlope=1 + k % 2)
        save(made, folder / f"{k:03d}.dcm")
    (folder / "one").unlink()
    return values * (1 + np.arange(count) % 2)[:, None, None]


@pytest.mark.parametrize("workers", [1, 2])
def test_slices_decoded_together_keep_their_own_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(dicom_pixels, "WORKERS", workers)
    values = compressed_series(tmp_path / "s", 21)
    assert np.array_equal(load(tmp_path / "s").array, values)


def test_the_damaged_one_of_many_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_pixels, "WORKERS", 1)
    compressed_series(tmp_path / "s", 12)
    file = tmp_path / "s" / "007.dcm"
    damaged = bytearray(file.read_bytes())
    start = damaged.index(b"\xff\xc4")  # the Huffman table
    damaged[start + 4 : start + 20] = b"\xff" * 16
    file.write_bytes(damaged)
    with pytest.raises(ImageError, match=r"007\.dcm"):
        load(tmp_path / "s")


def test_stream_of_another_size_than_its_header_is_refused(tmp_path: Path) -> None:
    """The decoder would allocate what the stream asks for."""
    stored = noisy("uint8")
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "JPEG")
    lying = bytearray(buffer.getvalue())
    start = lying.index(b"\xff\xc0")
    lying[start + 5 : start + 9] = b"\xff\xff\xff\xff"
    path = save(image(stored, syntax=JPEGBaseline8Bit, coded=bytes(lying)), tmp_path / "a.dcm")
    with pytest.raises(ImageError, match="65535 x 65535"):
        load(path)


@pytest.mark.parametrize("precision", [1, 8, 17, 0x8C, 255])
def test_stream_of_another_precision_is_refused(tmp_path: Path, precision: int) -> None:
    """GDCM crashed the process on these."""
    path = with_gdcm(noisy(), tmp_path / "a.dcm", "JPEG")
    damaged = bytearray(path.read_bytes())
    start = damaged.index(b"\xff\xc3")
    damaged[start + 4] = precision
    path.write_bytes(damaged)
    with pytest.raises(ImageError, match="bits"):
        load(path)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEG2000Lossless, RLELossless])
def test_cut_compressed_frame(tmp_path: Path, syntax: str) -> None:
    stored = noisy()
    path = save(image(stored, syntax=syntax, coded=b"\xff\xd8\xff\xe0"), tmp_path / "a.dcm")
    with pytest.raises(ImageError, match=r"a\.dcm"):
        load(path)


def test_rle_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    """The decoder panics on it, which Python sees as no ordinary exception."""
    stored = noisy()
    coded = bytearray(rle_frame(stored))
    coded[64] = 0x81  # 128 copies of one byte, where the first 128 bytes stood: the rest is read from a wrong place
    path = save(image(stored, syntax=RLELossless, coded=bytes(coded)), tmp_path / "a.dcm")
    with pytest.raises(ImageError, match=r"a\.dcm"):
        load(path)


_LOAD_ALL = """
import pathlib, sys, time
from radfind.errors import ImageError
from radfind.imaging import load
for path in sorted(p for p in pathlib.Path(sys.argv[1]).rglob("*") if p.is_file()):
    began = time.monotonic()
    try:
        load(path)
        print("read", path.name)
    except ImageError as error:
        assert path.name in str(error) and "\\n" not in str(error), str(error)
        print("refused", path.name)
    assert time.monotonic() - began < 10, path
"""


def test_malformed_files_never_crash_or_hang(shared_data: Callable[[str], Path]) -> None:
    """In a process of their own, with 4 GB of address space beyond what Python has: a crash cannot hide."""
    folder = shared_data("malformed-dicom")
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30,) * 2)\n" + _LOAD_ALL
    done = subprocess.run(
        [sys.executable, "-c", limited, str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(lines) == len(files)
    assert "read BASELINE_valid_ct.dcm" in lines


_LOAD_MUTATED = """
import pathlib, random, sys
from radfind.errors import ImageError
from radfind.imaging import load
whole = pathlib.Path(sys.argv[1]).read_bytes()
stream = whole.index(b"\\xe0\\x7f\\x10\\x00OB") + 28
target = pathlib.Path(sys.argv[1]).with_name("mutated.dcm")
for seed in range(int(sys.argv[2])):
    draw, data = random.Random(seed), bytearray(whole)
    kind = seed % 4
    for _ in range(draw.choice([1, 2, 4, 30])):
        at = stream + draw.randrange(80 if kind == 0 else len(data) - stream - 10)
        if kind == 3:  # a marker where none belongs
            data[at : at + 2] = bytes([0xFF, draw.choice([0xC3, 0xC4, 0xD8, 0xD9, 0xDA, 0xDD, 0xF7, 0x51, 0x90])])
        else:
            data[at] = draw.randrange(256)
    if kind == 2:
        data[draw.randrange(stream, len(data)) : -8] = b""
    target.write_bytes(data)
    try:
        load(target)
    except ImageError as error:
        assert "mutated.dcm" in str(error), str(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["jpeg-lossless", "jpeg-baseline", "jpeg-2000", "jpeg-ls", "rle"])
def test_no_mutated_stream_crashes_the_process(tmp_path: Path, coding: str) -> None:
    stored, path, buffer = noisy(), tmp_path / "a.dcm", io.BytesIO()
    if coding in ("jpeg-lossless", "jpeg-2000"):
        with_gdcm(stored, path, {"jpeg-lossless": "JPEG", "jpeg-2000": "JPEG2000"}[coding])
    elif coding == "jpeg-baseline":
        Image.fromarray(noisy("uint8")).save(buffer, "JPEG")
        save(image(noisy("uint8"), syntax=JPEGBaseline8Bit, coded=buffer.getvalue()), path)
    elif coding == "jpeg-ls":
        pytest.importorskip("pillow_jpls")
        Image.fromarray((stored + 2000).astype(np.uint16)).save(buffer, "JPEG-LS")
        save(image(stored, syntax=JPEGLSLossless, coded=buffer.getvalue()), path)
    else:
        save(image(stored, syntax=RLELossless, coded=rle_frame(stored)), path)
    done = subprocess.run(
        [sys.executable, "-c", _LOAD_MUTATED, str(path), "400"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
