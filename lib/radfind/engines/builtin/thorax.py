"""The inside of the rib cage, and what lies in it that is neither air nor mediastinum."""

from __future__ import annotations

import fill_voids
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from radfind.engines.builtin.grid import Mask, Spacing

BINS = 72
# Neighbouring ribs lie 20-30 mm apart, so a window of 24 mm along the body meets one in every direction.
WINDOW_MM = 12.0
# Below the lungs' lowest air the pleural recess (and an effusion in it) reaches two or three ribs farther.
RECESS_MM = 50.0


def rib_cage(bone: Mask, lung: Mask, spacing: Spacing, middle: float) -> Mask:
    """Everything inside the ribs, spine and sternum at the level of the lungs, on a coarse grid (k, j, i).

    In each axial slice the nearest bone around the chest's centre gives the wall's distance for each direction;
    aerated lung pushes it outwards where no rib is near.

    Arguments:
        bone, lung: skeleton and aerated lung.
        spacing: millimetres along (k, j, i).
        middle: column of the midline.
    """
    out = np.zeros_like(bone)
    levels = np.flatnonzero(lung.any(axis=(1, 2)))
    if not levels.size:
        return out
    rows = np.nonzero(lung.any(axis=(0, 2)))[0]
    centre = float(rows[0] + rows[-1]) / 2
    j, i = np.ogrid[: bone.shape[1], : bone.shape[2]]
    y = (j - centre) * spacing[1]
    x = (i - middle) * spacing[2]
    radius = np.sqrt(y * y + x * x)
    angle = ((np.arctan2(y, x) / (2 * np.pi)) % 1.0 * BINS).astype(np.intp) % BINS
    reach = max(1, round(WINDOW_MM / spacing[0]))
    first = max(0, int(levels[0] - RECESS_MM / spacing[0]))
    wall = np.full((bone.shape[0], BINS), np.nan)
    pushed = np.zeros((bone.shape[0], BINS))
    for k in range(first, int(levels[-1]) + 1):
        near = bone[max(0, k - reach) : k + reach + 1].any(axis=0)
        distance = np.full(BINS, np.inf)
        np.minimum.at(distance, angle[near], radius[near])
        wall[k] = np.where(np.isfinite(distance), distance, np.nan)
        np.maximum.at(pushed[k], angle[lung[k]], radius[lung[k]])
    used = slice(first, int(levels[-1]) + 1)
    wall[used] = np.maximum(_smooth(wall[used], reach), pushed[used] + 1.0)
    for k in range(used.start, used.stop):
        out[k] = radius < wall[k][angle]
    return out & ~bone


def _smooth(wall: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.float64]:
    """Missing directions from their neighbours, then a median over directions and slices."""
    filled = wall.copy()
    known = np.isfinite(wall)
    turns = np.arange(3 * BINS)
    for row, good in zip(filled, known, strict=True):
        if good.any():
            row[:] = np.interp(turns[BINS : 2 * BINS], turns[np.tile(good, 3)], np.tile(row[good], 3))
        else:
            row[:] = 0.0
    around = np.pad(filled, ((0, 0), (3, 3)), mode="wrap")
    smooth = ndimage.median_filter(around, size=(min(2 * reach + 1, 2 * len(wall) - 1), 7), mode="nearest")
    return np.asarray(smooth[:, 3:-3])


def enclosed(wall: Mask, domain: Mask) -> Mask:
    """Voxels of `domain` outside `wall` that `wall` surrounds in at least two of the three planes of the grid.

    A mass in the lung is surrounded in every plane; the dome of the diaphragm only in axial ones, because liver
    goes on below it; the heart in none.
    """
    votes = np.zeros(wall.shape, dtype=np.uint8)
    for axis in range(3):
        if wall.shape[axis] < 1:
            continue
        for n in range(wall.shape[axis]):
            part = (slice(None),) * axis + (n,)
            plane = np.ascontiguousarray(wall[part])
            if plane.any():
                votes[part] += fill_voids.fill(plane) & ~plane
    return (votes >= 2) & domain & ~wall
