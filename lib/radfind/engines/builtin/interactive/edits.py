"""One prompt after another: each changes the mask where it speaks and leaves the rest as it was."""

from __future__ import annotations

import dataclasses

import cc3d
import edt
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.interactive.boxes import Region, outline_region
from radfind.engines.builtin.interactive.clicks import outline_click
from radfind.engines.builtin.interactive.patch import Floats, Patch
from radfind.engines.builtin.interactive.sphere import sphere
from radfind.engines.builtin.interactive.surface import Bounds, Model, Surface, fit
from radfind.engines.builtin.interactive.wall import without_wall

Mask = npt.NDArray[np.bool_]

_ALIKE = 0.4
"""A voxel of at least this membership looks like the object."""

_EDGE_MM = 1.0
_SPEAKS = 2.5
"""A correction speaks this far around itself, in distances from the click to the edge it corrects."""

_ROUNDS = 12
"""Most corrections made for one set of clicks; what still fails then is set voxel by voxel."""

_BEAM = 0.14
"""Half angle (radians) of the rays that one click binds: about two rays to each side."""


@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """Where a session stands.

    Arguments:
        mask: on the voxels of the session's patch.
        surface, model, bounds: of the last object outlined as a whole, or None.
        wanted, unwanted: positions (n, 3) in mm of positive and negative clicks so far.
    """

    mask: Mask
    surface: Surface | None = None
    model: Model | None = None
    bounds: Bounds | None = None
    wanted: tuple[tuple[float, float, float], ...] = ()
    unwanted: tuple[tuple[float, float, float], ...] = ()


def add_region(state: State, patch: Patch, region: Region) -> State:
    """Outline the object in a box or a lasso; several of them are several objects."""
    surface, model = outline_region(patch, region)
    mask = surface.inside(patch) & region.holds(patch)
    return dataclasses.replace(state, mask=state.mask | mask, surface=surface, model=model, bounds=Bounds.free())


def add_clicks(state: State, patch: Patch, wanted: Floats, unwanted: Floats, reach: float) -> State:
    """Change the mask so that it follows clicks (n, 3) in mm, the one it fails worst first."""
    for _ in range(_ROUNDS):
        if not state.mask.any() and len(wanted):
            state = add_click(state, patch, middle_one(wanted), True, reach)
        failed = [(p, True) for p in wanted if not _holds(state.mask, patch, p)]
        failed += [(p, False) for p in unwanted if _holds(state.mask, patch, p)]
        if not failed:
            break
        outside, inside = (edt.edt(m, anisotropy=patch.spacing, parallel=1) for m in (~state.mask, state.mask))
        place, positive = max(failed, key=lambda f: float((outside if f[1] else inside)[_index(patch, f[0])]))
        state = add_click(state, patch, place, positive, reach)
    places = [tuple(tuple(float(x) for x in p) for p in points) for points in (wanted, unwanted)]
    state = dataclasses.replace(
        state,
        wanted=tuple(dict.fromkeys((*state.wanted, *places[0]))),  # type: ignore[arg-type]
        unwanted=tuple(dict.fromkeys((*state.unwanted, *places[1]))),  # type: ignore[arg-type]
    )
    return _obeying(state, patch)


def middle_one(points: Floats) -> Floats:
    """Of some positions the one nearest to their mean."""
    return np.asarray(points[np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()])


def add_click(state: State, patch: Patch, click: Floats, positive: bool, reach: float) -> State:
    """Change the mask so that `click` (mm) is in it, or not."""
    place = (float(click[0]), float(click[1]), float(click[2]))
    if positive:
        state = dataclasses.replace(state, wanted=(*state.wanted, place))
        if not _holds(state.mask, patch, click):
            state = _grow(state, patch, click, reach)
    else:
        state = dataclasses.replace(state, unwanted=(*state.unwanted, place))
        if _holds(state.mask, patch, click):
            state = _shrink(state, patch, click)
    return _obeying(state, patch)


def _grow(state: State, patch: Patch, click: Floats, reach: float) -> State:
    surface, model, bounds = state.surface, state.model, state.bounds
    if surface is not None and model is not None and bounds is not None:
        away = float(np.linalg.norm(click - surface.centre))
        if away <= 2.5 * surface.size + 3.0:
            return _stretch(state, patch, click, surface, model, bounds)
    surface, model = outline_click(patch, click, reach)
    mask = _freed(surface.inside(patch), patch, model, surface, click)
    for place in state.unwanted:
        mask &= ~_ball(patch, np.asarray(place), max(patch.spacing))
    return dataclasses.replace(state, mask=state.mask | mask, surface=surface, model=model, bounds=Bounds.free())


def _freed(mask: Mask, patch: Patch, model: Model, surface: Surface, click: Floats) -> Mask:
    """Without the wall, unless the click itself lies in it."""
    free = without_wall(mask, patch, model, surface.size)
    return free if _holds(free, patch, click) else mask


def _stretch(state: State, patch: Patch, click: Floats, surface: Surface, model: Model, bounds: Bounds) -> State:
    """The surface pulled out to hold the click; a click on a density not seen so far teaches that density."""
    value = _value(patch, click)
    offset = (click - surface.centre) / surface.axes
    away = float(np.linalg.norm(offset))
    gap = _depth(~state.mask, patch, click)
    # Right at the edge an odd density is the edge's own blur and teaches nothing.
    taught = None
    if gap > _EDGE_MM + 0.5 * max(patch.spacing) and model.membership(np.array([value]))[0] < _ALIKE:
        taught = _extended(patch, surface, model, value, away)
    axes = surface.axes
    if taught is not None:
        model = taught
        axes = axes * max(1.0, 1.05 * away)
    elif away > 1.6:
        axes = axes * away / 1.2
    scale = float(surface.axes[0] / axes[0])
    step = 0.5 * float(min(patch.spacing)) / float(axes[0])
    low = np.where(_beam(offset), np.maximum(bounds.low, away + step / scale), bounds.low)
    bounds = Bounds(np.minimum(low, bounds.high), bounds.high)
    new = fit(patch, surface.centre, axes, model, Bounds(bounds.low * scale, bounds.high * scale))
    mask = new.inside(patch)
    if taught is None:
        mask &= _ball(patch, click, _SPEAKS * gap)
    radii = new.radii / scale
    kept = Surface(surface.centre, surface.axes, radii)
    return dataclasses.replace(state, mask=state.mask | mask, surface=kept, model=model, bounds=bounds)


def _shrink(state: State, patch: Patch, click: Floats) -> State:
    """The surface pushed in front of the click, near the click only."""
    surface, model, bounds = state.surface, state.model, state.bounds
    depth = _depth(state.mask, patch, click)
    if surface is None or model is None or bounds is None:
        return dataclasses.replace(state, mask=state.mask & ~_ball(patch, click, depth))
    offset = (click - surface.centre) / surface.axes
    away = float(np.linalg.norm(offset))
    if away < 0.25:  # a hole in the middle: no surface around this centre can leave it out
        return dataclasses.replace(state, mask=state.mask & ~_ball(patch, click, depth))
    step = 0.5 * float(min(patch.spacing)) / float(surface.axes[0])
    high = np.where(_beam(offset), np.minimum(bounds.high, away - step), bounds.high)
    bounds = Bounds(np.minimum(bounds.low, high), high)
    new = fit(patch, surface.centre, surface.axes, model, bounds)
    near = _ball(patch, click, _SPEAKS * depth)
    mask = state.mask & (new.inside(patch) | ~near)
    return dataclasses.replace(state, mask=mask, surface=new, bounds=bounds)


def _extended(patch: Patch, surface: Surface, model: Model, value: float, away: float) -> Model | None:
    """The model with one density more: half-way between it and what lies further out. None when what lies further
    out looks alike: then the click says where, not what."""
    shell = surface.centre + sphere().directions[:, None] * surface.axes * (away * np.linspace(1.2, 1.8, 6))[:, None]
    around = patch.sample(patch.array, shell)
    beyond = float(np.nanpercentile(around, 20 if value < model.low else 80))
    if abs(value - beyond) < 3.0 * patch.noise or (beyond > value) == (value < model.low):
        return None
    if value < model.low:
        return dataclasses.replace(model, low=(value + beyond) / 2, low_width=(value - beyond) / 8)
    return dataclasses.replace(model, high=(value + beyond) / 2, high_width=(beyond - value) / 8)


def _obeying(state: State, patch: Patch) -> State:
    """The last word is the person's: wanted voxels are in, unwanted ones out, and loose parts nobody wanted go."""
    mask = state.mask.copy()
    for place in state.wanted:
        mask |= _ball(patch, np.asarray(place), 0.0)
    for place in state.unwanted:
        mask &= ~_ball(patch, np.asarray(place), 0.75 * max(patch.spacing))
    labels = cc3d.connected_components(mask, connectivity=18)
    before = cc3d.connected_components(state.mask, connectivity=18).max() if len(state.unwanted) else 0
    if state.wanted and (before <= 1 or labels.max() > before):
        wanted = {int(labels[_index(patch, np.asarray(place))]) for place in state.wanted} - {0}
        if wanted and labels.max() > 1:
            sizes = np.bincount(labels.ravel())
            keep = [n for n in range(1, len(sizes)) if n in wanted]
            mask = np.isin(labels, keep)
    return dataclasses.replace(state, mask=mask)


def _beam(offset: Floats) -> Mask:
    """The rays that point at a click; at least the nearest one."""
    cosine = sphere().directions @ (offset / max(float(np.linalg.norm(offset)), 1e-9))
    return np.asarray(cosine >= min(np.cos(_BEAM), float(cosine.max())))


def _index(patch: Patch, position: Floats) -> tuple[int, int, int]:
    index = np.rint((position - patch.origin) / patch.spacing).astype(int)
    k, j, i = np.clip(index, 0, np.asarray(patch.array.shape) - 1)
    return int(k), int(j), int(i)


def _holds(mask: Mask, patch: Patch, position: Floats) -> bool:
    return bool(mask[_index(patch, position)])


def _value(patch: Patch, position: Floats) -> float:
    return float(patch.smooth[_index(patch, position)])


def _ball(patch: Patch, position: Floats, radius: float) -> Mask:
    """Voxels within `radius` mm of a position, and the one it lies in."""
    mask = np.zeros(patch.array.shape, bool)
    box, positions = patch.voxels_between(position - radius, position + radius)
    mask[box] = ((positions - position.astype(np.float32)) ** 2).sum(axis=-1) <= radius**2
    mask[_index(patch, position)] = True
    return mask


def _depth(mask: Mask, patch: Patch, position: Floats) -> float:
    """Distance (mm) from a position in `mask` to the nearest voxel outside it."""
    if mask.all():
        return 0.0
    return float(edt.edt(mask, anisotropy=patch.spacing, parallel=1)[_index(patch, position)])
