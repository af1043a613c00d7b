"""From a box or a lasso to the object in it: what lies around it is not the object, and the object nearly fills it."""

from __future__ import annotations

import dataclasses

import edt
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.interactive import lasso
from radfind.engines.builtin.interactive.clicks import closed, levels, outline_around
from radfind.engines.builtin.interactive.densities import opinion
from radfind.engines.builtin.interactive.patch import Floats, Patch
from radfind.engines.builtin.interactive.sphere import sphere
from radfind.engines.builtin.interactive.surface import Bounds, Model, Surface, fit

Mask = npt.NDArray[np.bool_]

_OPEN = 1.5
"""How far a region on one slice may be left across it, in mean half sides."""

_AROUND = 0.25
"""What lies within this share of a region's size around it tells what is not the object."""

_SURE = 0.7
"""A surface this closed and this wide needs no second try."""


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """Where an object is.

    Arguments:
        low, high: outer faces, mm in the patch; equal along one axis for a region on one slice.
        line: (n, 2) corners of a closed line on that slice, mm along the other two axes; None for the whole rectangle.
    """

    low: Floats
    high: Floats
    line: Floats | None = None

    @property
    def flat(self) -> Mask:
        """(3,) true along the axis across which a region on one slice is open."""
        return np.asarray(self.high - self.low < 1e-6)

    @property
    def centre(self) -> Floats:
        centre = (self.low + self.high) / 2
        if self.line is not None:
            centre[~self.flat] = lasso.middle(self.line)
        return centre

    @property
    def axes(self) -> Floats:
        """Half sides, mm; across an open axis their mean."""
        half = (self.high - self.low) / 2
        return np.where(self.flat, half[~self.flat].mean(), half)

    def bounds(self, centre: Floats, axes: Floats) -> Bounds:
        """The radii about `centre` that stay inside."""
        steps = sphere().directions * axes
        low, high = self.low - centre, self.high - centre
        low[self.flat], high[self.flat] = -_OPEN * self.axes[self.flat], _OPEN * self.axes[self.flat]
        with np.errstate(divide="ignore"):
            limit = (np.where(steps > 0, high, low) / steps).min(axis=1)
        if self.line is not None:
            plane = ~self.flat
            limit = np.minimum(limit, lasso.way_out(self.line, centre[plane], steps[:, plane]))
        return Bounds(np.zeros(len(steps)), np.maximum(limit, 0.0))

    def holds(self, patch: Patch) -> Mask:
        """The patch's voxels that may belong: all of other slices, where the region is on one."""
        mask = np.zeros(patch.array.shape, bool)
        box, positions = patch.voxels_between(self.low, self.high)
        plane = ~self.flat
        inside = np.all((positions >= self.low - 1e-3) & (positions <= self.high + 1e-3), axis=-1, where=plane)
        mask[box] = (
            inside if self.line is None else inside & lasso.within(self.line, positions[..., plane].astype(float))
        )
        for axis in np.flatnonzero(self.flat):
            np.moveaxis(mask, axis, 0)[np.arange(mask.shape[axis]) != self._slice(patch, axis)] = True
        return mask

    def around(self, patch: Patch) -> tuple[slice, ...]:
        """The patch's voxels in the region and near it, on its slice where it is on one."""
        margin = 2 * _AROUND * self.axes
        box, _ = patch.voxels_between(self.low - margin, self.high + margin)
        own = [self._slice(patch, axis) for axis in range(3)]
        return tuple(slice(own[n], own[n] + 1) if self.flat[n] else part for n, part in enumerate(box))

    def _slice(self, patch: Patch, axis: int) -> int:
        return round(float((self.low - patch.origin)[axis] / patch.spacing[axis]))


def outline_region(patch: Patch, region: Region) -> tuple[Surface, Model]:
    """The object in a region: the surface about its middle, or, where that is not closed or does not reach the faces,
    about the middle of what looks unlike the surroundings, whichever does so more."""
    best = _fitted(patch, region, Surface(region.centre, region.axes, np.ones(len(sphere().directions))))
    score = _score(patch, region, best[0])
    if score < _SURE:
        unlike = _unlike_around(patch, region)
        if unlike is not None:
            start, _ = outline_around(patch, unlike, float(region.axes.max()))
            other = _fitted(patch, region, Surface(start.centre, np.full(3, start.size), start.radii))
            if _score(patch, region, other[0]) > score:
                best = other
    return best


def _fitted(patch: Patch, region: Region, guess: Surface) -> tuple[Surface, Model]:
    centre, axes = np.clip(guess.centre, region.low, region.high), guess.axes
    bounds = region.bounds(centre, axes)
    model = _model(patch, Surface(centre, axes, np.ones(len(sphere().directions))))
    surface = fit(patch, centre, axes, model, bounds)
    return fit(patch, centre, axes, _model(patch, surface), bounds), model


def _score(patch: Patch, region: Region, surface: Surface) -> float:
    """How closed a surface is (`closed`), times how much of each side of the region it spans."""
    sides = ~region.flat
    spans = np.ptp(surface.points, axis=0)[sides] / (region.high - region.low)[sides]
    return closed(patch, surface) * float(np.sqrt(np.minimum(spans, 1.0).min()))


def _unlike_around(patch: Patch, region: Region) -> Floats | None:
    """The middle of the largest part of the region that looks unlike what is around it; None when there is none."""
    box = region.around(patch)
    inside = region.holds(patch)[box]
    if not inside.any() or inside.all():
        return None
    chance, _ = opinion(patch.smooth[box], inside, ~inside, None, patch.noise)
    depth = edt.edt((chance > 0.5) & inside, anisotropy=patch.spacing, parallel=1)
    if not depth.any():
        return None
    place = np.array(np.unravel_index(int(depth.argmax()), depth.shape)) + [part.start for part in box]
    return np.asarray(patch.origin + place * patch.spacing)


def _model(patch: Patch, surface: Surface) -> Model:
    """Densities from the middle to the rim, against those around: a rim fainter than the core belongs too."""
    found = levels(patch, surface)
    if found.darker is None:
        return found.model()
    rays = sphere()
    shells = surface.radii[:, None] * np.array([0.7, 0.78, 0.86])
    rim = float(
        np.nanmedian(
            patch.sample(patch.array, surface.centre + rays.directions[:, None] * surface.axes * shells[..., None])
        )
    )
    share = (rim - found.darker) / (found.inside - found.darker)
    if not 0.15 < share < 0.7:
        return found.model()
    return Model((rim + found.darker) / 2, np.inf, (rim - found.darker) / 8, 1.0)
