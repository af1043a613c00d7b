"""From one click to an object: its size, its densities and its surface, found from the click outwards."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.interactive.aiming import aims
from radfind.engines.builtin.interactive.patch import Floats, Patch
from radfind.engines.builtin.interactive.sphere import sphere
from radfind.engines.builtin.interactive.surface import REACH, Bounds, Model, Surface, fit

_AHEAD_MM = 2.0
"""How far the picture ahead is averaged when a ray looks for a change."""

_BLUR_MM = 1.0
_SMEAR = 0.35
"""What lies within the blur of an edge plus this share of the voxel's length may be that edge, smeared."""

_FAINT = 0.6
"""Share of rays that must show a rim before a core is taken for the core of something larger."""

_RIM_MM = 2.0
"""A rim is at least this wide beyond the blur of the core's edge."""

_ROUNDS, _STEADY = 3, 0.05
"""Surface and densities are found in turn until the size changes by less than this share, at most so often."""

_CLOSED, _CLEAR, _FEW = 0.9, 0.4, 60
"""A surface is closed when this share of its rays shows an edge; an edge is as clear as this share of the clearest
quarter of them; fewer rays than this tell nothing."""


_IN_PLANE = 0.3
"""Sine of the angle up to which a ray counts as lying in a single image."""


def first_change(patch: Patch, centre: Floats, reach: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """On each ray the distance (mm) at which the picture changes, and whether it does within `reach`."""
    rays = sphere()
    step = max(0.4, 0.7 * float(min(patch.spacing)))
    count = max(6, int(reach / step))
    ticks = np.arange(count) * step
    values = patch.sample(patch.smooth, centre + rays.directions[:, None, :] * ticks[None, :, None])
    near = ticks <= max(1.5, 1.5 * step)
    level = float(np.nanmedian(values[:, near]))
    known = np.isfinite(values)
    filled = np.where(known, values, level)
    around = np.abs(filled - level)[known & (ticks[None, :] < 15.0)]
    threshold = max(1.5 * patch.noise, 0.15 * float(np.percentile(around, 95)))
    ahead = max(2, round(_AHEAD_MM / step))
    total = np.cumsum(filled, axis=1)
    # A head start of the centre's own value steadies the first few means.
    mean = (total + 3 * level) / (np.arange(count) + 4)
    padded = np.concatenate([total, np.repeat(total[:, -1:], ahead, axis=1)], axis=1)
    coming = (padded[:, ahead:] - total) / ahead
    changed = np.abs(coming - mean) > threshold
    changed[:, count - ahead :] = False
    changed &= known
    seen = changed.any(axis=1)
    end = known.sum(axis=1)
    first = np.where(seen, changed.argmax(axis=1) + 0.5 * ahead, end)
    return first * step, seen


def ball(points: Floats, weights: Floats, pull: Floats, strength: float) -> tuple[Floats, float]:
    """Centre and radius of the sphere through weighted points (algebraic least squares), drawn to `pull`."""
    offset = points - pull
    matrix = np.column_stack([2 * offset, np.ones(len(offset))]) * weights[:, None]
    target = (offset**2).sum(axis=1) * weights
    scale = strength * np.sqrt((matrix[:, :3] ** 2).sum() / 3)
    matrix = np.vstack([matrix, np.column_stack([np.eye(3) * scale, np.zeros(3)])])
    solution = np.linalg.lstsq(matrix, np.concatenate([target, np.zeros(3)]), rcond=None)[0]
    radius = float(np.sqrt(max(solution[3] + (solution[:3] ** 2).sum(), 1e-6)))
    return pull + solution[:3], radius


def locate(patch: Patch, click: Floats, reach: float) -> tuple[Floats, float]:
    """Centre and radius (mm) of the object clicked: the ball that fits most of the changes around it."""
    rays = sphere()
    centre, radius = click.copy(), 0.0
    for _ in range(4):
        length, seen = first_change(patch, centre, reach)
        typical = float(np.median(length))
        points = centre + rays.directions * length[:, None]
        middle, radius = centre, typical
        for _ in range(5):
            residual = np.linalg.norm(points - middle, axis=1) - radius
            scale = max(0.35 * radius, 1.0)
            weights = np.where(seen, np.maximum(1 - (residual / scale) ** 2, 0.0), 0.0)
            if weights.sum() < 30:
                break
            middle, radius = ball(points, weights, centre, 0.15)
        move = middle - centre
        limit = 0.7 * typical
        centre = centre + move * min(1.0, limit / max(float(np.linalg.norm(move)), 1e-9))
        if np.linalg.norm(move) < 0.08 * radius:
            break
    return centre, max(radius, float(min(patch.spacing)) / 2)


@dataclasses.dataclass(frozen=True)
class Levels:
    """Typical values: inside, and the darker and brighter ones around (None when there are none to speak of)."""

    inside: float
    tolerance: float
    darker: float | None
    brighter: float | None

    def model(self) -> Model:
        low, low_width = self.inside - 2 * self.tolerance, self.tolerance / 2
        high, high_width = self.inside + 2 * self.tolerance, self.tolerance / 2
        if self.darker is not None:
            low, low_width = (self.inside + self.darker) / 2, max((self.inside - self.darker) / 8, 1e-6)
        if self.brighter is not None:
            high, high_width = (self.inside + self.brighter) / 2, max((self.brighter - self.inside) / 8, 1e-6)
        return Model(low, high, low_width, high_width)


def levels(patch: Patch, surface: Surface) -> Levels:
    """The object's densities against those around it."""
    rays = sphere()
    unit = float(np.cbrt(np.prod(surface.axes)))
    inner = np.linspace(0.0, 0.6, 7)[None, :] * surface.radii[:, None]
    outer = np.linspace(1.15, 1.6, 7)[None, :] * surface.radii[:, None] + 1.0 / unit
    inside, outside = (
        patch.sample(patch.array, surface.centre + rays.directions[:, None, :] * surface.axes * r[..., None])
        for r in (inner, outer)
    )
    level = float(np.nanmedian(inside))
    spread = 1.4826 * float(np.nanmedian(np.abs(inside - level)))
    outside = outside[np.isfinite(outside)]
    tolerance = max(2.5 * spread, patch.noise, 1e-6)
    darker, brighter = outside[outside < level - tolerance], outside[outside > level + tolerance]
    enough = 0.02 * outside.size
    return Levels(
        level,
        tolerance,
        float(np.percentile(darker, 40)) if darker.size > enough else None,
        float(np.percentile(brighter, 60)) if brighter.size > enough else None,
    )


def supported(patch: Patch, surface: Surface, model: Model) -> npt.NDArray[np.bool_]:
    """The rays on which the object really ends near the surface."""
    rays = sphere()
    unit = float(np.cbrt(np.prod(surface.axes)))
    beyond = surface.radii + np.maximum(0.12 * surface.radii, _BLUR_MM / unit)
    value = patch.sample(patch.array, surface.centre + rays.directions * surface.axes * beyond[:, None])
    return np.asarray((model.membership(value) < 0.5) & (surface.radii < 0.95 * REACH))


def halo(patch: Patch, surface: Surface, found: Levels) -> tuple[float, Model] | None:
    """The fainter rim around a dense core: its radius in mm and the model of core and rim; None when there is none."""
    if found.darker is None:
        return None
    rays = sphere()
    unit = float(np.cbrt(np.prod(surface.axes)))
    step = max(0.4, 0.7 * float(min(patch.spacing)))
    # A voxel longer than the blur smears the edge over its own length.
    away = _BLUR_MM + _SMEAR * np.abs(rays.directions * patch.spacing).max(axis=1)
    ticks = np.arange(max(8, int(max(12.0, 1.5 * surface.size) / step))) * step
    positions = (surface.radii * unit + away)[:, None] + ticks[None, :]
    values = patch.sample(patch.array, surface.centre + rays.directions[:, None, :] * positions[..., None])
    end = max(2, round(_RIM_MM / step))
    near, shelf = np.median(values[:, : end + 1], axis=1), values[:, end]
    far = float(np.nanpercentile(values[:, len(ticks) // 2 :], 25))
    contrast = found.inside - far
    # Blur alone falls off steadily and is gone by the end; a rim is a shelf.
    faint = (shelf > far + max(0.12 * contrast, 1.5 * patch.noise)) & (near < found.inside - 0.15 * contrast)
    if faint.mean() < _FAINT:
        return None
    rim = float(np.median(near[faint]))
    if rim > found.inside - 0.3 * contrast:
        return None
    edge = (rim + far) / 2
    gone = values < edge
    gone[:, -1] = True
    length = float(np.median(positions[np.arange(len(values)), gone.argmax(axis=1)][faint]))
    return length, Model(edge, np.inf, max((rim - far) / 8, 1e-6), 1.0)


def closed(patch: Patch, surface: Surface) -> float:
    """Share of the rays (0..1) on which the picture changes at the surface, all in one direction and about equally.

    An object scores near 1 whatever its contrast, less the part of it that leans on something alike; a part of an
    object, or a speck on the slope of an edge, has no edge of its own on one side.
    """
    rays = sphere()
    unit = float(np.cbrt(np.prod(surface.axes)))
    before, after = (
        patch.sample(
            patch.smooth,
            surface.centre + rays.directions * surface.axes * np.maximum(surface.radii + d / unit, 0.0)[:, None],
        )
        for d in (-_BLUR_MM, _BLUR_MM)
    )
    # On a single image only the rays that lie in it can end.
    across = np.abs(rays.directions[:, np.array(patch.array.shape) == 1]).max(axis=1, initial=0.0)
    change = (after - before)[np.isfinite(after - before) & (across < _IN_PLANE)]
    if change.size < _FEW:
        return 0.0
    change = change * np.sign(np.median(change))
    return float((change > _CLEAR * np.percentile(change, 75)).mean())


def outline_click(patch: Patch, click: Floats, reach: float) -> tuple[Surface, Model]:
    """The object at `click` (mm in the patch), and what it looks like.

    The surface around the click itself is kept when it is closed; otherwise the click may be beside the middle, and of
    the surfaces around the places that it may have been aimed at (`aims`) the one closed best that holds it is taken.
    """
    best = outline_around(patch, click, reach)
    score = closed(patch, best[0])
    if score >= _CLOSED:
        return best
    for aim in aims(patch, click):
        other = outline_around(patch, aim, reach)
        value = closed(patch, other[0])
        if value > score and other[0].holds(click, _BLUR_MM):
            best, score = other, value
    return best


def outline_around(patch: Patch, centre: Floats, reach: float) -> tuple[Surface, Model]:
    """The object with its middle near `centre` (mm in the patch), and what it looks like."""
    surface = round_surface(*locate(patch, centre, reach))
    surface, found = _settled(patch, surface, levels(patch, surface))
    rim = halo(patch, surface, found)
    if rim is not None:
        radius, model = rim
        return settle(patch, surface.centroid, radius, model), model
    for _ in range(_ROUNDS):
        before = surface.size
        surface, found = _settled(patch, surface, found)
        if abs(surface.size - before) < _STEADY * before:
            break
    return surface, found.model()


def _settled(patch: Patch, surface: Surface, found: Levels) -> tuple[Surface, Levels]:
    """The surface that the densities found with one make, and the densities found with that."""
    surface = settle(patch, surface.centre, surface.axes[0], found.model())
    return surface, levels(patch, surface)


def round_surface(centre: Floats, radius: float) -> Surface:
    """A ball of `radius` mm."""
    return Surface(centre, np.full(3, radius), np.ones(len(sphere().directions)))


def settle(patch: Patch, centre: Floats, radius: float, model: Model) -> Surface:
    """Fit, then fit again about the ball through the edges that the first fit really found."""
    surface = fit(patch, centre, np.full(3, radius), model, Bounds.free())
    for _ in range(2):
        good = supported(patch, surface, model)
        if good.sum() < 60:
            break
        typical = float(np.median(surface.radii[good])) * surface.axes[0]
        centre, radius = ball(surface.points[good], np.ones(int(good.sum())), surface.centre, 0.15)
        centre = surface.centre + np.clip(centre - surface.centre, -0.4 * typical, 0.4 * typical)
        radius = float(np.median(np.linalg.norm(surface.points[good] - centre, axis=1)))
        surface = fit(patch, centre, np.full(3, radius), model, Bounds.free())
    return surface
