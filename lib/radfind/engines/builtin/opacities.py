"""Opacities: ground glass, and consolidation beside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from radfind.engines.api import Context
from radfind.engines.builtin.belief import rising
from radfind.engines.builtin.boxes import bounding_box
from radfind.engines.builtin.consolidation import find_consolidations
from radfind.engines.builtin.field import LungField, lung_noise
from radfind.engines.builtin.grid import Mask, close, depth, dilate, open_, spread, thickness
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.markov import Blocks, mean_field
from radfind.engines.builtin.spread import blurred, own_lesion, pieces, side_of

DEPENDENT_MM = 16.0
_SHEET_MM = 20.0
_DOUBTFUL = 0.4
"""A haze no deeper than this under the pleura of the back, and no thicker, may be gravity's (dependent opacity,
Fleischner glossary, Radiology 2024): doubtful."""

_HAZE_HU = 130.0
_DENSE_HU = -300.0
"""How much denser than the lung a haze is at least, and what no longer is one."""

_VESSEL_HU = -350.0
_EDGE_MM = 1.5
"""Vessels, walls and the chest wall, and how far they blur into the lung beside them."""

_BALL_MM = 4.0
_FINEST_MM = 3.0
"""Radius of what a haze holds at least, also of the vessels that run through it; and of its parts."""

_GROWTH_MM = 8.0
_AROUND_MM = (6.0, 12.0)
_GAP_MM = 10.0
"""How far a haze goes on beyond its core, where the lung around it is measured, and how far apart its cores lie."""

_UNEVEN_HU = 30.0
_BRIGHT_HU = 20.0
_MOST_EVIDENCE = 3.0
_COUPLING, _SWEEPS = 1.0, 10
"""Standard deviation of haze and lung without noise, and how much denser than the haze a voxel tells nothing: a vessel
crosses it."""

_EVEN_HU = (75.0, 95.0)
_THIN_MM = (10.0, 12.0)
_THICK_MM = (14.0, 20.0)
"""Ground glass is even between its vessels. A cluster of small vessels, or voxels partly filled by the diaphragm, have
lung in between and are thin. Interquartile range as a standard deviation and thickness, from doubtless to not at all
and from not at all to doubtless: of the outline of an even haze, and of the core of one that is what it is however
uneven."""

_GAS_HU = -950.0
_WALL_MM = 12.0
"""Haze within this of gas (air without tissue in it) is most likely the blurred wall of a bowel loop: doubtful."""

_SIZE_ML = (1.5, 3.5)
"""The smaller ones are nodules or chance."""


def find_opacities(field: LungField, context: Context) -> list[Lesion]:
    """Consolidations and ground-glass opacities, surest first."""
    found = find_consolidations(field, context)
    context.step(0.6, "ground glass")
    found += _ground_glass(field.coarse)
    return sorted(found, key=lambda item: -item.score)


def _ground_glass(field: LungField) -> list[Lesion]:
    inside, step = field.field > 0, field.step
    spacing = (step, step, step)
    clear = inside & ~dilate(inside & (field.work > _VESSEL_HU), _EDGE_MM, spacing)
    mist = blurred(field, 1.5, clear)
    hazy = clear & (mist > field.background + _HAZE_HU) & (mist < _DENSE_HU)
    gas = open_(ndimage.gaussian_filter(field.work, 2.0 / step) < _GAS_HU, _BALL_MM, spacing)
    near_gas = dilate(gas, _WALL_MM, spacing)
    shallow = inside & (depth(inside, spacing) < DEPENDENT_MM) & _back_half(inside)
    core = np.zeros_like(inside)
    for piece in pieces(open_(hazy, _BALL_MM, spacing), step, 0.5):
        core |= piece
    found = []
    for near in pieces(dilate(core, _GAP_MM / 2.0, spacing), step, 0.5):
        inner = core & near
        blocks, patches = _outline(field, inner, np.where(clear, mist, np.nan))
        score = _certainty(field, inner, blocks, patches)
        sheet = float(shallow[inner].mean()) > 0.9 and thickness(inner, spacing) < _SHEET_MM
        if sheet or float(near_gas[inner].mean()) > 0.5:
            score = min(score, _DOUBTFUL)
        if score > 0:
            mask = blocks.view.up_whole(patches)
            found.append(own_lesion(field, blocks.box, mask, "ground_glass_opacity", score, side_of(field, inner)))
    return found


def _outline(field: LungField, core: Mask, mist: npt.NDArray[np.float32]) -> tuple[Blocks, Mask]:
    """The haze around a core to half way to the density of the lung around it, with the vessels in it, on blocks.

    Arguments:
        core, mist: on the working grid; `mist` is NaN at vessels and walls.
    """
    box = bounding_box(core, (round(_AROUND_MM[1] / field.step) + 2,) * 3)
    near, far = (dilate(core[box], radius, (field.step,) * 3) for radius in _AROUND_MM)
    lung = mist[box][far & ~near & np.isfinite(mist[box])]
    level = min(float(np.median(lung)), field.background + _HAZE_HU / 2.0) if lung.size else field.background
    haze = float(np.median(field.work[core]))
    blocks = Blocks.around(field, core, _AROUND_MM[1])
    hu, spacing = blocks.hu, blocks.spacing
    start, inside = blocks.sampled(core), blocks.sampled(field.field) > 0
    variance = lung_noise(hu, inside.astype(np.uint8)) ** 2 + _UNEVEN_HU**2
    evidence = np.clip((hu - (level + haze) / 2.0) * (haze - level) / variance, -_MOST_EVIDENCE, _MOST_EVIDENCE)
    evidence[hu > haze + _BRIGHT_HU] = 0.0
    evidence[~inside | ~dilate(start, _GROWTH_MM, spacing)] = -_MOST_EVIDENCE
    hazy = mean_field(evidence.astype(np.float32), None, spacing, _COUPLING, _SWEEPS) > 0.0
    grown = spread(open_(hazy | start, _FINEST_MM, spacing) | start, start)
    return blocks, close(grown, _FINEST_MM, spacing) & inside


def _certainty(field: LungField, core: Mask, blocks: Blocks, outline: Mask) -> float:
    """How sure a haze is ground glass, 0..1, by its size, evenness and thickness. `outline`: on `blocks`."""
    step = field.step
    low, high = np.percentile(field.work[core], [25, 75])
    noise = field.noise * float(np.prod([min(1.0, size / step) ** 0.5 for size in field.spacing]))  # as averaged
    uneven = float(np.sqrt(max(((high - low) / 1.349) ** 2 - noise**2, 0.0)))
    thick = thickness(np.pad(outline, 1), blocks.spacing)
    even = (1.0 - rising(uneven, *_EVEN_HU)) * rising(thick, *_THIN_MM)
    size = rising(float(outline.sum()) * blocks.voxel_ml, *_SIZE_ML)
    return size * max(even, rising(thickness(core, (step,) * 3), *_THICK_MM))


def _back_half(inside: Mask) -> Mask:
    """The half of the lungs of each slice that lies lower in a supine patient (j grows to the back)."""
    rows = np.arange(inside.shape[1])[None, :]
    seen = inside.any(axis=2)
    first = np.where(seen, rows, inside.shape[1]).min(axis=1)
    last = np.where(seen, rows, 0).max(axis=1)
    return np.broadcast_to((rows > ((first + last) / 2)[:, None])[:, :, None], inside.shape)
