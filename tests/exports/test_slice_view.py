"""Orientation on screen, checked with a marker at a known place in the patient."""

from __future__ import annotations

import base64
import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radfind.exports.slice_view import body_box, close_up, layout, letter_of, picture
from radfind.volume import Geometry, Volume

OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "H": "F", "F": "H"}
# What a radiologist expects at the (left, right, top, bottom) edges, by the patient axis that slices run along.
EXPECTED = {0: ("A", "P", "H", "F"), 1: ("R", "L", "H", "F"), 2: ("R", "L", "A", "P")}
GRIDS = ["".join(g) for g in itertools.product("LR", "PA", "SI")]
GRIDS = ["".join(order) for grid in GRIDS for order in itertools.permutations(grid)]


def grid(axes: str, shape: tuple[int, int, int] = (4, 12, 10)) -> Geometry:
    direction = np.zeros((3, 3))
    for column, letter in enumerate(axes):
        direction["LRPASI".index(letter) // 2, column] = 1 if letter in "LPS" else -1
    return Geometry.from_parts(shape, spacing=(3, 0.8, 0.7), direction=direction, origin=(5, -7, 11))


@pytest.mark.parametrize("axes", GRIDS)
def test_every_grid_is_shown_the_usual_way(axes: str) -> None:
    geometry = grid(axes)
    view = layout(geometry)
    along = "LRPASI".index(axes[2]) // 2
    assert view.letters == EXPECTED[along]
    # Walking right on the display walks towards the right letter in the patient; the same for down.
    index = np.moveaxis(np.indices(geometry.shape[1:]), 0, -1)
    shown = view.apply(index)  # (row, column, (j, i))
    here, right, down = (np.array([1, *shown[p]]) for p in ((0, 0), (0, 1), (1, 0)))
    start = geometry.to_lps(here)
    assert letter_of(geometry.to_lps(right) - start) == view.letters[1]
    assert letter_of(geometry.to_lps(down) - start) == view.letters[3]
    assert np.linalg.norm(geometry.to_lps(right) - start) == pytest.approx(view.pixel_mm[1])
    assert np.linalg.norm(geometry.to_lps(down) - start) == pytest.approx(view.pixel_mm[0])


@given(st.tuples(*[st.floats(-40, 40)] * 3), st.sampled_from(GRIDS))
@settings(max_examples=60, deadline=None)
def test_oblique_edges_name_opposite_directions(degrees: tuple[float, float, float], axes: str) -> None:
    from scipy.spatial.transform import Rotation

    straight = grid(axes)
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    geometry = Geometry.from_parts(straight.shape, spacing=straight.spacing, direction=turn @ straight.direction)
    letters = layout(geometry).letters
    assert letters is not None
    for one, other in ((letters[0], letters[1]), (letters[2], letters[3])):
        assert [OPPOSITE[c] for c in one] == list(other)
    assert letters[0][0] in "RA" or letters[2][0] in "HA"


def test_letters_of_oblique_directions() -> None:
    assert letter_of(np.array([0.9, 0.1, 0.0])) == "L"
    assert letter_of(np.array([0.8, -0.6, 0.0])) == "LA"
    assert letter_of(np.array([0.0, 0.5, -0.86])) == "FP"


def test_images_without_patient_axes_have_no_letters() -> None:
    assert layout(grid("LPS"), "US").letters is None


@pytest.mark.parametrize(("spacing", "scaled"), [((1, 1, 1), False), ((1, 0.2, 0.2), True)])
def test_pictures_show_neither_sides_nor_a_scale_they_do_not_state(
    spacing: tuple[float, float, float], scaled: bool
) -> None:
    """A photograph of an X-ray has axes, but nobody knows which way they run in the patient."""
    array = np.zeros((1, 40, 60), np.int16)
    geometry = Geometry.from_parts(array.shape, spacing=spacing)
    for placed in (True, False):
        shown = picture(Volume(array, geometry, "OT", placed=placed), 0, window=None)
        assert (shown.letters is not None) == placed
        assert (shown.scale_px > 0) == (placed or scaled)


def test_outline_surrounds_the_mask_and_not_more() -> None:
    geometry = Geometry.from_parts((1, 40, 60), spacing=(1, 2.0, 1.0))
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 10:20, 30:45] = True
    volume = Volume(np.zeros((1, 40, 60), np.float32), geometry, "CT")
    shown = picture(volume, 0, window="lung", mask=mask, width=120)
    assert (shown.width, shown.height) == (120, 160)  # square pixels: 60 mm x 80 mm
    numbers = np.array([pair.split() for pair in shown.paths.strip("MZ").split(" L")], float)
    assert np.allclose(numbers.min(axis=0), [60, 40], atol=2) and np.allclose(numbers.max(axis=0), [90, 80], atol=4)
    assert picture(volume, 0, window="lung", mask=~mask & False, width=120).paths == ""


@pytest.mark.parametrize("axes", ["LPS", "RPS", "LAS", "PLS"])
def test_heat_lies_where_the_slice_has_it(axes: str) -> None:
    """A warm cell and a bright voxel block at the same place stay together, however the slice is turned."""
    geometry = grid(axes, (1, 64, 64))
    array = np.full((1, 64, 64), -1000, np.float32)
    array[0, 8:16, 40:48] = 400
    heat = np.zeros((8, 8), np.float32)
    heat[1, 5] = 1
    shown = picture(Volume(array, geometry, "CT"), 0, window="lung", heat=heat, width=128)
    bright, warm = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert(mode))[..., channel]
        for uri, mode, channel in ((shown.uri, "RGB", 0), (shown.heat, "RGBA", 3))
    )
    centres = [np.array(np.nonzero(part > part.max() / 2)).mean(axis=1) for part in (bright, warm)]
    np.testing.assert_allclose(*centres, atol=2)
    assert picture(Volume(array, geometry, "CT"), 0, window="lung", heat=0 * heat).heat == ""


def test_boxes_stay_on_the_image() -> None:
    array = np.full((3, 64, 64), -1000, np.float32)
    array[:, 10:40, 12:50] = 40
    array[:, 55, :] = 500  # a table top
    volume = Volume(array, Geometry.from_parts(array.shape, spacing=(5.0, 3.0, 3.0)), "CT")
    box = body_box(volume)
    assert box.bottom < 55 and box.top <= 10 and box.left <= 12 and box.right >= 50
    mask = np.zeros(array.shape, bool)
    mask[1, 0:3, 0:3] = True
    detail = close_up(volume, mask, 1)
    assert detail is not None and detail.top == 0 and detail.left == 0
    assert close_up(volume, mask, 0) is None
