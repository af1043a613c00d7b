"""From a box to the object in it: what lies around the box is not the object, and the object nearly fills it."""

from __future__ import annotations

import numpy as np

from radfind.engines.builtin.interactive.clicks import levels
from radfind.engines.builtin.interactive.patch import Floats, Patch
from radfind.engines.builtin.interactive.sphere import sphere
from radfind.engines.builtin.interactive.surface import Bounds, Model, Surface, fit

_OPEN = 1.5
"""How far a 2-D box may be left across its plane, in mean half sides of the box."""


def outline_box(patch: Patch, low: Floats, high: Floats) -> tuple[Surface, Model]:
    """The object in a box.

    Arguments:
        low, high: outer faces of the box, mm in the patch; equal along one axis for a 2-D box.
    """
    half = (high - low) / 2
    flat = half < 1e-6
    axes = np.where(flat, half[~flat].mean() if (~flat).any() else 1.0, half)
    centre = (low + high) / 2
    size = np.abs(sphere().directions)
    limit = np.where(flat, _OPEN, 1.0) / np.maximum(size, 1e-6)
    bounds = Bounds(np.zeros(len(size)), limit.min(axis=1))
    guess = Surface(centre, axes, np.ones(len(size)))
    model = _model(patch, guess)
    surface = fit(patch, centre, axes, model, bounds)
    return fit(patch, centre, axes, _model(patch, surface), bounds), model


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
