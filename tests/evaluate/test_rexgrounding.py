"""ReXGroundingCT's files as its card describes them: written here by nibabel, read through RadFind's evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radfind.engines.api import EngineInfo
from radfind.errors import ImageError, InputError
from radfind.evaluate.manifest import read_manifest
from radfind.evaluate.rexgrounding import read_finding
from radfind.evaluate.runner import evaluate
from radfind.imaging import load
from radfind.results import RankedSlice, Ranking, Segment, Segmentation

nib = pytest.importorskip("nibabel")

SHAPE = (24, 20, 10)  # i, j, k as nibabel has them
NAMES = ("train_1_a_1.nii.gz", "train_2_a_1.nii.gz")


def _write(folder: Path, name: str, third_axis: int, ct_folder: Path) -> np.ndarray:
    """A CT of distinct voxels and the masks of two findings (0 in two parts); k grows towards the head (+1) or feet."""
    affine = np.diag([-0.7, -0.7, 1.5 * third_axis, 1.0])
    affine[:3, 3] = (90, 80, -40)
    ct = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    masks = np.zeros((2, *SHAPE), np.uint8)
    masks[0, 3:6, 4:9, 1:3] = 1
    masks[0, 12:15, 10:12, 2] = 2
    masks[1, 18:23, 1:4, 8] = 1
    ct_folder.mkdir(parents=True, exist_ok=True)
    (folder / "segmentations").mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(ct, affine), ct_folder / name)
    nib.save(nib.Nifti1Image(masks, affine), folder / "segmentations" / name)
    return masks


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    findings = {"1": "nodule in the left upper lobe", "0": "two consolidations"}
    entries = [{"name": name, "findings": findings, "shape": list(SHAPE)} for name in (*NAMES, "train_3_a_1.nii.gz")]
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"train": entries, "val": entries, "test": []}))
    return file


@pytest.mark.parametrize("third_axis", [1, -1])
def test_masks_lie_on_the_voxels_of_their_ct(tmp_path: Path, third_axis: int) -> None:
    masks = _write(tmp_path, NAMES[0], third_axis, tmp_path / "ct")
    volume = load(tmp_path / "ct" / NAMES[0], modality="CT")
    assert volume.reversed_k == (third_axis < 0)
    for channel in (0, 1):
        mask = read_finding(tmp_path / "segmentations" / NAMES[0], channel, volume)
        # Every CT voxel has a number of its own: the same ones must be marked whatever order they are held in.
        numbers = np.flatnonzero(masks[channel])
        np.testing.assert_array_equal(np.sort(volume.array[mask]), numbers)


def test_the_list_becomes_cases_of_what_is_here(listed: Path, tmp_path: Path) -> None:
    for name in NAMES:  # CT-RATE's own folders
        _write(tmp_path, name, 1, tmp_path / "ct" / "dataset" / "train_fixed" / name[:7] / name[:9])
    manifest = read_manifest(listed, images=tmp_path / "ct")
    assert manifest.notes == ("2 of the 3 scans of the split 'val' are here",)
    assert len(manifest.cases) == 8
    first, second = manifest.cases[:2]
    assert (first.task, first.text, first.channel, first.modality) == ("rank", "nodule in the left upper lobe", 1, "CT")
    assert (second.task, second.image.name, second.truth) == (
        "segment",
        NAMES[0],
        tmp_path / "segmentations" / NAMES[0],
    )
    assert read_manifest(listed) == manifest, "the CTs may lie anywhere below the list"
    assert "at most three parts" in read_manifest(listed, split="train").notes[1]


class _Knowing:
    """Ranks slices 2, 8, 1 and outlines what the words say."""

    def info(self) -> EngineInfo:
        return EngineInfo("knowing", ("rank", "segment"), ("CT",), ("TextPrompt",), None, "Apache-2.0")

    def rank(self, volume: Any, prompt: Any, **options: Any) -> Ranking:
        ranked = tuple(RankedSlice(n, k, 0.5) for n, k in enumerate((2, 8, 1), 1))
        return Ranking(ranked, np.zeros(volume.geometry.shape[0]))

    def segment(self, volume: Any, prompts: Any, **options: Any) -> Segmentation:
        mask = np.zeros(volume.geometry.shape, bool)
        if "nodule" in prompts[0].text:
            mask[8, 1:4, 18:23] = True
        return Segmentation(volume.geometry, (Segment("x", mask),))


def test_a_slice_is_positive_where_the_mask_meets_it(listed: Path, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    _write(tmp_path, NAMES[0], 1, tmp_path)
    manifest = read_manifest(listed)
    made = evaluate(manifest.cases, ["it"], notes=manifest.notes, find={"it": _Knowing()}.__getitem__)
    rank, segment = made.summaries
    # "two consolidations" are on slices 1 and 2, the nodule on slice 8.
    assert rank.figures["top-1"].value == 0.5
    assert rank.figures["top-3 recall"].value == 1
    assert rank.figures["reciprocal rank"].value == 0.75
    assert segment.figures["dice"].value == 0.5
    assert [one.count for one in segment.recall_by_size.values()] == [3]
    assert made.notes == ("1 of the 3 scans of the split 'val' are here",)


def test_what_is_missing_or_does_not_fit_is_named(listed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"None of the 3 scans .* --images"):
        read_manifest(listed)
    with pytest.raises(InputError, match=r"has no split 'valid'; it has train, val, test"):
        read_manifest(listed, split="valid")
    listed.write_text(json.dumps({"val": [{"name": "a.nii.gz", "findings": ["words"]}]}))
    with pytest.raises(InputError, match=r"entry 1: expected \"name\" and \"findings\""):
        read_manifest(listed)
    _write(tmp_path, NAMES[0], 1, tmp_path)
    volume = load(tmp_path / NAMES[0], modality="CT")
    with pytest.raises(ImageError, match=r"expected findings \(more than 2\) x 24 x 20 x 10"):
        read_finding(tmp_path / "segmentations" / NAMES[0], 2, volume)
    with pytest.raises(ImageError, match=r"of 24 x 20 x 10; expected findings"):
        read_finding(tmp_path / NAMES[0], 0, volume)
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / NAMES[0]).read_bytes()[:100])
    with pytest.raises(ImageError, match="cannot be read"):
        read_finding(tmp_path / "cut.nii.gz", 0, volume)
