"""The spinal canal as the thread on which the bones of the trunk are strung."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from radfind.engines.builtin.grid import Mask, Spacing

# The lumbar canal is 15-25 mm deep and 20-30 mm wide (Panjabi et al., Spine 1992;17:299): from its middle, bone is met
# within 20 mm on all sides.
REACH_MM = 20.0
# Neighbouring arches leave gaps of about this height.
ARCH_GAP_MM = 8.0
SEARCH_MM = 45.0
# Dura, cord, fluid and epidural fat.
CANAL_HU = (-90.0, 130.0)
RAYS = 8
ENCLOSED_RAYS = 6
# A canal leans up to 60 degrees from the scan's axis (sacrum, kyphosis), and wandering costs.
LEAN = 1.7
STEP_COST = 0.08
SIDEWAYS = 3.0
LEAST_RUN_MM = 25.0
GAP_MM = 20.0


@dataclasses.dataclass(frozen=True, eq=False)
class Canal:
    """The middle of the spinal canal on the overview grid.

    Arguments:
        rows, columns: one per slice, in voxels (fractional); meaningful where `seen`.
        seen: slices in which bone encloses the canal.
    """

    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]
    seen: npt.NDArray[np.bool_]


def find_canal(hu: npt.NDArray[np.float32], spacing: Spacing, bone: Mask, body: Mask) -> Canal:
    """The most enclosed chain of soft voxels near the midline, one per slice (Viterbi, IEEE Trans Inf Theory 1967).

    Arguments:
        hu, bone, body: overview grid, k to head, j to back, i to left.
    """
    slices, _, columns = bone.shape
    middle = _middle(body, spacing)
    first = max(0, math.floor(float(middle.min()) - SEARCH_MM / spacing[2]))
    last = min(columns, math.ceil(float(middle.max()) + SEARCH_MM / spacing[2]) + 1)
    part = bone[:, :, first:last]
    around = ndimage.maximum_filter1d(part, 2 * round(ARCH_GAP_MM / spacing[0]) + 1, axis=0)
    hits = np.zeros(part.shape, dtype=np.uint8)
    steps = np.arange(2.0, REACH_MM + 0.1, min(spacing[1:]) * 0.9)
    for ray in range(RAYS):
        angle = 2.0 * math.pi * ray / RAYS
        met = np.zeros_like(part)
        for step in steps:
            met |= _moved(
                around, round(step * math.sin(angle) / spacing[1]), round(step * math.cos(angle) / spacing[2])
            )
        hits += met
    soft = (hu[:, :, first:last] > CANAL_HU[0]) & (hu[:, :, first:last] < CANAL_HU[1]) & ~part
    room = np.minimum(ndimage.distance_transform_edt(~part, sampling=spacing), ARCH_GAP_MM) / ARCH_GAP_MM
    enclosed = hits.astype(np.float32) - (ENCLOSED_RAYS - 1)
    off = np.abs(np.arange(first, last)[None, :] - middle[:, None]) * spacing[2]
    soft &= (off < SEARCH_MM)[:, None, :]
    score = np.where(soft & (enclosed > 0), enclosed / 3.0 + room, 0.0).astype(np.float32)
    path = _best_path(score, spacing)
    inside = score[np.arange(slices), path[:, 0], path[:, 1]] > 0
    sigma = 6.0 / spacing[0]
    return Canal(
        ndimage.gaussian_filter1d(path[:, 0].astype(np.float64), sigma, mode="nearest"),
        ndimage.gaussian_filter1d(path[:, 1].astype(np.float64) + first, sigma, mode="nearest"),
        _runs(inside, spacing[0]),
    )


def _middle(body: Mask, spacing: Spacing) -> npt.NDArray[np.float64]:
    """Column of the body's middle in each slice, as a smooth line that follows a patient lying askew."""
    columns = np.arange(body.shape[2])
    weight = body.sum(axis=1).astype(np.float64)
    area = weight.sum(axis=1)
    if not area.any():
        return np.full(body.shape[0], columns.mean())
    sigma = 40.0 / spacing[0]
    moment = ndimage.gaussian_filter1d(weight @ columns, sigma, mode="nearest")
    return np.asarray(moment / np.maximum(ndimage.gaussian_filter1d(area, sigma, mode="nearest"), 1e-6))


def _runs(inside: npt.NDArray[np.bool_], step: float) -> npt.NDArray[np.bool_]:
    """Runs of slices, gaps closed, short runs dropped unless the scan itself is short."""
    reach = max(1, round(GAP_MM / step / 2))
    padded = np.pad(inside, reach)
    closed = ndimage.binary_closing(padded, np.ones(2 * reach + 1, dtype=bool))[reach:-reach]
    least = min(round(LEAST_RUN_MM / step), max(1, round(0.6 * inside.size)))
    labels, count = ndimage.label(closed)
    sizes = np.bincount(labels, minlength=count + 1)
    keep = sizes >= least
    keep[0] = False
    return np.asarray(keep[labels])


def _moved(array: npt.NDArray, rows: int, columns: int) -> npt.NDArray:
    """out[k, j, i] = array[k, j + rows, i + columns], False or 0 beyond the border."""
    out = np.zeros_like(array)
    height, width = array.shape[1:]
    if abs(rows) < height and abs(columns) < width:
        to = (slice(max(0, -rows), min(height, height - rows)), slice(max(0, -columns), min(width, width - columns)))
        source = (slice(max(0, rows), min(height, height + rows)), slice(max(0, columns), min(width, width + columns)))
        out[:, to[0], to[1]] = array[:, source[0], source[1]]
    return out


def _best_path(score: npt.NDArray[np.float32], spacing: Spacing) -> npt.NDArray[np.intp]:
    """(k, 2) rows and columns of the chain with the highest sum of scores."""
    slices, height, width = score.shape
    reach = [max(1, math.ceil(LEAN * spacing[0] / s)) for s in spacing[1:]]
    moves = [(a, b) for a in range(-reach[0], reach[0] + 1) for b in range(-reach[1], reach[1] + 1)]
    cost = [STEP_COST * math.hypot(a * spacing[1], SIDEWAYS * b * spacing[2]) for a, b in moves]
    best = score[:1].copy()
    came = np.zeros(score.shape, dtype=np.uint8 if len(moves) < 256 else np.uint16)
    for k in range(1, slices):
        options = np.stack([_moved(best, a, b)[0] - c for (a, b), c in zip(moves, cost, strict=True)])
        came[k] = options.argmax(axis=0)
        best = (score[k] + options.max(axis=0))[None]
    path = np.zeros((slices, 2), dtype=np.intp)
    path[-1] = np.unravel_index(int(best[0].argmax()), (height, width))
    for k in range(slices - 1, 0, -1):
        step = moves[int(came[k][tuple(path[k])])]
        path[k - 1] = np.clip(path[k] + step, 0, (height - 1, width - 1))
    return path
