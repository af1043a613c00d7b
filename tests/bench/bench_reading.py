"""How fast a series is read, against SimpleITK's series reader in the same run.

    python tests/bench/bench_reading.py [--slices N] [--runs N]

Slices of 512 x 512 are written to a temporary folder, raw and in each compression; each set is read by both in turn, so
that whatever else the machine does falls on both. The median ratio of those pairs counts: first with the files just
evicted from the page cache (as far as the system does so when asked), then with them in it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLSLossless, RLELossless

SIZE = 512
GDCM = {"raw": None, "jpeg-lossless": "JPEG", "jpeg-2000": "JPEG2000"}
"""Sets that GDCM writes, and the name of its compressor."""


def synthetic_ct(slices: int) -> npt.NDArray[np.int16]:
    """Smooth anatomy-like values with scanner-like noise, (k, j, i), in HU."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    body = np.where(x**2 + (1.4 * y) ** 2 < 0.8, 40.0, -1000.0)
    lungs = ((np.abs(x) - 0.35) ** 2 / 0.05 + y**2 / 0.15) < 1
    body[lungs] = -850
    noise = rng.normal(0, 12, (8, SIZE, SIZE))
    return np.stack([body + 20 * np.sin(k / 20 + 5 * x) + noise[k % 8] for k in range(slices)]).astype(np.int16)


def write(folder: Path, volume: npt.NDArray[np.int16], compressor: str | None) -> None:
    """One DICOM file per slice through GDCM; `compressor` None writes raw pixels."""
    folder.mkdir()

    def one(k: int) -> None:
        image = sitk.GetImageFromArray(volume[k : k + 1] + np.int16(1024))
        image.SetSpacing((0.7, 0.7, 1.25))
        tags = {
            "0008|0060": "CT", "0020|000d": "1.2.3.1", "0020|000e": "1.2.3.2", "0020|0052": "1.2.3.3",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": f"1.2.3.4.{k + 1}", "0020|0013": str(k + 1),
            "0020|0032": f"-180\\-180\\{1.25 * k:g}", "0020|0037": "1\\0\\0\\0\\1\\0", "0018|0050": "1.25",
            "0028|1052": "-1024", "0028|1053": "1",
        }  # fmt: skip
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        if compressor is not None:
            writer.SetCompressor(compressor)
            writer.UseCompressionOn()
        writer.SetFileName(str(folder / f"{k:04d}.dcm"))
        writer.Execute(image)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(len(volume))))


def recompress(raw: Path, folder: Path, syntax: str, encode: Callable[[pydicom.Dataset], bytes]) -> None:
    """The raw set again in a syntax that GDCM's writer here does not offer."""
    folder.mkdir()
    for path in sorted(raw.iterdir()):
        dataset = pydicom.dcmread(path)
        dataset.PixelData = encapsulate([encode(dataset)])
        dataset["PixelData"].is_undefined_length, dataset["PixelData"].VR = True, "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.is_implicit_VR, dataset.is_little_endian = False, True
        dataset.save_as(folder / path.name, write_like_original=False)


def as_rle(dataset: pydicom.Dataset) -> bytes:
    from pydicom.pixel_data_handlers.rle_handler import rle_encode_frame

    return bytes(rle_encode_frame(dataset.pixel_array))


def as_jpeg_ls(dataset: pydicom.Dataset) -> bytes:
    import io

    import pillow_jpls  # noqa: F401 - registers the format
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(dataset.pixel_array.astype(np.uint16)).save(buffer, "JPEG-LS")
    return buffer.getvalue()


def evict(folder: Path) -> None:
    """Ask the system to forget the files' pages, where it can be asked."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds(read: Callable[[Path], object], folder: Path, *, cold: bool) -> float:
    if cold:
        evict(folder)
    start = time.perf_counter()
    read(folder)
    return time.perf_counter() - start


def pairs(folder: Path, runs: int, *, cold: bool) -> tuple[float, float, float]:
    """Median seconds of ours and of SimpleITK's, and the median ratio of the pairs."""
    both = [tuple(seconds(read, folder, cold=cold) for read in (with_radfind, with_simpleitk)) for _ in range(runs)]
    ours, theirs = (statistics.median(column) for column in zip(*both, strict=True))
    return ours, theirs, statistics.median(other / mine for mine, other in both)


def with_simpleitk(folder: Path) -> npt.NDArray:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def with_radfind(folder: Path) -> npt.NDArray:
    from radfind.imaging import load

    return load(folder).array


def measure(name: str, folder: Path, runs: int) -> bool:
    """Print one line of JSON; whether we are as fast, with the same voxels."""
    same = bool(np.array_equal(with_radfind(folder), with_simpleitk(folder)))
    good = same
    result: dict[str, object] = {"bench": "reading", "set": name, "slices": len(list(folder.iterdir()))}
    for cold in (True, False):
        ours, theirs, ratio = pairs(folder, runs, cold=cold)
        good = good and ratio >= 1
        result["cold" if cold else "warm"] = {
            "radfind_s": round(ours, 3), "simpleitk_s": round(theirs, 3), "times_as_fast": round(ratio, 2),
        }  # fmt: skip
    print(json.dumps({**result, "same_voxels": same}), flush=True)
    return good


def main() -> int:
    """1 when a set is read more slowly than SimpleITK reads it, or differently."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=275, help="of the raw set; the compressed sets have at most 100")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    volume = synthetic_ct(options.slices)
    good = []
    with tempfile.TemporaryDirectory(prefix="radfind-bench-") as folder:
        for name, compressor in GDCM.items():
            write(Path(folder) / name, volume if compressor is None else volume[:100], compressor)
        few = Path(folder) / "few"
        write(few, volume[:100], None)
        recompress(few, Path(folder) / "rle", RLELossless, as_rle)
        recompress(few, Path(folder) / "jpeg-ls", JPEGLSLossless, as_jpeg_ls)
        for name in (*GDCM, "rle", "jpeg-ls"):
            good.append(measure(name, Path(folder) / name, options.runs))
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
