"""How well the built-in engine finds what spreads: effusion, pneumothorax, consolidation, ground glass, emphysema.

Every phantom carries one finding of one kind (a few carry it on both sides), in a small, moderate or large size, with
its own noise, spacing, orientation and obliquity; clean phantoms carry what may be mistaken for a finding instead.
Prints a table per finding and exits with 1 when a target is missed.

    python tests/bench/bench_diffuse.py --first 1000 --count 12

Seeds from 1000 are held out; those below 1000 were looked at while the detectors were written.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time

import numpy as np

from radfind.engines.api import Context
from radfind.engines.builtin.engine import BuiltinEngine
from radfind.phantom import Confounder, LesionSpec, Phantom, make_phantom
from radfind.prompts import TextPrompt

SIZES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "pleural_effusion": ((8.0, 18.0), (18.0, 35.0), (35.0, 65.0)),
    "pneumothorax": ((5.0, 10.0), (12.0, 30.0), (30.0, 60.0)),
    "consolidation": ((40.0, 55.0), (55.0, 80.0), (80.0, 120.0)),
    "ground_glass_opacity": ((35.0, 50.0), (50.0, 75.0), (75.0, 110.0)),
    "emphysema": ((45.0, 60.0), (60.0, 90.0), (90.0, 130.0)),
}
"""Greatest depth of a pleural layer, extent of an infiltrate, mm: small, moderate, large."""
SIZE_NAMES = ("small", "moderate", "large")
WORDS = {
    "pleural_effusion": "pleural effusion",
    "pneumothorax": "pneumothorax",
    "consolidation": "consolidation",
    "ground_glass_opacity": "ground-glass opacity",
    "emphysema": "emphysema",
}
TARGETS: dict[str, tuple[float | None, float, float]] = {
    "pleural_effusion": (0.8, 0.8, 0.8),
    "pneumothorax": (None, 0.8, 0.8),
    "consolidation": (0.8, 0.8, 0.8),
    "ground_glass_opacity": (0.8, 0.8, 0.8),
    "emphysema": (0.8, 0.8, 0.8),
}
"""Least median Dice by size; None where nothing is promised."""
SENSITIVITY = 0.9
CONFOUNDERS: tuple[Confounder, ...] = (
    "dependent",
    "motion",
    "chest_wall_air",
    "colon_gas",
    "gullet_air",
    "ascites",
    "pericardial_fluid",
    "deep_breath",
    "fatty_muscle",
)
AXES = ("LPS", "RAS", "LPI", "PSL")


@dataclasses.dataclass
class Case:
    """What one phantom showed: Dice of the kind's union, the verdict on the claim, kinds found that are not there."""

    finding: str
    size: int
    dice: float
    answer: str
    denial: str
    invented: tuple[str, ...]


def specs(finding: str, seed: int) -> tuple[LesionSpec, ...]:
    """The finding in a size that follows from the seed; every fifth one is on both sides."""
    rng = np.random.default_rng([seed, list(SIZES).index(finding)])
    low, high = SIZES[finding][seed % 3]
    sides = ["left", "right"]
    if seed % 5 or finding == "pneumothorax":
        sides = [sides[int(rng.integers(2))]]
    return tuple(LesionSpec(finding, side=side, diameter_mm=float(rng.uniform(low, high))) for side in sides)  # type: ignore[arg-type]


def scan(seed: int, lesions: tuple[LesionSpec, ...]) -> Phantom:
    """A phantom whose noise, spacing, orientation and obliquity follow from its seed; without lesions, with two things
    that may be mistaken for one."""
    rng = np.random.default_rng([seed, 99])
    axes = AXES[int(rng.integers(4))]
    slices, across = int(rng.integers(60, 110)), int(rng.integers(170, 240))
    shape = (across, slices, across) if axes == "PSL" else (slices, across, across)
    extras = () if lesions else (CONFOUNDERS[seed % 9], CONFOUNDERS[(seed * 4 + seed // 9 + 1) % 9])
    return make_phantom(
        seed=seed,
        lesions=lesions,
        confounders=("paravertebral", *extras),
        shape=shape,
        axes=axes,
        rotation_deg=(float(rng.uniform(-8, 8)), float(rng.uniform(-3, 3)), float(rng.uniform(-8, 8))),
        noise_hu=float(rng.uniform(8, 32)),
        blur_mm=float(rng.uniform(0.4, 1.1)),
        padding=bool(rng.integers(2)) and axes != "PSL",
    )


def look(made: Phantom, finding: str, size: int) -> Case:
    """Ask about one finding, and for all the others in passing."""
    engine = BuiltinEngine()
    name = WORDS[finding]
    truth = np.zeros(made.volume.array.shape, bool)
    for lesion in made.lesions:
        truth |= made.truth[lesion.name]
    mask = np.zeros_like(truth)
    for segment in engine.segment(made.volume, [TextPrompt(name)], context=Context()).segments:
        mask |= segment.mask
    dice = 2.0 * float((mask & truth).sum()) / max(int(mask.sum() + truth.sum()), 1)
    answer, denial = (
        engine.verify(made.volume, TextPrompt(text), context=Context())[0].answer
        for text in (f"There is {name}.", f"No {name}.")
    )
    return Case(finding, size, dice, answer, denial, invented(engine, made, finding))


def invented(engine: BuiltinEngine, made: Phantom, finding: str | None) -> tuple[str, ...]:
    """Findings other than `finding` that the engine says are there; it may call one possible."""
    out = []
    for other, name in WORDS.items():
        if other != finding:
            verdict = engine.verify(made.volume, TextPrompt(f"No {name}."), context=Context())[0]
            if verdict.answer == "no":
                out.append(other)
    return tuple(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--count", type=int, default=12, help="phantoms for each finding, and clean ones")
    parser.add_argument("--finding", choices=[*WORDS, "clean"], action="append", help="only this one (repeatable)")
    options = parser.parse_args()
    cases: list[Case] = []
    clean: list[tuple[str, ...]] = []
    wanted = options.finding or [*WORDS, "clean"]
    for finding in wanted:
        for seed in range(options.first, options.first + options.count):
            began = time.perf_counter()
            if finding == "clean":
                clean.append(invented(BuiltinEngine(), scan(seed, ()), None))
                print(
                    f"{seed} clean: {', '.join(clean[-1]) or 'nothing'} ({time.perf_counter() - began:.0f} s)",
                    flush=True,
                )
                continue
            case = look(scan(seed, specs(finding, seed)), finding, seed % 3)
            cases.append(case)
            print(
                f"{seed} {finding} {SIZE_NAMES[case.size]}: Dice {case.dice:.2f}, claimed: {case.answer}, denied: "
                f"{case.denial}; besides: {', '.join(case.invented) or 'nothing'}",
                flush=True,
            )
    return report(cases, clean)


def report(cases: list[Case], clean: list[tuple[str, ...]]) -> int:
    """Print the table; 1 when a target is missed."""
    missed = 0
    print(f"\n{'finding':22}{'size':10}{'n':>4}{'Dice median':>13}{'min':>7}{'said yes':>10}{'denial caught':>15}")
    for finding in WORDS:
        for size, name in enumerate(SIZE_NAMES):
            some = [case for case in cases if case.finding == finding and case.size == size]
            if not some:
                continue
            values = [case.dice for case in some]
            yes = float(np.mean([case.answer == "yes" for case in some]))
            caught = float(np.mean([case.denial == "no" for case in some]))
            least = TARGETS[finding][size]
            bad = least is not None and (float(np.median(values)) < least or yes < SENSITIVITY)
            missed += bad
            print(
                f"{finding:22}{name:10}{len(some):4}{np.median(values):13.2f}{min(values):7.2f}{yes:10.2f}{caught:15.2f}"
                f"{'  MISSED' if bad else ''}"
            )
    besides = sum(len(case.invented) for case in cases)
    print(f"other findings invented: {besides} in {len(cases)} scans with one finding")
    wrong = sum(len(found) for found in clean)
    print(f"clean scans: {wrong} findings invented in {len(clean)} scans{'  MISSED' if wrong else ''}")
    return int(missed > 0 or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
