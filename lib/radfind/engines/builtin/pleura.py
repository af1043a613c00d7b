"""Pleural effusion and pneumothorax: fluid or air between the lung and the ribs."""

from __future__ import annotations

import numpy as np

from radfind.engines.api import Context
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask, close, depth, dilate
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.spread import blurred, opened, pieces, spread_lesion

FLUID_HU = (-25.0, 38.0)
"""Transudates and exudates measure 0 to 30 HU (Abramowitz et al., Radiol Res Pract 2009: means 6-17); muscle, liver
and spleen above 40, fat below -50."""

FREE_AIR_HU = -960.0
"""Air without tissue in it; the barest lung of emphysema with bullae comes close, hence the shape rules."""

_CENTRAL_MM = 30.0
"""Half the width of spine and oesophagus, behind which nothing is pleural."""


def find_effusions(field: LungField, context: Context) -> list[Lesion]:
    """Fluid layers at least 8 mm deep inside the rib cage, outside the aerated lung, behind or beside it."""
    outside = (field.cage > 0) & ~field.aerated
    smooth = blurred(field, 2.0, outside)
    fluid = outside & (smooth > FLUID_HU[0]) & (smooth < FLUID_HU[1]) & ~_central(field)
    context.step(0.5, "effusion")
    found = []
    for side in (1, 2):
        lung = field.aerated & (field.half == side)
        if not lung.any():
            continue
        layer = opened(fluid & (field.half == side) & _behind(lung), 4.0, field.step)
        for piece in pieces(layer, field.step, 15.0)[:1]:
            thick = 2.0 * float(depth(piece, (field.step,) * 3).max())
            volume = float(piece.sum()) * field.step**3 / 1000.0
            along = _along(piece, field.cage == 0, thick, field.step)
            score = float(
                np.clip((thick - 5.0) / 8.0, 0.0, 1.0)
                * np.clip(volume / 40.0, 0.0, 1.0)
                * np.clip((along - 0.2) / 0.4, 0.0, 1.0)
            )
            if score < 0.2:
                continue
            lesion = spread_lesion(
                field,
                piece,
                "pleural_effusion",
                score,
                (-80.0, 100.0),
                {"greatest_depth_mm": thick, "along_wall": along},
            )
            if lesion is not None:
                found.append(lesion)
    return sorted(found, key=lambda item: -item.score)


def find_pneumothoraces(field: LungField, context: Context) -> list[Lesion]:
    """Vessel-free air at least 4 mm deep along the costal border of the lung."""
    inside = (field.field > 0) & (field.work < -400.0)
    smooth = blurred(field, 1.5, inside)
    spacing = (field.step, field.step, field.step)
    bare = opened(inside & (smooth < FREE_AIR_HU), 1.5, field.step)
    wall = ~close(field.field > 0, 4.0, spacing)
    context.step(0.5, "pneumothorax")
    found = []
    for piece in pieces(bare, field.step, 5.0):
        volume = float(piece.sum()) * field.step**3 / 1000.0
        thick = 2.0 * float(depth(piece, spacing).max())
        along = _along(piece, wall, thick, field.step)
        score = float(np.clip(volume / 30.0, 0.0, 1.0) * np.clip(along / 0.5, 0.0, 1.0))
        if score < 0.2:
            continue
        lesion = spread_lesion(
            field, piece, "pneumothorax", score, (-1100.0, -850.0), {"greatest_depth_mm": thick, "along_wall": along}
        )
        if lesion is not None:
            found.append(lesion)
    return sorted(found, key=lambda item: -item.score)


def _along(piece: Mask, wall: Mask, thick: float, step: float) -> float:
    """How far a piece is a layer along the wall: its contact area times its depth over its volume.

    About 1 or more for a layer; small for a bulla, the stomach or an abscess, which touch the wall in a spot.
    """
    near = dilate(wall, 5.0, (step, step, step)) & piece
    contact = float(near.sum()) * step**3 / 5.0
    return contact * thick / max(float(piece.sum()) * step**3, 1.0)


def _central(field: LungField) -> Mask:
    """The mediastinum and spine: within `_CENTRAL_MM` of the midline of each slice."""
    right = field.cage == 1
    columns = np.arange(right.shape[2])
    last = np.where(right.any(axis=1), columns[None, :], 0).max(axis=1)  # right is towards lower i
    near = np.abs(columns[None, :] - last[:, None]) * field.step < _CENTRAL_MM
    return np.broadcast_to(near[:, None, :], right.shape)


def _behind(lung: Mask) -> Mask:
    """Voxels with lung of the same column in front of them and none behind them.

    What lies between lung and ribs behind the lung is pleural; liver, spleen and stomach have the posterior recess of
    the lung behind them, or no lung in front. (j grows to the back.)
    """
    in_front = np.maximum.accumulate(lung, axis=1)
    behind = np.maximum.accumulate(lung[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(in_front & ~behind)
