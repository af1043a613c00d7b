"""Trachea and main bronchi."""

from __future__ import annotations

import cc3d
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.grid import Mask, Spacing, dilate, open_, spread

# Lumen of the adult trachea: 10-27 mm across (Breatnach et al., AJR 1984;142:903), main bronchi 7-19 mm.
TRACHEA_AREA_MM2 = (50.0, 750.0)
MIDLINE_MM = 40.0
BRANCH_BELOW_MM = 60.0


def find_airways(hu: npt.NDArray[np.float32], spacing: Spacing, body: Mask, lung: Mask, air: float) -> Mask:
    """Trachea and main bronchi on a coarse grid (k, j, i), or an empty mask when none is in the scan.

    Arguments:
        hu: coarse Hounsfield units, axes towards head, back and left.
        spacing: millimetres along (k, j, i).
        body: the filled patient.
        lung: a first guess of aerated lung; it may include the airways themselves.
        air: what air measures in this scan.

    Round air columns near the midline that lie in tissue (not in lung) are chained over the slices; the longest
    chain that is level with or above the lungs is the trachea. From it, lumen-dark voxels connected to it are
    followed.
    """
    levels = np.flatnonzero(lung.any(axis=(1, 2)))
    lumen = (hu < air + 100.0) & body
    if not levels.size:
        return np.zeros_like(lumen)
    lumen[: levels[0]] = False
    seed = _longest_chain(hu, lumen, spacing, body)
    if not seed.any():
        return seed
    connected = spread(lumen, seed)
    wide = open_(connected, 2.5, spacing)
    low = max(0, int(np.flatnonzero(seed.any(axis=(1, 2)))[0] - BRANCH_BELOW_MM / spacing[0]))
    wide[:low] = False
    branches = spread(wide | seed, seed)
    limit = 4.0 * seed.sum() + 40_000.0 / float(np.prod(spacing))
    if branches.sum() > limit:  # leaked into the lung: the trachea alone is certain
        branches = seed
    return dilate(branches, 1.01 * max(spacing[1:]), spacing) & (hu < -500) & body


def _longest_chain(hu: npt.NDArray[np.float32], lumen: Mask, spacing: Spacing, body: Mask) -> Mask:
    labels = np.zeros(lumen.shape, dtype=np.uint32)
    total = 0
    area = spacing[1] * spacing[2]
    # The ring that must be tissue begins beyond the voxels that the lumen shares with its wall.
    wall, thick = (max(3.0, factor * max(spacing[1:])) for factor in (1.1, 1.5))
    for k in range(lumen.shape[0]):
        columns = np.flatnonzero(body[k].any(axis=0))
        rows = np.flatnonzero(body[k].any(axis=1))
        if not columns.size:
            continue
        middle = float(np.median(np.nonzero(body[k])[1]))
        parts, count = cc3d.connected_components(lumen[k], connectivity=4, return_N=True)
        if not count:
            continue
        stats = cc3d.statistics(parts)
        for label in range(1, count + 1):
            size = stats["voxel_counts"][label] * area
            if not TRACHEA_AREA_MM2[0] <= size <= TRACHEA_AREA_MM2[1]:
                continue
            cj, ci = stats["centroids"][label][:2]
            if abs(ci - middle) * spacing[2] > MIDLINE_MM:
                continue
            if not 0.1 < (cj - rows[0]) / max(1, rows[-1] - rows[0]) < 0.8:
                continue
            box = stats["bounding_boxes"][label]
            height = (box[0].stop - box[0].start) * spacing[1]
            width = (box[1].stop - box[1].start) * spacing[2]
            if max(height, width) > 3.0 * min(height, width) or size < 0.45 * height * width:
                continue
            here = parts == label
            ring = (dilate(here[None], wall + thick, spacing) & ~dilate(here[None], wall, spacing))[0]
            if np.median(hu[k][ring]) < -300.0:
                continue
            total += 1
            labels[k][here] = total
    if not total:
        return labels > 0
    chains, count = cc3d.connected_components(labels > 0, connectivity=6, return_N=True)
    stats = cc3d.statistics(chains)
    heights = np.array([0] + [b[0].stop - b[0].start for b in stats["bounding_boxes"][1:]]) * spacing[0]
    best = int(heights.argmax())
    needed = min(15.0, 0.5 * lumen.shape[0] * spacing[0])
    return chains == best if heights[best] >= needed else np.zeros_like(lumen)


def carina(airways: Mask) -> int:
    """Slice (k) at which the trachea divides: the highest one with two lumens in it or below it, else 0.

    The trachea is then ``airways[carina:]``.
    """
    two = 0
    for k in range(airways.shape[0]):
        if airways[k].any():
            labels, count = cc3d.connected_components(airways[k], connectivity=8, return_N=True)
            sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
            if count >= 2 and np.sort(sizes)[-2] >= 3:
                two = k + 1
    return two
