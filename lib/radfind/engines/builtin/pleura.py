"""Pleural effusion and pneumothorax: fluid or air between the lung and the ribs.

Both are found twice: first a core that can be nothing else (thick, pure, in the right place), then the whole layer,
grown from the core through what measures as the core does.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.field import LungField, lung_noise
from radfind.engines.builtin.grid import Mask, dilate, open_, spread, thickness
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.markov import Blocks, mean_field
from radfind.engines.builtin.pleural_line import find_thin_layers
from radfind.engines.builtin.spread import above_lung, blurred, own_lesion, pieces, spread_lesion

FLUID_HU = (-25.0, 38.0)
"""Transudates and exudates measure 0 to 30 HU (Abramowitz et al., Radiol Res Pract 2009: means 6-17); muscle, liver
and spleen above 40, fat below -50."""

_TISSUE_HU = 52.0
"""Muscle and unenhanced liver."""

_FAT_HU = -95.0

_SOFT_HU = (-150.0, 150.0)

_CENTRAL_MM = 30.0
"""Half the width of spine and oesophagus, behind which a core of fluid is not looked for."""

_VERTEBRA_MM = 20.0
"""Half the width of a vertebral body: in front of it is mediastinum, beside and behind it the pleura comes close."""

_PARTLY_HU = -60.0
"""What measures less than this beside lung is partly lung, and tells nothing of the rest."""

_UNEVEN_HU = 20.0
"""Standard deviation of fluid and tissue without noise."""

_MOST_EVIDENCE = 3.0
_COUPLING = 1.2
_SWEEPS = 12
_FLUID_GROWTH_MM = 45.0
"""How far a core of fluid goes on."""

_CORES = 3
"""Cores looked at on each side: the largest may be fluid in the stomach or ascites."""

_DOUBTFUL = 0.45
"""Free fluid sinks to the diaphragm; with lung below it, it is encapsulated or a mass on the pleura."""

_AIR_MARGIN_HU = 35.0
_LUNG_EDGE_HU = 550.0
"""Above air: half way to tissue."""

_COSTAL_MM = 12.0
"""The rib cage, as found from the ribs, lies this near to the lung's costal border."""

_PURE_HU = 20.0
"""A quarter of a layer of free air lies this near to air; emphysema as a whole only comes within `_AIR_MARGIN_HU`."""

_BESIDE_MM = 7.0
_AIR_GROWTH_MM = 60.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Air:
    """Free air: share of each voxel of the working grid (float32), certainty 0..1, greatest depth in mm."""

    share: npt.NDArray[np.float32]
    score: float
    depth_mm: float


def find_effusions(field: LungField, context: Context) -> list[Lesion]:
    """Fluid layers at least 8 mm deep inside the rib cage, outside the aerated lung, behind or beside it."""
    step, spacing = field.step, (field.step,) * 3
    outside = (field.cage > 0) & ~field.aerated
    soft = outside & (field.work > _SOFT_HU[0]) & (field.work < _SOFT_HU[1])
    soft &= ~dilate(field.aerated | (outside & (field.work > 250.0)), 1.01 * step, spacing)
    smooth = blurred(field, 2.0, soft)
    fluid = outside & (smooth > FLUID_HU[0]) & (smooth < FLUID_HU[1]) & (field.work > -400.0)
    context.step(0.5, "effusion")
    found = []
    for side in (1, 2):
        lung = field.aerated & (field.half == side)
        if not lung.any():
            continue
        here = fluid & (field.half == side)
        cores = pieces(open_(here & _behind(lung) & ~central_zone(field, _CENTRAL_MM), 4.0, spacing), step, 6.0)
        best: Lesion | None = None
        for core in cores[:_CORES]:
            thick = thickness(core, spacing)
            along = _along(core, field.cage == 0, thick, step)
            certain = np.clip((thick - 5.0) / 8.0, 0.0, 1.0) * np.clip((along - 0.2) / 0.4, 0.0, 1.0)
            if above_lung(field, core) > 0.5:
                certain = min(certain, _DOUBTFUL)
            if certain < 0.2:
                continue
            blocks, layer = _whole_layer(field, core, float(np.median(smooth[core])), side)
            score = float(certain * np.clip(layer.sum() * blocks.voxel_ml / 40.0, 0.0, 1.0))
            if score >= 0.2 and (best is None or score > best.score):
                mask = blocks.view.up_whole(layer)
                values = {"greatest_depth_mm": thick, "along_wall": along}
                name = "right" if side == 1 else "left"
                best = own_lesion(field, blocks.box, mask, "pleural_effusion", score, name, values)
        if best is not None:
            found.append(best)
    return sorted(found, key=lambda item: -item.score)


def _whole_layer(field: LungField, core: Mask, level: float, side: int) -> tuple[Blocks, Mask]:
    """The layer that a core of fluid of `level` HU belongs to, on blocks of the scan.

    A Markov field tells it from fat and soft tissue, and half way between their densities from lung, whose border pulls
    neither way; what is partly lung measures as fat and is told by what else lies beside it.
    """
    blocks = Blocks.around(field, core, _FLUID_GROWTH_MM)
    hu, spacing = blocks.hu, blocks.spacing
    start = blocks.sampled(core)
    lung = blocks.lungs() & (hu < -400.0)
    half_air = (level + field.background) / 2.0
    variance = 2.0 * (lung_noise(hu, lung.astype(np.uint8)) ** 2 + _UNEVEN_HU**2)
    other = np.minimum(np.square(np.maximum(hu - _FAT_HU, 0.0)), np.square(np.maximum(_TISSUE_HU - hu, 0.0)))
    evidence = np.clip((other - np.square(hu - level)) / (2.0 * variance), -_MOST_EVIDENCE, _MOST_EVIDENCE)
    evidence[(hu < _PARTLY_HU) & dilate(lung, 1.0, (1.0, 1.0, 1.0))] = 0.0  # the six neighbours, however far apart
    never = (blocks.sampled(field.half) == 3 - side) | blocks.sampled(_before_spine(field))
    never |= ~dilate(start, _FLUID_GROWTH_MM, spacing)
    evidence[never] = -_MOST_EVIDENCE
    dense = ~lung & (hu > half_air)
    fluid = mean_field(evidence.astype(np.float32), dense, spacing, _COUPLING, _SWEEPS) > 0.0
    grown = spread(fluid | start, start)
    # A second bulk behind a thin neck is another fluid (stomach, ascites) on the other side of the diaphragm.
    bulk = open_(grown, 4.0, spacing) | start
    apart = bulk & ~spread(bulk, start)
    if apart.any():
        grown = spread((grown & ~dilate(apart, 5.0, spacing)) | start, start)
    return blocks, grown


def find_pneumothoraces(field: LungField, context: Context) -> list[Lesion]:
    """Vessel-free air along the costal border of the lung: thick, or thin above the line of the visceral pleura."""
    context.step(0.0, "pneumothorax")
    costal = dilate(field.cage == 0, _COSTAL_MM, (field.step,) * 3) & ~central_zone(field, _VERTEBRA_MM)
    found = [
        _Air(np.clip(0.5 + layer.inside / field.step, 0.0, 1.0), layer.score, layer.thickness_mm)
        for layer in find_thin_layers(field, costal)
    ]
    context.step(0.5, "pneumothorax")
    for thick in _thick_layers(field):
        same = [air for air in found if ((air.share >= 0.5) & (thick.share >= 0.5)).any()]
        found = [air for air in found if air not in same] + [_joined([thick, *same])]
    limits = (field.air - 100.0, field.air + _LUNG_EDGE_HU)
    lesions = [
        spread_lesion(field, air.share, "pneumothorax", air.score, limits, {"greatest_depth_mm": air.depth_mm})
        for air in found
    ]
    return sorted((lesion for lesion in lesions if lesion is not None), key=lambda item: -item.score)


def _joined(parts: list[_Air]) -> _Air:
    return _Air(
        np.maximum.reduce([air.share for air in parts]),
        max(air.score for air in parts),
        max(air.depth_mm for air in parts),
    )


def _thick_layers(field: LungField) -> list[_Air]:
    """Layers that hold a core of pure air, 4 mm deep or more."""
    step, spacing = field.step, (field.step,) * 3
    low = ((field.field > 0) | (field.cage > 0)) & (field.work < -400.0)
    low = spread(low, field.aerated)  # what the lung or nothing but pleura separates from it; not gas of the bowel
    inside = low & ~dilate(~low, 1.01 * step, spacing)
    smooth = blurred(field, 1.0, inside)
    cores = pieces(open_(inside & (smooth < field.air + _AIR_MARGIN_HU), 1.5, spacing), step, 3.0)
    wall = ~dilate(low, 1.01 * step, spacing) & dilate(field.cage == 0, 6.0, spacing)
    found = []
    central = central_zone(field, _CENTRAL_MM)
    for core in cores:
        if np.count_nonzero(core & central) > 0.5 * np.count_nonzero(core):
            continue  # gullet or trachea
        if np.percentile(smooth[core], 25.0) > field.air + _PURE_HU or _under_lungs(field, core):
            continue  # emphysema; gas of the belly
        thick = thickness(core, spacing) + 2.0 * step
        piece = _all_free_air(field, core, smooth, low, inside)
        along = _along(piece, wall, thick, step)
        volume = float(piece.sum()) * step**3 / 1000.0
        score = float(np.clip(volume / 30.0, 0.0, 1.0) * np.clip(along / 0.5, 0.0, 1.0))
        if score >= 0.2:
            found.append(_Air(piece.astype(np.float32), score, thick))
    return found


def _all_free_air(field: LungField, core: Mask, smooth: npt.NDArray[np.float32], low: Mask, inside: Mask) -> Mask:
    """The air that a core is the middle of: to half way between air and this lung, and on to the chest wall."""
    step, spacing = field.step, (field.step,) * 3
    border = (float(np.median(smooth[core])) + field.background) / 2.0
    near = dilate(core, _AIR_GROWTH_MM, spacing)
    grown = spread(inside & near & (smooth < border) | core, core)
    # The visceral pleura and the air next to the wall, which are partly tissue.
    rim = low & (dilate(grown, 1.01 * step, spacing) | (dilate(grown, 2.01 * step, spacing) & ~inside))
    return grown | rim


def _under_lungs(field: LungField, core: Mask) -> bool:
    """Whether air is gas of the belly: low in the chest, and hardly any lung beside it. (With a lung that has collapsed
    there is none beside the air either, but that reaches up.)"""
    step, spacing = field.step, (field.step,) * 3
    shell = dilate(core, _BESIDE_MM, spacing) & ~dilate(core, _BESIDE_MM - 2.0 * step, spacing)
    levels = np.flatnonzero(field.aerated.any(axis=(1, 2)))
    height = (np.nonzero(core)[0].mean() - levels[0]) / (levels[-1] - levels[0] + 1)
    return bool(height < 0.25 and field.aerated[shell].mean() < 0.1)


def _along(piece: Mask, wall: Mask, thick: float, step: float) -> float:
    """How far a piece is a layer along the wall: its contact area times its depth over its volume.

    About 1 or more for a layer; small for a bulla, the stomach or an abscess, which touch the wall in a spot.
    """
    near = dilate(wall, 5.0, (step, step, step)) & piece
    contact = float(near.sum()) * step**3 / 5.0
    return contact * thick / max(float(piece.sum()) * step**3, 1.0)


def central_zone(field: LungField, half_width_mm: float) -> Mask:
    """What lies within `half_width_mm` of the midline of each slice: mediastinum and spine."""
    right = field.cage == 1
    columns = np.arange(right.shape[2])
    last = np.where(right.any(axis=1), columns[None, :], 0).max(axis=1)  # right is towards lower i
    near = np.abs(columns[None, :] - last[:, None]) * field.step < half_width_mm
    return np.broadcast_to(near[:, None, :], right.shape)


def _before_spine(field: LungField) -> Mask:
    """The mediastinum in front of the vertebral bodies, and the bodies themselves."""
    central = central_zone(field, _VERTEBRA_MM)
    bone = central & (field.work > 250.0)
    rows = np.arange(bone.shape[1])[None, :, None]
    bone &= rows > bone.shape[1] / 2  # not the sternum
    first = np.where(bone.any(axis=(1, 2)), bone.any(axis=2).argmax(axis=1), bone.shape[1])
    return np.asarray(central & (rows < (first + _VERTEBRA_MM / field.step)[:, None, None]))


def _behind(lung: Mask) -> Mask:
    """Voxels with lung of the same column in front of them and none behind them.

    What lies between lung and ribs behind the lung is pleural; liver, spleen and stomach have the posterior recess of
    the lung behind them, or no lung in front. (j grows to the back.)
    """
    in_front = np.maximum.accumulate(lung, axis=1)
    behind = np.maximum.accumulate(lung[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(in_front & ~behind)
