"""Ground-glass opacity, consolidation and emphysema: density over an area rather than a compact shape."""

from __future__ import annotations

import cc3d
import numpy as np

from radfind.engines.api import Context
from radfind.engines.builtin.consolidation import find_consolidations
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask, depth, dilate, spread
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.pleura import central_zone, find_pneumothoraces
from radfind.engines.builtin.spread import blurred, onto_working_grid, opened, pieces, spread_lesion

EMPHYSEMA_HU = -950.0
"""Gevenois et al., AJRCCM 1996: -950 HU matches macroscopic emphysema on thin slices."""

_FREE_AIR = 0.4
"""Pneumothoraces at least this sure are not counted as emphysema."""

DEPENDENT_MM = 16.0
_DEPENDENT_SCORE = 0.4
"""A haze no deeper than this under the pleura of the back may be gravity's (dependent opacity, Fleischner glossary,
Radiology 2024): doubtful."""

_CLUSTER_MM3 = 40.0
_RIM_MM = 7.0
_FINE_MM = 1.2
_GULLET_MM = 25.0


def find_opacities(field: LungField, context: Context) -> list[Lesion]:
    """Consolidations and ground-glass opacities, surest first."""
    found = find_consolidations(field, context)
    inside = field.field > 0
    spacing = (field.step, field.step, field.step)
    context.step(0.6, "ground glass")
    # Vessels and their blurred edges are not ground glass.
    clear = inside & ~dilate(inside & (field.work > -350.0), 1.5, spacing)
    mist = blurred(field, 1.5, clear)
    hazy = clear & (mist > field.background + 130.0) & (mist < -300.0)
    shallow = inside & (depth(inside, spacing) < DEPENDENT_MM) & _back_half(inside)
    for piece in pieces(opened(hazy, 4.0, field.step), field.step, 2.0):
        volume = float(piece.sum()) * field.step**3 / 1000.0
        score = float(np.clip((volume - 3.0) / 10.0, 0.0, 1.0))
        if float(shallow[piece].mean()) > 0.9:
            score = min(score, _DEPENDENT_SCORE)
        lesion = spread_lesion(field, piece, "ground_glass_opacity", score, (-1000.0, -150.0))
        if lesion is not None:
            found.append(lesion)
    return sorted(found, key=lambda item: -item.score)


def _back_half(inside: Mask) -> Mask:
    """The half of the lungs of each slice that lies lower in a supine patient (j grows to the back)."""
    rows = np.arange(inside.shape[1])[None, :]
    seen = inside.any(axis=2)
    first = np.where(seen, rows, inside.shape[1]).min(axis=1)
    last = np.where(seen, rows, 0).max(axis=1)
    return np.broadcast_to((rows > ((first + last) / 2)[:, None])[:, :, None], inside.shape)


def find_emphysema(field: LungField, context: Context) -> list[Lesion]:
    """Emphysema of each lung, as one lesion each: clusters of lung below -950 HU after light smoothing, with their rim.

    Smoothing over about 2 mm takes the noise away that alone brings normal lung below -950 (Schilham et al., IEEE
    TMI 2006), but also the edges of small holes: the rim goes on to half way between the cluster and normal lung. More
    than 5 % of a lung is emphysema, less than 1 % is trace (Lynch et al., Radiology 2018); 10 ml are called emphysema
    here whatever the share.
    """
    found = []
    spacing = (field.step, field.step, field.step)
    smooth = blurred(field, _FINE_MM, field.aerated)
    low = field.aerated & (smooth < EMPHYSEMA_HU) & ~central_zone(field, _GULLET_MM)
    for free in find_pneumothoraces(field, context):
        if free.score >= _FREE_AIR:
            low &= ~dilate(onto_working_grid(field, free), 3.0, spacing)
    labels, count = cc3d.connected_components(low, connectivity=6, return_N=True)
    large = np.bincount(labels.ravel(), minlength=count + 1) * field.step**3 >= _CLUSTER_MM3
    large[0] = False
    cores = large[labels]
    border = (EMPHYSEMA_HU - 15.0 + field.background) / 2.0
    holes = spread(dilate(cores, _RIM_MM, spacing) & field.aerated & (smooth < border), cores)
    for side in (1, 2):
        lung = field.aerated & (field.half == side)
        if lung.sum() * field.step**3 < 50e3:
            continue
        here = holes & lung
        volume = float(here.sum()) * field.step**3 / 1000.0
        score = float(np.clip(volume / 20.0, 0.0, 1.0))
        context.step(side / 2, "emphysema")
        if score < 0.2:
            continue
        share = float((low & lung).sum() / lung.sum())
        lesion = spread_lesion(
            field, here, "emphysema", score, (-1100.0, -850.0), {"low_attenuation_percent": 100.0 * share}
        )
        if lesion is not None:
            found.append(lesion)
    return found
