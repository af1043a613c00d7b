"""Label map SEGs: frames by position, our reader, and the shape that dcmqi and current highdicom write."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from test_dicom_objects import ellipsoids, oblique_ct

import radfind
from radfind.errors import InputError
from radfind.exports.dicom_seg import write_seg
from radfind.exports.dicom_seg_labelmap import write_labelmap_seg
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.phantom import write_dicom
from radfind.results import Segment, Segmentation
from radfind.volume import Volume

pytest.importorskip("highdicom", reason="the export extra is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    folder = tmp_path_factory.mktemp("labelmap") / "ct"
    write_dicom(oblique_ct(), folder)
    return radfind.load(folder)


def apart(volume: Volume) -> Segmentation:
    """Two segments that do not overlap, and one without voxels."""
    found = ellipsoids(volume)
    one, empty, two = found.segments
    return dataclasses.replace(found, segments=(one, empty, dataclasses.replace(two, mask=two.mask & ~one.mask)))


def test_frames_hold_the_labels_of_their_slices(scan: Volume, tmp_path: Path) -> None:
    segmentation = apart(scan)
    dataset = pydicom.dcmread(write_labelmap_seg(segmentation, scan, tmp_path / "seg.dcm"))
    one, _, two = (s.mask for s in segmentation.segments)
    truth = one * 1 + two * 2
    used = np.flatnonzero(truth.any(axis=(1, 2)))
    assert dataset.SegmentationType == "LABELMAP" and int(dataset.NumberOfFrames) == len(used)
    seen = set()
    for frame, group in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        k = round(float(scan.geometry.to_index(group.PlanePositionSequence[0].ImagePositionPatient)[0]))
        np.testing.assert_array_equal(frame, truth[k])
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == scan.sop_instance_uid(k)
        seen.add(k)
    assert seen == set(used)
    assert dataset.SegmentSequence[0].SegmentNumber == 0


@pytest.mark.parametrize("write", [write_seg, write_labelmap_seg])
def test_segments_come_back_with_codes_and_colours(
    scan: Volume, tmp_path: Path, write: Callable[[Segmentation, Volume, Path], Path]
) -> None:
    segmentation = apart(scan)
    found = read_segmentation(write(segmentation, scan, tmp_path / "seg.dcm"), scan)
    truth = [s for s in segmentation.segments if s.mask.any()]
    assert not found.notes
    for back, segment in zip(found.segments, truth, strict=True):
        np.testing.assert_array_equal(back.mask, segment.mask)
        assert (back.name, back.color, back.concept) == (segment.name, segment.color, segment.concept)


def test_attributes_are_those_other_tools_write(
    scan: Volume, tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    theirs = pydicom.dcmread(shared_data("dicom-objects") / "dcmqi/sparse-labelmap-noppv.dcm")
    ours = pydicom.dcmread(write_labelmap_seg(apart(scan), scan, tmp_path / "seg.dcm"))
    optional = ("ClinicalTrial", "Referring", "PositionReference", "SeriesDate", "SeriesTime")
    missing = {e.keyword for e in theirs if e.keyword and not e.keyword.startswith(optional)} - {
        e.keyword for e in ours
    }
    assert not missing
    for keyword in ("SOPClassUID", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SegmentsOverlap"):
        assert ours[keyword].value == theirs[keyword].value
    groups = [d.PerFrameFunctionalGroupsSequence[0] for d in (ours, theirs)]
    assert {e.keyword for e in groups[0]} == {e.keyword for e in groups[1]}


def test_overlap_is_refused_and_many_segments_take_two_bytes(scan: Volume, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="overlap"):
        write_labelmap_seg(ellipsoids(scan), scan, tmp_path / "seg.dcm")
    masks = [np.zeros(scan.geometry.shape, bool) for _ in range(300)]
    for n, mask in enumerate(masks):
        mask[10, n // 40, n % 40] = True
    segments = tuple(Segment(f"cell {n}", mask) for n, mask in enumerate(masks))
    file = write_labelmap_seg(Segmentation(scan.geometry, segments), scan, tmp_path / "many.dcm")
    back = read_segmentation(file, scan)
    assert len(back.segments) == 300
    assert all(np.array_equal(b.mask, m) for b, m in zip(back.segments, masks, strict=True))
