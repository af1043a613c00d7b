"""A button in a RIS: the report on one side, the slices it speaks of on the other.

python rerank_ct_slices.py report.txt ct-folder/*.dcm
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import radfind
from radfind.errors import RadFindError


def rerank_ct_slices(report_text: str, slice_paths: Sequence[str | Path]) -> list[tuple[Path, float]]:
    """All slice files of one CT series with their score in [0, 1], best first.

    Arguments:
        report_text: a phrase or a whole report, English or Chinese.
        slice_paths: the DICOM files of the series, in any order.

    Raises:
        radfind.errors.InputError: the files are not one readable series, or the text is empty.
    """
    volume = radfind.load([Path(path) for path in slice_paths])
    ranking = radfind.rank(volume, report_text)
    paths = [source.path for source in volume.slices]
    scored = [(path, float(score)) for path, score in zip(paths, ranking.scores, strict=True) if path is not None]
    return sorted(scored, key=lambda item: -item[1])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: rerank_ct_slices.py REPORT.txt SLICE.dcm [SLICE.dcm ...]")
    try:
        ranked = rerank_ct_slices(Path(sys.argv[1]).read_text(encoding="utf-8-sig"), sys.argv[2:])
    except (RadFindError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"Not ranked: {error}")
    for path, score in ranked[:10]:
        print(f"{score:.3f}  {path}")
