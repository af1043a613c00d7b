"""Evaluation: every figure against a hand-computed or independent value, and a whole run with stand-in engines."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.stats import binomtest

from radfind.engines.api import EngineInfo
from radfind.errors import EngineError, InputError, NotSupportedError
from radfind.evaluate import rendering, statistics
from radfind.evaluate.manifest import read_manifest
from radfind.evaluate.masks import score_mask
from radfind.evaluate.runner import evaluate
from radfind.language.findings import Span
from radfind.results import RankedSlice, Ranking, Segment, Segmentation, Verdict


def test_ranking_figures_by_hand() -> None:
    ranked, positive = [7, 3, 9, 4], {3, 4, 5, 6}
    assert statistics.hit(ranked, positive, 1) == 0
    assert statistics.hit(ranked, positive, 3) == 1
    assert statistics.recall(ranked, positive, 3) == pytest.approx(1 / 3)
    assert statistics.recall([3], {3}, 3) == 1
    assert statistics.reciprocal_rank(ranked, positive) == 0.5
    assert statistics.reciprocal_rank([1, 2], positive) == 0


def test_the_bootstrap_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        made = statistics.figure(rng.normal(0.5, 0.2, 40), rounds=150, seed=seed)
        assert made is not None
        covered += made.low <= 0.5 <= made.high
    assert 0.88 <= covered / 200 <= 0.99
    assert statistics.figure([float("nan")]) is None


@pytest.mark.parametrize(("hits", "count"), [(1, 1), (0, 3), (5, 5), (7, 10), (80, 100)])
def test_the_interval_of_a_share_is_wilsons(hits: int, count: int) -> None:
    made = statistics.figure([1.0] * hits + [0.0] * (count - hits))
    expected = binomtest(hits, count).proportion_ci(method="wilson")
    assert made is not None
    assert (made.value, made.count) == (hits / count, count)
    assert (made.low, made.high) == (pytest.approx(expected.low, abs=1e-6), pytest.approx(expected.high, abs=1e-6))


def test_one_case_has_no_bootstrap_interval() -> None:
    made = statistics.figure([0.3])
    assert made is not None and made.value == 0.3 and np.isnan(made.low)


def test_calibration_by_hand() -> None:
    error, bins = statistics.calibration([0.9, 0.9, 0.9, 0.9, 0.55, 0.55], [True, True, True, False, True, False])
    assert error == pytest.approx((4 * 0.15 + 2 * 0.05) / 6)
    assert bins == [(pytest.approx(0.55), 0.5, 2), (pytest.approx(0.9), 0.75, 4)]
    error, bins = statistics.calibration([], [])
    assert np.isnan(error) and bins == []


def test_confusion_counts_every_pair() -> None:
    table = statistics.confusion(["yes", "yes", "no"], ["yes", "maybe", "yes"])
    assert table["yes"] == {"yes": 1, "no": 0, "maybe": 1}
    assert table["no"]["yes"] == 1


def test_mask_figures_against_simpleitk_and_known_shifts() -> None:
    pytest.importorskip("monai")
    truth, mask = np.zeros((2, 20, 40, 40), bool)
    truth[5:15, 10:30, 10:30] = True
    mask[5:15, 13:33, 10:30] = True
    made = score_mask(mask, truth, (2.0, 1.0, 1.0))
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk.GetImageFromArray(truth.astype(np.uint8)), sitk.GetImageFromArray(mask.astype(np.uint8)))
    assert made.dice == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-6)
    assert made.hd95_mm == pytest.approx(3.0)
    assert 0 < made.nsd < 1
    assert score_mask(truth, truth, (2.0, 1.0, 1.0)).nsd == 1
    ((diameter, found),) = made.lesions
    assert found
    assert diameter == pytest.approx((6 * truth.sum() * 2 / np.pi) ** (1 / 3))


def test_empty_masks_are_told_apart() -> None:
    empty, full = np.zeros((2, 4, 4, 4), bool)
    full[1:3, 1:3, 1:3] = True
    assert score_mask(empty, full, (1, 1, 1)).dice == 0
    assert score_mask(full, empty, (1, 1, 1)).dice == 0
    assert score_mask(empty, empty, (1, 1, 1)).dice == 1
    assert score_mask(empty, full, (1, 1, 1)).lesions[0][1] is False


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "holds no list"),
        ([{"task": "guess", "image": "a", "text": "b"}], "must be rank, verify or segment"),
        ([{"task": "rank", "image": "a", "text": "b"}], "needs image, text and truth or slices"),
        ([{"task": "verify", "image": "a", "text": "b", "answer": "perhaps"}], "must be yes, no or maybe"),
        ([{"task": "rank", "image": "a", "text": "b", "slices": "1;x"}], "whole numbers"),
        ([{"task": "rank", "image": "a", "text": "b", "slice": "1"}], "unknown slice"),
        ([{"task": "rank", "image": "ct", "text": "b", "slices": "1"}], r"case 1: the image .*ct does not exist"),
        ([{"task": "segment", "image": "a", "text": "b", "truth": "t"}], r"the truth .*t does not exist"),
    ],
)
def test_a_wrong_manifest_says_where(tmp_path: Path, rows: Any, words: str) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "m.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=words):
        read_manifest(tmp_path / "m.json")


class _Oracle:
    """Answers by brightness: right on every case below."""

    tasks: tuple[str, ...] = ("rank", "verify", "segment")

    def info(self) -> EngineInfo:
        return EngineInfo("oracle", self.tasks, ("CT",), ("TextPrompt",), None, "Apache-2.0")

    def rank(self, volume: Any, prompt: Any, **options: Any) -> Ranking:
        scores = volume.array.max(axis=(1, 2)).astype(float)
        order = np.argsort(-scores, kind="stable")[:10]
        return Ranking(tuple(RankedSlice(n, int(k), 0.5) for n, k in enumerate(order, 1)), scores)

    def verify(self, volume: Any, prompt: Any, **options: Any) -> tuple[Verdict, ...]:
        answer: Any = "no" if "effusion" in prompt.text else "yes"
        return (Verdict(Span(0, 1, prompt.text), answer, 0.8, "", "supported"),)

    def segment(self, volume: Any, prompts: Any, **options: Any) -> Segmentation:
        return Segmentation(volume.geometry, (Segment("x", volume.array > 0),))


class _Broken(_Oracle):
    tasks = ("rank",)

    def rank(self, volume: Any, prompt: Any, **options: Any) -> Ranking:
        raise EngineError("no weights <here>")


def test_a_whole_run(tmp_path: Path) -> None:
    pytest.importorskip("monai")
    array = np.full((12, 32, 32), -1000, np.int16)
    array[4:7, 10:20, 10:20] = 50
    for name, voxels in (("ct.nrrd", array), ("truth.nrrd", (array > 0).astype(np.uint8) * 3)):
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / name))
    manifest = tmp_path / "cases.csv"
    manifest.write_text(
        "task,image,text,truth,label,slices,answer,modality\n"
        "rank,ct.nrrd,nodule,truth.nrrd,3,,,CT\n"
        "rank,ct.nrrd,结节,,,4;5;6,,CT\n"
        "verify,ct.nrrd,nodule,,,,yes,CT\n"
        "verify,ct.nrrd,pleural effusion,,,,yes,CT\n"
        "verify,ct.nrrd,nodule,,,,yes,MR\n"
        "segment,ct.nrrd,nodule,truth.nrrd,3,,,CT\n"
    )
    cases = read_manifest(manifest).cases
    assert cases[1].slices == (4, 5, 6)
    made = evaluate(cases, ["oracle", "broken"], find={"oracle": _Oracle(), "broken": _Broken()}.__getitem__)
    by = {(one.engine, one.task): one for one in made.summaries}
    assert set(by) == {("oracle", "rank"), ("oracle", "verify"), ("oracle", "segment"), ("broken", "rank")}
    assert by["oracle", "rank"].figures["top-1"].value == 1
    assert by["oracle", "rank"].figures["top-3 recall"].value == 1
    assert by["oracle", "segment"].figures["dice"].value == 1
    assert by["oracle", "segment"].recall_by_size["6 to 10 mm"].value == 1  # 300 mm3: 8.3 mm
    assert list(by["oracle", "verify"].answers) == ["all", "CT", "MR"]
    for modality, right, count in (("all", 2 / 3, 3), ("CT", 0.5, 2), ("MR", 1, 1)):
        answers = by["oracle", "verify"].answers[modality]
        assert (answers.figures["accuracy"].value, answers.figures["accuracy"].count) == (pytest.approx(right), count)
        assert answers.figures["calibration error"].value == pytest.approx(abs(right - 0.8))  # it is always 0.8 sure
        assert answers.confusion["yes"] == {"yes": count - (modality != "MR"), "no": int(modality != "MR"), "maybe": 0}
        assert answers.calibration == ((pytest.approx(0.8), pytest.approx(right), count),)
    assert (by["broken", "rank"].failed, by["broken", "rank"].figures["top-1"].value) == (2, 0)
    text = rendering.as_text(made)
    assert "top-1" in text and "1.000 [0.342, 1.000]" in text  # Wilson, two of two
    assert "accuracy, MR" in text and "calibration error, CT" in text
    loaded = json.loads(rendering.as_json(made))
    assert loaded["summaries"][0]["figures"]["top-1"]["value"] == 1
    page = rendering.as_html(made)
    assert "no weights &lt;here&gt;" in page and "<script" not in page and "http" not in page


def test_a_truth_on_another_grid_is_refused(tmp_path: Path) -> None:
    for name, shape in (("ct.nrrd", (4, 8, 8)), ("truth.nrrd", (4, 8, 9))):
        sitk.WriteImage(sitk.GetImageFromArray(np.ones(shape, np.int16)), str(tmp_path / name))
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps([{"task": "segment", "image": "ct.nrrd", "text": "x", "truth": "truth.nrrd"}]))
    with pytest.raises(InputError, match="does not lie on the grid"):
        evaluate(read_manifest(manifest).cases, ["oracle"], find={"oracle": _Oracle()}.__getitem__)


def test_what_cannot_be_evaluated_is_said_before_anything_runs(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 8, 8), np.int16)), str(tmp_path / "ct.nrrd"))

    def run(engine: Any, **case: Any) -> None:
        (tmp_path / "m.json").write_text(json.dumps([{"image": "ct.nrrd", "text": "x", **case}]))
        evaluate(read_manifest(tmp_path / "m.json").cases, ["it"], find={"it": engine}.__getitem__)

    with pytest.raises(NotSupportedError, match="No case asks for what the engine 'it' can do: rank"):
        run(_Broken(), task="verify", answer="yes")
    with pytest.raises(NotSupportedError, match="'it' is not available: no weights"):
        run(_Absent(), task="verify", answer="yes")
    with pytest.raises(InputError, match=r"no positive slice to find: slices \[7\]; the image has slices 0 to 3"):
        run(_Oracle(), task="rank", slices=[7])


def test_a_failure_counts_every_lesion_as_missed(tmp_path: Path) -> None:
    array = np.zeros((6, 16, 16), np.uint8)
    array[1:3, 2:5, 2:5] = array[4, 10:14, 10:14] = 1
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "truth.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(array.astype(np.int16)), str(tmp_path / "ct.nrrd"))
    case = {"task": "segment", "image": "ct.nrrd", "text": "x", "truth": "truth.nrrd", "modality": "CT"}
    (tmp_path / "m.json").write_text(json.dumps([case]))
    made = evaluate(read_manifest(tmp_path / "m.json").cases, ["it"], find={"it": _Failing()}.__getitem__)
    (summary,) = made.summaries
    assert (summary.failed, summary.figures["dice"].value) == (1, 0)
    assert [(figure.value, figure.count) for figure in summary.recall_by_size.values()] == [(0, 2)]


class _Absent(_Oracle):
    def info(self) -> EngineInfo:
        return dataclasses.replace(super().info(), available=False, unavailable_reason="no weights")


class _Failing(_Oracle):
    tasks = ("segment",)

    def segment(self, volume: Any, prompts: Any, **options: Any) -> Segmentation:
        raise NotSupportedError("it does not know that")
