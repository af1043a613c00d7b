"""A plan of spheres in a cylinder, whose numbers are known; bodies in CT and MR; growth between two dates."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import radfind
from radfind.errors import InputError, NotSupportedError
from radfind.exports.plan_files import plan_numbers, write_plan
from radfind.imaging.labelmap_reading import read_names
from radfind.measure import measure
from radfind.measure.body import body_of
from radfind.measure.growth import Prior, changes, date_of, read_prior
from radfind.measure.margins import Directions
from radfind.measure.placement import placed
from radfind.measure.planning import directions_of, plan
from radfind.results import Segment
from radfind.volume import Geometry, Volume

SHAPE = (60, 100, 120)


@pytest.fixture(scope="module")
def trunk() -> tuple[Volume, dict[str, Segment]]:
    """A CT of a cylinder of soft tissue, 110 mm in radius: a liver of 80 mm, a lesion of 20 mm in it, a vessel."""
    geometry = Geometry.from_parts(SHAPE, spacing=(3, 2.5, 2.5), origin=(-150, -125, 0))
    x, y, z = np.moveaxis(geometry.to_lps(np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)), -1, 0)
    body = np.hypot(x, y) <= 110

    def ball(at: tuple[float, float, float], radius: float) -> np.ndarray:
        return np.sqrt((x - at[0]) ** 2 + (y - at[1]) ** 2 + (z - at[2]) ** 2) <= radius

    lesion = ball((-60, 0, 90), 10)
    segments = {
        "liver": Segment("liver", ball((-55, 0, 90), 40) & ~lesion),
        "lesion": Segment("liver lesion", lesion),
        "vein": Segment("portal vein", np.hypot(x + 30, y) <= 5),
        "bone": Segment("vertebrae L1", (np.hypot(x, y - 70) <= 15) & (z > 80) & (z < 110)),
    }
    array = np.where(body, 40, -1000).astype(np.int16)
    return Volume(array, geometry, "CT", header={"StudyDate": "20250301"}), segments


def test_the_numbers_of_a_plan(trunk: tuple[Volume, dict[str, Segment]], tmp_path: Path) -> None:
    volume, given = trunk
    vein = given["vein"]
    made = plan(volume, given["lesion"], organ=given["liver"], spared=[vein], margin_mm=8.0)
    told = plan_numbers(made, volume)
    assert told["margin_ml"] == pytest.approx(4 / 3 * math.pi * 18**3 / 1000, rel=0.05)
    assert told["resected_ml"] == pytest.approx(told["margin_ml"], abs=0.06)
    whole, own = 4 / 3 * math.pi * 40**3, 4 / 3 * math.pi * 10**3
    removed = 4 / 3 * math.pi * 18**3
    assert told["remnant_share"] == pytest.approx((whole - removed) / (whole - own), abs=0.01)
    half = float(np.linalg.norm(volume.geometry.spacing)) / 2
    assert told["distance_mm"]["portal vein"] == pytest.approx(30 - 5 - 10, abs=half)
    # The shortest way comes from the right, 50 mm; the vein lies on the far side, 25 mm from the target.
    best = made.ways[0]
    assert best.length_mm == pytest.approx(50, abs=3) and best.entry_lps[0] < -105
    assert best.clearance_mm["portal vein"] == pytest.approx(25, abs=half)
    assert made.notes == ()
    files = write_plan(made, volume, tmp_path, ["seg.nrrd", "stl", "csv"], spared=[vein])
    assert {f.name for f in files} >= {"plan.json", "ways.mrk.json", "distance_to_portal_vein.vtk", "measurements.csv"}
    assert json.loads((tmp_path / "plan.json").read_text())["margin"] == "margin 8 mm"
    assert len(json.loads((tmp_path / "ways.mrk.json").read_text())["markups"]) == len(made.ways)


def test_what_limits_a_plan_is_said(trunk: tuple[Volume, dict[str, Segment]]) -> None:
    volume, given = trunk
    near = plan(volume, given["lesion"], spared=[given["vein"]], margin_mm=20.0, ways=0)
    assert near.notes == ("The margin meets portal vein.",) and near.resection is None and not near.ways
    inside = plan(volume, given["lesion"], spared=[given["liver"], given["vein"]])
    assert not inside.ways and "alone leaves none: liver." in inside.notes[-1]
    cut = Segment("liver", given["liver"].mask | (np.arange(SHAPE[0]) == 0)[:, None, None])
    assert "reaches the border" in plan(volume, given["lesion"], organ=cut, ways=0).notes[0]
    flat = dataclasses.replace(volume, modality="US")
    assert "No way from the skin" in plan(flat, given["lesion"]).notes[-1]


def test_a_picture_is_not_planned_on() -> None:
    geometry = Geometry.from_parts((1, 20, 20))
    with pytest.raises(NotSupportedError, match="a DX picture"):
        plan(Volume(np.zeros((1, 20, 20), np.int16), geometry, "DX"), Segment("x", np.ones((1, 20, 20), bool)))


def test_a_margin_as_a_person_writes_it() -> None:
    assert directions_of("7.5") == 7.5
    assert directions_of("left=5, superior=12") == Directions(left=5, superior=12)
    for wrong in ("wide", "up=3", "left=", "left:5"):
        with pytest.raises(InputError, match="is no margin"):
            directions_of(wrong)


def test_places_in_words(trunk: tuple[Volume, dict[str, Segment]]) -> None:
    volume, given = trunk
    measured = placed([measure(volume, given[name]) for name in ("lesion", "bone")], volume)
    assert [item.place for item in measured] == ["right, at L1", "both sides, at L1"]
    assert placed(measured[:1], dataclasses.replace(volume, modality="US"))[0].place == measured[0].place


@pytest.mark.parametrize("name", ["abdomen-ct", "abdomen-mr"])
def test_the_body_holds_every_labelled_structure(name: str, shared_data: Callable[[str], Path]) -> None:
    folder = shared_data(name)
    volume = radfind.load(folder / ("ct.nii.gz" if name == "abdomen-ct" else "mr.nii.gz"))
    labels = radfind.load(folder / "labels.nii.gz").array > 0
    body = body_of(volume)
    assert (body & labels).sum() > 0.999 * labels.sum()
    corners = body[:, :3, :3], body[:, :3, -3:], body[:, -3:, :3], body[:, -3:, -3:]
    assert not any(corner.any() for corner in corners)  # air around the patient is none of it


def test_no_body_is_said(trunk: tuple[Volume, dict[str, Segment]]) -> None:
    volume, _ = trunk
    with pytest.raises(NotSupportedError, match="CT and MR"):
        body_of(dataclasses.replace(volume, modality="DX"))
    with pytest.raises(NotSupportedError, match="No body"):
        body_of(Volume(np.zeros(SHAPE, np.int16), volume.geometry, "MR"))


def test_growth_between_two_dates(trunk: tuple[Volume, dict[str, Segment]], tmp_path: Path) -> None:
    volume, given = trunk
    now = measure(volume, given["lesion"])
    prior = Prior(
        dt.date(2024, 9, 2),  # 180 days before
        {"liver lesion": {"volume_mm3": (now["volume_mm3"] / 2, 20.0), "longest_diameter_mm": (16.0, 1.0)}},
    )
    (change,) = changes([now], date_of(volume), prior)
    assert change.days == 180 and change.doubling_time_days == pytest.approx(180)
    assert change.longest_mm == pytest.approx(now["longest_diameter_mm"] - 16)
    assert "+100%" in change.text() and "doubling time 180 days" in change.text()
    same = {"liver lesion": {"volume_mm3": (now["volume_mm3"] + 5, 20.0), "longest_diameter_mm": (20.0, 1.0)}}
    (none,) = changes([now], date_of(volume), Prior(dt.date(2024, 9, 2), same))
    assert none.doubling_time_days is None and "no change beyond" in none.text()
    with pytest.raises(InputError, match="name"):
        changes([now], date_of(volume), Prior(dt.date(2024, 9, 2), {"spleen": {}}))
    with pytest.raises(InputError, match="no date"):
        changes([now], None, prior)
    for content in ("not json", "{}", '{"date": "2024-01-01", "segments": [{}]}'):
        (tmp_path / "prior.json").write_text(content)
        with pytest.raises(InputError, match="radfind measure --json"):
            read_prior(tmp_path / "prior.json")


def test_names_of_totalsegmentator_become_words(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({"1": "lung_lower_lobe_right", "2": "vertebrae_L1", "3": "my tumour_1", "4": "肝"}))
    assert read_names(file) == {1: "right lung lower lobe", 2: "vertebrae L1", 3: "my tumour_1", 4: "肝"}
