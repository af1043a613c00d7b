"""Branching vessels and airways that fill the lungs.

Each tree is grown from the hilum by repeatedly splitting the cloud of points it has to supply and running a branch
towards each part's centre, the volume-filling method of Kitaoka et al. (J Appl Physiol 1999) and Tawhai et al. (2000)
in its simplest form. Radii follow Murray's law: proportional to (points supplied) ** (1 / exponent).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from radfind.phantom.tubes import Tubes

Points = npt.NDArray[np.float64]


def grow(
    root: npt.ArrayLike,
    points: Points,
    rng: np.random.Generator,
    *,
    leaf_radius: float,
    exponent: float = 2.6,
    reach: float = 0.55,
    largest: float = 7.0,
) -> Tubes:
    """A tree from `root` (3,) to all `points` (n, 3); lengths in the unit of the points."""
    starts: list[Points] = []
    stops: list[Points] = []
    radii: list[tuple[float, float]] = []

    def radius(n: int) -> float:
        return min(leaf_radius * n ** (1 / exponent), largest)

    # (start, parent radius, parent direction, cloud)
    stack = [(np.asarray(root, dtype=np.float64), radius(len(points)), None, points)]
    while stack:
        here, parent_radius, heading, cloud = stack.pop()
        centre = cloud.mean(axis=0)
        end = centre if len(cloud) == 1 else here + reach * (centre - here)
        end = end + rng.normal(0, 0.04 * np.linalg.norm(end - here) + 1e-6, 3)
        mine = radius(len(cloud))
        # A bent branch: leave in the parent's direction, arrive at the end.
        middle = (here + end) / 2
        if heading is not None:
            middle = middle + 0.15 * np.linalg.norm(end - here) * heading
        starts += [here, middle]
        stops += [middle, end]
        radii += [(min(parent_radius, mine * 1.1), mine), (mine, mine)]
        if len(cloud) == 1:
            continue
        offset = cloud - centre
        _, _, axes = np.linalg.svd(offset, full_matrices=False)
        position = offset @ axes[0]
        cut = np.quantile(position, rng.uniform(0.35, 0.65))
        upper = position > cut
        if upper.all() or not upper.any():
            upper = position > np.median(position)
        if not upper.any():
            upper = np.arange(len(cloud)) >= len(cloud) // 2
        length = np.linalg.norm(end - middle)
        towards = (end - middle) / max(float(length), 1e-9)
        stack += [(end, mine, towards, cloud[upper]), (end, mine, towards, cloud[~upper])]
    ends = np.array(radii)
    return Tubes(np.array(starts), np.array(stops), ends[:, 0], ends[:, 1])
