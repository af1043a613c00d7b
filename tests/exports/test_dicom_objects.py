"""DICOM SEG, SR, key objects and RTSTRUCT: sound for dicom3tools, and read back by other libraries."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy.spatial.transform import Rotation

import radfind
from radfind.errors import InputError, NotSupportedError
from radfind.exports.dicom_common import deidentified, save
from radfind.exports.dicom_rtstruct import structure_set
from radfind.exports.dicom_seg import segmentation_object
from radfind.exports.dicom_sr import key_objects, measurement_report
from radfind.exports.package import write_package
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.language.lexicon import default_lexicon
from radfind.measure import measure
from radfind.phantom import write_dicom
from radfind.results import RankedSlice, Ranking, Segment, Segmentation
from radfind.volume import Geometry, Volume

pytest.importorskip("highdicom", reason="the export extra is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclasses.dataclass
class Written:
    """Everything written for one scan."""

    volume: Volume
    source: Path
    segmentation: Segmentation
    ranking: Ranking
    files: dict[str, Path]


def oblique_ct() -> Volume:
    """Noise on a grid turned about all axes, slices in the order that loading reverses."""
    array = np.random.default_rng(5).integers(-1000, 1000, (22, 40, 48)).astype(np.int16)
    turned = Rotation.from_euler("xyz", [172, 8, -15], degrees=True).as_matrix()
    return Volume(array, Geometry.from_parts(array.shape, spacing=(2.5, 0.9, 0.7), direction=turned), "CT")


def ellipsoids(volume: Volume) -> Segmentation:
    """Two overlapping segments: one coded anatomy with a side, one finding without a code, with a hole in it."""
    lexicon = default_lexicon()
    shape = np.array(volume.geometry.shape)
    unit = (np.indices(volume.geometry.shape).reshape(3, -1).T - (shape - 1) / 2) / shape
    one = (np.linalg.norm((unit - (0.05, 0.1, 0.1)) / (0.3, 0.25, 0.2), axis=1) <= 1).reshape(volume.geometry.shape)
    radius = np.linalg.norm((unit - (-0.1, 0, -0.1)) / (0.25, 0.3, 0.3), axis=1).reshape(volume.geometry.shape)
    two = (radius <= 1) & (radius > 0.4)
    return Segmentation(
        volume.geometry,
        (
            Segment("right upper lobe", one, lexicon.get("right_upper_lobe"), color=(10, 200, 90)),
            Segment("nothing", np.zeros_like(one), lexicon.get("liver")),
            Segment("实性结节 solid nodule", two, lexicon.get("solid_nodule")),
        ),
        engine="builtin",
    )


def write_all(source: Path, folder: Path) -> Written:
    volume = radfind.load(source)
    segmentation = ellipsoids(volume)
    middle = volume.geometry.shape[0] // 2
    ranking = Ranking(
        tuple(RankedSlice(n, middle + d, 1 - n / 10) for n, d in ((1, 0), (2, 1), (3, -1))), np.zeros(middle * 2)
    )
    seg = segmentation_object(segmentation, volume)
    measured = [measure(volume, segment) for segment in segmentation.segments if segment.mask.any()]
    files = {
        "seg": save(seg, folder / "seg.dcm"),
        "sr": save(measurement_report(measured, seg, volume), folder / "sr.dcm"),
        "ko": save(key_objects(ranking, volume, "右肺上叶实性结节"), folder / "ko.dcm"),
        "rt": save(structure_set(segmentation, volume), folder / "rt.dcm"),
    }
    return Written(volume, source, segmentation, ranking, files)


def write_awkward(folder: Path) -> None:
    """What archives really hold: a Chinese character set, values that are none, no frame of reference, feet first."""
    write_dicom(oblique_ct(), folder)
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SpecificCharacterSet, dataset.PatientName = "GB18030", "Wang^XiaoDong=王^小东"
        dataset.PatientAge, dataset.PatientBirthDate, dataset.PatientSex = "45", "1960", "Male"
        dataset.PatientPosition = "FFP"
        for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator", "StudyID", "AccessionNumber", "StudyTime"):
            delattr(dataset, keyword)
        dataset.save_as(file, write_like_original=False)


SOURCES = ["oblique", "awkward", "tiny-dicom", "mr-liver-dicom", "dicom-objects/dcmqi/24x38x3/image"]


@pytest.fixture(scope="module", params=SOURCES)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_data: Callable[[str], Path]
) -> Written:
    folder = tmp_path_factory.mktemp("objects")
    if request.param == "oblique":
        source = folder / "source"
        write_dicom(oblique_ct(), source)
    elif request.param == "awkward":
        source = folder / "source"
        write_awkward(source)
    else:
        name, _, rest = request.param.partition("/")
        source = shared_data(name) / rest
    target = folder / "written"
    target.mkdir()
    return write_all(source, target)


def masks_of(dataset: pydicom.Dataset, volume: Volume) -> dict[int, np.ndarray]:
    """Segment number to mask, from the frames' positions alone."""
    pixels = dataset.pixel_array
    masks = {int(s.SegmentNumber): np.zeros(volume.geometry.shape, bool) for s in dataset.SegmentSequence}
    for frame, group in zip(pixels, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        k, j, i = volume.geometry.to_index(group.PlanePositionSequence[0].ImagePositionPatient)
        assert max(abs(k - round(k)), abs(j), abs(i)) < 1e-3
        masks[number][round(k)] = frame > 0
    return masks


@pytest.mark.parametrize("kind", ["seg", "sr", "ko", "rt"])
def test_dicom3tools_finds_no_error(written: Written, kind: str) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    done = subprocess.run(["dciodvfy", str(written.files[kind])], capture_output=True, text=True)
    errors = [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line]
    assert done.returncode == 0 and not errors, errors


def test_dicom3tools_finds_one_consistent_study(written: Written) -> None:
    if shutil.which("dcentvfy") is None:
        pytest.skip("dcentvfy is not installed (Debian: dicom3tools)")
    sources = [str(s.path) for s in written.volume.slices]
    command = ["dcentvfy", *map(str, written.files.values()), *sources]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    errors = [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line]
    assert not errors


def test_seg_comes_back_voxel_exact(written: Written) -> None:
    import highdicom as hd

    dataset = hd.seg.segread(written.files["seg"])
    truth = [segment.mask for segment in written.segmentation.segments if segment.mask.any()]
    masks = masks_of(dataset, written.volume)
    assert len(masks) == len(truth) == 2
    for number, mask in enumerate(truth, start=1):
        np.testing.assert_array_equal(masks[number], mask)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == pytest.approx(written.volume.geometry.spacing[0])
    used = [k for k in range(written.volume.geometry.shape[0]) if any(m[k].any() for m in truth)]
    uids = [written.volume.sop_instance_uid(k) for k in used]
    read = dataset.get_pixels_by_source_instance(uids, ignore_spatial_locations=False)
    np.testing.assert_array_equal(read.astype(bool), np.stack([m[used] for m in truth], axis=-1))


def test_seg_is_read_by_pydicom_seg(written: Written) -> None:
    reader = pytest.importorskip("pydicom_seg", reason="comes with the server extra")
    result = reader.SegmentReader().read(pydicom.dcmread(written.files["seg"]))
    for number, segment in enumerate((s for s in written.segmentation.segments if s.mask.any()), start=1):
        assert result.segment_data(number).sum() == segment.mask.sum()


def test_segments_are_coded_with_side_and_private_scheme(written: Written) -> None:
    lobe, nodule = pydicom.dcmread(written.files["seg"]).SegmentSequence
    assert lobe.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "SCT"
    assert lobe.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    kind = nodule.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodingSchemeDesignator, kind.CodeValue) == ("99RADFIND", "solid_nodule")
    assert nodule.SegmentLabel == "实性结节 solid nodule"
    assert lobe.TrackingUID != nodule.TrackingUID


def test_report_gives_the_same_numbers_back(written: Written) -> None:
    import highdicom as hd

    report = hd.sr.srread(written.files["sr"])
    groups = report.content.get_volumetric_roi_measurement_groups()
    segments = [s for s in written.segmentation.segments if s.mask.any()]
    assert len(groups) == len(segments)
    seg = pydicom.dcmread(written.files["seg"])
    for group, segment, item in zip(groups, segments, seg.SegmentSequence, strict=True):
        assert group.tracking_uid == item.TrackingUID
        truth = measure(written.volume, segment)
        read = [(m.name.meaning, m.value, m.unit.value) for m in group.get_measurements()]
        assert len(read) == len(truth.quantities)
        for (meaning, value, unit), quantity in zip(read, truth.quantities, strict=True):
            assert meaning == quantity.code.meaning and unit == quantity.unit.value
            assert value == pytest.approx(quantity.value, rel=1e-8)
        assert group.reference_type.meaning == "Referenced Segment"


def test_key_objects_name_the_ranked_slices(written: Written) -> None:
    dataset = pydicom.dcmread(written.files["ko"])
    images = [
        c.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for c in dataset.ContentSequence if c.ValueType == "IMAGE"
    ]
    assert images == [written.volume.sop_instance_uid(item.index) for item in written.ranking.slices]
    assert any("右肺上叶实性结节" in getattr(c, "TextValue", "") for c in dataset.ContentSequence)


def test_contours_fill_to_the_mask(written: Written) -> None:
    from skimage.draw import polygon

    dataset = pydicom.dcmread(written.files["rt"])
    geometry = written.volume.geometry
    truth = [s.mask for s in written.segmentation.segments if s.mask.any()]
    for contours, mask in zip(dataset.ROIContourSequence, truth, strict=True):
        filled = np.zeros(geometry.shape, bool)
        for item in contours.ContourSequence:
            index = geometry.to_index(np.array(item.ContourData, float).reshape(-1, 3))
            k = round(float(index[0, 0]))
            assert written.volume.sop_instance_uid(k) == item.ContourImageSequence[0].ReferencedSOPInstanceUID
            rows, columns = polygon(index[:, 1], index[:, 2], geometry.shape[1:])
            filled[k, rows, columns] ^= True
        assert 2 * (filled & mask).sum() / (filled.sum() + mask.sum()) > 0.999


def test_objects_belong_to_the_source_study(written: Written) -> None:
    source = pydicom.dcmread(written.volume.slices[0].path, stop_before_pixels=True)
    for file in written.files.values():
        dataset = pydicom.dcmread(file)
        assert dataset.StudyInstanceUID == source.StudyInstanceUID
        assert dataset.PatientID == source.get("PatientID", "")
        assert str(dataset.PatientName) == str(source.get("PatientName", ""))
        assert dataset.SeriesInstanceUID != source.SeriesInstanceUID
        assert not [element for element in dataset.iterall() if element.tag.is_private]


def test_deidentified_objects_hold_no_identity(tmp_path: Path) -> None:
    write_dicom(oblique_ct(), tmp_path / "source", patient_name="Zhang^Secret", seed=77)
    volume = radfind.load(tmp_path / "source")
    plain = {
        volume.study_uid,
        volume.series_uid,
        volume.frame_of_reference_uid,
        *(s.sop_instance_uid for s in volume.slices),
    }
    hidden = deidentified(volume, b"key")
    segmentation = ellipsoids(volume)
    first = dataclasses.replace(segmentation.segments[0], prompt="what Mr Secret has")
    segmentation = dataclasses.replace(segmentation, segments=(first, *segmentation.segments[1:]))
    ranking = Ranking((RankedSlice(1, 11, 0.9),), np.zeros(22))
    formats = ["seg", "sr", "ko", "rtstruct", "seg.nrrd", "csv", "fhir", "glb"]
    files = write_package(
        volume, segmentation, tmp_path / "out", formats, ranking=ranking, text="Mr Secret", anonymous_key=b"key"
    )
    assert len(files) == len(formats)
    for file in files:
        content = file.read_bytes()
        assert b"Secret" not in content and b"PHANTOM77" not in content and b"20250101" not in content
        assert b"presentedForm" not in content  # FHIR's, which packs the report's text
        assert not any(str(uid).encode() in content for uid in plain)
        if file.suffix == ".dcm":
            assert pydicom.dcmread(file).PatientIdentityRemoved == "YES"
    again = deidentified(volume, b"key")
    assert again.slices == hidden.slices and again.study_uid == hidden.study_uid
    assert deidentified(volume, b"other").study_uid != hidden.study_uid


def test_a_nifti_cannot_be_the_source() -> None:
    volume = oblique_ct()
    nameless = dataclasses.replace(volume, slices=(), series_uid=None, study_uid=None)
    with pytest.raises(NotSupportedError, match="SOP Instance UIDs"):
        segmentation_object(ellipsoids(nameless), nameless)


def test_an_empty_segmentation_is_refused() -> None:
    volume = oblique_ct()
    empty = Segmentation(volume.geometry, (Segment("x", np.zeros(volume.geometry.shape, bool)),))
    with pytest.raises(InputError, match="no voxel"):
        segmentation_object(empty, volume)


def test_multi_frame_sources(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    written = write_all(shared_data("dicom-objects") / "dcmqi/24x38x3/multiframe", tmp_path)
    masks = masks_of(pydicom.dcmread(written.files["seg"]), written.volume)
    truth = [segment.mask for segment in written.segmentation.segments if segment.mask.any()]
    assert all(np.array_equal(masks[n], mask) for n, mask in enumerate(truth, start=1))
    items = [c for c in pydicom.dcmread(written.files["ko"]).ContentSequence if c.ValueType == "IMAGE"]
    frames = [int(item.ReferencedSOPSequence[0].ReferencedFrameNumber) for item in items]
    assert frames == [written.volume.slices[item.index].frame for item in written.ranking.slices]
    if shutil.which("dciodvfy") is not None:
        done = subprocess.run(["dciodvfy", str(written.files["ko"])], capture_output=True, text=True)
        assert "Error" not in done.stdout + done.stderr


def test_dcmqi_reads_seg_voxel_exact(written: Written, tmp_path: Path) -> None:
    """Its labelmaps hold the used slices only; they are put on the source's grid by position."""
    program = shutil.which("segimage2itkimage", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("dcmqi is not installed (pip install dcmqi)")
    import SimpleITK as sitk

    command = [program, "--inputDICOM", str(written.files["seg"]), "--outputDirectory", str(tmp_path), "-t", "nrrd"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    truth = [segment.mask for segment in written.segmentation.segments if segment.mask.any()]
    found = [np.zeros_like(mask) for mask in truth]
    for file in tmp_path.glob("*.nrrd"):
        image = sitk.ReadImage(str(file))
        for value in (int(v) for v in np.unique(sitk.GetArrayFromImage(image)) if v):
            voxels = np.argwhere(sitk.GetArrayFromImage(image) == value)
            points = np.array([image.TransformIndexToPhysicalPoint([int(n) for n in v[::-1]]) for v in voxels])
            index = written.volume.geometry.to_index(points)
            assert np.abs(index - np.rint(index)).max() < 0.02
            found[value - 1][tuple(np.rint(index).astype(int).T)] = True
    for mask, back in zip(truth, found, strict=True):
        np.testing.assert_array_equal(back, mask)


def test_a_radiograph_gets_no_place_in_the_patient(tmp_path: Path) -> None:
    """Its SEG lies pixel for pixel on it, and states no position, scale or frame of reference it does not have."""
    import highdicom as hd

    flat = Volume(np.zeros((1, 60, 50), np.int16), Geometry.from_parts((1, 60, 50)), "CT")
    (file,) = write_dicom(flat, tmp_path / "source")
    dataset = pydicom.dcmread(file)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    dataset.Modality, dataset.ImagerPixelSpacing = "DX", dataset.PixelSpacing
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness"):
        delattr(dataset, keyword)
    dataset.save_as(file)
    volume = radfind.load(tmp_path / "source")
    mask = np.zeros((1, 60, 50), bool)
    mask[0, 10:30, 10:20] = True
    segmentation = Segmentation(volume.geometry, (Segment("one", mask), Segment("two", np.roll(mask, 5, axis=2))))
    files = write_package(volume, segmentation, tmp_path / "out", ["seg", "sr"])
    seg = hd.seg.segread(files[0])
    stated = {element.keyword for element in seg.iterall()}
    assert not stated & {"ImagePositionPatient", "FrameOfReferenceUID", "SliceThickness", "PixelSpacing"}
    read = seg.get_pixels_by_source_instance([volume.sop_instance_uid(0)], ignore_spatial_locations=True)
    np.testing.assert_array_equal(read[0].astype(bool), np.stack([s.mask[0] for s in segmentation.segments], axis=-1))
    for back, segment in zip(read_segmentation(files[0], volume).segments, segmentation.segments, strict=True):
        np.testing.assert_array_equal(back.mask, segment.mask)
    if shutil.which("dciodvfy") is not None:
        for path in files:
            done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
            assert "Error" not in done.stdout + done.stderr
    for form in ("rtstruct", "seg-labelmap"):
        with pytest.raises(NotSupportedError, match="patient's space"):
            write_package(volume, segmentation, tmp_path / "out", [form])
