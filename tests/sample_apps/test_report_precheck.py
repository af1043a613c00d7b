"""The pre-submission hook, as a RIS would call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from radfind.phantom import LesionSpec, make_phantom, write_dicom

SCRIPT = Path(__file__).resolve().parents[2] / "sample_apps" / "report_precheck" / "precheck.py"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    phantom = make_phantom(seed=3, shape=(64, 160, 160), lesions=(LesionSpec("solid_nodule", "right", diameter_mm=22),))
    folder = tmp_path_factory.mktemp("study")
    write_dicom(phantom.volume, folder)
    return folder


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_wrong_side_holds_a_report_back(study: Path, tmp_path: Path) -> None:
    report, page = tmp_path / "report.txt", tmp_path / "check.html"
    report.write_text("Solid nodule in the right lung.\nSolid nodule in the left lung.", encoding="utf-8")
    done = _run(report, study, "--html", page)
    assert done.returncode == 3, done.stderr
    answer = json.loads(done.stdout)
    assert answer["release"] is False and len(answer["look_at"]) == 1
    assert answer["look_at"][0].startswith("Paragraph 2 does not agree with Figure 1")
    assert page.read_text(encoding="utf-8").count("<article") == 2


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    report.write_text("Nodule.", encoding="utf-8")
    done = _run(report, tmp_path / "nowhere")
    assert done.returncode == 1 and done.stderr.startswith("Not checked: ") and "Traceback" not in done.stderr
