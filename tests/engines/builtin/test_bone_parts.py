"""Named bones and the bladder on a labelled scan, cut, turned and noisy copies of it, and scans that show none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.spine import find_canal
from radfind.imaging import load
from radfind.phantom import make_phantom
from radfind.volume import Geometry, Volume

# Labels of each structure begin with one of these, and the least Dice asked of it.
STRUCTURES: dict[str, tuple[tuple[str, ...], float]] = {
    "vertebra": (("vertebrae_L", "vertebrae_T"), 0.75),
    "sacrum": (("sacrum", "vertebrae_S"), 0.6),
    "pelvic_bone": (("hip_",), 0.8),
    "femur": (("femur_",), 0.7),
    "rib": (("rib_",), 0.7),
    "urinary_bladder": (("urinary_bladder",), 0.8),
}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


class Labelled:
    """A scan and its labels, both on the oriented grid."""

    def __init__(self, folder: Path) -> None:
        image = sitk.ReadImage(str(folder / "ct.nii.gz"))
        array = sitk.GetArrayFromImage(image)
        geometry = Geometry.from_parts(
            array.shape, spacing=image.GetSpacing()[::-1], origin=image.GetOrigin(), direction=image.GetDirection()
        )
        self.volume = Volume(array, geometry, modality="CT").oriented()
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labels.nii.gz")))
        self.labels = Volume(labels, geometry).oriented().array
        self.names = {int(k): v for k, v in json.loads((folder / "labels.json").read_text()).items()}

    def truth(self, name: str, labels: np.ndarray | None = None, side: str = "") -> np.ndarray:
        starts = STRUCTURES[name][0]
        values = [v for v, n in self.names.items() if n.startswith(starts) and n.endswith(side)]
        return np.isin(self.labels if labels is None else labels, values)

    def cut(self, low: int, high: int) -> tuple[Anatomy, np.ndarray]:
        shape = (high - low, *self.volume.array.shape[1:])
        part = Volume(self.volume.array[low:high], self.volume.geometry.crop((low, 0, 0), shape), modality="CT")
        return Anatomy(part), self.labels[low:high]


@pytest.fixture(scope="module")
def scan(shared_data: Callable[[str], Path]) -> Labelled:
    return Labelled(shared_data("abdomen-ct"))


@pytest.fixture(scope="module")
def whole(scan: Labelled) -> Anatomy:
    return Anatomy(scan.volume)


@pytest.mark.parametrize("name", STRUCTURES)
def test_structure_matches_its_label(scan: Labelled, whole: Anatomy, name: str) -> None:
    mask, truth = whole.mask(name), scan.truth(name)
    assert mask is not None and dice(mask, truth) >= STRUCTURES[name][1]
    assert whole.covers(name) == "part"
    best = int(mask.sum(axis=(1, 2)).argmax())
    assert truth[best].any()


@pytest.mark.parametrize("side", ["left", "right"])
def test_femurs_have_sides(scan: Labelled, whole: Anatomy, side: str) -> None:
    mask = whole.mask("femur", side)
    assert mask is not None and dice(mask, scan.truth("femur", side=side)) >= 0.7


def test_no_voxel_has_two_names(whole: Anatomy) -> None:
    masks = [whole.skeleton_parts.mask(name) for name in ("vertebra", "sacrum", "pelvic_bone", "femur", "rib")]
    assert np.sum(masks, axis=0).max() == 1


def test_scan_above_the_hip_joints_shows_no_femur_and_no_bladder(scan: Labelled) -> None:
    found, labels = scan.cut(26, 70)
    for name in ("femur", "urinary_bladder"):
        mask = found.mask(name)
        assert mask is not None and not mask.any()
        assert found.covers(name) == "none"
    hip = found.mask("pelvic_bone")
    assert hip is not None and dice(hip, scan.truth("pelvic_bone", labels)) >= 0.8


def test_scan_of_the_lower_pelvis(scan: Labelled) -> None:
    found, labels = scan.cut(0, 40)
    for name in ("pelvic_bone", "femur", "urinary_bladder"):
        mask = found.mask(name)
        assert mask is not None and dice(mask, scan.truth(name, labels)) >= STRUCTURES[name][1], name
    ribs = found.mask("rib")
    assert ribs is not None and not ribs.any()


def test_noise_and_a_rolled_patient(scan: Labelled) -> None:
    noise = np.random.default_rng(7).normal(0.0, 20.0, scan.volume.array.shape)
    turned = ndimage.rotate(scan.volume.array + noise, 15, axes=(1, 2), reshape=False, order=1, cval=-1000)
    labels = ndimage.rotate(scan.labels, 15, axes=(1, 2), reshape=False, order=0, cval=0)
    found = Anatomy(Volume(turned.astype(np.int16), scan.volume.geometry, modality="CT"))
    for name in ("vertebra", "pelvic_bone", "femur", "urinary_bladder"):
        mask = found.mask(name)
        assert mask is not None and dice(mask, scan.truth(name, labels)) >= STRUCTURES[name][1] - 0.05, name


def test_chest_and_head_show_no_pelvis(shared_data: Callable[[str], Path]) -> None:
    head = Anatomy(load(shared_data("tiny-dicom")))
    chest = Anatomy(make_phantom(seed=31, shape=(84, 132, 132)).volume)
    for found in (head, chest):
        for name in ("femur", "pelvic_bone", "sacrum", "urinary_bladder"):
            mask = found.mask(name)
            assert mask is not None and not mask.any(), name
            assert found.covers(name) == "none"


def test_canal_follows_a_leaning_tube_of_bone() -> None:
    shape = (30, 60, 60)
    k, j, i = np.indices(shape)
    radius = np.hypot(j - (40 - 0.5 * k), i - 30)
    bone = (radius > 4) & (radius < 9)
    hu = np.where(bone, 400.0, 30.0).astype(np.float32)
    canal = find_canal(hu, (2.0, 2.0, 2.0), bone, np.ones(shape, dtype=bool))
    assert canal.seen.all()
    assert np.abs(canal.rows - (40 - 0.5 * np.arange(30)))[3:-3].max() < 2.0
    assert np.abs(canal.columns - 30).max() < 2.0


def test_air_has_no_bones() -> None:
    found = Anatomy(Volume(np.full((6, 40, 40), -1000, np.int16), Geometry.from_parts((6, 40, 40)), modality="CT"))
    for name in STRUCTURES:
        mask = found.mask(name)
        assert mask is not None and not mask.any()
