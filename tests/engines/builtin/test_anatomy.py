"""Anatomy against phantom truth and a labelled scan; nothing here was copied from the output."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from radfind.engines.builtin.anatomy import SUPPORTED, Anatomy
from radfind.engines.builtin.tissues import air_peak
from radfind.phantom import LesionSpec, Phantom, make_phantom
from radfind.volume import Geometry, Volume


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


@cache
def phantom(*lesions: LesionSpec, seed: int = 31, axes: str = "LPS", noise: float = 18.0) -> Phantom:
    return make_phantom(seed=seed, lesions=lesions, shape=(84, 132, 132), axes=axes, noise_hu=noise)


@cache
def anatomy(*lesions: LesionSpec, seed: int = 31, axes: str = "LPS", noise: float = 18.0) -> Anatomy:
    return Anatomy(phantom(*lesions, seed=seed, axes=axes, noise=noise).volume)


def read(path: Path) -> Volume:
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    geometry = Geometry.from_parts(
        array.shape, spacing=image.GetSpacing()[::-1], origin=image.GetOrigin(), direction=image.GetDirection()
    )
    return Volume(array, geometry, modality="CT")


def check_lungs(found: Anatomy, truth: dict[str, np.ndarray], least: float) -> None:
    assert dice(found.lungs == 1, truth["lung_right"]) >= least
    assert dice(found.lungs == 2, truth["lung_left"]) >= least


def test_clean_chest_matches_truth() -> None:
    found, truth = anatomy(), phantom().truth
    check_lungs(found, truth, 0.97)
    assert dice(found.body, truth["body"]) >= 0.99
    assert dice(found.bones, truth["bone"]) >= 0.75
    assert dice(found.subcutaneous_fat, truth["subcutaneous_fat"]) >= 0.85
    assert (found.airways & truth["airway"]).sum() >= 0.9 * found.airways.sum() > 0
    assert not found.pleural_air.any()


def test_hyperinflated_lungs_on_coarse_voxels_over_a_cushion() -> None:
    """Lung near the density of air, foam around the patient that measures as it does, a trachea three voxels wide."""
    made = phantom()
    array = made.volume.array.astype(np.float32)
    truth = made.truth["lung_right"] | made.truth["lung_left"]
    array[truth & (array < -600)] -= 70.0
    cushion = ~made.truth["body"]
    cushion[:, : array.shape[1] // 2] = False
    array[cushion] += 50.0
    halved = tuple(n // 2 for n in array.shape)
    blocks = (halved[0], 2, halved[1], 2, halved[2], 2)
    affine = made.volume.geometry.affine.copy()
    affine[:3, 3] += affine[:3, :3].sum(axis=1) / 2
    affine[:3, :3] *= 2
    coarse = array.reshape(blocks).mean(axis=(1, 3, 5))
    found = Anatomy(Volume(coarse, Geometry(halved, affine), modality="CT"))
    expected = truth.reshape(blocks).mean(axis=(1, 3, 5)) > 0.5
    assert dice(found.lungs > 0, expected) >= 0.93
    assert found.airways.any()
    assert not found.pleural_air.any()


def test_noise_of_40_hu() -> None:
    check_lungs(anatomy(seed=32, noise=40.0), phantom(seed=32, noise=40.0).truth, 0.97)


@pytest.mark.parametrize(
    "spec",
    [
        LesionSpec(kind="consolidation", side="right", lobe="lower", diameter_mm=80),
        LesionSpec(kind="pulmonary_mass", side="left", lobe="upper", diameter_mm=50),
        LesionSpec(kind="solid_nodule", side="right", diameter_mm=18, attributes=("juxtapleural",)),
    ],
    ids=lambda spec: spec.kind,
)
def test_dense_lesions_belong_to_the_lung(spec: LesionSpec) -> None:
    truth = phantom(spec, seed=33).truth
    found = anatomy(spec, seed=33)
    check_lungs(found, truth, 0.96)
    assert (found.lungs[truth["lesion_1"]] > 0).mean() >= 0.9


def test_fluid_and_free_air_do_not_belong_to_the_lung() -> None:
    fluid = LesionSpec(kind="pleural_effusion", side="left", diameter_mm=45)
    truth, found = phantom(fluid, seed=34).truth, anatomy(fluid, seed=34)
    check_lungs(found, truth, 0.96)
    assert (found.lungs[truth["lesion_1"]] > 0).mean() <= 0.05
    assert (found.thorax_cavity[truth["lesion_1"]] == 2).mean() >= 0.7
    air = LesionSpec(kind="pneumothorax", side="right", diameter_mm=50)
    truth, found = phantom(air, seed=35).truth, anatomy(air, seed=35)
    assert (found.pleural_air & truth["lesion_1"]).sum() >= 0.9 * found.pleural_air.sum() > 0


@pytest.mark.parametrize("letters", ["RAS", "LAI", "PSL", "RPI", "SLP"])
def test_result_moves_with_the_array(letters: str) -> None:
    straight = phantom().volume
    turned = straight.oriented(letters)
    found = Anatomy(turned)
    assert found.volume.geometry.same_grid(straight.geometry)
    assert np.array_equal(found.lungs, anatomy().lungs)
    assert np.array_equal(found.airways, anatomy().airways)
    assert turned.restore(found.lungs).shape == turned.array.shape


def test_padding_and_nan_count_as_air() -> None:
    volume = phantom().volume
    array = volume.array.copy()
    array[:, :6] = -3024
    array[:, -4:] = np.nan
    found = Anatomy(Volume(array, volume.geometry, modality="CT"))
    check_lungs(found, phantom().truth, 0.97)


def test_scan_that_starts_in_the_middle_of_the_lungs() -> None:
    volume, truth = phantom().volume, phantom().truth
    part = slice(30, 60)
    cut = Volume(volume.array[part], volume.geometry.crop((30, 0, 0), (30, 132, 132)), modality="CT")
    found = Anatomy(cut)
    check_lungs(found, {name: mask[part] for name, mask in truth.items()}, 0.96)
    assert found.covers("lung") == "part"


@pytest.mark.parametrize("slices", [1, 3])
def test_few_slices(slices: int) -> None:
    volume, truth = phantom().volume, phantom().truth
    part = slice(50, 50 + slices)
    cut = Volume(volume.array[part], volume.geometry.crop((50, 0, 0), (slices, 132, 132)), modality="CT")
    check_lungs(Anatomy(cut), {name: mask[part] for name, mask in truth.items()}, 0.93)


def test_whole_chest_is_covered() -> None:
    assert anatomy().covers("lung") == "whole"
    assert anatomy().covers("lung_apex", "right") == "whole"
    assert anatomy().covers("gallbladder") == "unknown"


def test_air_alone_holds_nothing() -> None:
    found = Anatomy(Volume(np.full((5, 40, 40), -1000, np.int16), Geometry.from_parts((5, 40, 40)), modality="CT"))
    assert not found.body.any() and not found.lungs.any() and not found.airways.any() and not found.bones.any()
    assert found.covers("lung") == "none"


def test_every_supported_concept_has_a_mask() -> None:
    found = anatomy()
    for name in SUPPORTED:
        mask = found.mask(name)
        assert mask is not None and mask.shape == found.volume.array.shape and mask.dtype == bool, name
    assert found.mask("gallbladder") is None
    right = found.mask("lung", "right")
    assert right is not None and np.array_equal(right, found.lungs == 1)


BONES = ("vertebra", "rib_", "sacrum", "hip_", "femur", "sternum", "clavicula", "scapula", "humerus")


@pytest.mark.parametrize("suffix", ["", "_small"])
def test_labelled_abdomen(shared_data: Callable[[str], Path], suffix: str) -> None:
    folder = shared_data("abdomen-ct")
    names = {int(value): name for value, name in json.loads((folder / "labels.json").read_text()).items()}
    labels = read(folder / f"labels{suffix}.nii.gz").oriented().array
    found = Anatomy(read(folder / f"ct{suffix}.nii.gz"))
    for side, value in (("right", 1), ("left", 2)):
        lung = np.isin(labels, [v for v, n in names.items() if n.startswith("lung") and n.endswith(side)])
        assert dice(found.lungs == value, lung) >= 0.9
    gut = np.isin(labels, [v for v, n in names.items() if n in ("stomach", "small_bowel", "colon", "duodenum")])
    assert not (gut & (found.lungs > 0)).any()
    if not suffix:
        skeleton = np.isin(labels, [v for v, n in names.items() if n.startswith(BONES)])
        assert dice(found.bones, skeleton) >= 0.75
        assert gut[found.bowel_gas].mean() >= 0.9


def test_nodule_at_the_apex_lies_in_the_right_lung(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("chest-ct")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image)
    geometry = Geometry.from_parts(
        array.shape, spacing=image.GetSpacing()[::-1], origin=image.GetOrigin(), direction=image.GetDirection()
    )
    found = Anatomy(Volume(array, geometry, modality="CT"))
    assert (found.lungs[56:68, 283, 182] == 1).all()
    assert found.airways[10:60].any(axis=(1, 2)).all()
    assert found.covers("lung_apex") == "whole" and found.covers("lung_base") == "none"


@pytest.mark.parametrize("offset", [0.0, -40.0, 40.0])
def test_air_is_what_the_scan_shows_for_it_beside_padding_foam_and_the_end_of_the_scale(offset: float) -> None:
    """Air of -1000 HU with noise of 10, foam of -945, corners marked with -1024; what is darker is stored as -1024."""
    hu = np.random.default_rng(0).normal(-1000.0 + offset, 10.0, (20, 60, 60))
    hu[:, 50:, 10:50] += 55.0
    body = np.zeros(hu.shape, bool)
    body[:, 10:40, 10:50] = True
    hu[body] += 1040.0
    hu[:, 20:24, 20:24] -= 1040.0  # the trachea
    hu[:, :4], hu[:, 56:] = -1024.0, -1024.0
    assert air_peak(np.maximum(hu, -1024.0).astype(np.float32), body) == pytest.approx(
        max(-1000 + offset, -1024), abs=4
    )
