"""Where a person clicks: Dice of one click, from the middle of a lesion out towards its edge, by kind of lesion.

    python tests/bench/bench_click_places.py [--seeds 4] [--first 8900] [--clicks 4]

Depth 1.0 is the point of a lesion furthest from its edge; at depth 0.5 the click is half as far from the edge. At each
depth `--clicks` places are drawn; "anywhere" draws them from all voxels of the lesion. Prints medians, with means.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from scipy import ndimage

from radfind.engines.api import Context
from radfind.engines.builtin.interactive.segmenting import Interactive
from radfind.phantom import LesionSpec, make_phantom
from radfind.prompts import PointPrompt

KINDS = (
    (LesionSpec("solid_nodule", "right", "upper", 14.0), LesionSpec("part_solid_nodule", "left", "lower", 22.0)),
    (
        LesionSpec("solid_nodule", "right", "lower", 20.0, ("juxtapleural",)),
        LesionSpec("solid_nodule", "left", "lower", 18.0, ("juxtavascular",)),
    ),
)
DEPTHS = (1.0, 0.75, 0.5, 0.25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=8900)
    parser.add_argument("--clicks", type=int, default=4)
    options = parser.parse_args()
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rng = np.random.default_rng(0)
    for seed in range(options.first, options.first + options.seeds):
        for specs in KINDS:
            phantom = make_phantom(seed=seed, lesions=specs, shape=(120, 256, 256))
            for spec, lesion in zip(specs, phantom.lesions, strict=True):
                truth = phantom.truth[lesion.name]
                index = np.argwhere(truth)
                low = index.min(axis=0)
                crop = truth[tuple(slice(a, b + 1) for a, b in zip(low, index.max(axis=0), strict=True))]
                depth = ndimage.distance_transform_edt(np.pad(crop, 1), sampling=phantom.volume.geometry.spacing)
                depth = depth[1:-1, 1:-1, 1:-1][crop] / depth.max()
                kind = " ".join((spec.kind, *spec.attributes))
                places = {f"{d:.2f}": np.argsort(np.abs(depth - d))[: 4 * options.clicks] for d in DEPTHS}
                places["anywhere"] = np.arange(len(depth))
                for name, near in places.items():
                    for number in rng.choice(near, 1 if name == "1.00" else options.clicks, replace=False):
                        click = PointPrompt(tuple(float(x) for x in index[number]))
                        answer = Interactive().segment(phantom.volume, [click], context=Context(), engine="bench")
                        mask = answer.segments[0].mask
                        value = 2.0 * float((mask & truth).sum()) / float(mask.sum() + truth.sum())
                        scores[kind][name].append(value)
                        scores["all"][name].append(value)
    names = [*(f"{d:.2f}" for d in DEPTHS), "anywhere"]
    print(f"median (mean) Dice of one click, seeds {options.first} to {options.first + options.seeds - 1}")
    print(f"{'depth':38s}" + "".join(f"{name:>14s}" for name in names))
    for kind, by_place in scores.items():
        cells = (f"{np.median(by_place[name]):.2f} ({np.mean(by_place[name]):.2f})" for name in names)
        print(f"{kind:38s}" + "".join(f"{cell:>14s}" for cell in cells))


if __name__ == "__main__":
    main()
