"""A lesion: one thing found in the voxels, measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.boxes import Box
from radfind.engines.builtin.grid import Spacing


@dataclasses.dataclass(frozen=True, eq=False)
class Lesion:
    """Something found, on the oriented (LPS) grid of its scan.

    Arguments:
        concept: id of what it is ("solid_nodule", "consolidation", "pleural_effusion" ...).
        box: where `mask` lies in the oriented volume.
        mask: boolean, the shape of `box`.
        centre: (k, j, i) of a voxel deep inside the lesion, in the oriented volume.
        side: "right", "left" or "both".
        score: 0..1, how sure the detector is that this is such a lesion.
        longest_mm, perpendicular_mm: the longest diameter in a slice and the widest extent across it.
        volume_mm3: of the mask.
        mean_hu: inside the mask.
        attributes: what was measured, in the reader's words: "solid", "part_solid", "ground_glass", "calcified".
        values: further measures, unit in the name.
    """

    concept: str
    box: Box
    mask: npt.NDArray[np.bool_]
    centre: tuple[float, float, float]
    side: str
    score: float
    longest_mm: float
    perpendicular_mm: float
    volume_mm3: float
    mean_hu: float
    attributes: tuple[str, ...] = ()
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def full_mask(self, shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
        """The mask on the whole oriented grid of `shape`."""
        full = np.zeros(shape, bool)
        full[self.box] = self.mask
        return full


def overlap(one: Lesion, other: Lesion) -> float:
    """Share (0..1) of the smaller of two lesions of one scan that lies in the other."""
    low = [max(a.start, b.start) for a, b in zip(one.box, other.box, strict=True)]
    high = [min(a.stop, b.stop) for a, b in zip(one.box, other.box, strict=True)]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return 0.0
    parts = []
    for lesion in (one, other):
        cut = tuple(slice(a - p.start, b - p.start) for a, b, p in zip(low, high, lesion.box, strict=True))
        parts.append(lesion.mask[cut])
    smaller = min(np.count_nonzero(one.mask), np.count_nonzero(other.mask))
    return np.count_nonzero(parts[0] & parts[1]) / smaller


def diameters(mask: npt.NDArray[np.bool_], spacing: Spacing) -> tuple[float, float]:
    """Longest diameter within any slice, and the widest extent at right angles to it in that slice, mm.

    As read at the console: bidimensional caliper on the slice where the lesion is largest (Fleischner Society,
    Bankier et al., Radiology 2017). Half a voxel's width is added to the distance between voxel centres: on ellipses
    of 4 to 30 voxels, wherever they lie on the grid, the centres inside span 0.4 to 0.7 voxels less than the ellipse.
    """
    best = (0.0, 0.0)
    areas = mask.sum(axis=(1, 2))
    if not areas.any():
        return best
    half = (spacing[1] + spacing[2]) / 4.0
    for k in np.flatnonzero(areas >= 0.6 * areas.max()):
        points = np.argwhere(mask[k] & ~_interior(mask[k])) * np.asarray(spacing[1:])
        longest, direction = _farthest(points)
        across = points @ np.array([-direction[1], direction[0]])
        width = float(across.max() - across.min()) + half
        if longest + half > best[0]:
            best = (longest + half, min(width, longest + half))
    return best


def _interior(plane: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    padded = np.pad(plane, 1)
    return padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _farthest(points: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
    """Largest distance of two of `points` (n, 2) and its unit direction; the extremes of 90 directions suffice."""
    angles = np.deg2rad(np.arange(0.0, 180.0, 2.0))
    directions = np.stack([np.cos(angles), np.sin(angles)])
    projected = points @ directions
    picks = np.unique(np.concatenate([projected.argmax(axis=0), projected.argmin(axis=0)]))
    extreme = points[picks]
    offsets = extreme[:, None] - extreme[None]
    lengths = np.linalg.norm(offsets, axis=2)
    a, b = np.unravel_index(int(lengths.argmax()), lengths.shape)
    length = float(lengths[a, b])
    return length, offsets[a, b] / length if length > 0 else np.array([1.0, 0.0])
