"""Normalised coordinates of a lung, also when the scan shows only part of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.grid import Mask, Spacing

# Apex to the lowest point of the costophrenic recess, adults at full inspiration: 200-280 mm
# (Bellemare et al., Am J Respir Crit Care Med 2003;168:305 give lung heights; the middle of that range is used).
LENGTH_MM = 240.0
# A lung is seen whole at an end when its outermost section lies this far inside the scan.
MARGIN_MM = 3.0
# The apex is a dome: its outermost section is small. A section larger than this is a cut.
TIP_MM2 = 1500.0


@dataclasses.dataclass(frozen=True)
class LungFrame:
    """A lung's coordinates in LPS millimetres, so that a turned scan gives the same ones.

    Arguments:
        top, bottom: z of the apex and of the lowest point; beyond the scan where it cuts the lung, placed by the
            expected length.
        apex_seen, base_seen: whether the scan shows that end.
        front, back: y of the lung's extent.
        inner, outer: x of its medial and lateral extent.
    """

    top: float
    bottom: float
    apex_seen: bool
    base_seen: bool
    front: float
    back: float
    inner: float
    outer: float

    def down(self, z: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """0 at the apex, 1 at the base."""
        return (self.top - np.asarray(z, dtype=np.float64)) / max(self.top - self.bottom, 1.0)

    def backwards(self, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """0 at the lung's front, 1 at its back."""
        return (np.asarray(y, dtype=np.float64) - self.front) / max(self.back - self.front, 1.0)

    def outwards(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """0 at the lung's medial edge, 1 at its lateral one."""
        span = self.outer - self.inner
        return (np.asarray(x, dtype=np.float64) - self.inner) / (span if abs(span) > 1.0 else 1.0)

    @property
    def hilum(self) -> tuple[float, float, float]:
        """LPS mm of the expected hilum: half way down (fifth to seventh thoracic vertebra), near the medial edge, a
        little behind the middle (Gray's Anatomy, surface anatomy of the lungs)."""
        return (
            self.inner + 0.15 * (self.outer - self.inner),
            self.front + 0.55 * (self.back - self.front),
            (self.top + self.bottom) / 2,
        )


def lung_frame(
    lung: Mask, lps: tuple[npt.NDArray[np.float32], ...], spacing: Spacing, *, lumen_seen: bool, left: bool
) -> LungFrame | None:
    """The frame of one lung, or None when there is none.

    Arguments:
        lung: overview mask (k to head).
        lps: LPS x, y, z in mm of each overview voxel.
        spacing: of the overview (k, j, i), mm.
        lumen_seen: trachea or main bronchi are in the scan.
        left: which lung.
    """
    levels = np.flatnonzero(lung.any(axis=(1, 2)))
    if not levels.size:
        return None
    low, high, last = int(levels[0]), int(levels[-1]), lung.shape[0] - 1
    margin = max(1.0, MARGIN_MM / spacing[0])
    section = float(lung[high].sum()) * spacing[1] * spacing[2]
    apex_seen = last - high >= margin or (high > low and section < TIP_MM2)
    base_seen = low >= margin  # the scan goes on below the lung
    x, y, z = (axis[lung] for axis in lps)
    top, bottom = float(z.max()), float(z.min())
    spare = max(0.0, LENGTH_MM - (top - bottom))
    if apex_seen and not base_seen:
        bottom -= spare
    elif base_seen and not apex_seen:
        top += spare
    elif not apex_seen and not base_seen:
        # A lumen in view (trachea, main bronchi) lies in the upper half; without one this is the lower half.
        share = 0.35 if lumen_seen else 0.65
        top, bottom = top + spare * share, bottom - spare * (1 - share)
    inner, outer = (x.min(), x.max()) if left else (x.max(), x.min())
    return LungFrame(top, bottom, apex_seen, base_seen, float(y.min()), float(y.max()), float(inner), float(outer))
