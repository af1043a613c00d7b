"""Emphysema: holes in the lung, by a Markov field of two classes."""

from __future__ import annotations

import dataclasses

import cc3d
import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.boxes import Box, bounding_box
from radfind.engines.builtin.field import LungField, lung_noise
from radfind.engines.builtin.grid import Mask, Overview, Spacing, close, dilate
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.pleura import central_zone, find_pneumothoraces
from radfind.engines.builtin.spread import own_lesion

Image = npt.NDArray[np.float32]

_HOLE_HU = -970.0
"""Inside of an emphysematous hole: between air (-1000) and -950 HU, which matches macroscopic emphysema on thin slices
(Gevenois et al., AJRCCM 1996)."""

_THINNEST_HU = -900.0
"""Lung thinner than this is not taken for normal: means are -880 to -820 HU at full inspiration (Kinsella et al., ARRD
1990)."""

_TEXTURE_HU = 15.0
"""Standard deviation of normal lung about its local mean, without noise."""

_CONTRAST_HU = 50.0
"""Full inspiration brings whole lungs to -920 HU; holes so much thinner than the lung around them are no such lung."""

_BLOCK_MM = 1.6
_LOCAL_MM = 45.0
_EXTENT_MM = 4.0
_COUPLING = 0.7
_MOST_EVIDENCE = 4.0
_LEAST_SHARE, _FIRST_SHARE, _MOST_SHARE = 0.003, 0.1, 0.5
_ROUNDS, _SWEEPS = 4, 8

_VESSEL_HU = 40.0
_WALL_HU = 180.0
_WALL_MM = 2.5
"""Bronchi: what is dense within some 5 mm exceeds lung by more than this on average; around holes lung prevails."""

_CLUSTER_MM3 = 40.0
_SEPTUM_MM = 2.5
_GROUP_MM = 8.0
_SMALLEST_ML = 4.0
_CENTRAL_MM = 25.0

_AERATED_HU = -400.0

_FREE_AIR = 0.4
"""Pneumothoraces at least this sure are not counted as emphysema."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Blocks:
    """The lungs on blocks of the scan's own voxels, about 1.6 mm wide; thicker slices stay as they are.

    Arguments:
        view: the scan within `box`.
        half: 1 right, 2 left, 0 outside the lungs.
        aerated: lung that holds air.
        level: HU of each voxel's own lung: one lung may hold more air than the other.
        noise: standard deviation in lung, HU.
    """

    view: Overview
    box: Box
    half: npt.NDArray[np.uint8]
    aerated: Mask
    level: Image
    noise: float


def find_emphysema(field: LungField, context: Context) -> list[Lesion]:
    """Emphysema of each lung, as one lesion each.

    More than 5 % of a lung is emphysema, less than 1 % is trace (Lynch et al., Radiology 2018); 10 ml are called
    emphysema here whatever the share.
    """
    blocks = _blocks(field)
    spacing, hu = blocks.view.spacing, blocks.view.hu
    likely, around = _holes(blocks)
    central = _sampled(field, blocks.view, blocks.box, central_zone(field, _CENTRAL_MM))
    dark = _clusters((likely > 0.5) & ~_free_air(field, blocks, context), central, spacing)
    whole = close(dark, _SEPTUM_MM, spacing) & (blocks.half > 0)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    found = []
    for side in (1, 2):
        context.step(side / 2, "emphysema")
        lung = blocks.aerated & (blocks.half == side)
        here = whole & (blocks.half == side)
        volume = float(here.sum()) * voxel_ml
        if lung.sum() * voxel_ml < 50.0 or volume < _SMALLEST_ML:
            continue
        share = float((dark & lung).sum() / lung.sum())
        contrast = float((around - hu)[dark & lung].mean()) if (dark & lung).any() else 0.0
        distinct = max(float(np.clip(4.0 * (contrast / _CONTRAST_HU - 1.0), 0.0, 1.0)), min(share / 0.05, 1.0))
        group = _largest_group(here, spacing) * voxel_ml
        score = min(max(group / 20.0, share / 0.05), 1.0) * distinct
        if score >= 0.2:
            mask = blocks.view.up_whole(here)
            name = "right" if side == 1 else "left"
            values = {"low_attenuation_percent": 100.0 * share}
            found.append(own_lesion(field, blocks.box, mask, "emphysema", score, name, values))
    return found


def _blocks(field: LungField) -> _Blocks:
    box = bounding_box(field.lungs > 0, margin=tuple(int(np.ceil(8.0 / s)) for s in field.spacing))
    view = Overview.of(field.array[box], field.spacing, _BLOCK_MM)
    half = _sampled(field, view, box, field.half * (field.field > 0))
    aerated = (half > 0) & (view.hu < _AERATED_HU) & view.down(field.lungs[box] > 0)
    levels = np.full(3, field.background, np.float32)
    for side in (1, 2):
        lung = view.hu[aerated & (half == side) & (view.hu < -600.0)]
        if lung.size > 1000:
            levels[side] = np.median(lung)
    return _Blocks(view, box, half, aerated, levels[half], lung_noise(view.hu, half))


def _sampled(field: LungField, view: Overview, box: Box, grid: npt.NDArray) -> npt.NDArray:
    """What lies on the working grid, on the blocks (nearest voxel)."""
    index = []
    for axis in range(3):
        count, factor = view.hu.shape[axis], view.factors[axis]
        centre = box[axis].start + (np.arange(count) + 0.5) * factor - 0.5
        position = (centre - field.start[axis] + 0.5) * field.spacing[axis] / field.step - 0.5
        index.append(np.clip(np.round(position).astype(int), 0, grid.shape[axis] - 1))
    return np.asarray(grid[np.ix_(*index)])


def _free_air(field: LungField, blocks: _Blocks, context: Context) -> Mask:
    """Pneumothoraces, with their rim."""
    air = np.zeros(blocks.half.shape, bool)
    shape = (field.lungs.shape[0], field.lungs.shape[1], field.lungs.shape[2])
    for found in find_pneumothoraces(field, context):
        if found.score >= _FREE_AIR:
            air |= blocks.view.down(found.full_mask(shape)[blocks.box])
    return dilate(air, 3.0, blocks.view.spacing)


def _holes(blocks: _Blocks) -> tuple[Image, Image]:
    """How likely each voxel lies in a hole (0..1), and the HU of the lung around it.

    Two classes, hole and lung, each of its own density (that of lung from the lung around) with the scan's noise;
    neighbours tend to be alike (Ising's model, solved by its mean field: Zhang, IEEE Trans Signal Process 1992), and
    holes lie where holes are. Vessels are evidence for neither class; what walls surround is a bronchus.
    """
    hu, spacing = blocks.view.hu, blocks.view.spacing
    inside = blocks.half > 0
    plain = blocks.aerated & (hu < blocks.level + 60.0)
    coupling = [0.5 * _COUPLING * min(spacing) / size for size in spacing]
    lung_near = _blurred(inside, _EXTENT_MM, spacing) + 1e-3
    share = np.zeros(hu.shape, np.float32)  # how likely each voxel is a hole
    mean = np.zeros(hu.shape, np.float32)  # the mean field: 2 * share - 1 inside, 0 outside
    around = blocks.level
    for turn in range(_ROUNDS):
        weight = plain * (1.0 - share)
        total = _local_mean(weight * np.where(plain, hu, 0.0), spacing)
        around = (total + 0.02 * blocks.level) / (_local_mean(weight, spacing) + 0.02)
        around = np.clip(around, blocks.level - 60.0, blocks.level + 60.0)
        contrast = np.maximum(around, _THINNEST_HU) - _HOLE_HU
        variance = blocks.noise**2 + _TEXTURE_HU**2
        evidence = np.clip((_HOLE_HU + contrast / 2.0 - hu) * contrast / variance, -_MOST_EVIDENCE, _MOST_EVIDENCE)
        evidence[(hu > around + 1.5 * blocks.noise + _VESSEL_HU) | ~blocks.aerated] = 0.0
        prior = np.full(hu.shape, _FIRST_SHARE, np.float32)
        if turn:
            prior = np.clip(_blurred(share, _EXTENT_MM, spacing) / lung_near, _LEAST_SHARE, _MOST_SHARE)
            evidence[_walled(hu - around, share > 0.5, spacing)] -= 2.0 * _MOST_EVIDENCE
        evidence += 0.5 * np.log(prior / (1.0 - prior))
        for _ in range(_SWEEPS):
            mean = np.where(inside, np.tanh(evidence + _neighbours(mean, coupling)), 0.0).astype(np.float32)
        share = np.where(inside, (mean + 1.0) / 2.0, 0.0).astype(np.float32)
    return share, around.astype(np.float32)


def _neighbours(mean: Image, coupling: list[float]) -> Image:
    """The pull of the six neighbours; past the ends of the scan the lung goes on as it is."""
    out = np.zeros_like(mean)
    for axis, strength in enumerate(coupling):
        part = np.moveaxis(mean, axis, 0)
        pull = np.moveaxis(out, axis, 0)
        pull[1:] += strength * part[:-1]
        pull[:-1] += strength * part[1:]
        pull[0] += strength * part[0]
        pull[-1] += strength * part[-1]
    return out


def _walled(excess: Image, dark: Mask, spacing: Spacing) -> Mask:
    """Where what is not dark nearby is wall rather than lung. `excess`: HU above the lung around."""
    light = _blurred(np.where(dark, 0.0, np.clip(excess, 0.0, 400.0)), _WALL_MM, spacing)
    return np.asarray(light > _WALL_HU * (_blurred(~dark, _WALL_MM, spacing) + 1e-3))


def _clusters(dark: Mask, central: Mask, spacing: Spacing) -> Mask:
    """The holes that are not specks, not in the middle of the chest (trachea, main bronchi, gullet)."""
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
