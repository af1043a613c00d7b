"""What a scan shows of a region, so that "not covered" is never read as "absent"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from radfind.engines.builtin.bone_parts import NAMES

if TYPE_CHECKING:
    from radfind.engines.builtin.anatomy import Anatomy

Coverage = Literal["whole", "part", "none", "unknown"]

# Shares of a lung's length, apex 0 to base 1, that its parts take (see `regions`).
EXTENTS: dict[str, tuple[float, float]] = {
    "lung": (0.0, 1.0),
    "pleura": (0.0, 1.0),
    "lung_apex": (0.0, 0.2),
    "lung_base": (0.75, 1.0),
    "right_upper_lobe": (0.0, 0.55),
    "right_middle_lobe": (0.45, 0.9),
    "right_lower_lobe": (0.2, 1.0),
    "left_upper_lobe": (0.0, 0.9),
    "left_lower_lobe": (0.2, 1.0),
    "lingula": (0.45, 0.9),
    "lung_hilum": (0.4, 0.6),
    "mediastinum": (0.0, 0.9),
}
ALWAYS = frozenset({"body", "bone", "skeleton", "muscle", "fat", "subcutaneous_fat", "calcification", "soft_tissue"})


def coverage(anatomy: Anatomy, region: str, side: str | None) -> Coverage:
    """See `Anatomy.covers`."""
    if region in ALWAYS:
        return "part" if anatomy.body.any() else "none"
    if region == "spine" or region in NAMES:  # nobody lacks them: what is not seen is not in the scan
        names = ("vertebra", "sacrum") if region == "spine" else (region,)
        return "part" if any(anatomy.skeleton_parts.mask(name).any() for name in names) else "none"
    if region == "urinary_bladder":  # it lies between the hip joints
        return "part" if anatomy.skeleton_parts.heads else "none"
    if region in ("airway", "trachea", "main_bronchus"):
        return "part" if anatomy.airways.any() else "none"
    if region not in EXTENTS:
        return "unknown"
    for name in ("right", "left"):
        if region.startswith(name):
            side = name
    if region == "lingula":
        side = "left"
    sides = {"right": (1,), "left": (2,)}.get(side or "", (1, 2))
    shown = [_share(anatomy, one, EXTENTS[region]) for one in sides]
    if side is None:
        shown = [max(shown)]
    if min(shown) >= 0.98:
        return "whole"
    return "part" if max(shown) >= 0.1 else "none"


def _share(anatomy: Anatomy, side: int, extent: tuple[float, float]) -> float:
    """Share of the part `extent` of a lung's length that lies in the scan."""
    frame = anatomy.frames.get(side)
    if frame is None:  # white-out: the other lung tells which levels the scan shows
        frame = next(iter(anatomy.frames.values()), None)
        if frame is None:
            return 0.0
    slices, rows, columns = anatomy.volume.geometry.shape
    ends = anatomy.volume.geometry.to_lps([[k, rows / 2, columns / 2] for k in (slices - 0.5, -0.5)])[:, 2]
    top, bottom = (float(share) for share in np.clip(frame.down(ends), 0.0, 1.0))
    low, high = max(extent[0], top), min(extent[1], bottom)
    return max(0.0, high - low) / (extent[1] - extent[0])
