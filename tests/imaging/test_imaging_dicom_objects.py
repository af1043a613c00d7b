"""SEG and RTSTRUCT of other tools (dcmqi, highdicom, rt-utils, a planning system) on the grid of their image."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from scipy.ndimage import binary_fill_holes
from scipy.spatial.transform import Rotation

import radfind
from radfind.errors import ImageError, NotSupportedError
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.phantom import write_dicom
from radfind.results import Segmentation
from radfind.volume import Geometry, Volume

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def objects(shared_data: Callable[[str], Path]) -> Path:
    return shared_data("dicom-objects")


def by_position(file: Path, volume: Volume) -> np.ndarray:
    """A labelmap file's values at the voxels of `volume`, looked up by SimpleITK at their positions."""
    labels = sitk.ReadImage(str(file))
    image = sitk.GetImageFromArray(np.zeros(volume.geometry.shape, np.uint8))
    image.SetSpacing(volume.geometry.spacing[::-1])
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction.ravel().tolist())
    return sitk.GetArrayFromImage(sitk.Resample(labels, image, sitk.Transform(), sitk.sitkNearestNeighbor))


@pytest.mark.parametrize(
    ("scan", "seg", "truth"),
    [
        ("24x38x3/image", "24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"),
        ("24x38x3/multiframe", "24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"),
        ("23x38x3/image", "23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd"),  # frames end within a byte
        ("ct-3slice", "liver.dcm", "liver_seg.nrrd"),
        ("24x38x3/image", "sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd"),
        ("24x38x3/image", "sparse-labelmap-ppv5.dcm", "sparse_labelmap_ppv5_seg.nrrd"),
    ],
)
def test_seg_of_dcmqi_comes_in_voxel_exact(objects: Path, scan: str, seg: str, truth: str) -> None:
    volume = radfind.load(objects / "dcmqi" / scan)
    (segment,) = read_segmentation(objects / "dcmqi" / seg, volume).segments
    np.testing.assert_array_equal(segment.mask, by_position(objects / "dcmqi" / truth, volume) == 1)
    assert segment.name == "Liver" and segment.concept is not None and segment.concept.id == "liver"


def test_overlapping_segments_of_dcmqi_stay_whole(objects: Path) -> None:
    volume = radfind.load(objects / "dcmqi/ct-3slice")
    found = read_segmentation(objects / "dcmqi/partial_overlaps.dcm", volume)
    truth: dict[int, np.ndarray] = {}
    for number in (1, 2, 3):
        labels = by_position(objects / f"dcmqi/partial_overlaps-{number}.nrrd", volume)
        truth |= {int(value): labels == value for value in np.unique(labels) if value}
    assert [s.name for s in found.segments] == ["GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE"]
    for value, segment in enumerate(found.segments, start=1):
        np.testing.assert_array_equal(segment.mask, truth[value])
    assert found.segments[2].concept is not None and found.segments[2].concept.code == "20982000"  # capillary


def test_seg_of_highdicom(objects: Path) -> None:
    import highdicom as hd

    folder = objects / "highdicom"
    volume = radfind.load(folder / "ct_image.dcm")
    found = read_segmentation(folder / "seg_image_ct_binary_single_frame.dcm", volume)
    pixels = hd.seg.segread(folder / "seg_image_ct_binary_single_frame.dcm").pixel_array
    np.testing.assert_array_equal(found.segments[0].mask[0], pixels.astype(bool))
    assert found.segments[0].concept is not None and found.segments[0].concept.id == "bone"
    with pytest.raises(ImageError, match="was made on series"):
        read_segmentation(folder / "seg_image_ct_binary.dcm", volume)
    with pytest.raises(NotSupportedError, match="slide"):
        read_segmentation(folder / "seg_image_sm_control_labelmap.dcm", volume)


@pytest.mark.parametrize("name", ["binary", "binary_fractional", "true_fractional"])
def test_kinds_of_seg_of_highdicom(objects: Path, name: str) -> None:
    """Their CT is not among the files; one is made up where their frames lie."""
    import highdicom as hd

    file = objects / "highdicom" / f"seg_image_ct_{name}.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = hd.seg.segread(file)
    groups = dataset.PerFrameFunctionalGroupsSequence
    shared = dataset.SharedFunctionalGroupsSequence[0]
    places = sorted(
        {tuple(map(float, g.PlanePositionSequence[0].ImagePositionPatient)) for g in groups}, key=lambda p: p[2]
    )
    spacing = float(shared.PixelMeasuresSequence[0].PixelSpacing[0])
    step = places[1][2] - places[0][2]
    shape = (len(places), dataset.Rows, dataset.Columns)
    geometry = Geometry.from_parts(shape, spacing=(step, spacing, spacing), origin=places[0])
    found = read_segmentation(file, Volume(np.zeros(shape, np.int16), geometry, "CT"))
    most = float(dataset.get("MaximumFractionalValue", 1))
    truth = {int(s.SegmentNumber): np.zeros(shape, bool) for s in dataset.SegmentSequence}
    for frame, group in zip(dataset.pixel_array, groups, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        position = tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient))
        truth[number][places.index(position)] = frame >= most / 2
    assert len(found.segments) == len(truth)
    for segment, mask in zip(found.segments, truth.values(), strict=True):
        np.testing.assert_array_equal(segment.mask, mask)
    assert any("fractions" in note for note in found.notes) == ("fractional" in name)


@pytest.mark.parametrize("letters", ["LPS", "RAS", "LAI", "SRP", "AIL"])
def test_frames_fall_into_place_whatever_the_axes(tmp_path: Path, letters: str) -> None:
    """A SEG read onto the same voxels with their axes flipped and exchanged, and onto a crop of them."""
    from radfind.exports.dicom_seg import write_seg
    from radfind.results import Segment

    turned = Rotation.from_euler("xyz", [12, -8, 20], degrees=True).as_matrix()
    geometry = Geometry.from_parts((9, 14, 11), spacing=(2.5, 0.9, 0.7), direction=turned, origin=(5, -3, 40))
    write_dicom(Volume(np.zeros((9, 14, 11), np.int16), geometry, "CT"), tmp_path / "ct")
    volume = radfind.load(tmp_path / "ct")
    mask = np.random.default_rng(1).random(volume.geometry.shape) < 0.2
    file = write_seg(Segmentation(volume.geometry, (Segment("left kidney", mask),)), volume, tmp_path / "seg.dcm")
    bare = dataclasses.replace(volume, slices=(), series_uid=None)  # only positions are left to go by
    other = bare.oriented(letters)
    expected = dataclasses.replace(bare, array=mask.astype(np.uint8)).oriented(letters).array
    (segment,) = read_segmentation(file, other).segments
    np.testing.assert_array_equal(segment.mask, expected.astype(bool))
    part = Volume(np.zeros((4, 6, 5), np.int16), volume.geometry.crop((3, 5, 2), (4, 6, 5)), "CT")
    found = read_segmentation(file, part)
    assert found.segments[0].name == "left kidney (part)" and any("beyond" in note for note in found.notes)
    np.testing.assert_array_equal(found.segments[0].mask, mask[3:7, 5:11, 2:7])
    shifted = Geometry(geometry.shape, volume.geometry.affine + np.pad([[0.3], [0], [0]], ((0, 1), (3, 0))))
    with pytest.raises(ImageError, match="another grid"):
        read_segmentation(file, Volume(np.zeros(shifted.shape, np.int16), shifted, "CT"))


def test_a_cut_off_seg_is_refused(objects: Path, tmp_path: Path) -> None:
    volume = radfind.load(objects / "dcmqi/24x38x3/image")
    dataset = pydicom.dcmread(objects / "dcmqi/24x38x3/seg/label.seg")
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2 // 2 * 2]
    dataset.save_as(tmp_path / "cut.dcm")
    with pytest.raises(ImageError, match="cut off"):
        read_segmentation(tmp_path / "cut.dcm", volume)
    (tmp_path / "header.dcm").write_bytes((objects / "dcmqi/24x38x3/seg/label.seg").read_bytes()[:900])
    with pytest.raises(ImageError):
        read_segmentation(tmp_path / "header.dcm", volume)


# --- RTSTRUCT


def test_contours_of_rt_utils(objects: Path) -> None:
    """A square with a hole, both contours in one slice; areas by the shoelace formula."""
    folder = objects / "rt-utils/mock_data"
    volume = radfind.load([folder / "ct_1.dcm", folder / "ct_2.dcm"])
    found = read_segmentation(folder / "rt.dcm", volume)
    (contours,) = pydicom.dcmread(folder / "rt.dcm").ROIContourSequence
    areas, perimeter = [], 0.0
    for item in contours.ContourSequence:
        x, y, _ = np.array(item.ContourData, float).reshape(-1, 3).T
        areas.append(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
        perimeter += float(np.hypot(np.diff(x, append=x[0]), np.diff(y, append=y[0])).sum())
    pixel = volume.geometry.spacing[1]
    inside = found.segments[0].mask.sum() * pixel**2
    assert inside == pytest.approx(areas[0] - areas[1], abs=perimeter * pixel / 2)
    assert found.segments[0].name == "ROI-1"
    for name in ("invalid_reference_rt.dcm", "non_existent_reference_rt.dcm"):
        names = [s.name for s in read_segmentation(folder / name, volume).segments]
        assert names == [f"ROI-{n} (part)" for n in (1, 2, 3, 4)]  # drawn on slices that are not among the files


def test_contours_of_a_planning_system(objects: Path) -> None:
    """One slice of a breast plan: the skin it outlines is the skin of the CT."""
    folder = objects / "dicompyler/example_data"
    volume = radfind.load(folder / "ct.0.dcm")
    found = read_segmentation(folder / "rtss.dcm", volume)
    assert [s.name for s in found.segments] == ["BODY (part)"]
    assert any("Heart" in note for note in found.notes)
    body = binary_fill_holes(volume.array[0] > -300)
    assert 2 * (body & found.segments[0].mask[0]).sum() / (body.sum() + found.segments[0].mask.sum()) > 0.95
    with pytest.raises(NotSupportedError, match="RT Plan"):
        read_segmentation(folder / "rtplan.dcm", volume)


def structure_set(volume: Volume, contours: dict[str, list[np.ndarray]], *, frame: str = "1.2.9") -> Dataset:
    """The least a structure set needs: points in LPS mm by region."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = (
        "1.2.840.10008.5.1.4.1.1.481.3",
        "1.2.3.4",
        "RTSTRUCT",
    )
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(), Sequence()
    for number, (name, rings) in enumerate(contours.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        drawn.ReferencedROINumber, drawn.ROIDisplayColor, drawn.ContourSequence = number, [10, 20, 30], Sequence()
        for ring in rings:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(ring)
            item.ContourData = [f"{v:.4f}" for v in ring.ravel()]
            drawn.ContourSequence.append(item)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    return dataset


def circle(geometry: Geometry, k: float, radius: float) -> np.ndarray:
    """In the plane of slice k, about the grid's middle, LPS mm."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    middle = geometry.to_lps((k, (geometry.shape[1] - 1) / 2, (geometry.shape[2] - 1) / 2))
    i, j = geometry.direction[:, 0], geometry.direction[:, 1]
    points: np.ndarray = middle + radius * (np.cos(angle)[:, None] * i + np.sin(angle)[:, None] * j)
    return points


@pytest.mark.parametrize("seed", range(4))
def test_circles_and_holes_on_an_oblique_grid(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    turned = Rotation.from_euler("xyz", rng.uniform(-30, 30, 3), degrees=True).as_matrix()
    spacing = (float(rng.uniform(2, 4)), float(rng.uniform(0.5, 1)), float(rng.uniform(0.5, 1)))
    geometry = Geometry.from_parts((6, 80, 90), spacing=spacing, direction=turned, origin=rng.uniform(-99, 99, 3))
    volume = Volume(np.zeros(geometry.shape, np.int16), geometry, "CT")
    outer, inner = circle(geometry, 2, 18.0), circle(geometry, 2, 9.0)
    keyhole = np.concatenate([outer, outer[:1], inner[::-1][-1:], inner[::-1], outer[:1]])
    file = tmp_path / "rt.dcm"
    rings = {
        "disc": [outer], "hole": [outer, inner], "keyhole": [keyhole],
        "gap": [circle(geometry, 1, 9.0), circle(geometry, 3, 9.0)],
        "between": [circle(geometry, 2.5, 9.0)], "cut": [outer, circle(geometry, 8, 9.0)],
        "away": [circle(geometry, 8, 9.0)],
    }  # fmt: skip
    pydicom.dcmwrite(file, structure_set(volume, rings), write_like_original=False)
    found = read_segmentation(file, volume)
    masks = {s.name: s.mask for s in found.segments}
    pixel = spacing[1] * spacing[2]
    edge = 2 * np.pi * 27.0 * np.hypot(*spacing[1:]) / 4  # area that a voxel's size leaves open, generously
    assert masks["disc"][2].sum() * pixel == pytest.approx(np.pi * 18.0**2, abs=edge)
    for name in ("hole", "keyhole"):
        assert masks[name][2].sum() * pixel == pytest.approx(np.pi * (18.0**2 - 9.0**2), abs=edge)
    assert (masks["hole"] ^ masks["keyhole"]).sum() * pixel < edge
    points = geometry.to_lps(np.argwhere(masks["disc"]))
    assert np.linalg.norm(points - outer.mean(axis=0), axis=1).max() < 18.0 + np.hypot(*spacing[1:]) / 2
    assert "cut (part)" in masks and "away" not in masks and not masks["gap"][2].any()
    assert any("every slice" in note and "gap" in note for note in found.notes)
    assert [line.split(":")[0] for line in found.not_supported] == ["between"]


def test_a_structure_set_of_another_patient_is_refused(tmp_path: Path) -> None:
    geometry = Geometry.from_parts((4, 20, 20))
    write_dicom(Volume(np.zeros(geometry.shape, np.int16), geometry, "CT"), tmp_path / "ct")
    volume = radfind.load(tmp_path / "ct")
    file = tmp_path / "rt.dcm"
    rings = {"disc": [circle(volume.geometry, 2, 5.0)]}
    pydicom.dcmwrite(file, structure_set(volume, rings, frame="1.2.9"), write_like_original=False)
    with pytest.raises(ImageError, match="another frame of reference"):
        read_segmentation(file, volume)
    own = structure_set(volume, rings, frame=str(volume.frame_of_reference_uid))
    pydicom.dcmwrite(file, own, write_like_original=False)
    found = read_segmentation(file, volume)
    assert found.segments[0].color == (10, 20, 30) and "same frame of reference" in found.notes[0]
    own.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2", "3", "4"]
    pydicom.dcmwrite(file, own, write_like_original=False)
    with pytest.raises(ImageError, match="list of points"):
        read_segmentation(file, volume)
