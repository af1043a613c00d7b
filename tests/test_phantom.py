"""The phantom is the yardstick of other tests, so its own truth is checked against closed forms and SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import cKDTree

from radfind.phantom import LesionSpec, Phantom, make_phantom, write_dicom
from radfind.phantom.paint import sheet
from radfind.phantom.tubes import Tubes, tube_distance
from radfind.volume import Geometry

BALL = LesionSpec("solid_nodule", "right", "upper", 20.0, ("round",))
MIX = (
    BALL,
    LesionSpec("part_solid_nodule", "left", "upper", 22.0),
    LesionSpec("pleural_effusion", "left", diameter_mm=35.0),
    LesionSpec("consolidation", "right", "lower", 60.0),
)
SMALL = (64, 128, 128)


@pytest.fixture(scope="module")
def mixed() -> Phantom:
    return make_phantom(seed=11, lesions=MIX, shape=SMALL)


def around(phantom: Phantom, number: int, *, spacing: tuple[float, float, float], turn: np.ndarray) -> Geometry:
    """A small grid of another spacing and direction around a lesion."""
    lesion = phantom.lesions[number]
    half = lesion.diameter_mm[0] * 0.9 + 6
    shape = tuple(int(np.ceil(2 * half / s)) for s in spacing)
    middle = turn @ ((np.array(shape[::-1]) - 1) / 2 * np.array(spacing[::-1]))
    return Geometry.from_parts(shape, spacing=spacing, origin=tuple(lesion.centre_lps - middle), direction=turn)


def volume_and_centre(phantom: Phantom, name: str) -> tuple[float, np.ndarray]:
    mask = phantom.truth[name]
    geometry = phantom.volume.geometry
    return mask.sum() * geometry.voxel_volume, geometry.to_lps(np.argwhere(mask).mean(axis=0))


def test_round_nodule_has_the_volume_and_size_of_a_ball(mixed: Phantom) -> None:
    fine = around(mixed, 0, spacing=(0.5, 0.5, 0.5), turn=np.eye(3))
    phantom = make_phantom(seed=11, lesions=MIX, geometry=fine)
    volume, _ = volume_and_centre(phantom, "lesion_1")
    assert volume == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.01)
    assert mixed.lesions[0].volume_mm3 == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.01)
    assert mixed.lesions[0].diameter_mm == pytest.approx((20, 20), abs=0.5)


ROTATION = np.linalg.qr(np.array([[0.9, 0.3, -0.2], [-0.25, 0.95, 0.1], [0.3, -0.1, 0.9]]))[0]


@pytest.mark.parametrize(
    ("number", "turn"), [(0, np.diag([-1.0, -1.0, 1.0])), (1, np.diag([1.0, -1.0, -1.0])), (0, ROTATION), (1, ROTATION)]
)
def test_truth_is_the_same_on_every_grid(mixed: Phantom, number: int, turn: np.ndarray) -> None:
    grid = around(mixed, number, spacing=(0.9, 0.7, 0.8), turn=turn)
    phantom = make_phantom(seed=11, lesions=MIX, geometry=grid)
    volume, centre = volume_and_centre(phantom, f"lesion_{number + 1}")
    assert volume == pytest.approx(mixed.lesions[number].volume_mm3, rel=0.02)
    assert np.linalg.norm(centre - mixed.lesions[number].centre_lps) < 0.3
    assert phantom.lesions[number].centre_lps == mixed.lesions[number].centre_lps


def test_truth_on_a_sheared_grid(mixed: Phantom) -> None:
    straight = around(mixed, 0, spacing=(0.9, 0.7, 0.8), turn=np.eye(3))
    affine = straight.affine.copy()
    affine[1, 2] += 0.3  # a tilted gantry
    affine[1, 3] -= 0.3 * straight.shape[0] / 2
    phantom = make_phantom(seed=11, lesions=MIX, geometry=Geometry(straight.shape, affine))
    volume, centre = volume_and_centre(phantom, "lesion_1")
    assert volume == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.02)
    assert np.linalg.norm(centre - mixed.lesions[0].centre_lps) < 0.3


def test_masks_and_densities_make_sense(mixed: Phantom) -> None:
    hu, truth, geometry = mixed.volume.array, mixed.truth, mixed.volume.geometry
    for name in ("lung_left", "lung_right"):
        assert 900 < truth[name].sum() * geometry.voxel_volume / 1000 < 4500  # ml
        parts = [m for key, m in truth.items() if key.startswith(name[5:]) and key.endswith("_lobe")]
        assert np.array_equal(np.sum(parts, axis=0) == 1, truth[name])  # the lobes tile the lung
    _, left = np.nonzero(truth["lung_left"].any(axis=0))
    _, right = np.nonzero(truth["lung_right"].any(axis=0))
    assert left.mean() > right.mean()  # i grows to the patient's left
    aerated = truth["lung"] & ~truth["vessel"] & ~truth["lesion_1"] & ~truth["lesion_2"] & ~truth["lesion_4"]
    assert -920 < np.median(hu[ndimage.binary_erosion(aerated, iterations=2)]) < -780
    assert 0 < np.median(hu[ndimage.binary_erosion(truth["lesion_1"])]) < 70
    assert 0 < np.median(hu[ndimage.binary_erosion(truth["lesion_3"])]) < 25
    assert not (truth["lung"] & truth["lesion_3"]).any()
    assert -120 < np.median(hu[truth["subcutaneous_fat"]]) < -80
    assert np.median(hu[truth["bone"]]) > 120
    assert np.median(hu[~truth["body"]]) < -950
    side = {"lesion_1": "right", "lesion_2": "left", "lesion_4": "right"}
    for name, lung in side.items():
        assert (truth[name] & ~truth[f"lung_{lung}"]).sum() == 0


def test_clean_phantom_and_determinism() -> None:
    one = make_phantom(seed=3, lesions=(), shape=(24, 48, 48))
    two = make_phantom(seed=3, lesions=(), shape=(24, 48, 48))
    assert np.array_equal(one.volume.array, two.volume.array)
    assert one.lesions == () and not any(name.startswith("lesion") for name in one.truth)
    assert [s.expected for s in one.report_truth].count("no") == 1
    other = make_phantom(seed=4, lesions=(), shape=(24, 48, 48))
    assert not np.array_equal(one.volume.array, other.volume.array)


@pytest.mark.parametrize("seed", range(3))
def test_report_has_one_contradiction_in_both_languages(seed: int) -> None:
    phantom = make_phantom(seed=seed, shape=(20, 40, 40))
    wrong = [s for s in phantom.report_truth if s.expected == "no"]
    assert len(wrong) == 1 and wrong[0].code in ("wrong_side", "wrong_size")
    for statement in phantom.report_truth:
        assert statement.english in phantom.report_en and statement.chinese in phantom.report_zh
    lesion = next(item for item in phantom.lesions if item.name == wrong[0].lesion)
    if wrong[0].code == "wrong_side":
        assert lesion.side not in wrong[0].english.split()
        assert {"left": "左", "right": "右"}[lesion.side] not in wrong[0].chinese


def test_noise_and_padding() -> None:
    quiet = make_phantom(seed=5, lesions=(), shape=(24, 128, 128), noise_hu=0)
    loud = make_phantom(seed=5, lesions=(), shape=(24, 128, 128), noise_hu=30, padding=True)
    inside = ndimage.binary_erosion(quiet.truth["heart"], iterations=3)
    assert np.std((loud.volume.array - quiet.volume.array)[inside]) == pytest.approx(30, rel=0.15)
    assert loud.volume.padding == -2048 and (loud.volume.array[:, 0, 0] == -2048).all()


def test_dicom_round_trip_through_simpleitk(tmp_path: Path) -> None:
    phantom = make_phantom(seed=6, lesions=(), shape=(12, 40, 48), rotation_deg=(6, -4, 9), padding=True)
    paths = write_dicom(phantom.volume, tmp_path / "a", seed=6)
    assert len(paths) == 12 and sorted(paths) != paths
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "a")))
    image = reader.Execute()
    array, expected = sitk.GetArrayFromImage(image), phantom.volume.geometry
    assert np.array_equal(array, phantom.volume.array)
    assert np.allclose(image.GetOrigin(), expected.origin, atol=1e-4)
    assert np.allclose(image.GetSpacing(), expected.spacing[::-1], atol=1e-4)
    assert np.allclose(np.reshape(image.GetDirection(), (3, 3)), expected.direction, atol=1e-5)
    again = write_dicom(phantom.volume, tmp_path / "b", seed=6)
    assert all(one.read_bytes() == two.read_bytes() for one, two in zip(paths, again, strict=True))


def test_tube_distance_is_that_of_a_capsule() -> None:
    tube = Tubes(np.array([[2.0, 3, 4]]), np.array([[12.0, 5, 8]]), np.array([2.0]), np.array([2.0]))
    geometry = Geometry.from_parts((14, 16, 18), spacing=(1.1, 0.9, 1.0))
    points = geometry.to_lps(np.moveaxis(np.indices(geometry.shape), 0, -1))
    ends = tube.start[0], tube.stop[0]
    way = np.linspace(0, 1, 4001)[:, None]
    line = ends[0] * (1 - way) + ends[1] * way
    expected = np.minimum(cKDTree(line).query(points)[0] - 2, 3.0)
    assert np.allclose(tube_distance(geometry, tube, margin=3.0), expected, atol=5e-3)
    assert np.allclose(tube_distance(geometry, tube.split(2.5), margin=3.0), expected, atol=5e-3)


@pytest.mark.parametrize("width", [0.4, 1.0, 2.4])
@pytest.mark.parametrize("turn", [0.0, 0.3, np.pi / 4])
def test_a_sheet_is_painted_with_as_much_as_it_holds_whatever_the_voxels(width: float, turn: float) -> None:
    """A plane through a square, wherever it lies between the voxels: area times thickness."""
    side = width * round(60 / width)
    x = np.arange(width / 2, side, width) - side / 2
    slope = np.tan(turn)
    painted = []
    for shift in (np.arange(16) + 0.5) * width / 16:  # the plane y = slope x + shift, going round from end to end
        off = (x - slope * x[:, None] - shift + side / 2) % side - side / 2
        painted.append(float(sheet((off * np.cos(turn)).astype(np.float32), 0.6, width).sum()) * width**2)
    assert np.mean(painted) == pytest.approx(0.6 * side / np.cos(turn), rel=0.01)


def test_every_kind_can_be_placed() -> None:
    kinds = (
        LesionSpec("ground_glass_nodule", attributes=("juxtavascular",)),
        LesionSpec("pulmonary_mass", attributes=("spiculated", "juxtapleural")),
        LesionSpec("solid_nodule", attributes=("calcified", "lobulated")),
        LesionSpec("ground_glass_opacity"),
        LesionSpec("emphysema"),
        LesionSpec("atelectasis"),
        LesionSpec("pneumothorax"),
    )
    phantom = make_phantom(seed=8, lesions=kinds, shape=(48, 96, 96))
    assert [lesion.kind for lesion in phantom.lesions] == [spec.kind for spec in kinds]
    assert all(phantom.truth[lesion.name].any() for lesion in phantom.lesions)


def test_vessels_and_bronchi_that_cross_emphysema_are_none_of_it() -> None:
    phantom = make_phantom(seed=8, lesions=(LesionSpec("emphysema", "right", "lower", 80),), shape=(70, 140, 140))
    holes = phantom.truth["lesion_1"]
    assert holes.any() and not (holes & (phantom.truth["vessel"] | phantom.truth["airway"])).any()
    on_grid = holes.sum() * np.prod(phantom.volume.geometry.spacing)
    assert phantom.lesions[0].volume_mm3 == pytest.approx(on_grid, rel=0.1)


def test_confounders_change_the_image_and_not_the_patient() -> None:
    plain = make_phantom(seed=13, lesions=(), shape=(24, 64, 64))
    confused = make_phantom(seed=13, lesions=(), shape=(24, 64, 64), confounders=("gullet_air", "fatty_muscle"))
    assert not np.array_equal(plain.volume.array, confused.volume.array)
    assert all(np.array_equal(mask, confused.truth[name]) for name, mask in plain.truth.items())
    beside = make_phantom(seed=13, lesions=(), shape=(24, 64, 64), confounders=("paravertebral",))
    assert beside.truth["lung"].sum() < plain.truth["lung"].sum()
    assert not (beside.truth["lung"] & ~plain.truth["lung"]).any()
