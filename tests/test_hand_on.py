"""`radfind measure` and `radfind export`, and labelmaps read back."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

import radfind
from radfind.cli import app
from radfind.errors import ImageError, InputError
from radfind.exports.package import FORMATS, write_package
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.imaging.writing import SUFFIXES, write_labelmap
from radfind.phantom import write_dicom
from radfind.results import RankedSlice, Ranking, Segment, Segmentation
from radfind.volume import Geometry, Volume

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Volume, Segmentation]:
    """A small oblique CT whose slices are stored head first, and two overlapping segments."""
    shape = (24, 40, 44)
    turned = Rotation.from_euler("xyz", [170, 10, 20], degrees=True).as_matrix()
    geometry = Geometry.from_parts(shape, spacing=(2.0, 0.9, 0.8), direction=turned)
    array = np.random.default_rng(3).integers(-100, 100, shape).astype(np.int16)
    folder = tmp_path_factory.mktemp("hand-on") / "ct"
    write_dicom(Volume(array, geometry, "CT"), folder)
    volume = radfind.load(folder)
    k, j, i = np.indices(shape) - np.array([11, 18, 20]).reshape(3, 1, 1, 1)
    one = (k * 2) ** 2 + j**2 + i**2 < 10**2
    two = (np.abs(k) < 4) & (np.abs(j - 6) < 6) & (np.abs(i) < 9)
    segments = (Segment("right kidney", one, color=(200, 20, 30)), Segment("something else", two))
    return folder, volume, Segmentation(volume.geometry, segments, engine="test")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labelmaps_come_back(scan: tuple[Path, Volume, Segmentation], tmp_path: Path, suffix: str) -> None:
    _, volume, segmentation = scan
    assert volume.reversed_k
    file = write_labelmap(segmentation, tmp_path / f"s{suffix}", volume)
    back = read_segmentation(file, volume, names={1: "right kidney", 2: "something else"})
    assert [s.name for s in back.segments] == ["right kidney", "something else"]
    concept = back.segments[0].concept
    assert concept is not None and concept.id == "kidney"
    one, two = (s.mask for s in segmentation.segments)
    np.testing.assert_array_equal(back.segments[1].mask, two)
    np.testing.assert_array_equal(back.segments[0].mask, one if suffix == ".seg.nrrd" else one & ~two)


def test_a_labelmap_of_another_scan_is_refused(scan: tuple[Path, Volume, Segmentation], tmp_path: Path) -> None:
    _, volume, segmentation = scan
    file = write_labelmap(segmentation, tmp_path / "s.nrrd", volume)
    other = Volume(volume.array[:-1], volume.geometry.crop((0, 0, 0), (23, 40, 44)), "CT")
    with pytest.raises(ImageError, match="another grid"):
        read_segmentation(file, other)
    with pytest.raises(ImageError, match="cannot be read"):
        read_segmentation(tmp_path / "absent.nrrd", volume)


def test_every_format_is_written(scan: tuple[Path, Volume, Segmentation], tmp_path: Path) -> None:
    _, volume, segmentation = scan
    ranking = Ranking((RankedSlice(1, 11, 0.9),), np.zeros(24))
    one, two = segmentation.segments
    apart = dataclasses.replace(segmentation, segments=(one, dataclasses.replace(two, mask=two.mask & ~one.mask)))
    files = write_package(volume, apart, tmp_path, FORMATS, ranking=ranking, text="kidney")
    assert len(files) == len(set(files)) == 5 + 4 + 4 * 2 + 3 + 2
    assert all(file.stat().st_size > 100 for file in files)
    assert sorted(tmp_path.iterdir()) == sorted(files)  # no drafts are left behind
    with pytest.raises(InputError, match="cannot be written"):
        write_package(volume, segmentation, tmp_path, ["doc"])
    with pytest.raises(InputError, match="ranked slices"):
        write_package(volume, segmentation, tmp_path, ["ko"])
    with pytest.raises(InputError, match="overlap"):
        write_package(volume, segmentation, tmp_path, ["seg-labelmap"])


def test_measure_and_export_commands(scan: tuple[Path, Volume, Segmentation], tmp_path: Path) -> None:
    folder, volume, segmentation = scan
    labels = str(write_labelmap(segmentation, tmp_path / "s.seg.nrrd", volume))
    runner = CliRunner()
    table = tmp_path / "m.csv"
    done = runner.invoke(app, ["measure", str(folder), "--segmentation", labels, "--json", "--csv", str(table)])
    assert done.exit_code == 0, done.output
    quantities = {q["name"]: q for q in json.loads(done.stdout)["segments"][0]["quantities"]}
    truth = float(segmentation.segments[0].mask.sum()) * volume.geometry.voxel_volume
    assert quantities["volume_mm3"]["value"] == pytest.approx(truth)
    assert quantities["volume_mm3"]["uncertainty"] > 0
    with table.open(encoding="utf-8-sig") as file:
        assert [row["side"] for row in csv.DictReader(file)] == ["right", ""]
    out = tmp_path / "out"
    key = ["--anonymous-key", "secret"]
    done = runner.invoke(
        app, ["export", str(folder), "--segmentation", labels, "--formats", "seg,sr,stl", "-o", str(out), *key]
    )
    assert done.exit_code == 0, done.output
    assert {p.name for p in out.iterdir()} == {
        "segmentation.dcm",
        "measurements.dcm",
        "01_right_kidney.stl",
        "02_something_else.stl",
    }
    assert pydicom.dcmread(out / "segmentation.dcm").PatientName == "Anonymous"
    assert isinstance(runner.invoke(app, ["measure", str(folder)]).exception, InputError)


def test_import_command(scan: tuple[Path, Volume, Segmentation], tmp_path: Path) -> None:
    """A SEG, a structure set and an SR of one scan taken in together: one file, one table."""
    folder, volume, segmentation = scan
    sent = tmp_path / "sent"
    write_package(volume, segmentation, sent, ["seg", "sr", "rtstruct"])
    runner, table, merged = CliRunner(), tmp_path / "m.csv", tmp_path / "all.seg.nrrd"
    given = [str(sent / name) for name in ("segmentation.dcm", "contours.dcm", "measurements.dcm")]
    done = runner.invoke(app, ["import", str(folder), *given, "-o", str(merged), "--csv", str(table), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [s["name"] for s in told["segments"]] == ["right kidney", "something else"] * 2 and not told["notes"]
    for back, segment in zip(read_segmentation(merged, volume).segments, segmentation.segments * 2, strict=True):
        assert 2 * (back.mask & segment.mask).sum() / (back.mask.sum() + segment.mask.sum()) > 0.99
    with table.open(encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["measurement"] == "Volume"]
    truth = [float(s.mask.sum()) * volume.geometry.voxel_volume for s in segmentation.segments]
    assert [float(row["value"]) for row in rows] == pytest.approx(truth, rel=1e-3)
    assert isinstance(runner.invoke(app, ["import", str(folder), str(folder)]).exception, InputError)
    done = runner.invoke(app, ["measure", str(folder), "--segmentation", given[0], "--json"])
    assert json.loads(done.stdout)["segments"][0]["quantities"][0]["value"] == pytest.approx(truth[0])


def test_plan_and_measure_over_time_commands(scan: tuple[Path, Volume, Segmentation], tmp_path: Path) -> None:
    folder, volume, segmentation = scan
    labels = str(write_labelmap(segmentation, tmp_path / "s.seg.nrrd", volume))
    runner, out, prior = CliRunner(), tmp_path / "plan", tmp_path / "prior.json"
    given = ["plan", str(folder), "--segmentation", labels, "-o", str(out), "--ways", "0"]
    done = runner.invoke(app, [*given, "--lesion", "Right Kidney", "--margin", "4", "--spare", "else", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    truth = float(segmentation.segments[0].mask.sum()) * volume.geometry.voxel_volume
    assert told["lesion"]["volume_mm3"] == pytest.approx(truth, abs=0.01)
    assert told["distance_mm"] == {"something else": 0.0}  # they overlap
    assert told["margin_ml"] * 1000 == pytest.approx(4 / 3 * np.pi * 14 * 13 * 12, rel=0.05)  # 10, 9, 8 mm
    assert {"plan.json", "segmentation.dcm", "measurements.dcm", "contours.dcm"} <= {p.name for p in out.iterdir()}
    for wrong in (["--lesion", "tumour"], ["--lesion", "e"], ["--lesion", "right kidney", "--spare", "vessel"]):
        assert isinstance(runner.invoke(app, [*given, *wrong]).exception, InputError)
    measured = ["measure", str(folder), "--segmentation", labels]
    first = runner.invoke(app, [*measured, "--json", "--distances"])
    then = json.loads(first.stdout)
    assert then["date"] == "2025-01-01" and then["distances"][0]["minimum_mm"] == 0.0
    then["date"], volume_then = "2024-01-02", then["segments"][0]["quantities"][0]
    volume_then["value"] /= 4
    prior.write_text(json.dumps(then))
    done = runner.invoke(app, [*measured, "--prior", str(prior)])
    assert done.exit_code == 0 and "doubling time 182 days" in done.output  # twice doubled in 365 days
