"""Opacities: ground glass, and consolidation beside it."""

from __future__ import annotations

import numpy as np

from radfind.engines.api import Context
from radfind.engines.builtin.consolidation import find_consolidations
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask, depth, dilate
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.spread import blurred, opened, pieces, spread_lesion

DEPENDENT_MM = 16.0
_DEPENDENT_SCORE = 0.4
"""A haze no deeper than this under the pleura of the back may be gravity's (dependent opacity, Fleischner glossary,
Radiology 2024): doubtful."""


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
