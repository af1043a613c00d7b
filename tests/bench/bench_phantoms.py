"""How well the built-in engine does on synthetic chests it was never tuned on.

Prints lesion Dice, Top-1, caught wrong-side and wrong-size sentences, and what it invents in clean scans.
Run ``python tests/bench/bench_phantoms.py --count 20``; seeds from 1000 are held out, those below 100 were tuned on.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

import numpy as np

from radfind.engines.api import Context
from radfind.engines.builtin.engine import BuiltinEngine
from radfind.phantom import LesionSpec, Phantom, make_phantom
from radfind.prompts import TextPrompt

WORDS = {
    "solid_nodule": "solid nodule",
    "part_solid_nodule": "part-solid nodule",
    "ground_glass_nodule": "ground-glass nodule",
    "pulmonary_mass": "mass",
}
SIZES = {
    "solid_nodule": (6.0, 28.0),
    "part_solid_nodule": (10.0, 28.0),
    "ground_glass_nodule": (9.0, 28.0),
    "pulmonary_mass": (34.0, 60.0),
}
AXES = ("LPS", "RAS", "LPI", "LAS")


@dataclasses.dataclass
class Figures:
    """Counts over all phantoms."""

    dice: list[float] = dataclasses.field(default_factory=list)
    top1: list[bool] = dataclasses.field(default_factory=list)
    truth_supported: list[bool] = dataclasses.field(default_factory=list)
    wrong_side_caught: list[bool] = dataclasses.field(default_factory=list)
    wrong_size_caught: list[bool] = dataclasses.field(default_factory=list)
    invented: list[int] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)


def spec(seed: int) -> LesionSpec:
    """One focal lesion, its kind, size, side and neighbours drawn from the seed."""
    rng = np.random.default_rng(seed)
    kind = list(WORDS)[seed % 4]
    low, high = SIZES[kind]
    attributes: tuple[str, ...] = ((), ("juxtapleural",), ("juxtavascular",), ("lobulated",))[int(rng.integers(4))]
    side = "left" if rng.random() < 0.5 else "right"
    return LesionSpec(kind, side=side, diameter_mm=float(rng.uniform(low, high)), attributes=attributes)  # type: ignore[arg-type]


def scan(seed: int, lesions: tuple[LesionSpec, ...]) -> Phantom:
    """A phantom whose noise, orientation and obliquity follow from its seed."""
    rng = np.random.default_rng(seed + 7)
    return make_phantom(
        seed=seed,
        lesions=lesions,
        shape=(130, 256, 256),
        axes=AXES[int(rng.integers(4))],
        rotation_deg=(float(rng.uniform(-8, 8)), 0.0, float(rng.uniform(-8, 8))),
        noise_hu=float(rng.uniform(10, 30)),
    )


def one(seed: int, figures: Figures) -> str:
    """Ask everything about one phantom; returns a line for the log."""
    made = scan(seed, (spec(seed),))
    truth, lesion = made.truth["lesion_1"], made.lesions[0]
    engine = BuiltinEngine()
    name, size, other = WORDS[lesion.kind], lesion.diameter_mm[0], {"left": "right", "right": "left"}[lesion.side]
    start = time.perf_counter()
    ranking = engine.rank(made.volume, TextPrompt(f"{name} in the {lesion.side} lung"), context=Context())
    figures.seconds.append(time.perf_counter() - start)
    best = ranking.slices[0].index if ranking.slices else -1
    hit = bool(best >= 0 and truth[best].any())
    figures.top1.append(hit)
    segments = engine.segment(
        made.volume, [TextPrompt(f"{size:.0f} mm {name} in the {lesion.side} lung")], context=Context()
    ).segments
    mask = segments[0].mask if segments else np.zeros_like(truth)
    dice = 2.0 * float((mask & truth).sum()) / max(int(mask.sum() + truth.sum()), 1)
    figures.dice.append(dice)
    wrong_size = size * 1.8 if size < 35 else size * 0.5
    said = {
        "true": f"A {size:.0f} mm {name} in the {lesion.side} lung.",
        "side": f"A {size:.0f} mm {name} in the {other} lung.",
        "size": f"A {wrong_size:.0f} mm nodule in the {lesion.side} lung.",
    }
    answers = {key: engine.verify(made.volume, TextPrompt(text), context=Context())[0] for key, text in said.items()}
    figures.truth_supported.append(answers["true"].answer == "yes")
    figures.wrong_side_caught.append(answers["side"].answer == "no")
    figures.wrong_size_caught.append(answers["size"].answer == "no")
    verdicts = " ".join(f"{key}={value.answer}/{value.code}" for key, value in answers.items())
    return f"{seed} {lesion.kind} {size:.0f} mm {lesion.side} {lesion.lobe} dice {dice:.2f} top-1 {hit} {verdicts}"


def clean(seed: int, figures: Figures) -> str:
    """Count what is invented in a phantom without lesions."""
    made = scan(seed, ())
    claims = "Pulmonary nodule. Pulmonary mass. Consolidation. Ground-glass opacity. Emphysema. Pleural effusion. "
    found = BuiltinEngine().segment(made.volume, [TextPrompt(claims + "Pneumothorax.")], context=Context()).segments
    figures.invented.append(len(found))
    return f"{seed} clean: {len(found)} invented {[(s.name, round(s.score, 2), s.evidence[0].text) for s in found]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--count", type=int, default=12, help="phantoms with a lesion; a quarter as many clean ones")
    options = parser.parse_args()
    figures = Figures()
    for seed in range(options.first, options.first + options.count):
        print(one(seed, figures), flush=True)
    for seed in range(options.first + 500, options.first + 500 + max(1, options.count // 4)):
        print(clean(seed, figures), flush=True)
    print(f"lesion Dice mean {np.mean(figures.dice):.3f}, median {np.median(figures.dice):.3f}")
    for label in ("top1", "truth_supported", "wrong_side_caught", "wrong_size_caught"):
        print(f"{label} {np.mean(getattr(figures, label)):.3f} of {len(getattr(figures, label))}")
    print(f"invented per clean scan {np.mean(figures.invented):.2f} of {len(figures.invented)}")
    print(f"seconds for the first answer {np.median(figures.seconds):.1f}")


if __name__ == "__main__":
    main()
