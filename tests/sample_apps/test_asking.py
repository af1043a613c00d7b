"""The two samples that only ask: a button in a RIS, and one question of many scans."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pydicom
import pytest

from radfind.phantom import LesionSpec, LesionTruth, make_phantom, write_dicom

SAMPLES = Path(__file__).resolve().parents[2] / "sample_apps"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LesionTruth]:
    phantom = make_phantom(seed=3, shape=(64, 160, 160), lesions=(LesionSpec("solid_nodule", "right", diameter_mm=22),))
    folder = tmp_path_factory.mktemp("study")
    write_dicom(phantom.volume, folder)
    return folder, phantom.lesions[0]


def _sample(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(file).stem, SAMPLES / file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_button_puts_the_files_that_show_the_lesion_first(study: tuple[Path, LesionTruth]) -> None:
    folder, lesion = study
    files = sorted(folder.iterdir(), reverse=True)
    ranked = _sample("ris_button/rerank_ct_slices.py").rerank_ct_slices("右肺实性结节。未见胸腔积液。", files)
    assert sorted(path for path, _ in ranked) == sorted(files)
    assert ranked[0][1] > 0.5 and [score for _, score in ranked] == sorted((s for _, s in ranked), reverse=True)
    heights = sorted(float(pydicom.dcmread(f).ImagePositionPatient[2]) for f in files)
    shown = heights.index(float(pydicom.dcmread(ranked[0][0]).ImagePositionPatient[2]))
    assert lesion.slices[0] <= shown <= lesion.slices[1]


@pytest.mark.parametrize("missing", ["report", "slices"])
def test_the_button_says_in_one_line_what_it_cannot_read(tmp_path: Path, missing: str) -> None:
    report = tmp_path / "report.txt"
    if missing == "slices":
        report.write_text("Nodule.", encoding="utf-8")
    command = [sys.executable, SAMPLES / "ris_button" / "rerank_ct_slices.py", report, tmp_path / "no.dcm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("Not ranked: ") and "Traceback" not in done.stderr


def test_a_cohort_gives_a_row_for_every_scan_readable_or_not(study: tuple[Path, LesionTruth], tmp_path: Path) -> None:
    folder, lesion = study
    table = tmp_path / "nodules.csv"
    _sample("cohort_run/cohort.py").run("nodule", [folder, tmp_path / "nowhere"], table)
    found, unread = csv.DictReader(table.open(encoding="utf-8"))
    assert found["found"] == "yes" and lesion.slices[0] <= int(found["best_slice"]) <= lesion.slices[1]
    assert float(found["volume_ml"]) == pytest.approx(lesion.volume_mm3 / 1000, rel=0.3)
    assert unread["scan"] == "nowhere" and not unread["found"] and "no file or folder" in unread["note"]
