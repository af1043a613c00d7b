"""Nodule detection on small painted lungs, where every voxel's truth is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from radfind.engines.api import Context
from radfind.engines.builtin.field import LungField, lung_field
from radfind.engines.builtin.nodules import find_nodules

SPACING = (1.5, 1.0, 1.0)
SHAPE = (60, 90, 90)


def distance(centre: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    grids = np.indices(SHAPE).astype(float)
    return np.sqrt(sum(((g - c) * s) ** 2 for g, c, s in zip(grids, centre, SPACING, strict=True)))


def painted(hu: npt.NDArray[np.float64], noise: float = 15.0, seed: int = 0) -> LungField:
    """A field from painted densities in one cylinder of lung, blurred and noisy like a scan."""
    inside = _in_the_lung()
    image = np.where(inside, hu, 40.0)
    image = ndimage.gaussian_filter(image, [0.5 / s for s in SPACING])
    image += np.random.default_rng(seed).normal(0.0, noise, SHAPE)
    result = lung_field(image.astype(np.int16), SPACING, inside.astype(np.uint8))
    assert result is not None
    return result


def vessel(hu: npt.NDArray[np.float64], radius: float = 2.5) -> npt.NDArray[np.float64]:
    """A straight tube through the whole lung."""
    _, j, i = np.indices(SHAPE)
    return np.where((j - 45) ** 2 + (i - 30) ** 2 < radius**2, 40.0, hu)


LUNG = np.full(SHAPE, -860.0)


@pytest.mark.parametrize(
    ("density", "diameter", "kind"),
    [(30.0, 8.0, "solid"), (30.0, 16.0, "solid"), (-600.0, 14.0, "ground_glass")],
)
def test_ball_is_found_outlined_and_measured(density: float, diameter: float, kind: str) -> None:
    truth = distance((30, 50, 55)) < diameter / 2
    found = find_nodules(painted(np.where(truth, density, LUNG)), Context())
    assert found
    best = found[0]
    mask = best.full_mask(SHAPE)
    assert best.score >= 0.5
    assert best.attributes[0] == kind
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.8
    assert best.longest_mm == pytest.approx(diameter, abs=2.0)


@pytest.mark.parametrize(
    ("half_axes", "centre"),
    [((6.0, 3.0, 6.0), (30, 50, 55)), ((5.0, 5.0, 2.5), (30, 45, 81))],
    ids=["free", "on the pleura"],
)
def test_flat_nodule_is_found(half_axes: tuple[float, float, float], centre: tuple[float, float, float]) -> None:
    """Lymph nodes within the lung are lentils, twice as long as thick."""
    axes = zip(np.indices(SHAPE).astype(float), centre, SPACING, half_axes, strict=True)
    truth = sum(((grid - c) * s / a) ** 2 for grid, c, s, a in axes) < 1
    best = find_nodules(painted(np.where(truth, 30.0, LUNG)), Context())[0]
    assert best.score >= 0.5
    assert (best.full_mask(SHAPE) & truth).any()


def test_ground_glass_beside_a_large_vessel_is_found() -> None:
    truth = distance((30, 45, 44)) < 9.0
    best = find_nodules(painted(np.maximum(np.where(truth, -620.0, LUNG), vessel(LUNG, 5.0))), Context())[0]
    assert best.score >= 0.5
    assert best.attributes[0] == "ground_glass"  # the vessel is no core of it
    mask = best.full_mask(SHAPE)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.8


def crossing(hu: npt.NDArray[np.float64], centre: tuple[float, float, float], seed: int) -> npt.NDArray[np.float64]:
    """Six straight vessels, 3.2 mm thick, in random directions 5.5 mm beside a point."""
    rng = np.random.default_rng(seed)
    offsets = [(g - c) * s for g, c, s in zip(np.indices(SHAPE).astype(float), centre, SPACING, strict=True)]
    for _ in range(6):
        along = rng.normal(size=3)
        aside = np.cross(along, rng.normal(size=3))
        along, aside = along / np.linalg.norm(along), 5.5 * aside / np.linalg.norm(aside)
        beside = [o - a for o, a in zip(offsets, aside, strict=True)]
        passed = sum(b * a for b, a in zip(beside, along, strict=True))
        hu = np.where(sum(b * b for b in beside) - passed**2 < 1.6**2, 40.0, hu)
    return hu


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_faint_ground_glass_crossed_by_vessels_is_found(seed: int) -> None:
    centre = (30, 50, 52)
    truth = distance(centre) < 6.5
    best = find_nodules(painted(crossing(np.where(truth, -690.0, LUNG), centre, seed), 20.0, seed), Context())[0]
    assert best.attributes[0] == "ground_glass"
    mask = best.full_mask(SHAPE)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.75
    assert not find_nodules(painted(crossing(LUNG, centre, seed), 20.0, seed), Context())  # the vessels alone


def test_core_of_noisy_ground_glass_is_not_taken_for_the_lesion() -> None:
    truth = distance((30, 50, 55)) < 10.0
    hu = np.where(truth, -540.0, LUNG)
    hu = np.where(distance((30, 50, 55)) < 3.5, 0.0, hu)
    best = find_nodules(painted(hu, noise=32.0), Context())[0]
    mask = best.full_mask(SHAPE)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.8


def test_part_solid_ball_keeps_its_halo() -> None:
    hu = np.where(distance((30, 50, 55)) < 10.0, -620.0, LUNG)
    hu = np.where(distance((30, 50, 55)) < 5.0, 20.0, hu)
    best = find_nodules(painted(hu), Context())[0]
    assert best.attributes[0] == "part_solid"
    assert best.longest_mm == pytest.approx(20.0, abs=2.5)
    assert best.values["solid_core_mm"] == pytest.approx(10.0, abs=2.5)


def test_part_solid_ball_keeps_a_thin_halo_around_an_off_centre_core() -> None:
    hu = np.where(distance((30, 50, 55)) < 8.0, -600.0, LUNG)
    hu = np.where(distance((30, 51, 56)) < 5.0, 20.0, hu)
    best = find_nodules(painted(hu), Context())[0]
    assert best.attributes[0] == "part_solid"
    assert best.longest_mm == pytest.approx(16.0, abs=2.0)


def test_vessel_through_ground_glass_is_no_solid_core() -> None:
    truth = distance((30, 45, 30)) < 8.0
    best = find_nodules(painted(np.maximum(np.where(truth, -600.0, LUNG), vessel(LUNG, 1.5))), Context())[0]
    assert best.attributes[0] == "ground_glass"
    mask = best.full_mask(SHAPE)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.8


@pytest.mark.parametrize("radius", [1.2, 2.0, 3.5])
def test_branching_and_crossing_vessels_are_no_nodule(radius: float) -> None:
    k, j, i = (grid * size for grid, size in zip(np.indices(SHAPE).astype(float), SPACING, strict=True))
    hu = vessel(LUNG, radius)
    for angle in (35.0, 110.0):  # two more vessels that meet the first
        turn = np.deg2rad(angle)
        along = (k - 45.0) * np.cos(turn) + (i - 30.0) * np.sin(turn)
        across = -(k - 45.0) * np.sin(turn) + (i - 30.0) * np.cos(turn)
        hu = np.where((across**2 + (j - 45.0) ** 2 < (0.8 * radius) ** 2) & (along > 0), 40.0, hu)
    found = find_nodules(painted(hu), Context())
    assert [lesion for lesion in found if lesion.score >= 0.5] == []


def test_nodule_on_a_vessel_is_cut_from_it() -> None:
    truth = distance((30, 45, 30)) < 7.0
    best = find_nodules(painted(np.where(truth, 30.0, vessel(LUNG))), Context())[0]
    mask = best.full_mask(SHAPE)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.8


def test_nodule_on_the_pleura_is_cut_from_the_wall() -> None:
    truth = distance((30, 45, 78)) < 7.0
    best = find_nodules(painted(np.where(truth, 30.0, LUNG)), Context())[0]
    assert best.score >= 0.5
    assert best.longest_mm == pytest.approx(14.0, abs=3.0)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("radius", "core"), [(5.0, 2.2), (5.0, 2.8), (6.0, 2.8)])
def test_small_part_solid_nodule_on_coarse_voxels_is_more_than_its_core(radius: float, core: float, seed: int) -> None:
    field, truth = _coarse_part_solid((30, 45, 74), radius, core, seed)
    best = find_nodules(field, Context())[0]
    mask = best.full_mask(truth.shape)
    assert best.score >= 0.5
    assert best.attributes[0] == "part_solid"
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.75


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("radius", [5.0, 6.0])
def test_small_faint_nodule_on_the_pleura_is_no_vessel(radius: float, seed: int) -> None:
    field, truth = _coarse_part_solid((30, 45, 79), radius, 2.2, seed)
    best = find_nodules(field, Context())[0]
    mask = best.full_mask(truth.shape)
    assert best.score >= 0.5
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.8


def _coarse_part_solid(
    centre: tuple[int, int, int], radius: float, core: float, seed: int
) -> tuple[LungField, npt.NDArray[np.bool_]]:
    """A ball of ground glass with a dense core beside its middle, on voxels of 1.5 x 2 x 2 mm; its truth."""

    def coarse(fine: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        k, j, i = SHAPE
        return fine.astype(float).reshape(k, j // 2, 2, i // 2, 2).mean((2, 4))

    k, j, i = centre
    inside = _in_the_lung()
    hu = np.where(distance(centre) < radius, -620.0, LUNG)
    hu[distance((k, j + 1, i + 1)) < core] = 40.0
    image = ndimage.gaussian_filter(coarse(np.where(inside, hu, 40.0)), [0.8 / 1.5, 0.4, 0.4])
    image += np.random.default_rng(seed).normal(0.0, 20.0, image.shape)
    field = lung_field(image.astype(np.int16), (1.5, 2.0, 2.0), (coarse(inside) > 0.5).astype(np.uint8))
    assert field is not None
    return field, coarse(inside & (distance(centre) < radius)) > 0.5


@pytest.mark.parametrize(("away", "lobe", "core"), [(8.0, 5.0, 5.0), (9.0, 4.5, 6.0)])
def test_lobulated_part_solid_nodule_is_no_meeting_of_vessels(away: float, lobe: float, core: float) -> None:
    """Six lobes around a core: hollow between them, as vessels that meet are, but as wide as long."""
    middle = np.array([30.0, 50.0, 50.0])
    truth = distance((30, 50, 50)) < core + 1.5
    for step in (*np.eye(3), *-np.eye(3)):
        k, j, i = middle + step * away / np.asarray(SPACING)
        truth |= distance((k, j, i)) < lobe
    hu = np.where(truth, -580.0, LUNG)
    hu[distance((30, 50, 50)) < core] = 20.0
    best = find_nodules(painted(hu), Context())[0]
    mask = best.full_mask(SHAPE)
    assert best.score >= 0.5
    assert best.attributes[0] == "part_solid"
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.8


@pytest.mark.parametrize("reach", [12.0, 18.0])
def test_part_solid_nodule_is_cut_from_wall_within_the_field(reach: float) -> None:
    """Where the border of the lung was closed over a bulge, a strip of the wall lies within the field."""
    middle = (30, 45, 70)
    truth = distance(middle) < 10.0
    k, j, i = np.indices(SHAPE).astype(float)
    outward = np.hypot(j - 45, i - 45)
    strip = (outward > 33) & (np.hypot((k - 30) * SPACING[0], j - 45) < reach) & (i > 45)
    hu = np.where(truth, -560.0, LUNG)
    hu[distance((30, 44, 69)) < 5.5] = 20.0
    hu[strip] = 40.0
    truth &= ~strip
    best = find_nodules(painted(hu), Context())[0]
    mask = best.full_mask(SHAPE)
    assert best.score >= 0.5
    assert best.attributes[0] == "part_solid"
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) >= 0.8


def _in_the_lung() -> npt.NDArray[np.bool_]:
    j, i = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return np.broadcast_to((j - 45) ** 2 + (i - 45) ** 2 < 38**2, SHAPE)


@pytest.mark.parametrize("noise", [10.0, 30.0])
def test_vessel_and_noise_alone_are_no_nodule(noise: float) -> None:
    found = find_nodules(painted(vessel(LUNG), noise), Context())
    assert [lesion for lesion in found if lesion.score >= 0.3] == []


def test_no_lung_no_field() -> None:
    assert lung_field(np.zeros(SHAPE, np.int16), SPACING, np.zeros(SHAPE, np.uint8)) is None
