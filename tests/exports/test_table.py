"""The measurement table read back with the csv module."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from export_sample import sample

from radfind.exports.table import segment_rows, verdict_rows, write_measurements


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_statements_with_reported_and_measured_values(tmp_path: Path) -> None:
    s = sample()
    path = tmp_path / "measurements.csv"
    write_measurements(path, verdict_rows(s.verdicts, s.phantom.volume))
    rows = read(path)
    assert len(rows) == 3
    assert rows[0]["answer"] == "no" and rows[0]["reported_long_mm"] == "14"
    lesion = s.phantom.lesions[0]
    assert float(rows[0]["measured_long_mm"]) == pytest.approx(lesion.diameter_mm[0], rel=1e-3)
    assert float(rows[0]["volume_ml"]) == pytest.approx(lesion.volume_mm3 / 1000, rel=1e-3)
    centre = [float(rows[0][f"centre_{axis}_mm"]) for axis in "LPS"]
    assert centre == pytest.approx(lesion.centre_lps, rel=1e-2, abs=0.1)
    assert rows[1]["text"] == "左侧胸腔积液。"
    assert rows[2]["measured_long_mm"] == ""


def test_segments(tmp_path: Path) -> None:
    s = sample()
    write_measurements(tmp_path / "s.csv", segment_rows(s.segmentation))
    rows = read(tmp_path / "s.csv")
    assert [row["label"] for row in rows] == ["1", "2"]
    assert float(rows[1]["volume_ml"]) == pytest.approx(s.phantom.lesions[1].volume_mm3 / 1000, rel=0.02)


def test_formulas_are_defused_and_numbers_kept(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    write_measurements(path, [{"a": "=1+1", "b": -2.5}, {"a": "ok", "c": None}])
    assert read(path) == [{"a": "'=1+1", "b": "-2.5", "c": ""}, {"a": "ok", "b": "", "c": ""}]
