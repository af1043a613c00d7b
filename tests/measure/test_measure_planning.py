"""Margins, distance maps and trajectories against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from solids import Scene, scene, segment_distance, turn

from radfind.errors import InputError
from radfind.exports.plan_markups import trajectory_markups
from radfind.measure.distances import distance_map
from radfind.measure.margins import Directions, margin, resection
from radfind.measure.surface import surface
from radfind.measure.trajectories import clearance_along, trajectories
from radfind.volume import Geometry

SEEDS = range(8)


def check(found: np.ndarray, distance: np.ndarray, size: float, slack: float) -> None:
    """Every voxel nearer than the margin less the slack is in, every one beyond margin plus slack is out."""
    assert found[distance <= size - slack].all()
    assert not found[distance > size + slack].any()


@pytest.mark.parametrize("seed", SEEDS)
def test_margin_of_ball_and_capsule(seed: int) -> None:
    place, rng, coarse = scene(seed, 13)
    size, slack = float(rng.uniform(2, 5)) * coarse, place.diagonal / 2
    radius = 6 * coarse
    ball = margin(place.ball(radius), place.geometry, size)
    check(ball, np.linalg.norm(place.offsets(), axis=-1) - radius, size, slack)
    half = turn(rng)[:, 0] * 4 * coarse
    grown = margin(place.capsule(half, 4 * coarse), place.geometry, size)
    check(grown, segment_distance(place.offsets(), -half, half) - 4 * coarse, size, slack)


@pytest.mark.parametrize("seed", SEEDS)
def test_margin_of_box(seed: int) -> None:
    """A box of whole voxels within half a diagonal; in any pose its corners are lost between the voxels."""
    place, rng, coarse = scene(seed, 16)
    pose, halves, size = turn(rng), rng.uniform(5, 7, 3) * coarse, float(rng.uniform(2, 4)) * coarse
    for posed, most in ((pose, 1.0), (place.geometry.direction, 0.5)):
        whole = halves
        if most == 0.5:
            spacing = np.array(place.geometry.spacing[::-1])
            whole = (np.floor(halves / spacing) + 0.5) * spacing
            centre = place.geometry.to_lps(np.rint(place.geometry.to_index(place.centre)))
            place = Scene(place.geometry, centre)
        grown = margin(place.box(whole - 1e-6, posed), place.geometry, size)
        distance = np.linalg.norm(np.maximum(np.abs(place.offsets() @ posed) - whole, 0), axis=-1)
        assert grown[distance <= size - most * place.diagonal].all()
        assert not grown[distance > size + place.diagonal / 2].any()


def test_margin_on_a_sheared_grid() -> None:
    affine = np.array([[1.0, 0, 0, 0], [0, 1.0, 0.4, 0], [0, 0, 1.5, 0], [0, 0, 0, 1]])
    geometry = Geometry((30, 44, 36), affine)
    place = Scene(geometry, geometry.to_lps((15, 22, 18)))
    found = margin(place.ball(7), geometry, 5.0)
    check(found, np.linalg.norm(place.offsets(), axis=-1) - 7, 5.0, place.diagonal / 2)


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_directional_margin(seed: int) -> None:
    place, _, coarse = scene(seed, 14, oblique=False)
    sizes = np.array([6, 1, 2, 5, 0, 4]) * coarse
    halves = np.array([4, 4, 4]) * coarse
    grown = margin(place.box(halves, np.eye(3)), place.geometry, Directions(*sizes))
    offset = place.offsets()
    beyond = np.maximum(np.abs(offset) - halves, 0)
    towards = np.where(offset >= 0, sizes[[0, 3, 4]], sizes[[1, 2, 5]])
    slack = np.array(place.geometry.spacing[::-1])
    surely_in = np.sum((np.minimum(beyond + slack / 2, 1e9) / np.maximum(towards, 1e-6)) ** 2, -1) <= 1
    surely_out = np.sum((np.maximum(beyond - slack, 0) / np.maximum(towards, 1e-6)) ** 2, -1) > 1
    assert grown[surely_in].all() and not grown[surely_out].any()


def test_margin_is_clipped_and_the_remnant_stated() -> None:
    place, _, coarse = scene(1, 14)
    organ, lesion = place.ball(12 * coarse), place.ball(3 * coarse, (6 * coarse, 0, 0))
    removed = margin(lesion, place.geometry, 4 * coarse, within=organ)
    assert not (removed & ~organ).any() and (removed & lesion).sum() == lesion.sum()
    found = resection(organ, lesion, removed, place.geometry)
    third = 4 / 3 * np.pi * coarse**3
    assert found.resected_mm3 + found.remnant_mm3 == pytest.approx(third * 12**3, rel=0.01)
    assert found.remnant_share == pytest.approx(found.remnant_mm3 / (third * (12**3 - 3**3)), rel=0.01)
    with pytest.raises(InputError, match="0 or more"):
        margin(lesion, place.geometry, -1.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_distance_map_of_two_balls(seed: int) -> None:
    place, rng, coarse = scene(seed, 14)
    at = turn(rng)[:, 0] * 7 * coarse
    lesion, vessel = place.ball(5 * coarse, -at), place.ball(4 * coarse, at)
    over = surface(lesion, place.geometry)
    truth = np.linalg.norm(over.vertices - place.centre - at, axis=1) - 4 * coarse
    np.testing.assert_allclose(distance_map(over, vessel, place.geometry), truth, atol=place.diagonal / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_clearance_of_a_line_past_a_ball(seed: int) -> None:
    place, rng, coarse = scene(seed, 14)
    pose = turn(rng)
    at = pose[:, 1] * float(rng.uniform(7, 9)) * coarse
    entry, target = place.centre - pose[:, 0] * 10 * coarse, place.centre + pose[:, 0] * 8 * coarse
    found = clearance_along(entry, target, place.ball(4 * coarse, at), place.geometry)
    assert found == pytest.approx(np.linalg.norm(at) - 4 * coarse, abs=place.diagonal / 2)
    assert clearance_along(entry, target, place.ball(4 * coarse), place.geometry) < -2 * coarse


def test_trajectories_go_round_what_must_not_be_hit() -> None:
    geometry = Geometry.from_parts((60, 80, 80), spacing=(2, 2, 2), origin=(-79, -79, -59))
    place = Scene(geometry, np.zeros(3))
    body = place.ball(55)
    target = np.array([0.0, -20.0, 0.0])
    # The shortest way in is from the front (y = -55); a ball lies across it.
    guard = place.ball(8, (0, -40, 0))
    free = trajectories(target, body, {}, geometry, max_skin_angle_deg=40)
    assert free[0].length_mm == pytest.approx(35, abs=2) and free[0].skin_angle_deg < 10
    ways = trajectories(target, body, {"vessel": guard}, geometry, min_clearance_mm=4.0, max_skin_angle_deg=60)
    assert ways and all(way.clearance_mm["vessel"] >= 4.0 for way in ways)
    for way in ways:
        entry = np.array(way.entry_lps)
        assert np.linalg.norm(entry) == pytest.approx(55, abs=2)
        truth = float(segment_distance(np.array([[0.0, -40.0, 0.0]]), entry, target)[0]) - 8
        assert way.clearance_mm["vessel"] == pytest.approx(truth, abs=1.8)
        assert way.axial_angle_deg == pytest.approx(np.degrees(np.arcsin(-entry[2] / way.length_mm)), abs=1e-6)
    order = [(-min(way.least_clearance_mm, 10), way.length_mm) for way in ways]
    assert order == sorted(order)
    front = trajectories(
        target, body, {}, geometry, entry=place.box((60, 60, 60), np.eye(3)) & (place.offsets()[..., 1] > 0)
    )
    assert all(way.entry_lps[1] > 0 for way in front)
    lines = trajectory_markups(ways)["markups"]
    assert lines[0]["controlPoints"][1]["position"] == [0, -20, 0] and lines[0]["coordinateSystem"] == "LPS"
    with pytest.raises(InputError, match="not inside the body"):
        trajectories((0, -70, 0), body, {}, geometry)


def test_the_end_of_the_scan_is_no_skin() -> None:
    """A body that runs out of the scan above: the target is 10 mm below the cut, the skin 40 mm away."""
    geometry = Geometry.from_parts((40, 60, 60), spacing=(2, 2, 2), origin=(-59, -59, 0))
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    body = np.linalg.norm(geometry.to_lps(index)[..., :2], axis=-1) <= 45
    ways = trajectories((0, 0, 68), body, {}, geometry, max_skin_angle_deg=60)
    assert ways and all(np.hypot(*way.entry_lps[:2]) == pytest.approx(45, abs=2) for way in ways)
