"""What an object leans on: a chest wall or a mediastinum of the same density is not part of it."""

from __future__ import annotations

import cc3d
import edt
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.boxes import bounding_box
from radfind.engines.builtin.interactive.patch import Patch
from radfind.engines.builtin.interactive.surface import Model

Mask = npt.NDArray[np.bool_]

_ROLL = 1.3
"""Radius of the ball rolled inside the wall, in radii of the object: it cannot enter a bump of the object's size."""

_LARGEST_MM = 16.0
"""Chest walls are thinner than twice this; a larger ball would find no wall at all."""


def without_wall(mask: Mask, patch: Patch, model: Model, size: float) -> Mask:
    """The mask less the massive tissue behind it.

    All that is not the dark space around the object (the lung) is opened by a ball larger than the object: the wall
    stays, the object and vessels vanish; the wall is then taken from the mask. It is the rolling ball that puts
    juxtapleural nodules back into a lung mask (Armato et al., RadioGraphics 1999), seen from outside.

    Arguments:
        size: the object's radius, mm.
    """
    if not np.isfinite(model.low) or not mask.any():
        return mask
    ball = min(_ROLL * size, _LARGEST_MM)
    box = bounding_box(mask, tuple(int(np.ceil(2.2 * ball / s)) + 1 for s in patch.spacing))
    own = mask[box]
    labels = cc3d.connected_components(patch.smooth[box] < model.low, connectivity=6)
    rim = edt.edt(~own, anisotropy=patch.spacing, parallel=1) <= 2.0 * max(patch.spacing)
    touched = np.bincount(labels[rim & ~own].ravel(), minlength=int(labels.max()) + 1)
    touched[0] = 0
    if not touched.any():
        return mask
    massive = labels != int(touched.argmax())
    core = edt.edt(massive, anisotropy=patch.spacing, black_border=False, parallel=1) >= ball
    if not core.any():
        return mask
    wall = edt.edt(~core, anisotropy=patch.spacing, black_border=False, parallel=1) < ball
    rest = own & ~wall
    if rest.sum() < 0.25 * own.sum():  # it is rather a part of the wall itself
        return mask
    out = mask.copy()
    out[box] = rest
    return out
