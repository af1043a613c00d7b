"""Where the voxels of NIfTI files lie, against nibabel; headers that contradict themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

import radfind
from radfind.errors import ImageError
from radfind.volume import Volume

VALUES = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)  # (i, j, k), as NIfTI orders them
ANGLE = np.radians(20)
STRAIGHT = np.array([[-0.8, 0, 0, 10], [0, -0.7, 0, 20], [0, 0, 2.5, -50], [0, 0, 0, 1]])
TURNED = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0, 3], [np.sin(ANGLE), np.cos(ANGLE), 0, -4], [0, 0, 1, 5], [0, 0, 0, 1]]
)
TURNED = TURNED @ STRAIGHT
SHEARED = STRAIGHT + np.array([[0, 0, 0.5, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def written(
    path: Path, *, qform: npt.NDArray | None = None, sform: npt.NDArray | None = None, codes: tuple[int, int] = (1, 1)
) -> Path:
    image = nibabel.Nifti1Image(VALUES, STRAIGHT)  # sets the voxel sizes
    image.set_qform(STRAIGHT if qform is None else qform, 0 if qform is None else codes[0])
    image.set_sform(STRAIGHT if sform is None else sform, 0 if sform is None else codes[1])
    nibabel.save(image, path)
    return path


def assert_lies_as(volume: Volume, ras: npt.NDArray) -> None:
    """Every voxel is where the affine of the file (RAS) puts it."""
    for ijk in np.ndindex(VALUES.shape):
        lps = (ras @ (*ijk, 1))[:3] * (-1, -1, 1)
        kji = np.round(volume.geometry.to_index(lps), 3)
        assert volume.array[tuple(kji.astype(int))] == VALUES[ijk]
        assert np.allclose(kji, np.round(kji))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("affine", [STRAIGHT, TURNED, STRAIGHT * np.array([[-1], [1], [-1], [1]])])
def test_either_form_alone_or_both_alike(tmp_path: Path, affine: npt.NDArray, name: str) -> None:
    for forms in ({"qform": affine}, {"sform": affine}, {"qform": affine, "sform": affine}):
        path = written(tmp_path / name, **forms)
        volume = radfind.load(path)
        assert np.allclose(nibabel.load(path).affine, affine, atol=1e-5)
        assert_lies_as(volume, affine)
        assert volume.placed
        assert volume.warnings == ()


def test_two_places_are_told(tmp_path: Path) -> None:
    both_of_the_scanner = radfind.load(written(tmp_path / "a.nii", qform=STRAIGHT, sform=TURNED))
    assert_lies_as(both_of_the_scanner, TURNED)  # nibabel's choice too
    assert "sform was taken" in both_of_the_scanner.warnings[0]
    sform_of_an_atlas = radfind.load(written(tmp_path / "b.nii", qform=STRAIGHT, sform=TURNED, codes=(1, 4)))
    assert_lies_as(sform_of_an_atlas, STRAIGHT)
    assert "qform was taken" in sform_of_an_atlas.warnings[0]


def test_without_a_place_left_and_right_are_unknown(tmp_path: Path) -> None:
    volume = radfind.load(written(tmp_path / "a.nii"))
    assert not volume.placed
    assert "left and right are unknown" in volume.warnings[0]
    nibabel.save(nibabel.AnalyzeImage(VALUES, STRAIGHT), tmp_path / "old.img")
    (tmp_path / "a.nii").unlink()
    assert not radfind.load(tmp_path).placed  # a header and its voxels are one image of the folder


@pytest.mark.parametrize("qform", [None, STRAIGHT])
def test_a_sheared_grid_is_refused_whatever_stands_beside_it(tmp_path: Path, qform: npt.NDArray | None) -> None:
    with pytest.raises(ImageError, match="sheared"):
        radfind.load(written(tmp_path / "a.nii", qform=qform, sform=SHEARED))


def test_voxel_sizes_that_contradict_the_place_are_refused(tmp_path: Path) -> None:
    image = nibabel.load(written(tmp_path / "a.nii", sform=STRAIGHT))
    image.header["pixdim"][1:4] = 1
    nibabel.save(image, tmp_path / "b.nii")
    with pytest.raises(ImageError, match="contradicts itself"):
        radfind.load(tmp_path / "b.nii")


@pytest.mark.parametrize(("unit", "factor"), [("micron", 0.001), ("mm", 1.0), ("meter", 1000.0), ("unknown", 1.0)])
def test_units_are_converted(tmp_path: Path, unit: str, factor: float) -> None:
    image = nibabel.load(written(tmp_path / "a.nii", qform=STRAIGHT, sform=STRAIGHT))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "b.nii")
    volume = radfind.load(tmp_path / "b.nii")
    assert volume.geometry.spacing == pytest.approx([2.5 * factor, 0.7 * factor, 0.8 * factor])
    assert volume.warnings == ()


def test_packed_and_plain_are_told_by_content(tmp_path: Path) -> None:
    shutil.copy(written(tmp_path / "a.nii.gz", qform=TURNED), tmp_path / "packed.nii")
    shutil.copy(written(tmp_path / "a.nii", qform=TURNED), tmp_path / "plain.nii.gz")
    for name in ("packed.nii", "plain.nii.gz"):
        assert_lies_as(radfind.load(tmp_path / name), TURNED)


def test_what_is_no_greyscale_volume_is_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VALUES.astype(np.complex64), STRAIGHT), tmp_path / "complex.nii")
    nibabel.save(nibabel.Nifti1Image(np.stack([VALUES] * 3, -1), STRAIGHT), tmp_path / "times.nii")
    nibabel.save(nibabel.Nifti2Image(VALUES, STRAIGHT), tmp_path / "two.nii")
    for name, word in (("complex.nii", "complex"), ("times.nii", "several volumes"), ("two.nii", "NIfTI-2")):
        with pytest.raises(ImageError, match=word):
            radfind.load(tmp_path / name)
    nibabel.save(nibabel.Nifti1Image(VALUES[..., None], STRAIGHT), tmp_path / "one.nii")
    assert_lies_as(radfind.load(tmp_path / "one.nii"), STRAIGHT)
