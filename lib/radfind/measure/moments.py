"""Centre of mass and second moments of a mask, from its three projections: no list of its voxels is made."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from radfind.measure.surface import bounding_box
from radfind.volume import Geometry


def moments(mask: npt.NDArray[np.bool_], geometry: Geometry) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Centre (3,) in LPS mm, and covariance (3, 3) in mm2, of the centres of the mask's voxels.

    Raises:
        InputError: the mask is empty or does not fit the geometry.
    """
    box = bounding_box(mask, geometry)
    inside = mask[box]
    # How many voxels lie over each pixel of a projection decides every mean and product of two index axes.
    counts = {(b, c): inside.sum(axis=a, dtype=np.float64) for a, b, c in ((0, 1, 2), (1, 0, 2), (2, 0, 1))}
    number = counts[0, 1].sum()
    lines = [counts[0, 1].sum(axis=1), counts[0, 1].sum(axis=0), counts[0, 2].sum(axis=0)]
    mean = np.array([line @ np.arange(len(line)) for line in lines]) / number
    spread = np.zeros((3, 3))
    for axis, line in enumerate(lines):
        spread[axis, axis] = line @ (np.arange(len(line)) - mean[axis]) ** 2
    for (b, c), plane in counts.items():
        product = (np.arange(plane.shape[0]) - mean[b]) @ plane @ (np.arange(plane.shape[1]) - mean[c])
        spread[b, c] = spread[c, b] = product
    steps = geometry.affine[:3, :3][:, ::-1]  # columns in the order k, j, i
    centre = geometry.to_lps(mean + [part.start for part in box])
    return centre, steps @ (spread / number) @ steps.T
