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
    """One detection: boolean (rows, columns) `mask` on slice `k`, with its score."""

    k: int
    mask: npt.NDArray[np.bool_]
    score: float


@dataclasses.dataclass(frozen=True, eq=False)
class Instance:
    """One object: boolean (k, j, i) `mask`; `score` is the best of its slices, `slices` those it was seen on."""

    mask: npt.NDArray[np.bool_]
    score: float
    slices: tuple[int, ...]


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
    found = [item for item in detections if item.mask.any()]
    boxes = [_box(item.mask) for item in found]
    reach = max(2, 1 + int(BRIDGED_MM / spacing[0]))
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
            if _overlap(found[first].mask, found[second].mask, boxes[first], boxes[second]) >= SAME:
                group[root(second)] = root(first)
    members: dict[int, list[SliceMask]] = {}
    for index, item in enumerate(found):
        members.setdefault(root(index), []).append(item)
    instances = [_instance(items, shape, spacing, reach) for items in members.values()]
    kept = [one for one in instances if not _flicker(one, shape, spacing)]
    return sorted(kept, key=lambda one: -one.score)


def _instance(
    items: Sequence[SliceMask], shape: tuple[int, int, int], spacing: tuple[float, float, float], reach: int
) -> Instance:
    mask = np.zeros(shape, bool)
    for item in items:
        mask[item.k] |= item.mask
    seen = sorted({item.k for item in items})
    for below, above in itertools.pairwise(seen):
        if 1 < above - below <= reach:
            near, far = (_signed_distance(mask[k], spacing[1:]) for k in (below, above))
            for k in range(below + 1, above):
                share = (k - below) / (above - below)
                mask[k] = (1 - share) * near + share * far > 0
    return Instance(mask, max(item.score for item in items), tuple(seen))


def _signed_distance(mask: npt.NDArray[np.bool_], spacing: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Millimetres to the outline, positive inside."""
    inside = edt.edt(np.ascontiguousarray(mask), anisotropy=spacing)
    outside = edt.edt(np.ascontiguousarray(~mask), anisotropy=spacing)
    return np.asarray(inside - outside, dtype=np.float32)


def _flicker(one: Instance, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> bool:
    if len(one.slices) > 1 or shape[0] == 1:
        return False
    area = float(one.mask[one.slices[0]].sum()) * spacing[1] * spacing[2]
    return 2 * (area / np.pi) ** 0.5 > 2 * spacing[0]


def _box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _overlap(
    a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_], box_a: tuple[slice, slice], box_b: tuple[slice, slice]
) -> float:
    """Shared part of the smaller mask; looks only where the boxes meet."""
    common = tuple(slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(box_a, box_b, strict=True))
    if any(part.start >= part.stop for part in common):
        return 0.0
    shared = int((a[common] & b[common]).sum())
    return shared / min(int(a[box_a].sum()), int(b[box_b].sum()))
