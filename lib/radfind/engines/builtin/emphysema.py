"""Emphysema: clusters of lung too thin to be normal."""

from __future__ import annotations

import cc3d
import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask, close, dilate, spread
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.pleura import central_zone, find_pneumothoraces
from radfind.engines.builtin.spread import blurred, onto_working_grid, spread_lesion

_EMPHYSEMA_HU = (-950.0, -910.0)
_THICKNESS_MM = (1.0, 10.0)
"""-950 HU matches macroscopic emphysema on slices of 1 mm (Gevenois et al., AJRCCM 1996), -910 HU on slices of 10 mm
(Mueller et al., Chest 1988); between them in proportion."""

_HOLE_HU = -970.0
"""Inside of an emphysematous hole: between the threshold and air (-1000)."""

_CONTRAST_HU = 50.0
"""Above -950 HU a hole must be so much thinner than the lung around it: full inspiration brings whole lungs to -920."""

_NOISE_LEFT_HU = 14.0
"""Smoothing leaves so much noise, whatever the scan's dose and kernel: normal lung (-860) stays far from -950."""

_SMOOTHING_MM = (0.7, 2.5)
_LOCAL_MM = 15.0
_CLUSTER_MM3 = 40.0
_SMALLEST_ML = 4.0
_RIM_MM = 7.0
_SEPTUM_MM = 2.5
_GULLET_MM = 25.0

_FREE_AIR = 0.4
"""Pneumothoraces at least this sure are not counted as emphysema."""


def find_emphysema(field: LungField, context: Context) -> list[Lesion]:
    """Emphysema of each lung, as one lesion each: clusters of lung below the threshold of density, with their rim.

    Noise alone brings normal lung below it, so the scan is smoothed as much as its noise asks for (Schilham et al.,
    IEEE TMI 2006); the rim goes on to half way between the holes and the lung around them. More than 5 % of a lung is
    emphysema, less than 1 % is trace (Lynch et al., Radiology 2018); 10 ml are called emphysema here whatever the
    share.
    """
    found = []
    spacing = (field.step,) * 3
    smooth = blurred(field, smoothing_mm(field), field.aerated)
    low = field.aerated & (smooth < threshold_hu(field)) & ~central_zone(field, _GULLET_MM)
    for free in find_pneumothoraces(field, context):
        if free.score >= _FREE_AIR:
            low &= ~dilate(onto_working_grid(field, free), 3.0, spacing)
    level = _own_level(field)
    plain = field.aerated & (field.work < level + 60.0)
    plain &= ~dilate(_clusters(low & (smooth < _EMPHYSEMA_HU[0]), field.step), _RIM_MM, spacing)
    around = np.clip(blurred(field, _LOCAL_MM, plain), level - 60.0, level + 60.0)
    border = (_HOLE_HU + around) / 2.0
    apart = (smooth < around - _CONTRAST_HU) | (smooth < _EMPHYSEMA_HU[0])
    cores = _clusters(low & apart & (smooth < border), field.step)
    holes = spread(dilate(cores, _RIM_MM, spacing) & field.aerated & (smooth < border), cores)
    holes = close(holes, _SEPTUM_MM, spacing) & (field.field > 0)
    for side in (1, 2):
        lung = field.aerated & (field.half == side)
        if lung.sum() * field.step**3 < 50e3:
            continue
        here = holes & (field.half == side)
        volume = float(here.sum()) * field.step**3 / 1000.0
        context.step(side / 2, "emphysema")
        if volume < _SMALLEST_ML:
            continue
        share = float((cores & lung).sum() / lung.sum())
        inside = here & field.aerated
        contrast = float((around - smooth)[inside].mean()) if inside.any() else 0.0
        distinct = max(np.clip(contrast / _CONTRAST_HU - 1.0, 0.0, 0.25) * 4.0, np.clip(share / 0.05, 0.0, 1.0))
        score = float(np.clip(volume / 20.0, 0.0, 1.0) * distinct)
        if score < 0.2:
            continue
        lesion = spread_lesion(
            field, here, "emphysema", score, (-1100.0, -600.0), {"low_attenuation_percent": 100.0 * share}
        )
        if lesion is not None:
            found.append(lesion)
    return found


def _own_level(field: LungField) -> npt.NDArray[np.float32]:
    """Median HU of the lung that each voxel belongs to: one lung may hold more air than the other (a bronchus that is
    narrowed, a lung that is missing)."""
    levels = np.full(3, field.background, np.float32)
    for side in (1, 2):
        lung = field.work[field.aerated & (field.half == side) & (field.work < -600.0)]
        if lung.size > 1000:
            levels[side] = np.median(lung)
    return levels[field.half]


def _clusters(low: Mask, step: float) -> Mask:
    labels, count = cc3d.connected_components(low, connectivity=6, return_N=True)
    large = np.bincount(labels.ravel(), minlength=count + 1) * step**3 >= _CLUSTER_MM3
    large[0] = False
    return np.asarray(large[labels])


def threshold_hu(field: LungField) -> float:
    """Below this is emphysema on slices as thick as these."""
    return float(np.interp(field.spacing[0], _THICKNESS_MM, _EMPHYSEMA_HU))


def smoothing_mm(field: LungField) -> float:
    """Standard deviation of the Gaussian that leaves `_NOISE_LEFT_HU` of the noise of lung.

    Averaging white noise of standard deviation s over a Gaussian of width w in voxels of volume v leaves
    s * sqrt(v / (8 pi^1.5 w^3)).
    """
    ratio = (field.noise / _NOISE_LEFT_HU) ** 2
    return float(np.clip((float(np.prod(field.spacing)) * ratio / (8.0 * np.pi**1.5)) ** (1 / 3), *_SMOOTHING_MM))
