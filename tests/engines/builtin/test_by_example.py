"""Structures brought from annotated cases onto deformed, cut and foreign scans, against their labels."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

import radfind
from radfind.engines.api import Context
from radfind.engines.builtin.by_example.appearance import settled
from radfind.engines.builtin.by_example.examples import ByExample
from radfind.engines.builtin.by_example.grids import best_shift, dependence
from radfind.engines.builtin.by_example.registration import installed
from radfind.errors import PromptError
from radfind.prompts import ExemplarPrompt
from radfind.results import Segmentation
from radfind.volume import Geometry, Volume

ORGANS = ("liver", "spleen", "kidney_left", "kidney_right", "urinary_bladder")


def bring(target: Volume, *examples: ExemplarPrompt, with_: ByExample | None = None) -> Segmentation:
    return (with_ or ByExample()).segment(target, examples, context=Context(), engine="test")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_dependence_is_one_for_any_function_and_none_for_noise() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 24, 20_000).astype(float)
    assert dependence(np.cos(values), values) == pytest.approx(1.0, abs=1e-6)
    assert dependence(rng.normal(size=values.size), values) < 0.01
    assert dependence(values[:10], values[:10]) == 0.0


def test_scans_of_different_extent_are_laid_on_one_another() -> None:
    rng = np.random.default_rng(2)
    whole = ndimage.gaussian_filter(rng.normal(size=(60, 30, 30)), 3).astype(np.float32)
    long, part = sitk.GetImageFromArray(whole), sitk.GetImageFromArray(whole[35:])
    for image in (long, part):
        image.SetSpacing((9.0, 9.0, 9.0))
    shift = best_shift(part, long)
    assert shift[2] == pytest.approx(-35 * 9.0, abs=9.0)
    assert np.abs(shift[:2]).max() <= 20


def test_wrong_examples_are_named() -> None:
    volume = Volume(np.zeros((5, 6, 7), np.float32), Geometry.from_parts((5, 6, 7)))
    with pytest.raises(PromptError, match="'liver' is empty"):
        bring(volume, ExemplarPrompt(volume, np.zeros((5, 6, 7), bool), "liver"))
    with pytest.raises(PromptError, match="'liver' has"):
        bring(volume, ExemplarPrompt(volume, np.ones((2, 2, 2), bool), "liver"))


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> np.ndarray:
    grid = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) < radius**2


@pytest.mark.parametrize("level", [-0.6, 0.6])
def test_densities_settle_a_structure_brought_to_the_wrong_place(level: float) -> None:
    shape, spacing = (24, 40, 40), (3.0, 3.0, 3.0)
    truth = ball(shape, (12, 20, 22), 8)
    values = np.random.default_rng(5).normal(0, 0.2, shape).astype(np.float32) + np.float32(level) * truth
    brought = ndimage.gaussian_filter(ball(shape, (13, 22, 18), 9).astype(np.float32), 1.0)
    before, after = dice(brought > 0.5, truth), dice(settled(values, brought, spacing) > 0.5, truth)
    assert before < 0.75
    assert after > 0.93


def test_densities_that_say_nothing_leave_a_structure_where_it_was_brought() -> None:
    shape = (24, 40, 40)
    values = np.random.default_rng(6).normal(0, 0.2, shape).astype(np.float32)
    brought = ball(shape, (12, 20, 22), 8)
    assert dice(settled(values, brought.astype(np.float32), (3.0, 3.0, 3.0)) > 0.5, brought) > 0.9


def labelled(folder: Path, image: str) -> tuple[Volume, np.ndarray, dict[str, int]]:
    names = {name: int(value) for value, name in json.loads((folder / "labels.json").read_text()).items()}
    return radfind.load(folder / image), radfind.load(folder / "labels.nii.gz").array, names


def deformed(volume: Volume, labels: np.ndarray) -> tuple[Volume, np.ndarray]:
    """Bent by up to about 20 mm and noisy: another scan of a patient much like the first."""
    rng = np.random.default_rng(3)
    grid = np.meshgrid(*[np.arange(n) for n in labels.shape], indexing="ij")
    zoom = np.array(labels.shape) / 5
    where = [g + 2.2 * ndimage.zoom(rng.normal(size=(5, 5, 5)), zoom, order=3) for g in grid]
    array = ndimage.map_coordinates(volume.array.astype(np.float32), where, order=1, mode="nearest")
    array += rng.normal(0, 25, array.shape)
    bent = ndimage.map_coordinates(labels, where, order=0, mode="nearest")
    return dataclasses.replace(volume, array=array.astype(np.float32), slices=()), bent


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_organs_on_a_deformed_copy(shared_data: Callable[[str], Path]) -> None:
    pytest.importorskip("itk", reason="the examples extra is not installed")
    volume, labels, names = labelled(shared_data("abdomen-ct"), "ct.nii.gz")
    target, truth = deformed(volume, labels)
    found = bring(target, *[ExemplarPrompt(volume, labels == names[name], name) for name in ORGANS])
    scores = {s.name: dice(s.mask, truth == names[s.name]) for s in found.segments}
    assert set(scores) == set(ORGANS)
    assert np.mean(list(scores.values())) >= 0.9, scores


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_liver_of_another_patient_and_modality(shared_data: Callable[[str], Path]) -> None:
    pytest.importorskip("itk", reason="the examples extra is not installed")
    source, labels, names = labelled(shared_data("abdomen-ct"), "ct.nii.gz")
    target, truth, theirs = labelled(shared_data("abdomen-mr"), "mr.nii.gz")
    found = bring(target, ExemplarPrompt(source, labels == names["liver"], "liver"))
    (segment,) = found.segments
    assert dice(segment.mask, truth == theirs["liver"]) >= 0.75
    assert segment.evidence[0].values["likeness"] < 0.5  # said, not hidden


def test_a_scan_without_the_structure_is_no_match(shared_data: Callable[[str], Path]) -> None:
    if not installed():
        pytest.skip("the examples extra is not installed")
    volume, labels, names = labelled(shared_data("abdomen-ct"), "ct.nii.gz")
    bladder = labels == names["urinary_bladder"]
    cut = labels.shape[0] // 2
    assert not bladder[cut:].any()
    array = volume.array[cut:]
    top = dataclasses.replace(volume, array=array, geometry=volume.geometry.crop((cut, 0, 0), array.shape), slices=())
    found = bring(top, ExemplarPrompt(volume, bladder, "bladder"))
    assert not found.segments
    assert "no match" in found.not_found[0]
