"""A coarse copy of a scan for global decisions, and morphology that counts in millimetres."""

from __future__ import annotations

import dataclasses
import math

import cc3d
import edt
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]


def box_of(mask: npt.NDArray, margin: int | tuple[int, ...] = 0) -> Box | None:
    """The smallest box around the non-zero voxels of `mask`, grown by `margin` voxels; None when there are none."""
    margins = (margin,) * 3 if isinstance(margin, int) else margin
    within: list[slice] = [slice(0, n) for n in mask.shape]
    for axis in range(3):
        where = np.flatnonzero(mask[tuple(within)].any(axis=tuple(a for a in range(3) if a != axis)))
        if not where.size:
            return None
        within[axis] = slice(int(where[0]), int(where[-1]) + 1)
    grown = [
        slice(max(0, part.start - m), min(n, part.stop + m))
        for part, m, n in zip(within, margins, mask.shape, strict=True)
    ]
    return grown[0], grown[1], grown[2]


def dilate(mask: Mask, radius_mm: float, spacing: Spacing) -> Mask:
    """Every voxel whose centre lies within `radius_mm` of a voxel of `mask`; the array's border adds nothing."""
    out = np.zeros_like(mask)
    box = box_of(mask, tuple(math.ceil(radius_mm / s) for s in spacing))
    if box is not None:
        part = np.ascontiguousarray(~mask[box])
        # A mask that fills its box has no distances to measure.
        near = edt.edt(part, anisotropy=spacing, black_border=False, parallel=2) <= radius_mm if part.any() else True
        out[box] = near
    return out


def erode(mask: Mask, radius_mm: float, spacing: Spacing) -> Mask:
    """Voxels farther than `radius_mm` from everything outside `mask`; what lies beyond the array counts as inside."""
    out = np.zeros_like(mask)
    box = box_of(mask, 1)
    if box is not None:
        out[box] = depth(mask[box], spacing) > radius_mm
    return out


def open_(mask: Mask, radius_mm: float, spacing: Spacing) -> Mask:
    """Morphological opening with a ball."""
    return dilate(erode(mask, radius_mm, spacing), radius_mm, spacing) & mask


def close(mask: Mask, radius_mm: float, spacing: Spacing) -> Mask:
    """Morphological closing with a ball, not bent by the array's border."""
    return erode(dilate(mask, radius_mm, spacing), radius_mm, spacing) | mask


def depth(mask: Mask, spacing: Spacing) -> npt.NDArray[np.float32]:
    """Millimetres from each voxel of `mask` to the nearest voxel outside it: 0 outside, infinite without an outside."""
    if mask.all():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    return edt.edt(np.ascontiguousarray(mask), anisotropy=spacing, black_border=False, parallel=2)


def thickness(mask: Mask, spacing: Spacing) -> float:
    """Diameter in mm of the largest ball that fits into a mask, the array's border counting as inside; 0 if empty."""
    box = box_of(mask, 1)
    return 0.0 if box is None else 2.0 * float(depth(mask[box], spacing).max())


def spread(mask: Mask, seed: Mask) -> Mask:
    """The connected pieces (6-neighbourhood) of `mask` that `seed` touches."""
    labels = cc3d.connected_components(mask, connectivity=6)
    touched = np.unique(labels[seed & mask])
    keep = np.zeros(int(labels.max()) + 1, dtype=bool)
    keep[touched[touched > 0]] = True
    return keep[labels]


@dataclasses.dataclass(frozen=True, eq=False)
class Overview:
    """Block means of a volume at about `target_mm`, and the way back.

    Axes already coarser than the target keep their voxels; a block that sticks out of the volume is
    filled with the volume's own edge voxels.
    """

    hu: npt.NDArray[np.float32]
    spacing: Spacing
    factors: tuple[int, int, int]
    full_shape: tuple[int, int, int]

    @classmethod
    def of(cls, array: npt.NDArray, spacing: Spacing, target_mm: float = 2.0) -> Overview:
        """Average `array` (k, j, i) over blocks of whole voxels as near to `target_mm` as they come."""
        factors = tuple(max(1, math.floor(target_mm / s + 0.5)) for s in spacing)
        fk, fj, fi = (min(f, n) for f, n in zip(factors, array.shape, strict=True))
        shape = tuple(-(-n // f) for n, f in zip(array.shape, (fk, fj, fi), strict=True))
        out = np.empty(shape, dtype=np.float32)
        pad = [(0, shape[1] * fj - array.shape[1]), (0, shape[2] * fi - array.shape[2])]
        for k in range(shape[0]):
            slab = array[k * fk : (k + 1) * fk].mean(axis=0, dtype=np.float32) if fk > 1 else array[k]
            if pad[0][1] or pad[1][1]:
                slab = np.pad(slab, pad, mode="edge")
            rows = np.add.reduceat(slab.astype(np.float32), np.arange(0, slab.shape[0], fj), axis=0)
            out[k] = np.add.reduceat(rows, np.arange(0, slab.shape[1], fi), axis=1) / (fj * fi)
        step = (spacing[0] * fk, spacing[1] * fj, spacing[2] * fi)
        return cls(out, step, (fk, fj, fi), (int(array.shape[0]), int(array.shape[1]), int(array.shape[2])))

    def up(self, mask: npt.NDArray) -> npt.NDArray:
        """A coarse mask on the full grid, each block repeated."""
        for axis, factor in enumerate(self.factors):
            if factor > 1:
                mask = np.repeat(mask, factor, axis=axis)
        return np.ascontiguousarray(mask[tuple(slice(0, n) for n in self.full_shape)])

    def up_smooth(self, mask: Mask, box: Box) -> Mask:
        """A coarse mask on the part `box` of the full grid, interpolated so that its surface has no steps."""
        out = mask.astype(np.float32)
        for axis, (factor, part, full) in enumerate(zip(self.factors, box, self.full_shape, strict=True)):
            start, stop, _ = part.indices(full)
            where = np.clip((np.arange(start, stop) + 0.5) / factor - 0.5, 0, out.shape[axis] - 1)
            low = np.minimum(where.astype(np.intp), max(out.shape[axis] - 2, 0))
            high = np.minimum(low + 1, out.shape[axis] - 1)
            weight = (where - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
            first, second = out.take(low, axis=axis), out.take(high, axis=axis)
            second -= first
            second *= weight
            second += first
            out = second
        return out > 0.5

    def up_whole(self, mask: Mask) -> Mask:
        """A coarse mask on the whole full grid, without steps in its surface."""
        out = np.zeros(self.full_shape, dtype=bool)
        box = box_of(mask, 2)
        if box is not None:
            full = self.full_box(box)
            out[full] = self.up_smooth(mask, full)
        return out

    def full_box(self, box: Box) -> Box:
        """The part of the full grid that the coarse part `box` covers."""
        parts = [
            slice(part.start * factor, min(part.stop * factor, full))
            for part, factor, full in zip(box, self.factors, self.full_shape, strict=True)
        ]
        return parts[0], parts[1], parts[2]

    def up_box(self, mask: npt.NDArray, box: Box) -> npt.NDArray:
        """The coarse part `box` of a mask on the full grid (the part `full_box(box)` of it)."""
        out = mask[box]
        for axis, factor in enumerate(self.factors):
            if factor > 1:
                out = np.repeat(out, factor, axis=axis)
        full = self.full_box(box)
        return out[tuple(slice(0, part.stop - part.start) for part in full)]

    def down(self, mask: Mask) -> Mask:
        """A full mask on the coarse grid, by majority."""
        scaled = tuple(1.0 / f for f in self.factors)
        return Overview.of(mask.astype(np.uint8), (scaled[0], scaled[1], scaled[2]), 1.0).hu > 0.5
