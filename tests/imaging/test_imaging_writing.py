"""Labelmaps against SimpleITK, nibabel and 3D Slicer's own reader, voxel by voxel in the patient."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from radfind.errors import ImageError, InputError
from radfind.imaging import load
from radfind.imaging.writing import write_labelmap
from radfind.language.concepts import Concept
from radfind.results import Segment, Segmentation
from radfind.volume import Geometry, Volume

LUNG = Concept("lung", "anatomy", "lung", "肺", code="39607008", meaning="Lung", sided=True)


def a_volume(seed: int, *, sheared: bool = False, backwards: bool = False) -> Volume:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(3, 9, 3))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=seed).as_matrix() * rng.uniform(0.5, 5, 3)
    if sheared:
        affine[:3, 2] += 0.3 * affine[:3, 1]
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    return Volume(np.zeros(shape, np.int16), Geometry(shape, affine), "CT", reversed_k=backwards)


def a_segmentation(volume: Volume, seed: int, count: int = 3) -> Segmentation:
    rng = np.random.default_rng(seed)
    segments = tuple(
        Segment(f"肺 part {n}", rng.random(volume.array.shape) < 0.3, LUNG, (10 * n, 20, 255)) for n in range(count)
    )
    return Segmentation(volume.geometry, segments)


def assert_same_places(labels: npt.NDArray, volume: Volume, image: sitk.Image) -> None:
    assert image.GetSize() == labels.shape[::-1]
    written = sitk.GetArrayFromImage(image)
    for kji in np.ndindex(*labels.shape):
        lps = volume.geometry.to_lps(kji)
        index = np.array(image.TransformPhysicalPointToContinuousIndex(lps.tolist()))
        assert np.abs(index - np.rint(index)).max() < 1e-3
        i, j, k = np.rint(index).astype(int)
        assert written[k, j, i] == labels[kji]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**31), backwards=st.booleans(), suffix=st.sampled_from([".nrrd", ".nii.gz", ".nii", ".mha"])
)
def test_oblique_grids_survive(tmp_path: Path, seed: int, backwards: bool, suffix: str) -> None:
    volume = a_volume(seed, backwards=backwards)
    segmentation = a_segmentation(volume, seed)
    image = sitk.ReadImage(str(write_labelmap(segmentation, tmp_path / f"{suffix[1:3]}{len(suffix)}{suffix}", volume)))
    assert_same_places(segmentation.labelmap(), volume, image)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nibabel_agrees(tmp_path: Path, suffix: str) -> None:
    nibabel = pytest.importorskip("nibabel")
    volume = a_volume(5)
    segmentation = a_segmentation(volume, 5)
    image = nibabel.load(write_labelmap(segmentation, tmp_path / f"x{suffix}", volume))
    ras = np.diag([-1, -1, 1, 1]) @ volume.geometry.affine
    assert np.allclose(image.affine, ras, atol=1e-3)
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), segmentation.labelmap())


@pytest.mark.parametrize("name", ["mr-liver-dicom", "tiny-dicom"])
def test_on_the_grid_that_simpleitk_reads_the_series_on(
    tmp_path: Path, shared_data: Callable[[str], Path], name: str
) -> None:
    folder = shared_data(name)
    volume = load(folder)
    reference = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    mask = volume.array > np.percentile(volume.array, 95)
    path = write_labelmap(Segmentation(volume.geometry, (Segment("bright", mask),)), tmp_path / "x.nrrd", volume)
    written = sitk.ReadImage(str(path))
    assert np.allclose(written.GetOrigin(), reference.GetOrigin(), atol=1e-6)
    assert np.allclose(written.GetDirection(), reference.GetDirection(), atol=1e-9)
    assert np.allclose(written.GetSpacing(), reference.GetSpacing(), atol=1e-9)
    values = sitk.GetArrayFromImage(reference)
    assert np.array_equal(sitk.GetArrayFromImage(written) == 1, values > np.percentile(values, 95))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("letters", ["RAS", "LPI", "RPI", "PIL", "ASR"])
def test_files_come_back_on_their_own_grid(tmp_path: Path, suffix: str, letters: str) -> None:
    """An image file of any axis order is read with k ascending, and its labelmap written as the file is stored."""
    axes = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    values = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6), dtype=np.int16)
    source = sitk.GetImageFromArray(values)
    source.SetDirection(np.array([axes[letter] for letter in letters], float).T.ravel().tolist())
    source.SetSpacing((0.5, 1.5, 2.5))
    source.SetOrigin((11, -22, 33))
    sitk.WriteImage(source, str(tmp_path / f"in{suffix}"))
    volume = load(tmp_path / f"in{suffix}")
    assert volume.geometry.orientation[2] in "SLA"
    path = write_labelmap(
        Segmentation(volume.geometry, (Segment("positive", volume.array > 0),)), tmp_path / f"out{suffix}", volume
    )
    written = sitk.ReadImage(str(path))
    assert np.allclose(written.GetDirection(), source.GetDirection()) and np.allclose(
        written.GetOrigin(), (11, -22, 33)
    )
    assert np.array_equal(sitk.GetArrayFromImage(written) == 1, values > 0)


@pytest.mark.slicer
def slicer_segments(path: Path) -> dict[str, tuple[npt.NDArray, npt.NDArray, str, tuple[float, ...]]]:
    """Name to (mask, RAS affine, terminology, colour), as 3D Slicer's own code reads the file."""
    slicer = pytest.importorskip("slicer")
    vtk = pytest.importorskip("vtk")
    numpy_support = pytest.importorskip("vtk.util.numpy_support")
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    node = logic.LoadSegmentationFromFile(str(path), True)
    assert node is not None
    found = {}
    for n in range(node.GetSegmentation().GetNumberOfSegments()):
        name = node.GetSegmentation().GetNthSegmentID(n)
        segment = node.GetSegmentation().GetSegment(name)
        image = slicer.vtkOrientedImageData()
        node.GetBinaryLabelmapRepresentation(name, image)
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        affine = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
        extent = image.GetExtent()
        scalars = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        mask = scalars.reshape(extent[5] - extent[4] + 1, extent[3] - extent[2] + 1, extent[1] - extent[0] + 1) > 0
        offset = np.eye(4)
        offset[:3, 3] = extent[::2]
        found[segment.GetName()] = (mask, affine @ offset, segment.GetTerminology(), segment.GetColor())
    return found


def test_slicer_reads_overlapping_segments(tmp_path: Path) -> None:
    pytest.importorskip("slicer")
    volume = a_volume(8, backwards=True)
    segmentation = a_segmentation(volume, 8)
    found = slicer_segments(write_labelmap(segmentation, tmp_path / "x.seg.nrrd", volume))
    assert set(found) == {segment.name for segment in segmentation.segments}
    for segment in segmentation.segments:
        mask, affine, terminology, color = found[segment.name]
        theirs = {tuple(np.round((affine @ [i, j, k, 1])[:3], 2)) for k, j, i in np.argwhere(mask)}
        lps = volume.geometry.to_lps(np.argwhere(segment.mask))
        assert theirs == {tuple(np.round(point * (-1, -1, 1), 2)) for point in lps}
        assert "SCT^39607008^Lung" in terminology
        assert np.allclose(color, np.array(segment.color) / 255, atol=1e-3)


def test_seg_nrrd_layers_keep_every_mask(tmp_path: Path) -> None:
    volume = a_volume(9)
    segmentation = a_segmentation(volume, 9)
    image = sitk.ReadImage(str(write_labelmap(segmentation, tmp_path / "x.seg.nrrd", volume)))
    layers = sitk.GetArrayFromImage(image)
    for n, segment in enumerate(segmentation.segments):
        layer, value = (int(image.GetMetaData(f"Segment{n}_{key}")) for key in ("Layer", "LabelValue"))
        assert np.array_equal(layers[..., layer] == value, segment.mask)
        assert image.GetMetaData(f"Segment{n}_Name") == segment.name


def test_sheared_grid_is_kept_by_nrrd_and_refused_by_the_rest(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    volume = a_volume(4, sheared=True)
    segmentation = a_segmentation(volume, 4)
    header = nrrd.read_header(str(write_labelmap(segmentation, tmp_path / "x.nrrd", volume)))
    assert np.allclose(header["space directions"], volume.geometry.affine[:3, :3].T)
    for suffix in (".nii.gz", ".mha"):
        with pytest.raises(InputError, match="right angles"):
            write_labelmap(segmentation, tmp_path / f"x{suffix}", volume)
    assert [path.name for path in tmp_path.iterdir()] == ["x.nrrd"]


def test_refusals_leave_nothing_behind(tmp_path: Path) -> None:
    volume = a_volume(1)
    segmentation = a_segmentation(volume, 1)
    with pytest.raises(InputError, match=r"\.seg\.nrrd"):
        write_labelmap(segmentation, tmp_path / "x.png", volume)
    with pytest.raises(InputError, match="another grid"):
        write_labelmap(segmentation, tmp_path / "x.nrrd", a_volume(2))
    with pytest.raises(InputError, match="cannot be written"):
        write_labelmap(segmentation, tmp_path / "nowhere" / "x.nrrd", volume)
    assert list(tmp_path.iterdir()) == []


def test_nothing_found_is_an_empty_labelmap_and_files_repeat(tmp_path: Path) -> None:
    volume = a_volume(1)
    empty = dataclasses.replace(a_segmentation(volume, 1), segments=())
    for suffix in (".nrrd", ".seg.nrrd", ".nii.gz"):
        first = write_labelmap(empty, tmp_path / f"x{suffix}", volume)
        assert not sitk.GetArrayFromImage(sitk.ReadImage(str(first))).any()
    again = write_labelmap(empty, tmp_path / "y.nrrd", volume)
    assert again.read_bytes() == (tmp_path / "x.nrrd").read_bytes()


def test_a_compressed_nifti_is_not_mistaken_for_its_uncompressed_neighbour(tmp_path: Path) -> None:
    for suffix, value in ((".nii", 1), (".nii.gz", 2)):
        sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 3, 3), value, np.int16)), str(tmp_path / f"ct{suffix}"))
    assert load(tmp_path / "ct.nii").array.max() == 1
    assert load(tmp_path / "ct.nii.gz").array.max() == 2


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_all_nan_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"nan{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 4, 5), np.nan, np.float32)), str(path))
    with pytest.raises(ImageError, match="NaN"):
        load(path)
