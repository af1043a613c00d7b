"""Geometry against SimpleITK's own index/point transforms, and exact reorientation."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from radfind.errors import ImageError
from radfind.volume import Geometry, SliceSource, Volume

spacings = st.floats(0.2, 8.0)
sizes = st.integers(1, 7)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Random oblique, possibly flipped and permuted, anisotropic grids."""
    rotation = Rotation.from_euler("xyz", [draw(st.floats(-180, 180)) for _ in range(3)], degrees=True).as_matrix()
    flips = np.diag([draw(st.sampled_from([1.0, -1.0])) for _ in range(3)])
    return Geometry.from_parts(
        (draw(sizes), draw(sizes), draw(sizes)),
        spacing=(draw(spacings), draw(spacings), draw(spacings)),
        origin=(draw(st.floats(-500, 500)), draw(st.floats(-500, 500)), draw(st.floats(-500, 500))),
        direction=rotation @ flips,
    )


@given(geometries(), st.tuples(st.floats(-3, 9), st.floats(-3, 9), st.floats(-3, 9)))
@settings(max_examples=60, deadline=None)
def test_points_agree_with_simpleitk(geometry: Geometry, kji: tuple[float, float, float]) -> None:
    image = sitk.Image([geometry.shape[2], geometry.shape[1], geometry.shape[0]], sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing[::-1])
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction.flatten().tolist())
    expected = image.TransformContinuousIndexToPhysicalPoint(kji[::-1])
    np.testing.assert_allclose(geometry.to_lps(kji), expected, atol=1e-6)
    np.testing.assert_allclose(geometry.to_index(expected), kji, atol=1e-6)


@given(geometries(), st.permutations(["LR", "PA", "SI"]), st.tuples(*[st.integers(0, 1)] * 3))
@settings(max_examples=60, deadline=None)
def test_reorientation_moves_no_voxel_in_the_patient(
    geometry: Geometry, pairs: list[str], signs: tuple[int, int, int]
) -> None:
    letters = "".join(pair[sign] for pair, sign in zip(pairs, signs, strict=True))
    array = np.arange(np.prod(geometry.shape)).reshape(geometry.shape)
    volume = Volume(array, geometry)
    turned = volume.oriented(letters)
    assert turned.geometry.orientation == letters
    np.testing.assert_array_equal(volume.restore(turned.array, letters), array)
    for kji in np.ndindex(*geometry.shape):
        there = np.rint(turned.geometry.to_index(geometry.to_lps(kji))).astype(int)
        assert turned.array[tuple(there)] == array[kji]


def test_slices_follow_a_flip_and_are_dropped_when_the_slice_axis_changes() -> None:
    geometry = Geometry.from_parts((3, 2, 2))
    slices = tuple(SliceSource(sop_instance_uid=f"1.{k}") for k in range(3))
    volume = Volume(np.zeros((3, 2, 2)), geometry, slices=slices)
    assert [s.sop_instance_uid for s in volume.oriented("LPI").slices] == ["1.2", "1.1", "1.0"]
    assert volume.oriented("SLP").slices == ()


def test_a_sheared_grid_keeps_its_voxel_volume() -> None:
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[1, 2] = 1.5  # gantry tilt: y grows with k
    assert Geometry((2, 2, 2), affine).voxel_volume == pytest.approx(24.0)


def test_crop_keeps_voxels_where_they_are() -> None:
    geometry = Geometry.from_parts((5, 6, 7), spacing=(2, 1, 3), origin=(10, 20, 30))
    cropped = geometry.crop((1, 2, 3), (2, 2, 2))
    np.testing.assert_allclose(cropped.to_lps((1, 1, 1)), geometry.to_lps((2, 3, 4)))


@pytest.mark.parametrize(
    "affine",
    [np.zeros((4, 4)), np.full((4, 4), np.nan), np.ones((4, 4)), np.eye(3)],
    ids=["zero", "nan", "ones", "3x3"],
)
def test_unusable_matrices_are_refused(affine: np.ndarray) -> None:
    with pytest.raises(ImageError):
        Geometry((2, 2, 2), affine)


def test_array_and_geometry_must_fit() -> None:
    with pytest.raises(ImageError, match="does not fit"):
        Volume(np.zeros((2, 2, 2)), Geometry.from_parts((2, 2, 3)))
    with pytest.raises(ImageError, match="slice sources"):
        Volume(np.zeros((2, 2, 2)), Geometry.from_parts((2, 2, 2)), slices=(SliceSource(),))


def test_same_grid_compares_in_millimetres() -> None:
    geometry = Geometry.from_parts((40, 40, 40))
    moved = Geometry.from_parts((40, 40, 40), origin=(0, 0, 0.01))
    assert geometry.same_grid(geometry)
    assert not geometry.same_grid(moved)
    assert geometry.same_grid(moved, tolerance_mm=0.1)
