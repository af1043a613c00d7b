"""How much further examples help: mean Dice over phantoms answered from one, two, three and four annotated others.

    python tests/bench/bench_examples.py [--targets 3] [--examples 4] [--first 500]

Every target and example is a phantom patient of its own seed, on 5 mm voxels (registration works at 3 mm or coarser);
the structures are those that differ between patients. Prints one line for each number of examples: Dice of each
structure, and the mean over all structures and targets; then the seconds that one more example takes.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from radfind.engines.api import Context
from radfind.engines.builtin.by_example.examples import ByExample
from radfind.phantom import Phantom, make_phantom
from radfind.prompts import ExemplarPrompt

STRUCTURES = ("heart", "liver", "right_upper_lobe", "right_middle_lobe", "left_lower_lobe", "bone")
SHAPE = (64, 96, 96)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


def scores(engine: ByExample, target: Phantom, cases: list[Phantom]) -> list[float]:
    """Dice of every structure; 0 where there was no match."""
    asked = [ExemplarPrompt(case.volume, case.truth[name], name) for name in STRUCTURES for case in cases]
    found = {s.name: s.mask for s in engine.segment(target.volume, asked, context=Context(), engine="bench").segments}
    return [dice(found[name], target.truth[name]) if name in found else 0.0 for name in STRUCTURES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--examples", type=int, default=4)
    parser.add_argument("--first", type=int, default=500, help="first seed")
    options = parser.parse_args()
    patients = [make_phantom(seed=options.first + n, shape=SHAPE) for n in range(options.targets + options.examples)]
    examples, targets = patients[: options.examples], patients[options.examples :]
    table = np.zeros((options.examples, options.targets, len(STRUCTURES)))
    seconds: list[float] = []
    for t, target in enumerate(targets):
        engine = ByExample()
        for n in range(options.examples):
            began = time.perf_counter()
            table[n, t] = scores(engine, target, examples[: n + 1])
            seconds.append(time.perf_counter() - began)
            print(f"target {t + 1}, {n + 1} example(s): mean Dice {table[n, t].mean():.3f}", flush=True)
    print(f"{options.targets} targets, seeds from {options.first}; mean Dice by number of examples")
    print(f"{'examples':10s}" + "".join(f"{name:>19s}" for name in STRUCTURES) + f"{'mean':>8s}")
    for n in range(options.examples):
        columns = "".join(f"{value:19.3f}" for value in table[n].mean(axis=0))
        print(f"{n + 1:<10d}{columns}{table[n].mean():8.3f}")
    print(f"one more example, all structures: median {np.median(seconds):.1f} s")


if __name__ == "__main__":
    main()
