"""Ground-glass nodules that vessels cross: haze too thick for a vessel, held by a closed surface."""

from __future__ import annotations

import edt
import numpy as np

from radfind.engines.builtin.blobs import Blob, blur, lung_alone
from radfind.engines.builtin.boxes import box_around
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.interactive.clicks import outline_around, supported
from radfind.engines.builtin.interactive.patch import Patch
from radfind.engines.builtin.outlining import SOLID_HU, Outline, away_from, measured, solid_core, view_of

_HAZE_HU = 70.0
_SMOOTH_MM = 0.8
_DEEP_MM = 2.6
_APART_MM = 4.0
"""Haze is this much above the lung and below solid, after smoothing by this much; what lies this deep in it (its edge
blurred by vessels on all sides) is no blurred edge of a vessel. Of deep places this near to each other one is taken."""

MOST = 16
"""Deepest places looked at closer; a bound on time."""

_REACH_MM = 40.0
"""As far as a click's lesion may reach."""

_LOG_DIAMETER, _UNEVENNESS, _SUPPORT, _NEVER = 9.0, -12.9, 18.6, -32.7
"""Logistic regression on the deep places of 125 synthetic scans with and without nodules (43 of ground-glass nodules,
356 of vessels; 7-fold cross-validation: area under the curve 0.99, no false one above 0.32): per unit of the logarithm
of the diameter in mm, of unevenness and of the share of rays on which the haze ends at its surface."""


def find_hazes(field: LungField) -> list[Blob]:
    """Places deep inside haze, deepest first, at most `MOST`. Shape tells nothing here: roundness is 1 and dot 0."""
    from scipy import ndimage

    if not (field.field > 0).any():
        return []
    box, inside, hu = lung_alone(field)
    hu = blur(hu, _SMOOTH_MM / field.step)
    haze = inside & (hu > field.background + _HAZE_HU) & (hu < SOLID_HU)
    depth = edt.edt(haze, anisotropy=(field.step,) * 3, black_border=True, parallel=1)
    window = 2 * round(_APART_MM / field.step) + 1
    peaks, count = ndimage.label(
        (depth >= _DEEP_MM) & (depth >= ndimage.maximum_filter(depth, window)), np.ones((3, 3, 3))
    )
    if count == 0:
        return []
    places = np.argwhere(peaks)  # few voxels: ndimage's own statistics sort the whole image
    names = peaks[tuple(places.T)] - 1
    depths = np.zeros(count)
    np.maximum.at(depths, names, depth[tuple(places.T)])
    sums = np.stack([np.bincount(names, weights=axis, minlength=count) for axis in places.T], axis=1)
    centres = sums / np.bincount(names, minlength=count)[:, None] + [part.start for part in box]
    order = np.argsort(-depths, kind="stable")[:MOST]
    return [
        Blob((float(k), float(j), float(i)), 1.5 * float(deep) / np.sqrt(3.0), 0.0, 1.0, hazy=True)
        for (k, j, i), deep in zip(centres[order], depths[order], strict=True)
    ]


def outline_haze(field: LungField, blob: Blob) -> tuple[Outline, float] | None:
    """The nodule around a place in haze and how likely it is one, 0..1; None when it does not stand out.

    The outline by threshold and opening (`outlining`) takes in vessels as faint as the lesion by blur, or leaves the
    lesion out with those it cuts. Here it is the surface of a click in its middle (`interactive.surface`), from the
    scan's own voxels. It rounds off forks of vessels as well, but those go on past it, and have bright middles.
    """
    spacing = np.asarray(field.spacing)
    centre = field.to_voxel(blob.position)
    box = box_around(centre, 4.4 * blob.sigma + 8.0, field.spacing, field.array.shape)
    start = (box[0].start, box[1].start, box[2].start)
    patch = Patch(field.array[box].astype(np.float32), start, np.array(start) * spacing, field.spacing)
    surface, model = outline_around(patch, centre * spacing, _REACH_MM)
    view = view_of(field, blob)
    if min(view.hu.shape) < 3:
        return None
    mask = surface.inside(Patch(view.hu, (0, 0, 0), view.start * spacing, view.isotropic)) & view.domain
    if not mask.any():
        return None
    quiet = view.hu[view.domain & (away_from(mask, view.step) > 2.0) & (view.hu < field.background + 150.0)]
    background = float(np.median(quiet)) if quiet.size > 50 else field.background
    level = float(np.median(view.hu[mask]))
    if level - background < field.noise + 60.0 or level > SOLID_HU:
        return None
    core = solid_core(view, mask)
    kind = "ground_glass" if core is None else "part_solid"
    edge = (level + background) / 2.0
    outline = measured(field, view, mask, mask if core is None else core, kind, background, edge)
    if outline is None:
        return None
    logit = _LOG_DIAMETER * np.log(outline.diameter) + _UNEVENNESS * outline.unevenness + _NEVER
    logit += _SUPPORT * float(supported(patch, surface, model).mean())
    return outline, float(1.0 / (1.0 + np.exp(-logit)))
