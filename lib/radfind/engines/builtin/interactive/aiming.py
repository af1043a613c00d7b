"""What was meant by a click beside the middle of a thing: the places a click may have been aimed at."""

from __future__ import annotations

import edt
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.interactive.patch import Floats, Patch

_LOOK_MM = (4.0, 7.0, 11.0, 16.0)
"""The densities around a click are those of the first of these balls that holds an edge."""

_EDGE = 4.0
"""An edge: the 5th and 95th percentile of the values are further apart than this, in noise."""

_REACH_MM = 28.0
"""How far the middle may be: a lesion of 40 mm, clicked at its rim."""

_SLACK_MM = 1.0


def aims(patch: Patch, click: Floats) -> list[Floats]:
    """The middles of what the click lies in, if that is the brighter, or the darker, side of the edge nearby.

    A click near a rim lies on the slope of the rim's blur, so its own value tells little; which side it belongs to is
    left to whoever tries both. From the click the way leads uphill on the distance to the other side, to the middle of
    the largest ball that still holds the click: from there on it would lead into what the object leans on.

    Arguments:
        click: position in mm.
    """
    box, positions = patch.voxels_between(click - _REACH_MM, click + _REACH_MM)
    values = patch.smooth[box]
    start = np.linalg.norm(positions - click, axis=-1)
    start = np.array(np.unravel_index(int(start.argmin()), start.shape))
    value = float(values[tuple(start)])
    found = []
    for other in _densities_around(patch, click):
        limit = (value + other) / 2
        if abs(value - other) > patch.noise:
            middle = _middle(values >= limit if other < value else values <= limit, start, patch)
            found.append(positions[tuple(middle)].astype(float))
    return found


def _densities_around(patch: Patch, click: Floats) -> tuple[float, float]:
    """The dark and the bright values near a click."""
    low = high = 0.0
    for radius in _LOOK_MM:
        box, positions = patch.voxels_between(click - radius, click + radius)
        near = ((positions - click) ** 2).sum(axis=-1) <= radius**2
        low, high = np.percentile(patch.smooth[box][near], [5.0, 95.0]).tolist() if near.any() else (0.0, 0.0)
        if high - low > _EDGE * patch.noise:
            break
    return low, high


def _middle(side: npt.NDArray[np.bool_], start: npt.NDArray[np.int_], patch: Patch) -> npt.NDArray[np.int_]:
    """The index uphill from `start` on the distance to the end of `side` whose ball still holds `start`."""
    from scipy import ndimage

    spacing = np.asarray(patch.spacing)
    depth = edt.edt(side, anisotropy=patch.spacing, black_border=False, parallel=1)
    depth = ndimage.gaussian_filter(depth, 0.7 / spacing)  # without it every noisy voxel is a summit
    place = held = start
    while True:
        first = np.maximum(place - 1, 0)
        around = depth[tuple(slice(a, b + 2) for a, b in zip(first, place, strict=True))]
        higher = first + np.unravel_index(int(around.argmax()), around.shape)
        if depth[tuple(higher)] <= depth[tuple(place)] + 1e-6:
            return np.asarray(held)
        place = higher
        if np.linalg.norm((place - start) * spacing) <= depth[tuple(place)] + _SLACK_MM:
            held = place
