"""Measurements of solids whose size is known exactly, on random oblique anisotropic grids."""

from __future__ import annotations

import math

import numpy as np
import pytest
from solids import scene, turn

from radfind.errors import InputError
from radfind.measure.diameters import ellipsoid_axes, greatest_diameter, slice_diameters
from radfind.measure.distances import centroid, distance_between
from radfind.measure.moments import moments
from radfind.measure.quantities import measure, sphericity
from radfind.measure.surface import surface
from radfind.results import Segment
from radfind.volume import Geometry, Volume

SEEDS = range(12)


def volumes(mask: np.ndarray, geometry: Geometry) -> tuple[float, float]:
    return float(mask.sum()) * geometry.voxel_volume, surface(mask, geometry).volume_mm3


@pytest.mark.parametrize("seed", SEEDS)
def test_ball(seed: int) -> None:
    place, rng, coarse = scene(seed, 10)
    radius = float(rng.uniform(6, 9)) * coarse
    mask = place.ball(radius)
    for found in volumes(mask, place.geometry):
        assert found == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.01)
    tolerance = place.diagonal / 2
    axial = slice_diameters(mask, place.geometry)
    assert axial.longest_mm == pytest.approx(2 * radius, abs=tolerance)
    assert axial.perpendicular_mm == pytest.approx(2 * radius, abs=tolerance)
    assert greatest_diameter(mask, place.geometry)[0] == pytest.approx(2 * radius, abs=tolerance)
    assert ellipsoid_axes(mask, place.geometry) == pytest.approx([2 * radius] * 3, abs=tolerance)
    assert np.linalg.norm(centroid(mask, place.geometry) - place.centre) < tolerance / 2
    outline = surface(mask, place.geometry)
    assert outline.area_mm2 == pytest.approx(4 * math.pi * radius**2, rel=0.03)
    assert sphericity(outline) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("seed", SEEDS)
def test_ellipsoid(seed: int) -> None:
    place, rng, coarse = scene(seed, 15)
    axes = np.sort(rng.uniform(6, 14, 3))[::-1] * coarse
    mask = place.ellipsoid(axes, turn(rng))
    for found in volumes(mask, place.geometry):
        assert found == pytest.approx(4 / 3 * math.pi * axes.prod(), rel=0.01)
    assert greatest_diameter(mask, place.geometry)[0] == pytest.approx(2 * axes[0], abs=place.diagonal / 2)
    assert ellipsoid_axes(mask, place.geometry) == pytest.approx(2 * axes, abs=place.diagonal / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_capsule(seed: int) -> None:
    place, rng, coarse = scene(seed, 17)
    radius = float(rng.uniform(5, 7)) * coarse
    half = turn(rng)[:, 0] * float(rng.uniform(4, 9)) * coarse
    mask = place.capsule(half, radius)
    length = 2 * float(np.linalg.norm(half))
    for found in volumes(mask, place.geometry):
        assert found == pytest.approx(math.pi * radius**2 * (length + 4 / 3 * radius), rel=0.01)
    assert greatest_diameter(mask, place.geometry)[0] == pytest.approx(length + 2 * radius, abs=place.diagonal / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_box_in_any_pose_has_its_volume(seed: int) -> None:
    place, rng, coarse = scene(seed, 16)
    halves = rng.uniform(6, 9, 3) * coarse
    for found in volumes(place.box(halves, turn(rng)), place.geometry):
        assert found == pytest.approx(8 * halves.prod(), rel=0.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_box_of_whole_voxels_has_its_diagonals(seed: int) -> None:
    place, rng, _ = scene(seed, 12)
    size = rng.integers(6, 16, 3)
    mask = np.zeros(place.geometry.shape, bool)
    mask[2 : 2 + size[0], 2 : 2 + size[1], 2 : 2 + size[2]] = True
    mask = mask[: 2 + size[0] + 2]
    geometry = Geometry(mask.shape, place.geometry.affine)
    kept = [int(np.count_nonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))) for axis in range(3)]
    edges = np.array(kept) * geometry.spacing
    found = slice_diameters(mask, geometry)
    assert found.longest_mm == pytest.approx(math.hypot(*edges[1:]), abs=place.diagonal / 2)
    assert greatest_diameter(mask, geometry)[0] == pytest.approx(np.linalg.norm(edges), abs=place.diagonal / 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_distance_between_two_balls(seed: int) -> None:
    place, rng, coarse = scene(seed, 15)
    way = turn(rng)[:, 0] * coarse
    radii = rng.uniform(5, 6, 2) * coarse
    one, other = place.ball(radii[0], -7 * way), place.ball(radii[1], 7.5 * way)
    found = distance_between(one, other, place.geometry)
    assert found.minimum_mm == pytest.approx(14.5 * coarse - radii.sum(), abs=place.diagonal / 2)
    assert found.centre_mm == pytest.approx(14.5 * coarse, abs=place.diagonal / 4)
    ends = np.linalg.norm(np.subtract(*found.ends_lps))
    assert ends == pytest.approx(found.minimum_mm, abs=place.diagonal / 2)
    assert distance_between(one, place.ball(9 * coarse, -7 * way), place.geometry).minimum_mm == 0.0


def test_the_perpendicular_is_the_longest_chord_across() -> None:
    """An ellipse in the plane: axes 60 and 24 mm at 30 degrees; and a one-voxel segment has a size too."""
    geometry = Geometry.from_parts((3, 90, 90), spacing=(5, 0.8, 0.8))
    y, x = np.mgrid[:90, :90] * 0.8 - 36.0
    u, v = x * math.cos(0.5) + y * math.sin(0.5), -x * math.sin(0.5) + y * math.cos(0.5)
    mask = np.zeros(geometry.shape, bool)
    mask[1] = (u / 30) ** 2 + (v / 12) ** 2 <= 1
    found = slice_diameters(mask, geometry)
    assert found.slice_index == 1
    assert found.longest_mm == pytest.approx(60, abs=0.6)
    assert found.perpendicular_mm == pytest.approx(24, abs=0.8)
    (a, b), (c, d) = (np.array(ends) for ends in (found.ends_lps, found.across_lps))
    assert abs((b - a) @ (d - c)) < 1e-6 * 60 * 24
    single = np.zeros(geometry.shape, bool)
    single[1, 4, 4] = True
    assert 0 < slice_diameters(single, geometry).longest_mm <= 0.8 * math.sqrt(2)


def test_uncertainty_covers_the_error_of_small_balls() -> None:
    misses = 0
    for seed in range(40):
        place, rng, coarse = scene(seed, 6)
        radius = float(rng.uniform(3, 5)) * coarse
        segment = Segment("ball", place.ball(radius))
        found = measure(Volume(np.zeros(place.geometry.shape, np.int16), place.geometry, "CT"), segment)
        volume = found.quantities[0]
        assert volume.uncertainty is not None
        misses += abs(volume.value - 4 / 3 * math.pi * radius**3) > volume.uncertainty
    assert misses <= 4  # 95 % of 40, with room for chance


@pytest.mark.parametrize("seed", SEEDS)
def test_moments_are_those_of_the_list_of_voxels(seed: int) -> None:
    place, rng, _ = scene(seed, 5)
    mask = rng.random(place.geometry.shape) < rng.uniform(0.01, 0.6)
    points = place.geometry.to_lps(np.argwhere(mask))
    centre, covariance = moments(mask, place.geometry)
    np.testing.assert_allclose(centre, points.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(covariance, np.cov(points.T, bias=True), atol=1e-8)


def test_empty_and_misplaced_masks_are_refused() -> None:
    geometry = Geometry.from_parts((4, 4, 4))
    with pytest.raises(InputError, match="empty"):
        slice_diameters(np.zeros((4, 4, 4), bool), geometry)
    with pytest.raises(InputError, match="grid"):
        surface(np.ones((4, 4, 5), bool), geometry)
