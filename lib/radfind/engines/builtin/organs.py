"""Organs that density, shape and place show beyond doubt; everything else is left to engines that learned it."""

from __future__ import annotations

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from radfind.engines.builtin.bone_parts import BoneParts
from radfind.engines.builtin.grid import Mask, Spacing, box_of, depth, dilate, open_

NAMES = ("urinary_bladder",)

# Urine without contrast measures -5 to 20 HU (Lamba et al., AJR 2014;203:W623 for fluids on CT); smoothed noise and
# partial volume widen it. Muscle and bowel wall lie above, fat far below.
URINE_HU = (-15.0, 32.0)
LEVEL_HU = (-10.0, 25.0)
STEADY_HU = 14.0
SMOOTH_MM = 3.0
# A loop of small bowel is up to 25-30 mm across (Gore et al.); a ball of this radius fits into a filled bladder only.
CORE_MM = 14.0
VOLUME_ML = (40.0, 1500.0)
# Its middle lies within this of the midline, and it begins near the height of the hip joints, behind the pubis.
ASIDE_MM = 30.0
BELOW_JOINT_MM, ABOVE_JOINT_MM = 50.0, 30.0


def find_bladder(hu: npt.NDArray[np.float32], spacing: Spacing, parts: BoneParts, body: Mask) -> Mask | None:
    """The filled urinary bladder on the overview grid, or None: no hip joint in view, or nothing passes for it.

    Arguments:
        hu, body: overview grid, k to head, j to back, i to left.
        spacing: of the grid (k, j, i), mm.
        parts: named bones; the hip joints place the pelvis.
    """
    if not parts.heads:
        return None
    joint = float(np.mean([centre[0] for centre, _ in parts.heads]))
    row = float(np.mean([centre[1] for centre, _ in parts.heads]))
    region = np.zeros(hu.shape, dtype=bool)
    low = max(0, round(joint - BELOW_JOINT_MM / spacing[0]))
    high = min(hu.shape[0], round(joint + 160.0 / spacing[0]))
    aside = np.abs(np.arange(hu.shape[2])[None, :] - parts.canal.columns[:, None]) * spacing[2]
    back = (np.arange(hu.shape[1]) - row) * spacing[1]
    region[low:high] = ((aside < 75.0)[:, None, :] & (back < 60.0)[None, :, None])[low:high]
    region &= body & (parts.labels == 0)
    box = box_of(region, 3)
    if box is None:
        return None
    smooth = ndimage.gaussian_filter(hu[box], [SMOOTH_MM / s for s in spacing])
    fluid = (smooth > URINE_HU[0]) & (smooth < URINE_HU[1]) & region[box]
    inside = depth(fluid, spacing)
    cores, count = cc3d.connected_components(inside > CORE_MM, connectivity=26, return_N=True)
    best: Mask | None = None
    most = 0.0
    for label in range(1, count + 1):
        found = dilate(cores == label, CORE_MM + 1.0, spacing) & fluid
        volume = float(found.sum()) * float(np.prod(spacing)) / 1000.0
        if volume > most and _passes(found, hu[box], spacing, aside[box[0]][:, box[2]], joint - box[0].start, volume):
            best, most = found, volume
    if best is None:
        return None
    out = np.zeros(hu.shape, dtype=bool)
    out[box] = open_(dilate(best, 2.0, spacing) & (smooth > URINE_HU[0]) & region[box], 4.0, spacing)
    return out


def _passes(
    found: Mask, hu: npt.NDArray[np.float32], spacing: Spacing, aside: npt.NDArray, joint: float, volume: float
) -> bool:
    """Whether a body of fluid has the bladder's size, evenness and place."""
    if not VOLUME_ML[0] <= volume <= VOLUME_ML[1]:
        return False
    k, _, i = np.nonzero(found)
    bottom, top = (float(np.percentile(k, q)) - joint for q in (2, 98))
    if not (bottom * spacing[0] < ABOVE_JOINT_MM and top > 0):
        return False
    if float(aside[k, i].mean()) > ASIDE_MM:
        return False
    smooth = ndimage.gaussian_filter(hu, [SMOOTH_MM / s for s in spacing])[depth(found, spacing) > 6.0]
    return bool(smooth.size and LEVEL_HU[0] < float(np.median(smooth)) < LEVEL_HU[1] and smooth.std() < STEADY_HU)
