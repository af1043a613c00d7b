"""Lungs, left and right."""

from __future__ import annotations

import cc3d
import edt
import fill_voids
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.grid import Mask, Spacing, close, dilate, erode

# Aerated lung lies below this density (Hu et al., IEEE TMI 2001;20:490; Armato & Sensakovic, Acad Radiol 2004).
AERATED = -400.0
# Vessels and nodules up to this diameter that touch the pleura are closed into the lung.
CLOSING_MM = 12.0
RIGHT, LEFT = 1, 2


def aerated(hu: npt.NDArray[np.float32], spacing: Spacing, body: Mask, airways: Mask, air: float) -> Mask:
    """Aerated lung on a coarse grid: low-density pieces of the body that are neither airway nor bowel gas.

    Lung holds vessels and walls, so that its inside measures some 50 HU or more above air even when it is
    hyperinflated; gas in the bowel measures as air does. A piece is lung by the density of its inside, and by
    being large, or cut by an end of the scan, or level with a piece that is lung.
    """
    low = (hu < AERATED) & body & ~dilate(airways, 1.01 * max(spacing), spacing)
    labels, count = cc3d.connected_components(low, connectivity=6, return_N=True)
    keep = np.zeros(count + 1, dtype=bool)
    if not count:
        return keep[labels]
    stats = cc3d.statistics(labels)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    volumes = stats["voxel_counts"] * voxel_ml
    inside = edt.edt(low, anisotropy=spacing, black_border=False, parallel=2)
    certain, perhaps = [], []
    top = hu.shape[0]
    for label in range(1, count + 1):
        if volumes[label] < 0.5:
            continue
        box = stats["bounding_boxes"][label]
        here = labels[box] == label
        distance = inside[box][here]
        values = hu[box][here]
        core = values[distance >= min(5.0, 0.7 * float(distance.max()))]
        if np.median(core) < air + 40.0 or np.median(core) > -500.0:
            continue
        if volumes[label] >= 150.0 or (box[0].stop == top and volumes[label] >= 2.0):
            certain.append(label)
        else:
            perhaps.append(label)
    keep[certain] = True
    if certain:
        lowest = min(stats["bounding_boxes"][label][0].start for label in certain)
        for label in perhaps:
            box = stats["bounding_boxes"][label][0]
            keep[label] = box.start >= lowest and volumes[label] >= 2.0
    return keep[labels]


def midline(hu: npt.NDArray[np.float32], body: Mask, spacing: Spacing) -> float:
    """Column (i) of the patient's midline: where the spine stands, else the middle of the trunk."""
    trunk = erode(body, 30.0, (1e6, *spacing[1:]))
    trunk = trunk if trunk.any() else body
    columns = trunk.sum(axis=(0, 1))
    middle = float(np.average(np.arange(columns.size), weights=columns)) if columns.any() else columns.size / 2
    return middle


def split(mask: Mask, spacing: Spacing, middle: float) -> npt.NDArray[np.uint8]:
    """Name each voxel of both lungs RIGHT or LEFT, cutting where the two touch.

    The mask is eroded until its large pieces lie on different sides of the midline; each voxel then goes to
    the side of its nearest piece.
    """
    out = np.zeros(mask.shape, dtype=np.uint8)
    labels, count = cc3d.connected_components(mask, connectivity=6, return_N=True)
    if not count:
        return out
    depth = edt.edt(mask, anisotropy=spacing, black_border=False, parallel=2)
    stats = cc3d.statistics(labels)
    for label in range(1, count + 1):
        box = stats["bounding_boxes"][label]
        here = labels[box] == label
        columns = np.nonzero(here)[2] + box[2].start
        left = float((columns > middle).mean())
        if 0.1 < left < 0.9 and here.sum() * np.prod(spacing) > 100_000:
            out[box][here] = _cut(here, depth[box], spacing, middle - box[2].start)[here]
        else:
            out[box][here] = LEFT if left > 0.5 else RIGHT
    return out


def _cut(piece: Mask, depth: npt.NDArray[np.float32], spacing: Spacing, middle: float) -> npt.NDArray[np.uint8]:
    for radius in (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 13.0, 16.0):
        seeds, count = cc3d.connected_components(piece & (depth > radius), connectivity=6, return_N=True)
        sides = np.zeros(count + 1, dtype=np.uint8)
        mixed = False
        for label, size in enumerate(np.bincount(seeds.ravel(), minlength=count + 1)):
            if label and size:
                left = float((np.nonzero(seeds == label)[2] > middle).mean())
                mixed |= 0.15 < left < 0.85 and size > 0.05 * piece.sum()
                sides[label] = LEFT if left > 0.5 else RIGHT
        if not mixed and {RIGHT, LEFT} <= set(sides.tolist()):
            marked = sides[seeds]
            to_right = edt.edt(marked != RIGHT, anisotropy=spacing, black_border=False, parallel=2)
            to_left = edt.edt(marked != LEFT, anisotropy=spacing, black_border=False, parallel=2)
            return np.where(to_left < to_right, LEFT, RIGHT).astype(np.uint8)
    column = np.arange(piece.shape[2]) > middle
    return np.broadcast_to(np.where(column, LEFT, RIGHT).astype(np.uint8), piece.shape)


def fill(lung: Mask, spacing: Spacing, forbidden: Mask) -> Mask:
    """One lung with the vessels, nodules and consolidations it encloses: closed with a ball, then filled."""
    grid = np.nonzero(lung)
    if not grid[0].size:
        return lung
    margin = [int(np.ceil(CLOSING_MM / s)) + 1 for s in spacing]
    box = tuple(
        slice(max(0, int(axis.min()) - m), int(axis.max()) + m + 1) for axis, m in zip(grid, margin, strict=True)
    )
    out = lung.copy()
    part = close(lung[box], CLOSING_MM / 2, spacing)
    for k in range(part.shape[0]):
        part[k] = fill_voids.fill(part[k])
    out[box] = fill_voids.fill(part) & ~forbidden[box] | lung[box]
    return out
