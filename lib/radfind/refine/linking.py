"""From masks found slice by slice to instances in space."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import edt
import numpy as np
import numpy.typing as npt

BRIDGED_MM = 6.0
"""Gaps of missed slices up to this long are bridged (at least one slice)."""

SAME = 0.3
"""Two masks belong together when they share this part of the smaller one."""


@dataclasses.dataclass(frozen=True, eq=False)
class SliceMask:
    """One detection on slice `k`, with its score.

    `mask` is boolean, of the whole slice or of the part of it that begins at `corner` (row, column). Only the box of
    what is marked is kept: a long series has thousands of detections.
    """

    k: int
    mask: npt.NDArray[np.bool_]
    score: float
    corner: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        if rows.size:
            top, left = int(rows[0]), int(columns[0])
            marked = self.mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1].copy()
            object.__setattr__(self, "corner", (self.corner[0] + top, self.corner[1] + left))
        else:
            marked = np.zeros((0, 0), bool)
        object.__setattr__(self, "mask", marked)

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the slice that `mask` covers."""
        (top, left), (height, width) = self.corner, self.mask.shape
        return slice(top, top + height), slice(left, left + width)


@dataclasses.dataclass(frozen=True, eq=False)
class Instance:
    """One object: `score` is the best of its slices, `slices` those it was seen on."""

    items: tuple[SliceMask, ...]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @property
    def score(self) -> float:
        return max(item.score for item in self.items)

    @property
    def slices(self) -> tuple[int, ...]:
        return tuple(sorted({item.k for item in self.items}))

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Boolean (k, j, i) mask, missed slices filled; made each time, since it is as large as the volume."""
        mask = np.zeros(self.shape, bool)
        for item in self.items:
            mask[item.k][item.place] |= item.mask
        for below, above in itertools.pairwise(self.slices):
            if 1 < above - below <= _reach(self.spacing):
                near, far = (_signed_distance(mask[k], self.spacing[1:]) for k in (below, above))
                for k in range(below + 1, above):
                    share = (k - below) / (above - below)
                    mask[k] = (1 - share) * near + share * far > 0
        return mask


def link_slices(
    detections: Sequence[SliceMask], shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> list[Instance]:
    """Links detections of one class through the slices, best instance first.

    Detections that overlap (see `SAME`) on one slice, on neighbouring slices or across a gap of up to
    `BRIDGED_MM` belong to one instance. Missed slices in between are filled by interpolating the signed
    distance to the outline. An instance seen on one slice only is dropped as flicker when it is so wide on
    that slice (twice the slice distance and more) that a compact object would show on the next one too.

    Arguments:
        shape: of the volume, (k, j, i).
        spacing: millimetres along (k, j, i).
    """
    found = [item for item in detections if item.mask.size]
    reach = _reach(spacing)
    group = list(range(len(found)))

    def root(index: int) -> int:
        while group[index] != index:
            group[index] = group[group[index]]
            index = group[index]
        return index

    order = sorted(range(len(found)), key=lambda index: found[index].k)
    for place, first in enumerate(order):
        for second in order[place + 1 :]:
            if found[second].k - found[first].k > reach:
                break
            if _overlap(found[first], found[second]) >= SAME:
                group[root(second)] = root(first)
    members: dict[int, list[SliceMask]] = {}
    for index, item in enumerate(found):
        members.setdefault(root(index), []).append(item)
    instances = [Instance(tuple(items), shape, spacing) for items in members.values()]
    kept = [one for one in instances if not _flicker(one)]
    return sorted(kept, key=lambda one: -one.score)


def _reach(spacing: tuple[float, float, float]) -> int:
    """How many slices apart two detections of one object may be."""
    return max(2, 1 + int(BRIDGED_MM / spacing[0]))


def _signed_distance(mask: npt.NDArray[np.bool_], spacing: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Millimetres to the outline, positive inside."""
    inside = edt.edt(np.ascontiguousarray(mask), anisotropy=spacing)
    outside = edt.edt(np.ascontiguousarray(~mask), anisotropy=spacing)
    return np.asarray(inside - outside, dtype=np.float32)


def _flicker(one: Instance) -> bool:
    if len(one.slices) > 1 or one.shape[0] == 1:
        return False
    marked = np.zeros(one.shape[1:], bool)
    for item in one.items:
        marked[item.place] |= item.mask
    area = float(marked.sum()) * one.spacing[1] * one.spacing[2]
    return bool(2 * (area / np.pi) ** 0.5 > 2 * one.spacing[0])


def _overlap(a: SliceMask, b: SliceMask) -> float:
    """Shared part of the smaller mask; looks only where the boxes meet."""
    common = [(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a.place, b.place, strict=True)]
    if any(start >= stop for start, stop in common):
        return 0.0

    def part(one: SliceMask) -> npt.NDArray[np.bool_]:
        rows, columns = (
            slice(start - first, stop - first) for (start, stop), first in zip(common, one.corner, strict=True)
        )
        return one.mask[rows, columns]

    return int((part(a) & part(b)).sum()) / min(int(a.mask.sum()), int(b.mask.sum()))
