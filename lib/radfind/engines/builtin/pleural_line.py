"""Thin layers of free air, by what follows inwards from the chest wall: air, the visceral pleura as a line, lung.

In a layer of a few millimetres hardly a voxel is air alone. Its profile across the wall still differs from the scan's
usual one: darker under the wall, then lighter where the pleura lies, over many square centimetres alike.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.belief import rising
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask, dilate, spread

_EDGE_HU = 550.0
"""Above air: the edge of the chest wall, half way to tissue."""

_TISSUE_HU = 700.0
"""Above air: what is denser tells nothing more, a vessel or a rib."""

_STEP_MM = 0.5
_OUT_MM, _IN_MM = 4.0, 20.0
_DEPTH_MM, _BEYOND_MM = 12.0, 6.0
"""Profiles are read in such steps from outside the edge to within; a line is looked for down to `_DEPTH_MM` under the
edge, and within `_BEYOND_MM` beyond it there is lung again."""

_NORMAL_MM = 3.0
_APART_MM = 2.0
"""Width over which the direction inwards is averaged, and how far apart the profiles lie."""

_NEIGHBOURS, _RANK = 20, 7
"""A profile is, depth by depth, the `_RANK`-th darkest of the `_NEIGHBOURS` nearest: a sheet is in all of them, a
vessel in a few."""

_LINE_HU = 40.0
_DARK_HU = 30.0
"""How much lighter than usual and than what lies beyond it a line is; how much darker than usual the air before it."""

_SAME_MM = 1.0
"""Neighbours belong to one layer when their lines lie as deep, within this."""

_DEEP_MM, _PURE_HU = 8.0, 20.0
"""A layer this deep holds voxels of nothing but air: so far above air at most."""

_LEAST_CM2, _SURE_CM2 = 8.0, 30.0
"""Area from which a layer counts, and from which it is beyond doubt."""

_REACH_MM = 60.0
_ROUNDS = 30
"""How far a layer is followed from its core, and in how many rounds of neighbours."""


@dataclasses.dataclass(frozen=True, eq=False)
class ThinLayer:
    """A layer of air under the chest wall.

    Arguments:
        inside: float32 on the working grid, mm to the nearer of its two surfaces; negative outside.
        score: 0..1.
        thickness_mm: of its thickest tenth, at least.
    """

    inside: npt.NDArray[np.float32]
    score: float
    thickness_mm: float


@dataclasses.dataclass(frozen=True, eq=False)
class _Wall:
    """Points of the chest wall's edge, n of them.

    Arguments:
        edge: (n, 3), mm on the working grid.
        inwards: (n, 3) unit vectors.
        profile: (n, depths) HU at 0, 0.5, 1 ... mm inwards from the edge.
        near: (n, `_NEIGHBOURS`) the nearest points, itself first.
    """

    edge: npt.NDArray[np.float64]
    inwards: npt.NDArray[np.float64]
    profile: npt.NDArray[np.float32]
    near: npt.NDArray[np.intp]


def find_thin_layers(field: LungField, costal: Mask) -> list[ThinLayer]:
    """Layers up to 12 mm thick under the chest wall, the most certain first.

    Arguments:
        field: of the scan.
        costal: on the working grid: where the lung's border is chest wall.
    """
    wall = _wall(field)
    if wall is None:
        return []
    depth, distinct, possible = _lines(wall)
    found = []
    index = np.clip(np.round(wall.edge / field.step).astype(int), 0, np.array(costal.shape) - 1)
    half = field.half[tuple(index.T)]
    cores = [
        core
        for core in _pieces(wall, depth, distinct & costal[tuple(index.T)])
        if core.size * _APART_MM**2 >= 100.0 * _LEAST_CM2 and _pure(wall, depth, core, field.air)
    ]
    for side in (1, 2):
        here = [core for core in cores if np.median(half[core]) == side]
        if not here:
            continue
        line = _grown(wall, depth, possible & (half == side), np.concatenate(here))
        area = here[0].size * _APART_MM**2 / 100.0
        thickness = float(np.percentile(line[line > 0], 90.0))
        found.append(ThinLayer(_inside(field, wall, line), rising(area, 0.0, _SURE_CM2), thickness))
    return sorted(found, key=lambda layer: -layer.score)


def _wall(field: LungField) -> _Wall | None:
    """The chest wall's edge and the profiles inwards from it; None where the scan shows too little of it."""
    from scipy import ndimage
    from scipy.spatial import cKDTree

    step, edge_hu = field.step, field.air + _EDGE_HU
    low = ((field.field > 0) | (field.cage > 0)) & (field.work < edge_hu)
    low = spread(low, field.aerated)
    outside = ~(low | (field.field > 0))  # vessels within the lung have edges, too
    border = low & ~ndimage.binary_erosion(low, border_value=1) & dilate(outside, 2.01 * step, (step,) * 3)
    points = np.argwhere(border)
    cells = np.floor(points * step / max(step, _APART_MM)).astype(int)
    points = points[np.unique(cells, axis=0, return_index=True)[1]]
    smooth = ndimage.gaussian_filter(low.astype(np.float32), _NORMAL_MM / step)
    last = np.array(low.shape) - 1
    slope = np.stack(
        [
            smooth[tuple(np.minimum(points + one, last).T)] - smooth[tuple(np.maximum(points - one, 0).T)]
            for one in np.eye(3, dtype=int)
        ],
        axis=1,
    ).astype(np.float64)
    length = np.linalg.norm(slope, axis=1)
    points, inwards = points[length > 1e-4], slope[length > 1e-4] / length[length > 1e-4, None]
    along = np.arange(-_OUT_MM, _IN_MM + _STEP_MM / 2, _STEP_MM)
    where = field.to_voxel(points[:, None, :] + inwards[:, None, :] * (along / step)[None, :, None]).reshape(-1, 3)
    values = ndimage.map_coordinates(field.array, where.T, output=np.float32, order=1, mode="nearest")
    hu = values.reshape(len(points), along.size)
    crossing = (hu[:, :-1] >= edge_hu) & (hu[:, 1:] < edge_hu) & (along[1:] <= _OUT_MM)
    good = crossing.any(axis=1)
    points, inwards, hu, at = points[good], inwards[good], hu[good], crossing[good].argmax(axis=1)
    if len(points) < 10 * _NEIGHBOURS:
        return None
    rows = np.arange(len(points))
    part = (hu[rows, at] - edge_hu) / (hu[rows, at] - hu[rows, at + 1])
    edge = points * step + inwards * (along[at] + part * _STEP_MM)[:, None]
    index = at[:, None] + np.arange(round((_DEPTH_MM + _BEYOND_MM - 2.0) / _STEP_MM) + 1)
    index = np.minimum(index, along.size - 2)
    own = (1.0 - part)[:, None] * np.take_along_axis(hu, index, 1) + part[:, None] * np.take_along_axis(
        hu, index + 1, 1
    )
    own = np.clip(own, field.air - 24.0, field.air + _TISSUE_HU).astype(np.float32)
    near = cKDTree(edge).query(edge, _NEIGHBOURS)[1]
    profile = np.empty_like(own)
    for first in range(0, len(own), 8192):
        some = slice(first, first + 8192)
        profile[some] = np.partition(own[near[some]], _RANK, axis=1)[:, _RANK]
    return _Wall(edge, inwards, profile, near)


def _lines(wall: _Wall) -> tuple[npt.NDArray[np.float64], Mask, Mask]:
    """For each point of the wall how deep the lightest line under it lies (mm), whether dark air lies between, and
    whether it is a line at all.

    Light and dark are against the scan's own usual profile, for a sharp kernel darkens what lies along any edge.
    """
    profile = wall.profile
    count = round(_DEPTH_MM / _STEP_MM) + 1
    reach = round(_BEYOND_MM / _STEP_MM)
    usual = np.median(profile, axis=0)
    beyond = np.stack([profile[:, d + 2 : d + reach + 1].min(axis=1) for d in range(count)], axis=1)
    excess = (profile - usual)[:, :count]
    light = np.where(profile[:, :count] - beyond > _LINE_HU, excess, -np.inf)
    light[:, :2] = -np.inf
    at = light.argmax(axis=1)
    line = light.max(axis=1) > _LINE_HU
    depths = np.arange(count)
    middle = (depths >= np.ceil(0.35 * at)[:, None]) & (depths <= np.floor(0.7 * at)[:, None]) & (depths > 0)
    dark = np.where(middle, excess, np.inf).min(axis=1) < -_DARK_HU
    return at * _STEP_MM, line & dark, line


def _pieces(wall: _Wall, depth: npt.NDArray[np.float64], chosen: Mask) -> list[npt.NDArray[np.intp]]:
    """Chosen points in pieces over which the depth does not jump, largest first."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    one = np.repeat(np.arange(len(depth)), wall.near.shape[1])
    other = wall.near.ravel()
    joined = chosen[one] & chosen[other] & (np.abs(depth[one] - depth[other]) <= _SAME_MM)
    graph = sparse.coo_matrix((np.ones(int(joined.sum())), (one[joined], other[joined])), shape=(len(depth),) * 2)
    labels = connected_components(graph, directed=False)[1]
    order = np.flatnonzero(chosen)[np.argsort(labels[chosen], kind="stable")]
    split = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if order.size else []
    return sorted(split, key=len, reverse=True)


def _pure(wall: _Wall, depth: npt.NDArray[np.float64], core: npt.NDArray[np.intp], air: float) -> bool:
    """Whether the deep parts of a piece, which hold voxels of nothing else, are air; thinned lung is not."""
    deep = core[depth[core] >= _DEEP_MM]
    if deep.size < 0.1 * core.size:
        return True
    darkest = wall.profile[deep, : round(_DEEP_MM / _STEP_MM)].min(axis=1)
    return bool(np.percentile(darkest, 25.0) <= air + _PURE_HU)


def _grown(
    wall: _Wall, depth: npt.NDArray[np.float64], possible: Mask, core: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Depth of the line under each point of the wall, 0 where there is none: from the core on to where it is too near
    to the edge for air to show."""
    from scipy.spatial import cKDTree

    line = np.zeros(len(depth))
    line[core] = depth[core]
    reach = cKDTree(wall.edge[core]).query(wall.edge, distance_upper_bound=_REACH_MM)[0] <= _REACH_MM
    for _ in range(_ROUNDS):
        around = line[wall.near]
        has = around > 0
        share = has.mean(axis=1)
        mean = around.sum(axis=1) / np.maximum(has.sum(axis=1), 1)
        goes_on = (line == 0) & reach & possible & (share > 0.2) & (depth <= mean + _SAME_MM)
        line[goes_on] = depth[goes_on]
        hole = (line == 0) & (share > 0.6)
        line[hole] = mean[hole]
    around = line[wall.near]
    typical = np.nanmedian(np.where(around > 0, around, np.nan)[line > 0], axis=1)
    line[line > 0] = typical
    return line


def _inside(field: LungField, wall: _Wall, line: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """`ThinLayer.inside` of the space between the edge and the line."""
    from scipy.spatial import cKDTree

    step, spacing = field.step, (field.step,) * 3
    seeds = np.zeros(field.work.shape, bool)
    index = np.clip(np.round(wall.edge[line > 0] / step).astype(int), 0, np.array(seeds.shape) - 1)
    seeds[tuple(index.T)] = True
    thick = float(line.max())
    near = np.argwhere(dilate(seeds, thick + 2.0 * step, spacing))
    offset, nearest = cKDTree(wall.edge).query(near * step)
    under = ((near * step - wall.edge[nearest]) * wall.inwards[nearest]).sum(axis=1)
    aside = np.sqrt(np.maximum(offset**2 - under**2, 0.0))
    inside = np.minimum(under, line[nearest] - under)
    inside[(line[nearest] == 0) | (aside > 2.0 * _APART_MM)] = -step
    out = np.full(field.work.shape, -step, np.float32)
    out[tuple(near.T)] = np.maximum(inside, -2.0 * step)
    return out
