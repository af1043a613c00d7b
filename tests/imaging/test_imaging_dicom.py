"""DICOM series against pydicom-written files with known geometry, and against SimpleITK's own reading."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_writer import enhanced, image, save, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from radfind.errors import ImageError
from radfind.imaging import list_series, load
from radfind.imaging.cine import frame_rate
from radfind.volume import Geometry, Volume


def sitk_series(folder: Path) -> sitk.Image:
    return sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))


def assert_same_as_sitk(volume: Volume, reference: sitk.Image) -> None:
    """Every voxel of the reference is found at the same place in the patient, with the same value."""
    values = sitk.GetArrayFromImage(reference)
    rng = np.random.default_rng(0)
    for _ in range(200):
        kji = tuple(int(rng.integers(n)) for n in values.shape)
        lps = reference.TransformIndexToPhysicalPoint(kji[::-1])
        mine = volume.geometry.to_index(lps)
        nearest = np.rint(mine).astype(int)
        assert np.abs(mine - nearest).max() < 1e-3
        assert volume.array[tuple(nearest)] == values[kji]


@st.composite
def grids(draw: st.DrawFn) -> Geometry:
    shape = tuple(draw(st.tuples(st.integers(2, 7), st.integers(3, 8), st.integers(3, 8))))
    spacing = tuple(draw(st.tuples(*[st.floats(0.4, 7)] * 3)))
    origin = tuple(draw(st.tuples(*[st.floats(-300, 300)] * 3)))
    rotation = Rotation.random(random_state=draw(st.integers(0, 2**31))).as_matrix()
    return Geometry.from_parts(shape, spacing=spacing, origin=origin, direction=rotation)


@settings(max_examples=25, deadline=None)
@given(grid=grids(), seed=st.integers(0, 2**31))
def test_any_orientation_order_and_names_come_back_sorted(
    tmp_path_factory: pytest.TempPathFactory, grid: Geometry, seed: int
) -> None:
    rng = random.Random(seed)
    stored = np.random.default_rng(seed).integers(-1000, 2000, grid.shape, dtype=np.int16)
    order = rng.sample(range(grid.shape[0]), grid.shape[0])
    names = [f"{rng.randrange(10**9)}{rng.choice(['.dcm', '', '.IMA', '.1'])}" for _ in order]
    folder = tmp_path_factory.mktemp("series")
    written = write_series(folder, stored, grid, order=order, name=lambda n: f"{n % 2}x{names[n]}")
    volume = load(folder)
    assert volume.geometry.orientation[2] in "SLA"
    for k, uid in enumerate(written.uids):
        mine = next(n for n in range(len(volume.slices)) if volume.sop_instance_uid(n) == uid)
        assert volume.slices[mine].path == written.paths[k]
        assert np.array_equal(volume.array[mine], stored[k])
        for corner in ((0, 0), (grid.shape[1] - 1, grid.shape[2] - 1)):
            error = np.abs(volume.geometry.to_lps((mine, *corner)) - grid.to_lps((k, *corner))).max()
            assert error < 1e-3
    # GDCM stacks along row x column; reversed_k says whether that is the other way round.
    reference = sitk_series(folder)
    values = sitk.GetArrayFromImage(reference)
    assert np.array_equal(volume.array[::-1] if volume.reversed_k else volume.array, values)
    assert_same_as_sitk(volume, reference)


@pytest.mark.parametrize("name", ["chest-ct", "tiny-dicom", "mr-liver-dicom"])
def test_shared_series_equal_simpleitk(shared_data: Callable[[str], Path], name: str) -> None:
    folder = shared_data(name)
    volume, reference = load(folder), sitk_series(folder)
    values = sitk.GetArrayFromImage(reference)
    assert np.array_equal(volume.array[::-1] if volume.reversed_k else volume.array, values)
    assert_same_as_sitk(volume, reference)
    assert len({volume.sop_instance_uid(k) for k in range(len(values))}) == len(values)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_syntaxes(tmp_path: Path, syntax: str) -> None:
    stored = np.arange(-60, 60, dtype=np.int16).reshape(2, 6, 10) * 16
    write_series(tmp_path / "s", stored, Geometry.from_parts(stored.shape), syntax=syntax)
    assert np.array_equal(load(tmp_path / "s").array, stored)


def test_rescale_is_per_slice_and_float_where_needed(tmp_path: Path) -> None:
    stored = np.full((2, 4, 4), 1000, np.uint16)
    for k, slope in enumerate((0.5, 2.25)):
        save(
            image(stored[k], position=(0, 0, k), modality="PT", RescaleSlope=slope, RescaleIntercept=0),
            tmp_path / f"{k}",
        )
    volume = load(tmp_path)
    assert volume.array.dtype == np.float32
    assert [float(volume.array[k, 0, 0]) for k in range(2)] == [500.0, 2250.0]


@pytest.mark.parametrize(("signed", "raw", "value"), [(True, 0x0FFF, -1), (False, 0x0FFF, 4095), (True, 0xF7FF, 2047)])
def test_bits_above_bits_stored_are_ignored(tmp_path: Path, signed: bool, raw: int, value: int) -> None:
    stored = np.full((4, 4), raw, np.uint16).view(np.int16 if signed else np.uint16)
    path = save(image(stored, BitsStored=12, HighBit=11), tmp_path / "a.dcm")
    assert load(path).array[0, 0, 0] == value


def test_unsigned_ct_fits_int16_when_its_values_do(tmp_path: Path) -> None:
    stored = np.array([[0, 4095], [1024, 24]], np.uint16)
    volume = load(save(image(stored, RescaleSlope=1, RescaleIntercept=-1024), tmp_path / "a.dcm"))
    assert volume.array.dtype == np.int16
    assert volume.array[0].tolist() == [[-1024, 3071], [0, -1000]]


@pytest.mark.parametrize("written", [-2000, 63536])
def test_padding_value_is_rescaled_and_either_type_is_read(tmp_path: Path, written: int) -> None:
    stored = np.array([[-2000, 24], [1024, 1064]], np.int16)
    dataset = image(stored, RescaleSlope=1, RescaleIntercept=-1024)
    dataset.add_new("PixelPaddingValue", "SS" if written < 0 else "US", written)
    volume = load(save(dataset, tmp_path / "a.dcm"))
    assert volume.padding == -3024
    assert (volume.array == volume.padding).sum() == 1


def test_monochrome1_xray_is_mirrored_and_said_but_ct_is_not(tmp_path: Path) -> None:
    stored = np.array([[0, 255], [10, 100]], np.uint8)
    xray = load(save(image(stored, modality="DX", photometric="MONOCHROME1", position=None), tmp_path / "x.dcm"))
    assert xray.array[0].tolist() == [[255, 0], [245, 155]]
    assert any("MONOCHROME1" in warning for warning in xray.warnings)
    ct = load(save(image(stored, modality="CT", photometric="MONOCHROME1"), tmp_path / "c.dcm"))
    assert ct.array[0].tolist() == stored.tolist()


def test_modality_lut(tmp_path: Path) -> None:
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType = [4, 0, 16], "US"
    lut.add_new("LUTData", "US", [7, 70, 700, 7000])
    dataset = image(np.array([[0, 1], [2, 3]], np.uint8), modality="CR", position=None)
    dataset.ModalityLUTSequence = DicomSequence([lut])
    assert load(save(dataset, tmp_path / "a.dcm")).array[0].tolist() == [[7, 70], [700, 7000]]


def test_enhanced_multiframe_with_per_frame_rescale(tmp_path: Path) -> None:
    rotation = Rotation.from_euler("xyz", [20, 10, 30], degrees=True).as_matrix()
    grid = Geometry.from_parts((3, 4, 5), spacing=(2, 0.7, 0.9), origin=(5, 6, 7), direction=rotation)
    stored = np.random.default_rng(1).integers(0, 3000, grid.shape, dtype=np.int16)
    dataset = enhanced(stored[::-1].copy(), Geometry(grid.shape, _backwards(grid)), slopes=[1, 2, 1])
    volume = load(save(dataset, tmp_path / "e.dcm"))
    assert volume.geometry.same_grid(grid)
    assert np.array_equal(volume.array, stored * np.array([1, 2, 1])[:, None, None] - 1024)
    assert [source.frame for source in volume.slices] == [3, 2, 1]


def _backwards(grid: Geometry) -> np.ndarray:
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_lps((grid.shape[0] - 1, 0, 0))
    affine[:3, 2] *= -1
    return affine


def test_cine_frames_lie_along_k(tmp_path: Path) -> None:
    frames = np.random.default_rng(2).integers(0, 255, (5, 6, 8, 3), dtype=np.uint8)
    dataset = image(frames[0], modality="US", position=None, orientation=None, spacing=None, NumberOfFrames=5)
    dataset.FrameTime = "40"
    dataset.PixelData = frames.tobytes()
    volume = load(save(dataset, tmp_path / "cine.dcm"))
    assert volume.is_color and np.array_equal(volume.array, frames)
    assert any("counts images" in warning for warning in volume.warnings)
    assert not volume.placed
    assert frame_rate(volume) == 25
    assert volume.slices[4].frame == 5


def test_zip_keeps_names_and_refuses_escapes(tmp_path: Path) -> None:
    stored = np.arange(3 * 16, dtype=np.int16).reshape(3, 4, 4)
    written = write_series(tmp_path / "s", stored, Geometry.from_parts(stored.shape))
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as file:
        for path in written.paths:
            file.write(path, f"deep/{path.name}")
    volume = load(tmp_path / "s.zip")
    assert np.array_equal(volume.array, stored)
    assert volume.slices[1].path == tmp_path / "s.zip" / "deep" / "0001.dcm"
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("../../outside.dcm", b"x")
    with pytest.raises(ImageError, match="outside itself"):
        load(tmp_path / "evil.zip")


def test_zip_bomb_is_stopped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.dcm", bytes(200 * 2**20))
    with pytest.raises(ImageError, match="bomb"):
        load(tmp_path / "bomb.zip")


class TestSeriesChoice:
    stored = np.arange(4 * 16, dtype=np.int16).reshape(4, 4, 4)

    def test_two_volumes_are_listed_not_merged(self, tmp_path: Path) -> None:
        grid = Geometry.from_parts(self.stored.shape)
        write_series(tmp_path / "a", self.stored, grid, SeriesDescription="thin", SeriesInstanceUID="1.2.3.21")
        write_series(tmp_path / "b", self.stored + 1, grid, SeriesDescription="thick", SeriesInstanceUID="1.2.3.22")
        with pytest.raises(ImageError, match=r"(?s)thin.*1\.2\.3\.21.*thick.*1\.2\.3\.22"):
            load(tmp_path)
        assert load(tmp_path, series="1.2.3.22").array[0, 0, 0] == 1
        assert {info.uid for info in list_series(tmp_path)} == {"1.2.3.21", "1.2.3.22"}
        with pytest.raises(ImageError, match=r"9\.9"):
            load(tmp_path, series="9.9")

    def test_the_only_volume_is_taken_before_a_scout(self, tmp_path: Path) -> None:
        write_series(tmp_path, self.stored, Geometry.from_parts(self.stored.shape), SeriesInstanceUID="1.2.3.21")
        scout = image(self.stored[0], SeriesInstanceUID="1.2.3.9", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        save(scout, tmp_path / "scout.dcm")
        volume = load(tmp_path)
        assert volume.series_uid == "1.2.3.21"
        assert any("1.2.3.9" in warning for warning in volume.warnings)


class TestIrregular:
    """Repaired only where exact, otherwise refused with the slices named."""

    def positions(self, folder: Path, places: list[tuple[float, float, float]], **attributes: object) -> Path:
        for n, place in enumerate(places):
            save(image(np.full((4, 4), n, np.int16), position=place, **attributes), folder / f"s{n}.dcm")
        return folder

    def test_missing_slice(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"(?s)lacks 2 slices.*s2\.dcm and s3\.dcm"):
            load(self.positions(tmp_path, [(0, 0, z) for z in (0, 2, 4, 10, 12)]))

    def test_irregular_spacing(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="irregular"):
            load(self.positions(tmp_path, [(0, 0, z) for z in (0, 2, 4, 6, 9, 11)]))

    def test_rounded_positions_are_one_spacing(self, tmp_path: Path) -> None:
        volume = load(self.positions(tmp_path, [(0, 0, round(0.625 * n, 1)) for n in range(9)]))
        assert volume.geometry.spacing[0] == pytest.approx(0.625)
        assert any("rounded" in warning for warning in volume.warnings)

    def test_tilt(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"tilted.*15\.0 degrees"):
            load(self.positions(tmp_path, [(0, 3 * n * np.tan(np.radians(15)), 3 * n) for n in range(6)]))

    def test_mixed_orientation_and_size(self, tmp_path: Path) -> None:
        folder = self.positions(tmp_path, [(0, 0, z) for z in range(4)])
        save(image(np.zeros((4, 4), np.int16), position=(9, 0, 0), orientation=(0, 1, 0, 0, 0, -1)), folder / "odd.dcm")
        with pytest.raises(ImageError, match=r"orientations.*odd\.dcm"):
            load(folder)
        save(image(np.zeros((4, 6), np.int16), position=(0, 0, 9)), folder / "odd.dcm")
        with pytest.raises(ImageError, match=r"size.*odd\.dcm"):
            load(folder)

    def test_exact_copies_are_dropped_and_different_images_refused(self, tmp_path: Path) -> None:
        folder = self.positions(tmp_path, [(0, 0, z) for z in range(4)])
        save(image(np.full((4, 4), 2, np.int16), position=(0, 0, 2)), folder / "copy.dcm")
        volume = load(folder)
        assert volume.array[:, 0, 0].tolist() == [0, 1, 2, 3]
        assert any("exact copies" in warning for warning in volume.warnings)
        save(image(np.full((4, 4), 7, np.int16), position=(0, 0, 2), EchoTime=80), folder / "copy.dcm")
        with pytest.raises(ImageError, match="one place"):
            load(folder)

    def test_shared_tilted_series(self, shared_data: Callable[[str], Path]) -> None:
        with pytest.raises(ImageError, match=r"irregular|tilted"):
            load(shared_data("tilted-ct"))

    def test_one_slice_loads_with_a_word(self, tmp_path: Path) -> None:
        volume = load(self.positions(tmp_path, [(0, 0, 0)], SliceThickness=5))
        assert volume.array.shape == (1, 4, 4) and volume.geometry.spacing[0] == 5
        assert any("one slice" in warning for warning in volume.warnings)
