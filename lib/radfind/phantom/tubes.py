"""Tapered tubes: one table of segments, and their signed distance on any voxel grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from radfind.volume import Geometry

_CHUNK = 3_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Tubes:
    """Straight tapered segments: ends (n, 3) in LPS mm, radii (n,) in mm."""

    start: npt.NDArray[np.float64]
    stop: npt.NDArray[np.float64]
    start_radius: npt.NDArray[np.float64]
    stop_radius: npt.NDArray[np.float64]

    @classmethod
    def along(cls, points: npt.ArrayLike, radii: npt.ArrayLike) -> Tubes:
        """One tube through `points` (n, 3) with a radius at each."""
        p = np.asarray(points, dtype=np.float64)
        r = np.broadcast_to(np.asarray(radii, dtype=np.float64), len(p))
        return cls(p[:-1], p[1:], r[:-1], r[1:])

    @classmethod
    def join(cls, parts: Iterable[Tubes]) -> Tubes:
        every = list(parts)
        if not every:
            return cls(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros(0))
        return cls(
            np.concatenate([t.start for t in every]),
            np.concatenate([t.stop for t in every]),
            np.concatenate([t.start_radius for t in every]),
            np.concatenate([t.stop_radius for t in every]),
        )

    def __len__(self) -> int:
        return len(self.start)

    def grown(self, mm: float) -> Tubes:
        """Every radius changed by `mm` (tubes that vanish are dropped)."""
        keep = np.minimum(self.start_radius, self.stop_radius) + mm > 0
        return Tubes(self.start[keep], self.stop[keep], self.start_radius[keep] + mm, self.stop_radius[keep] + mm)

    def moved(self, matrix: npt.NDArray[np.float64], scale: float) -> Tubes:
        """Ends through a 4x4 matrix, radii times `scale`."""
        ends = [p @ matrix[:3, :3].T + matrix[:3, 3] for p in (self.start, self.stop)]
        return Tubes(ends[0], ends[1], self.start_radius * scale, self.stop_radius * scale)

    def split(self, longest: float) -> Tubes:
        """The same tubes in pieces of at most `longest` mm (tight bounding boxes make rasterising fast)."""
        length = np.linalg.norm(self.stop - self.start, axis=1)
        pieces = np.maximum(np.ceil(length / longest).astype(int), 1)
        which = np.repeat(np.arange(len(self)), pieces)
        step = np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        low, high = step / pieces[which], (step + 1) / pieces[which]
        way, grow = (self.stop - self.start)[which], (self.stop_radius - self.start_radius)[which]
        first, radius = self.start[which], self.start_radius[which]
        return Tubes(first + low[:, None] * way, first + high[:, None] * way, radius + low * grow, radius + high * grow)


def tube_distance(geometry: Geometry, tubes: Tubes, *, margin: float) -> npt.NDArray[np.float32]:
    """Signed distance in mm (negative inside) to the nearest tube, (k, j, i); `margin` where none is that near."""
    out = np.full(geometry.shape, margin, dtype=np.float32)
    if not len(tubes):
        return out
    inverse = np.linalg.inv(geometry.affine)
    reach = np.linalg.norm(inverse[:3, :3], axis=1)  # voxels per mm along i, j, k
    ends = [p @ inverse[:3, :3].T + inverse[:3, 3] for p in (tubes.start, tubes.stop)]
    radius = np.maximum(tubes.start_radius, tubes.stop_radius) + margin
    size = np.array(geometry.shape[::-1])
    low = np.maximum(np.ceil(np.minimum(*ends) - radius[:, None] * reach).astype(int), 0)
    high = np.minimum(np.floor(np.maximum(*ends) + radius[:, None] * reach).astype(int), size - 1)
    extent = np.maximum(high - low + 1, 0)
    count = extent.prod(axis=1)
    used = np.flatnonzero(count)
    flat = out.reshape(-1)
    for part in _chunks(used, count):
        _lower(flat, geometry, tubes, part, low, extent, count, margin)
    return out


def _chunks(used: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> Sequence[npt.NDArray[np.int64]]:
    group = np.cumsum(count[used]) // _CHUNK
    return [used[group == g] for g in np.unique(group)]


def _lower(
    flat: npt.NDArray[np.float32],
    geometry: Geometry,
    tubes: Tubes,
    part: npt.NDArray[np.int64],
    low: npt.NDArray[np.int64],
    extent: npt.NDArray[np.int64],
    count: npt.NDArray[np.int64],
    margin: float,
) -> None:
    """Lower `flat` to the distance of every voxel in the bounding box of every segment in `part`."""
    _, rows, columns = geometry.shape
    n = count[part]
    which = np.repeat(part, n)
    offset = np.arange(len(which)) - np.repeat(np.cumsum(n) - n, n)
    width, height = extent[which, 0], extent[which, 1]
    i = offset % width + low[which, 0]
    rest = offset // width
    j = rest % height + low[which, 1]
    k = rest // height + low[which, 2]
    affine = geometry.affine.astype(np.float32)
    way = tubes.stop - tubes.start
    square = np.maximum((way**2).sum(axis=1), 1e-12)
    along = np.zeros(len(which), np.float32)
    delta = []
    fi, fj, fk = i.astype(np.float32), j.astype(np.float32), k.astype(np.float32)
    for axis in range(3):
        start = (geometry.affine[axis, 3] - tubes.start[:, axis]).astype(np.float32)
        d = affine[axis, 0] * fi + affine[axis, 1] * fj + affine[axis, 2] * fk + start[which]
        delta.append(d)
        along += d * (way[:, axis] / square).astype(np.float32)[which]
    np.clip(along, 0, 1, out=along)
    total = np.zeros(len(which), np.float32)
    for axis in range(3):
        d = delta[axis] - along * way[:, axis].astype(np.float32)[which]
        total += d * d
    first = tubes.start_radius.astype(np.float32)[which]
    taper = (tubes.stop_radius - tubes.start_radius).astype(np.float32)[which]
    distance = np.sqrt(total) - (first + along * taper)
    near = distance < margin
    np.minimum.at(flat, ((k * rows + j) * columns + i)[near], distance[near])
