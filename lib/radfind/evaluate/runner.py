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
from radfind.errors import CancelledError, InputError, NotSupportedError, RadFindError
from radfind.evaluate import rexgrounding, statistics
from radfind.evaluate.cases import Case
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
class Answers:
    """Verdicts of one engine on one modality, or on all.

    Arguments:
        figures: "accuracy", in which failed cases count as wrong, and "calibration error" (of those answered).
        confusion: expected answer (outer) by answer given (inner), of those answered.
        calibration: (mean confidence, share correct, number) of each filled bin of confidence.
    """

    figures: Mapping[str, Figure]
    confusion: Mapping[str, Mapping[str, int]]
    calibration: Sequence[tuple[float, float, int]]


@dataclasses.dataclass(frozen=True)
class Summary:
    """One engine on one task.

    `figures` by name; failed cases count as missed in them, never as left out. `answers` by modality ("all" first) are
    for verdicts; `recall_by_size` for masks.
    """

    engine: str
    task: str
    cases: int
    failed: int
    figures: Mapping[str, Figure]
    answers: Mapping[str, Answers] = dataclasses.field(default_factory=dict)
    recall_by_size: Mapping[str, Figure] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Everything, for the report: a summary for each engine and task, every case, and what to know about the list."""

    summaries: tuple[Summary, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()


def evaluate(
    cases: Sequence[Case],
    engines: Sequence[str],
    *,
    notes: Sequence[str] = (),
    context: Context | None = None,
    find: Callable[[str], Any] = registry.engine,
) -> Evaluation:
    """Ask every engine (by name) every case whose task it has.

    Each image is read once. An engine's failure on a case is recorded and counted against it.

    Arguments:
        notes: of the list (`Manifest`), passed on.

    Raises:
        InputError: a truth does not fit its image, or a case to rank has no positive slice.
        NotSupportedError: an engine is not available, or can do none of what is asked.
    """
    context = context or Context()
    outcomes = []
    built = {name: find(name) for name in engines}
    for name, engine in built.items():
        info = engine.info()
        if not info.available:
            raise NotSupportedError(f"The engine '{name}' is not available: {info.unavailable_reason}")
        if not any(case.task in info.tasks for case in cases):
            raise NotSupportedError(f"No case asks for what the engine '{name}' can do: {', '.join(info.tasks)}.")
    by_image: dict[tuple[Path, str | None, str | None], list[Case]] = {}
    for case in cases:
        by_image.setdefault((case.image, case.series, case.modality), []).append(case)
    done = 0
    for (image, series, modality), group in by_image.items():
        volume = load(image, series=series, modality=modality)
        for case in group:
            truth = _truth(case, volume)
            for name, engine in built.items():
                if case.task in engine.info().tasks:
                    context.step(done / (len(cases) * len(built)), f"{name}: {case.text[:40]}")
                    outcomes.append(_ask(case, name, engine, volume, truth, context))
                done += 1
    summaries = [
        _summary(name, task, [one for one in outcomes if one.engine == name and one.case.task == task])
        for name in engines
        for task in ("rank", "verify", "segment")
    ]
    return Evaluation(tuple(one for one in summaries if one.cases), tuple(outcomes), tuple(notes))


def _ask(
    case: Case, name: str, engine: Any, volume: Volume, truth: npt.NDArray[np.bool_] | None, context: Context
) -> Outcome:
    started = time.perf_counter()
    quiet = Context(lambda fraction, text: context.step(0.0) if context.cancelled else None)
    try:
        if case.task == "rank":
            ranking = engine.rank(volume, TextPrompt(case.text), top_k=10, context=quiet)
            seconds = time.perf_counter() - started
            values = _rank_values([one.index for one in ranking.slices], _positive(case, truth))
            return Outcome(case, name, seconds, values)
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
        failed = Outcome(case, name, time.perf_counter() - started, error=str(error), modality=volume.modality)
        if case.task == "segment":
            assert truth is not None
            nothing = score_mask(np.zeros_like(truth), truth, volume.geometry.spacing)
            return dataclasses.replace(failed, values={"dice": 0.0, "nsd": 0.0}, lesions=nothing.lesions)
        missed = _rank_values([], _positive(case, truth)) if case.task == "rank" else {"accuracy": 0.0}
        return dataclasses.replace(failed, values=missed)


def _truth(case: Case, volume: Volume) -> npt.NDArray[np.bool_] | None:
    truth = None
    if case.truth is not None and case.channel is not None:
        truth = rexgrounding.read_finding(case.truth, case.channel, volume)
    elif case.truth is not None:
        labels = load(case.truth)
        if not labels.geometry.same_grid(volume.geometry, tolerance_mm=0.1):
            raise InputError(f"The truth {case.truth} does not lie on the grid of {case.image}: resample it first.")
        truth = np.asarray(labels.array != 0 if case.label is None else labels.array == case.label)
    if case.task == "rank":
        positive, last = _positive(case, truth), volume.geometry.shape[0] - 1
        if not positive or not positive <= set(range(last + 1)):
            given = f"slices {sorted(positive)}" if case.truth is None else f"{case.truth} holds nothing"
            raise InputError(
                f"The case '{case.text}' of {case.image} has no positive slice to find: {given}; the image has slices "
                f"0 to {last}."
            )
    return truth


def _positive(case: Case, truth: npt.NDArray[np.bool_] | None) -> set[int]:
    return set(case.slices) if truth is None else set(np.flatnonzero(truth.any(axis=(1, 2))).tolist())


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
    if task == "verify":
        figures.pop("accuracy", None)  # told apart by modality
        groups = {"all": list(outcomes)}
        for one in outcomes:
            groups.setdefault(one.modality, []).append(one)
        return dataclasses.replace(made, answers={modality: _answers(group) for modality, group in groups.items()})
    if task == "segment":
        sizes: dict[str, Figure] = {}
        lesions = [lesion for one in outcomes for lesion in one.lesions]
        for low, high in SIZES_MM:
            found = [float(hit) for diameter, hit in lesions if low <= diameter < high]
            _put(sizes, f"{low:g} mm and more" if np.isinf(high) else f"{low:g} to {high:g} mm", found)
        return dataclasses.replace(made, recall_by_size=sizes)
    return made


def _answers(outcomes: Sequence[Outcome]) -> Answers:
    figures: dict[str, Figure] = {}
    _put(figures, "accuracy", [one.values["accuracy"] for one in outcomes])
    answered = [one for one in outcomes if not one.error]
    sure = np.array([one.confidence for one in answered])
    right = np.array([one.answer == one.case.answer for one in answered])

    def error(drawn: npt.NDArray[np.float64]) -> float:
        return statistics.calibration(sure[drawn.astype(int)], right[drawn.astype(int)])[0]

    _put(figures, "calibration error", np.arange(len(answered), dtype=np.float64), error)
    table = statistics.confusion([one.case.answer or "" for one in answered], [one.answer for one in answered])
    return Answers(figures, table, tuple(statistics.calibration(sure, right)[1]))


def _percentile(share: float, sample: npt.NDArray[np.float64]) -> float:
    return float(np.percentile(sample, share))


def _put(
    figures: dict[str, Figure],
    name: str,
    values: Sequence[float] | npt.NDArray[np.float64],
    statistic: Callable[[npt.NDArray[np.float64]], float] | None = None,
) -> None:
    made = statistics.figure(values, statistic)
    if made is not None:
        figures[name] = made
