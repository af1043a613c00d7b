"""Emphysema: holes in the lung, by a Markov field of two classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import cc3d
import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.field import LungField, lung_noise
from radfind.engines.builtin.grid import Mask, Spacing, close, dilate
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.markov import Blocks, Image, mean_field
from radfind.engines.builtin.pleura import central_zone
from radfind.engines.builtin.spread import own_lesion

_HOLE_HU = -960.0
"""Inside of an emphysematous hole: between air (-1000) and -950 HU, which matches macroscopic emphysema on thin slices
(Gevenois et al., AJRCCM 1996)."""

_THINNEST_HU = -900.0
"""Lung thinner than this is not taken for normal: means are -880 to -820 HU at full inspiration (Kinsella et al., ARRD
1990)."""

_TEXTURE_HU = 15.0
"""Standard deviation of normal lung about its local mean, without noise."""

_CONTRAST_HU = 50.0
"""Full inspiration brings whole lungs to -920 HU; holes so much thinner than the lung around them are no such lung."""

_AERATED_HU = -400.0
_LOCAL_MM = 45.0
_EXTENT_MM = 4.0
_COUPLING = 1.0
_MOST_EVIDENCE = 4.0
_LEAST_SHARE, _FIRST_SHARE, _MOST_SHARE = 0.003, 0.1, 0.5
_ROUNDS, _SWEEPS = 4, 8

_VESSEL_HU = 40.0
_WALL_HU = 60.0
_WALLED = 0.55
"""Bronchi: more than this share of what borders a lumen in a slice is denser than lung by this; around holes lung
prevails."""

_CLUSTER_MM3 = 40.0
_SEPTUM_MM = 2.5
_GROUP_MM = 8.0
_SMALLEST_ML = 4.0
_CENTRAL_MM = 12.0
"""Half the width of trachea and gullet; bronchi are told by their walls, and lung lies beside the spine."""

_FREE_AIR = 0.4
"""Pneumothoraces at least this sure are not counted as emphysema."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Lungs:
    """Both lungs on blocks of the scan.

    Arguments:
        blocks: around them.
        half: 1 right, 2 left, 0 outside the lungs.
        aerated: lung that holds air.
        level: HU of each voxel's own lung: one lung may hold more air than the other.
        noise: standard deviation in lung, HU.
    """

    blocks: Blocks
    half: npt.NDArray[np.uint8]
    aerated: Mask
    level: Image
    noise: float


def find_emphysema(field: LungField, pneumothoraces: Iterable[Lesion], context: Context) -> list[Lesion]:
    """Emphysema of each lung, as one lesion each; what `pneumothoraces` hold is none.

    More than 5 % of a lung is emphysema, less than 1 % is trace (Lynch et al., Radiology 2018); 10 ml near together are
    called emphysema here whatever the share.
    """
    lungs = _lungs(field)
    blocks, spacing = lungs.blocks, lungs.blocks.spacing
    likely, around = _holes(lungs)
    central = blocks.sampled(central_zone(field, _CENTRAL_MM))
    dark = _clusters((likely > 0.5) & ~_free_air(blocks, pneumothoraces), central, spacing)
    whole = close(dark, _SEPTUM_MM, spacing) & (lungs.half > 0)
    found = []
    for side, name in ((1, "right"), (2, "left")):
        context.step(side / 2, "emphysema")
        lung = lungs.aerated & (lungs.half == side)
        here = whole & (lungs.half == side)
        if lung.sum() * blocks.voxel_ml < 50.0 or here.sum() * blocks.voxel_ml < _SMALLEST_ML:
            continue
        share = float((dark & lung).sum() / lung.sum())
        contrast = float((around - blocks.hu)[dark & lung].mean()) if (dark & lung).any() else 0.0
        distinct = max(float(np.clip(4.0 * (contrast / _CONTRAST_HU - 1.0), 0.0, 1.0)), min(share / 0.05, 1.0))
        group = _largest_group(here, spacing) * blocks.voxel_ml
        score = min(max(group / 20.0, share / 0.05), 1.0) * distinct
        if score >= 0.2:
            mask = blocks.view.up_whole(here)
            values = {"low_attenuation_percent": 100.0 * share}
            found.append(own_lesion(field, blocks.box, mask, "emphysema", score, name, values))
    return found


def _lungs(field: LungField) -> _Lungs:
    blocks = Blocks.around(field, field.field > 0, 4.0)
    half = blocks.sampled(field.field)
    aerated = (half > 0) & (blocks.hu < _AERATED_HU) & blocks.lungs()
    levels = np.full(3, field.background, np.float32)
    for side in (1, 2):
        lung = blocks.hu[aerated & (half == side) & (blocks.hu < -600.0)]
        if lung.size > 1000:
            levels[side] = np.median(lung)
    return _Lungs(blocks, half, aerated, levels[half], lung_noise(blocks.hu, half))


def _free_air(blocks: Blocks, pneumothoraces: Iterable[Lesion]) -> Mask:
    """Pneumothoraces, with their rim."""
    air = np.zeros(blocks.hu.shape, bool)
    k, j, i = blocks.field.lungs.shape
    for found in pneumothoraces:
        if found.score >= _FREE_AIR:
            air |= blocks.view.down(found.full_mask((k, j, i))[blocks.box])
    return dilate(air, 3.0, blocks.spacing)


def _holes(lungs: _Lungs) -> tuple[Image, Image]:
    """How likely each voxel lies in a hole (0..1), and the HU of the lung around it.

    Two classes, hole and lung, each of its own density (that of lung from the lung around) with the scan's noise;
    neighbours tend to be alike, and holes lie where holes are. Vessels are evidence for neither class; what walls
    surround is a bronchus.
    """
    hu, spacing = lungs.blocks.hu, lungs.blocks.spacing
    inside = lungs.half > 0
    plain = lungs.aerated & (hu < lungs.level + 60.0)
    lung_near = _blurred(inside, _EXTENT_MM, spacing) + 1e-3
    share = np.zeros(hu.shape, np.float32)
    mean = np.zeros(hu.shape, np.float32)
    around = lungs.level
    for turn in range(_ROUNDS):
        weight = plain * (1.0 - share)
        total = _local_mean(weight * np.where(plain, hu, 0.0), spacing)
        around = (total + 0.02 * lungs.level) / (_local_mean(weight, spacing) + 0.02)
        around = np.clip(around, lungs.level - 60.0, lungs.level + 60.0)
        contrast = np.maximum(around, _THINNEST_HU) - _HOLE_HU
        variance = lungs.noise**2 + _TEXTURE_HU**2
        evidence = np.clip((_HOLE_HU + contrast / 2.0 - hu) * contrast / variance, -_MOST_EVIDENCE, _MOST_EVIDENCE)
        evidence[(hu > around + 1.5 * lungs.noise + _VESSEL_HU) | ~lungs.aerated] = 0.0
        prior = np.full(hu.shape, _FIRST_SHARE, np.float32)
        if turn:
            prior = np.clip(_blurred(share, _EXTENT_MM, spacing) / lung_near, _LEAST_SHARE, _MOST_SHARE)
        evidence = (evidence + 0.5 * np.log(prior / (1.0 - prior))).astype(np.float32)
        mean = mean_field(evidence, inside, spacing, _COUPLING, _SWEEPS, mean)
        share = np.where(inside, (mean + 1.0) / 2.0, 0.0).astype(np.float32)
    share[_walled(share > 0.5, hu - around > _WALL_HU, spacing)] = 0.0
    return share, around.astype(np.float32)


def _walled(dark: Mask, wall: Mask, spacing: Spacing) -> Mask:
    """What is dark and bordered by wall, slice by slice (of the finest voxels): lumens of bronchi."""
    from scipy import ndimage

    thick = int(np.argmax(spacing))
    size = [1 if axis == thick else 3 for axis in range(3)]
    within = np.zeros((3, 3, 3), bool)
    within[tuple(1 if axis == thick else slice(None) for axis in range(3))] = True
    labels, count = ndimage.label(dark, within)
    border = np.where(dark, 0, ndimage.maximum_filter(labels, size=size))
    dense = np.bincount(border[wall], minlength=count + 1)
    lumen = dense > _WALLED * np.bincount(border.ravel(), minlength=count + 1)
    lumen[0] = False
    return np.asarray(lumen[labels])


def _clusters(dark: Mask, central: Mask, spacing: Spacing) -> Mask:
    """The holes that are not specks, and not in the middle of the chest (trachea, main bronchi, gullet)."""
    labels, count = cc3d.connected_components(dark, connectivity=6, return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    aside = np.bincount(labels[~central], minlength=count + 1) >= sizes / 2
    keep = aside & (sizes * float(np.prod(spacing)) >= _CLUSTER_MM3)
    keep[0] = False
    return np.asarray(keep[labels])


def _largest_group(holes: Mask, spacing: Spacing) -> int:
    """Voxels of the holes that lie nearest together: a beating heart leaves dark bands here and there."""
    groups = cc3d.connected_components(dilate(holes, _GROUP_MM, spacing), connectivity=6)
    return int(np.bincount(groups[holes]).max(initial=0))


def _local_mean(values: npt.NDArray, spacing: Spacing) -> Image:
    from scipy import ndimage

    return np.asarray(ndimage.uniform_filter(values, [max(1, round(_LOCAL_MM / size)) for size in spacing]))


def _blurred(values: npt.NDArray, sigma_mm: float, spacing: Spacing) -> Image:
    from scipy import ndimage

    sigma = [sigma_mm / size for size in spacing]
    return np.asarray(ndimage.gaussian_filter(values.astype(np.float32), sigma, truncate=3.0))
