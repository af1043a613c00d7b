"""Click to mask on a 275 x 512 x 512 scan, warm and cold, against scikit-image's random walker on the same region;
then a structure of the scan by example (registration of the scan onto itself).

python tests/bench/bench_clicks.py [--clicks N]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from scipy import ndimage

SHAPE, SPACING = (275, 512, 512), (1.25, 0.7, 0.7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=20)
    arguments = parser.parse_args()
    import radfind
    from radfind.phantom import LesionSpec, make_phantom
    from radfind.prompts import ExemplarPrompt, PointPrompt

    specs = (
        LesionSpec("solid_nodule", "right", "upper", 14.0),
        LesionSpec("solid_nodule", "left", "lower", 22.0, ("juxtapleural",)),
        LesionSpec("part_solid_nodule", "right", "lower", 20.0),
    )
    phantom = make_phantom(seed=77, lesions=specs, shape=SHAPE, spacing=SPACING)
    volume = phantom.volume
    first, later, scores, walker, walker_scores = [], [], [], [], []
    rng = np.random.default_rng(0)
    for lesion in phantom.lesions:
        truth = phantom.truth[lesion.name]
        index = np.argwhere(truth)
        depth = ndimage.distance_transform_edt(
            truth[tuple(slice(a - 1, b + 2) for a, b in zip(index.min(0), index.max(0), strict=True))]
        )
        middle = np.array(np.unravel_index(int(depth.argmax()), depth.shape)) + index.min(0) - 1
        prompts = [PointPrompt(tuple(float(x) for x in middle))]
        for number in range(1 + arguments.clicks // len(phantom.lesions)):
            began = time.perf_counter()
            mask = radfind.segment(volume, prompts, engine="builtin").segments[0].mask
            (later if number else first).append(time.perf_counter() - began)
            wrong = np.argwhere(mask != truth)
            if not len(wrong):
                break
            place = wrong[rng.integers(len(wrong))]
            prompts.append(PointPrompt(tuple(float(x) for x in place), bool(truth[tuple(place)])))
            if number == 0:
                scores.append(dice(mask, truth))
        seconds, scored = _random_walker(volume, truth, middle)
        walker.append(seconds)
        walker_scores.append(scored)
    print(f"first click, cold process   {first[0]:6.2f} s")
    print(f"first click on a lesion     {statistics.median(first[1:]):6.2f} s   Dice {statistics.median(scores):.3f}")
    print(f"next click, median          {statistics.median(later):6.2f} s   (target: 1 s; {len(later)} clicks)")
    print(f"next click, 95th percentile {float(np.percentile(later, 95)):6.2f} s")
    print(
        f"scikit-image random walker  {statistics.median(walker):6.2f} s   Dice {statistics.median(walker_scores):.3f}"
    )
    began = time.perf_counter()
    radfind.segment(volume, ExemplarPrompt(volume, phantom.truth["heart"], "heart"), engine="builtin")
    print(f"by example (registration)   {time.perf_counter() - began:6.2f} s")


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


def _random_walker(volume: object, truth: np.ndarray, middle: np.ndarray) -> tuple[float, float]:
    """The plain alternative on the region our own click looks at: a seed of 2 mm, the region's faces as background."""
    from skimage.segmentation import random_walker

    reach = np.ceil(40.0 / np.array(SPACING)).astype(int)
    box = tuple(slice(max(m - r, 0), m + r + 1) for m, r in zip(middle, reach, strict=True))
    values = volume.array[box]  # type: ignore[attr-defined]
    seeds = np.full(values.shape, 2, np.int32)
    seeds[1:-1, 1:-1, 1:-1] = 0
    at = [m - part.start for m, part in zip(middle, box, strict=True)]
    seeds[at[0] - 1 : at[0] + 2, at[1] - 3 : at[1] + 4, at[2] - 3 : at[2] + 4] = 1
    began = time.perf_counter()
    labels = random_walker(values, seeds, beta=130, mode="cg_j", spacing=SPACING)
    return time.perf_counter() - began, dice(labels == 1, truth[box])


if __name__ == "__main__":
    main()
