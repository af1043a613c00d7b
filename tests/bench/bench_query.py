"""Folder to ranked result: a "nodule" query on a 275-slice 512 x 512 chest CT, split by stage.

The named alternative in the same run: plain SimpleITK reading of the same folder, as the yardstick of this machine.

    python tests/bench/bench_query.py [--runs N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPE, SPACING = (275, 512, 512), (1.25, 0.7, 0.7)

# A fresh process per run: nothing is warm that a user's first question would find cold.
QUERY = """
import sys, time
began = time.perf_counter()
import radfind
volume = radfind.load(sys.argv[1])
read = time.perf_counter()
ranking = radfind.rank(volume, "nodule")
ranked = time.perf_counter()
again = radfind.rank(volume, "part-solid nodule in the right lung")
print(read - began, ranked - read, time.perf_counter() - ranked, len(ranking.slices))
"""
SIMPLEITK = """
import sys, time
import SimpleITK as sitk
began = time.perf_counter()
reader = sitk.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames(sys.argv[1]))
reader.Execute()
print(time.perf_counter() - began)
"""


def run(code: str, folder: Path) -> list[float]:
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    return [float(value) for value in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    from radfind.phantom import make_phantom, write_dicom

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write_dicom(make_phantom(seed=12, shape=SHAPE, spacing=SPACING).volume, Path(folder))
        print(f"phantom of {SHAPE[0]} x {SHAPE[1]} x {SHAPE[2]} written in {time.perf_counter() - began:.1f} s")
        ours = [run(QUERY, Path(folder)) for _ in range(runs)]
        theirs = [run(SIMPLEITK, Path(folder))[0] for _ in range(runs)]
    read, rank, again = (statistics.median(column) for column in list(zip(*ours, strict=True))[:3])
    yardstick = statistics.median(theirs)
    print(f"read        {read:6.2f} s   ({read / yardstick:.2f} x SimpleITK's {yardstick:.2f} s, imports included)")
    print(f"rank        {rank:6.2f} s")
    print(f"total       {read + rank:6.2f} s   (target: 30 s on two cores)")
    print(f"2nd query   {again:6.2f} s   (same volume, analysis kept)")


if __name__ == "__main__":
    main()
