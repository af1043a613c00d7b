"""Puts every case of a manifest to every engine and gathers the figures."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from radfind.engines import registry
from radfind.engines.api import Context
from radfind.errors import CancelledError, InputError, RadFindError
from radfind.evaluate import statistics
from radfind.evaluate.manifest import Case
from radfind.evaluate.masks import SIZES_MM, MaskScore, score_mask
from radfind.evaluate.statistics import Figure
from radfind.imaging import load
from radfind.prompts import TextPrompt
from radfind.volume import Volume


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one engine made of one case. `values` are the case's own figures; `error` is why there are none."""

    case: Case
    engine: str
    seconds: float
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    answer: str = ""
    confidence: float = float("nan")
    modality: str = ""
    lesions: tuple[tuple[float, bool], ...] = ()
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Summary:
    """One engine on one task.

    `figures` by name; failed cases count as missed in them, never as left out. `confusion`, `calibration` (mean
    confidence, share correct, number) and `by_modality` are for verdicts; `recall_by_size` for masks.
    """

    engine: str
    task: str
    cases: int
    failed: int
    figures: Mapping[str, Figure]
    confusion: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    calibration: Sequence[tuple[float, float, int]] = ()
    by_modality: Mapping[str, Figure] = dataclasses.field(default_factory=dict)
    recall_by_size: Mapping[str, Figure] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Everything, for the report: a summary for each engine and task, and every case."""

    summaries: tuple[Summary, ...]
    outcomes: tuple[Outcome, ...]


def evaluate(
    cases: Sequence[Case],
    engines: Sequence[str],
    *,
    context: Context | None = None,
    find: Callable[[str], Any] = registry.engine,
) -> Evaluation:
    """Ask every engine (by name) every case whose task it has.

    Each image is read once. An engine's failure on a case is recorded and counted against it.

    Raises:
        InputError: a truth does not fit its image.
    """
    context = context or Context()
    outcomes = []
    built = {name: find(name) for name in engines}
    by_image: dict[tuple[Path, str | None, str | None], list[Case]] = {}
    for case in cases:
        by_image.setdefault((case.image, case.series, case.modality), []).append(case)
    done = 0
    for (image, series, modality), group in by_image.items():
        volume = load(image, series=series, modality=modality)
        for case in group:
            for name, engine in built.items():
                if case.task in engine.info().tasks:
                    context.step(done / (len(cases) * len(built)), f"{name}: {case.text[:40]}")
                    outcomes.append(_ask(case, name, engine, volume, context))
                done += 1
    summaries = [
        _summary(name, task, [one for one in outcomes if one.engine == name and one.case.task == task])
        for name in engines
        for task in ("rank", "verify", "segment")
    ]
    return Evaluation(tuple(one for one in summaries if one.cases), tuple(outcomes))


def _ask(case: Case, name: str, engine: Any, volume: Volume, context: Context) -> Outcome:
    truth = _truth(case, volume)
    started = time.perf_counter()
    quiet = Context(lambda fraction, text: context.step(0.0) if context.cancelled else None)
    try:
        if case.task == "rank":
            ranking = engine.rank(volume, TextPrompt(case.text), top_k=10, context=quiet)
            seconds = time.perf_counter() - started
            positive = set(case.slices) if truth is None else set(np.flatnonzero(truth.any(axis=(1, 2))).tolist())
            return Outcome(case, name, seconds, _rank_values([one.index for one in ranking.slices], positive))
        if case.task == "verify":
            verdicts = engine.verify(volume, TextPrompt(case.text), context=quiet)
            seconds = time.perf_counter() - started
            verdict = verdicts[0]  # a case holds one statement; further ones read from it are elaborations
            values = {"accuracy": float(verdict.answer == case.answer)}
            return Outcome(case, name, seconds, values, verdict.answer, verdict.confidence, volume.modality)
        made = engine.segment(volume, [TextPrompt(case.text)], context=quiet)
        seconds = time.perf_counter() - started
        mask = np.zeros(volume.geometry.shape, bool)
        for segment in made.segments:
            mask |= segment.mask
        assert truth is not None
        found = score_mask(mask, truth, volume.geometry.spacing)
        return Outcome(case, name, seconds, _mask_values(found), lesions=found.lesions)
    except CancelledError:
        raise
    except RadFindError as error:
        missed: dict[str, float] = {"dice": 0.0, "nsd": 0.0} if case.task == "segment" else {"accuracy": 0.0}
        if case.task == "rank":
            missed = _rank_values([], {0})
        return Outcome(case, name, time.perf_counter() - started, missed, error=str(error), modality=volume.modality)


def _truth(case: Case, volume: Volume) -> npt.NDArray[np.bool_] | None:
    if case.truth is None:
        return None
    labels = load(case.truth)
    if not labels.geometry.same_grid(volume.geometry, tolerance_mm=0.1):
        raise InputError(f"The truth {case.truth} does not lie on the grid of {case.image}: resample it first.")
    return np.asarray(labels.array != 0 if case.label is None else labels.array == case.label)


def _rank_values(ranked: Sequence[int], positive: set[int]) -> dict[str, float]:
    return {
        "top-1": statistics.hit(ranked, positive, 1),
        "top-3": statistics.hit(ranked, positive, 3),
        "top-3 recall": statistics.recall(ranked, positive, 3),
        "reciprocal rank": statistics.reciprocal_rank(ranked, positive),
    }


def _mask_values(found: MaskScore) -> dict[str, float]:
    return {"dice": found.dice, "nsd": found.nsd, "hd95 mm": found.hd95_mm}


def _summary(engine: str, task: str, outcomes: Sequence[Outcome]) -> Summary:
    names = dict.fromkeys(name for one in outcomes for name in one.values)
    figures: dict[str, Figure] = {}
    for name in names:
        _put(figures, name, [one.values.get(name, float("nan")) for one in outcomes])
    answered = [one for one in outcomes if not one.error]
    seconds = [one.seconds for one in answered]
    for share in (50, 95):
        _put(figures, f"p{share} s", seconds, functools.partial(_percentile, share))
    made = Summary(engine, task, len(outcomes), len(outcomes) - len(answered), figures)
    if task == "verify" and answered:
        error, bins = statistics.calibration_error(
            [one.confidence for one in answered], [one.answer == one.case.answer for one in answered]
        )
        figures["calibration error"] = Figure(error, float("nan"), float("nan"), len(answered))
        modalities: dict[str, Figure] = {}
        for modality in dict.fromkeys(one.modality for one in outcomes):
            _put(modalities, modality, [one.values["accuracy"] for one in outcomes if one.modality == modality])
        table = statistics.confusion([one.case.answer or "" for one in answered], [one.answer for one in answered])
        return dataclasses.replace(made, confusion=table, calibration=tuple(bins), by_modality=modalities)
    if task == "segment":
        sizes: dict[str, Figure] = {}
        lesions = [lesion for one in outcomes for lesion in one.lesions]
        for low, high in SIZES_MM:
            found = [float(hit) for diameter, hit in lesions if low <= diameter < high]
            _put(sizes, f"{low:g} mm and more" if np.isinf(high) else f"{low:g} to {high:g} mm", found)
        return dataclasses.replace(made, recall_by_size=sizes)
    return made


def _percentile(share: float, sample: npt.NDArray[np.float64]) -> float:
    return float(np.percentile(sample, share))


def _put(
    figures: dict[str, Figure],
    name: str,
    values: Sequence[float],
    statistic: Callable[[npt.NDArray[np.float64]], float] = lambda sample: float(np.mean(sample)),
) -> None:
    made = statistics.figure(values, statistic)
    if made is not None:
        figures[name] = made
