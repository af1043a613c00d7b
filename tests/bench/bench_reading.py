"""How fast a series is read, against SimpleITK's series reader in the same run.

Run as a script: ``python tests/bench/bench_reading.py``. It writes 275 slices of 512 x 512 to a temporary folder, raw
and compressed, and reads each set with both, best of several runs each.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

SLICES, SIZE, RUNS = 275, 512, 3


def synthetic_ct() -> npt.NDArray[np.int16]:
    """Smooth anatomy-like values with scanner-like noise, (k, j, i), in HU."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    body = np.where(x**2 + (1.4 * y) ** 2 < 0.8, 40.0, -1000.0)
    lungs = ((np.abs(x) - 0.35) ** 2 / 0.05 + y**2 / 0.15) < 1
    body[lungs] = -850
    noise = rng.normal(0, 12, (8, SIZE, SIZE))
    return np.stack([body + 20 * np.sin(k / 20 + 5 * x) + noise[k % 8] for k in range(SLICES)]).astype(np.int16)


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


def best(read: Callable[[Path], object], folder: Path) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        read(folder)
        times.append(time.perf_counter() - start)
    return min(times)


def with_simpleitk(folder: Path) -> npt.NDArray:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def with_radfind(folder: Path) -> npt.NDArray:
    from radfind.imaging import load

    return load(folder).array


def main() -> int:
    """Print one line of JSON per set; 1 when a set is read more slowly than SimpleITK reads it, or differently."""
    volume = synthetic_ct()
    failed = False
    with tempfile.TemporaryDirectory(prefix="radfind-bench-") as folder:
        for name, compressor in (("raw", None), ("jpeg-lossless", "JPEG"), ("jpeg-2000", "JPEG2000")):
            where = Path(folder) / name
            part = volume if name != "jpeg-2000" else volume[:64]
            write(where, part, compressor)
            same = bool(np.array_equal(with_radfind(where), with_simpleitk(where)))
            ours, theirs = best(with_radfind, where), best(with_simpleitk, where)
            failed |= ours > theirs or not same
            result = {
                "bench": "reading", "set": name, "slices": len(part), "radfind_s": round(ours, 3),
                "simpleitk_s": round(theirs, 3), "times_as_fast": round(theirs / ours, 2), "same_voxels": same,
            }  # fmt: skip
            print(json.dumps(result), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
