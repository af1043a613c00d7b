"""Before a report is signed: which of its sentences does the scan contradict?

python precheck.py ct-folder report.txt      exit code 1 when a sentence is contradicted
"""

from __future__ import annotations

import sys
from pathlib import Path

import radfind
from radfind.results import Verdict


def contradictions(scan: str | Path, report_text: str) -> list[Verdict]:
    """The statements of the report that the scan answers with "no"."""
    volume = radfind.load(scan)
    return [verdict for verdict in radfind.verify(volume, report_text) if verdict.answer == "no"]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: precheck.py SCAN REPORT.txt")
    found = contradictions(sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8"))
    for verdict in found:
        print(f"- {verdict.statement.text.strip()}\n  {verdict.reason}")
    print(f"{len(found)} statement(s) contradicted." if found else "No statement is contradicted.")
    sys.exit(1 if found else 0)
