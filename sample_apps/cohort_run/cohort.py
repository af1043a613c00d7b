"""Ask one question of many scans and write a table.

python cohort.py "pleural effusion" scans/*/ --output effusions.csv
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path

import radfind
from radfind.errors import RadFindError

COLUMNS = ("scan", "found", "best_slice", "score", "volume_ml", "note")


def ask(scan: Path, question: str) -> dict[str, object]:
    """One row of the table; a scan that cannot be read or answered says why in ``note``."""
    try:
        volume = radfind.load(scan)
        ranking = radfind.rank(volume, question, top_k=1)
        segmentation = radfind.segment(volume, question)
    except RadFindError as error:
        return {"scan": scan.name, "note": str(error)}
    best = ranking.slices[0] if ranking.slices else None
    voxels = sum(int(segment.mask.sum()) for segment in segmentation.segments)
    return {
        "scan": scan.name,
        "found": "yes" if segmentation.segments else "no",
        "best_slice": best.index if best else "",
        "score": f"{best.score:.3f}" if best else "",
        "volume_ml": f"{voxels * volume.geometry.voxel_volume / 1000:.2f}",
        "note": " ".join((*segmentation.not_supported, *segmentation.notes)),
    }


def run(question: str, scans: Iterable[Path], output: Path) -> None:
    """Ask every scan and write the table, a row as soon as it is known."""
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for scan in scans:
            writer.writerow(ask(scan, question))
            file.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("scans", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, default=Path("cohort.csv"))
    arguments = parser.parse_args()
    run(arguments.question, arguments.scans, arguments.output)
