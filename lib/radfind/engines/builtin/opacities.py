"""Ground-glass opacity, consolidation and emphysema: density over an area rather than a compact shape."""

from __future__ import annotations

import numpy as np

from radfind.engines.api import Context
from radfind.engines.builtin.boxes import bounding_box
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask, depth, dilate
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.pleura import find_pneumothoraces
from radfind.engines.builtin.spread import blurred, onto_working_grid, opened, pieces, spread_lesion

SOLID_HU = -250.0
"""Consolidation obscures vessels: soft-tissue density with some air (Fleischner glossary, Radiology 2024)."""

EMPHYSEMA_HU = -950.0
"""Gevenois et al., AJRCCM 1996: -950 HU matches macroscopic emphysema on thin slices."""

_FREE_AIR = 0.4
"""Pneumothoraces at least this sure are not counted as emphysema."""

_VESSEL_MM = 6.0
"""Radius of the widest vessels and bronchi inside the lungs (lobar arteries: 12 mm)."""


def find_opacities(field: LungField, context: Context) -> list[Lesion]:
    """Consolidations and ground-glass opacities, surest first."""
    inside = field.field > 0
    spacing = (field.step, field.step, field.step)
    smooth = blurred(field, 1.5, inside)
    context.step(0.3, "consolidation")
    dense = opened(inside & (smooth > SOLID_HU) & (smooth < 200.0), _VESSEL_MM, field.step)
    found = []
    for piece in pieces(dense, field.step, 3.0):
        volume = float(piece.sum()) * field.step**3 / 1000.0
        score = float(np.clip((volume - 3.0) / 20.0, 0.0, 1.0)) * _bulk(piece, field.step)
        if score < 0.2:
            continue
        lesion = spread_lesion(field, piece, "consolidation", score, (-500.0, 300.0))
        if lesion is not None:
            found.append(lesion)
    context.step(0.6, "ground glass")
    # Vessels and their blurred edges are not ground glass.
    clear = inside & ~dilate(inside & (field.work > -350.0), 1.5, spacing)
    mist = blurred(field, 1.5, clear)
    hazy = clear & (mist > field.background + 130.0) & (mist < -300.0)
    for piece in pieces(opened(hazy, 4.0, field.step), field.step, 2.0):
        volume = float(piece.sum()) * field.step**3 / 1000.0
        lesion = spread_lesion(field, piece, "ground_glass_opacity", min(1.0, volume / 8.0), (-1000.0, -150.0))
        if lesion is not None:
            found.append(lesion)
    return sorted(found, key=lambda item: -item.score)


def _bulk(piece: Mask, step: float) -> float:
    """0 for a thin sheet, 1 for a piece nearly half as thick as long.

    The blurred cap of the diaphragm's dome and dependent atelectasis are sheets.
    """
    thick = 2.0 * float(depth(piece, (step, step, step)).max())
    sides = [part.stop - part.start for part in bounding_box(piece)]
    return float(np.clip((thick / (max(sides) * step) - 0.28) / 0.15, 0.0, 1.0))


def find_emphysema(field: LungField, context: Context) -> list[Lesion]:
    """Emphysema of each lung, as one lesion each; the share of lung below -950 HU after smoothing decides.

    Smoothing over about 2 mm takes the noise away that alone brings normal lung below -950 (Schilham et al., IEEE
    TMI 2006). More than 5 % of a lung is emphysema, less than 1 % is not (Lynch et al., Radiology 2018: trace and
    mild); a cluster of 4 ml counts whatever the share.
    """
    found = []
    smooth = blurred(field, 1.5, field.aerated)
    low = field.aerated & (smooth < EMPHYSEMA_HU)
    for free in find_pneumothoraces(field, context):
        if free.score >= _FREE_AIR:
            low &= ~dilate(onto_working_grid(field, free), 3.0, (field.step, field.step, field.step))
    for side in (1, 2):
        lung = field.aerated & (field.half == side)
        if lung.sum() * field.step**3 < 50e3:
            continue
        here = opened(low & lung, 1.5, field.step)
        share = float(here.sum() / lung.sum())
        clusters = pieces(here, field.step, 1.0)
        largest = float(clusters[0].sum()) * field.step**3 / 1000.0 if clusters else 0.0
        score = float(np.clip(max(share / 0.10, largest / 8.0), 0.0, 1.0))
        context.step(side / 2, "emphysema")
        if score < 0.2 or not here.any():
            continue
        lesion = spread_lesion(
            field, here, "emphysema", score, (-1100.0, -900.0), {"low_attenuation_percent": 100.0 * share}
        )
        if lesion is not None:
            found.append(lesion)
    return found
