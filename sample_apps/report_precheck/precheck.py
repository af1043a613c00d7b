"""Before a report is signed: does the study agree with it? A hook for a RIS.

python precheck.py report.txt study-folder [image ...] [--html check.html] [--engine NAME]

Prints one JSON document for the RIS: "release" (true when nothing is contradicted), "look_at" (what to show to the
author, surest first) and "undecided". Exit code 0: release; 3: show the list first; anything else: not checked, and
the report should go its usual way.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radfind.errors import RadFindError
from radfind.exports.report_page import write_report_page
from radfind.report_check import check_report, load_figures


def precheck(
    report: str, images: Sequence[str | Path], *, engine: str = "auto", html: Path | None = None
) -> dict[str, Any]:
    """What a RIS needs to know before it lets `report` be signed."""
    check = check_report(report, load_figures(images), engine=engine)
    if html is not None:
        write_report_page(html, check)
    return {
        "release": not check.summary,
        "look_at": list(check.summary),
        "undecided": [one.message for one in check.statements if one.answer == "maybe"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--html", type=Path)
    given = parser.parse_args()
    try:
        answer = precheck(
            given.report.read_text(encoding="utf-8-sig"), given.images, engine=given.engine, html=given.html
        )
    except (RadFindError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"Not checked: {error}")
    print(json.dumps(answer, ensure_ascii=False, indent=2))
    sys.exit(0 if answer["release"] else 3)
