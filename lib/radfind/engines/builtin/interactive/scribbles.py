"""Painted voxels and existing masks: the object is where a random walk with their densities as prior says so."""

from __future__ import annotations

import dataclasses

import cc3d
import edt
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.boxes import bounding_box
from radfind.engines.builtin.interactive.densities import opinion
from radfind.engines.builtin.interactive.edits import Mask, State
from radfind.engines.builtin.interactive.patch import Patch
from radfind.engines.builtin.interactive.walker import random_walk

_MOST_VOXELS = 300_000
"""More are walked in blocks: a bound on time (a second on one core)."""

_SMOOTHED = 0.4
"""Share of the noise that `Patch.smooth` leaves, at most (scanner noise is correlated)."""

_AROUND_MM = 20.0
"""Background painted further away than this and the length of the object's paint says nothing about its edge."""


def add_scribbles(state: State, patch: Patch, wanted: Mask, unwanted: Mask) -> State:
    """Change the mask so that it follows painted voxels (masks on the patch); far from them it stays as it was."""
    base = state.mask
    if not base.any():
        if not wanted.any():
            return state
        mask = _walk(patch, wanted, unwanted, None)
        return dataclasses.replace(state, mask=_attached(mask, wanted))
    wrong = (wanted & ~base) | (unwanted & base)
    if not wrong.any():
        return state
    gap = max(
        float((edt.edt(~base, anisotropy=patch.spacing, parallel=1) * (wanted & ~base)).max()),
        float((edt.edt(base, anisotropy=patch.spacing, parallel=1) * (unwanted & base)).max()),
    )
    near = edt.edt(~wrong, anisotropy=patch.spacing, parallel=1) <= max(2.5 * gap, 2.0 * max(patch.spacing))
    mask = np.where(near, _walk(patch, wanted, unwanted, base), base)
    mask = _attached((mask | wanted) & ~unwanted, base | wanted)
    return dataclasses.replace(state, mask=mask, surface=None)


def refine_mask(patch: Patch, mask: Mask) -> Mask:
    """An approximate mask drawn to the edges near its own: its depth and what is far from it stay."""
    inner = edt.edt(mask, anisotropy=patch.spacing, parallel=1)
    outer = edt.edt(~mask, anisotropy=patch.spacing, parallel=1)
    band = float(np.clip(0.3 * inner.max(), max(patch.spacing), 6.0))
    return _attached(_walk(patch, inner > band, outer > band, mask), inner > band)


def _walk(patch: Patch, wanted: Mask, unwanted: Mask, base: Mask | None) -> Mask:
    marked = wanted | (_near(wanted, unwanted, patch) if base is None else unwanted & _dilated(base, 3) | base)
    extent = bounding_box(marked)
    margin_mm = 8.0 + 0.5 * float(
        np.median([(p.stop - p.start) * s for p, s in zip(extent, patch.spacing, strict=True)])
    )
    box = bounding_box(marked, tuple(int(np.ceil(margin_mm / s)) for s in patch.spacing))
    values, fore, back = patch.array[box], wanted[box], unwanted[box].copy()
    held = None if base is None else base[box]
    if base is None:
        back |= _border(fore.shape) & ~fore
    factors = _factors(values.shape, patch.spacing)
    small = _blocks(values, factors).mean(axis=(1, 3, 5))
    fore_s, back_s = _blocks(fore, factors).any(axis=(1, 3, 5)), _blocks(back, factors).any(axis=(1, 3, 5))
    back_s &= ~fore_s
    held_s = None if held is None else _blocks(held, factors).mean(axis=(1, 3, 5)) > 0.5
    # Edges are where voxels differ, but what a voxel looks like is told better by it and its neighbours together.
    soft = _blocks(patch.smooth[box], factors).mean(axis=(1, 3, 5))
    prior, contrast = opinion(soft, fore_s, back_s, held_s, _SMOOTHED * patch.noise)
    scale = max(patch.noise, 0.18 * contrast)
    k, j, i = (s * f for s, f in zip(patch.spacing, factors, strict=True))
    chance = random_walk(small, (k, j, i), fore_s, back_s, prior, scale=scale)
    full = _enlarged(chance, factors, values.shape) > 0.5
    out = np.zeros(patch.array.shape, bool) if base is None else base.copy()
    out[box] = full
    return out


def _near(wanted: Mask, unwanted: Mask, patch: Patch) -> Mask:
    """The unwanted voxels that can tell where the object ends: a corner of the scan would make a walk of all of it."""
    length = max((p.stop - p.start) * s for p, s in zip(bounding_box(wanted), patch.spacing, strict=True))
    margin = tuple(int(np.ceil((_AROUND_MM + length) / s)) for s in patch.spacing)
    near = np.zeros(unwanted.shape, bool)
    box = bounding_box(wanted, margin)
    near[box] = unwanted[box]
    return near


def _attached(mask: Mask, anchor: Mask) -> Mask:
    """The parts of a mask that touch `anchor`."""
    labels = cc3d.connected_components(mask, connectivity=18)
    keep = np.unique(labels[anchor & mask])
    return np.isin(labels, keep[keep > 0])


def _border(shape: tuple[int, ...]) -> Mask:
    """The faces of a box along the axes that are thick enough to have an inside."""
    border = np.zeros(shape, bool)
    for axis, n in enumerate(shape):
        if n > 4:
            for end in (0, n - 1):
                border[(slice(None),) * axis + (end,)] = True
    return border


def _dilated(mask: Mask, voxels: int) -> Mask:
    from scipy import ndimage

    return np.asarray(ndimage.maximum_filter(mask, size=2 * voxels + 1))


def _factors(shape: tuple[int, ...], spacing: tuple[float, float, float]) -> tuple[int, int, int]:
    """Block sizes that bring the box to `_MOST_VOXELS`, the finest axis first."""
    factors = [1, 1, 1]
    while np.prod([-(-n // f) for n, f in zip(shape, factors, strict=True)]) > _MOST_VOXELS:
        finest = int(np.argmin([s * f for s, f in zip(spacing, factors, strict=True)]))
        factors[finest] += 1
    return factors[0], factors[1], factors[2]


def _blocks(array: npt.NDArray, factors: tuple[int, int, int]) -> npt.NDArray:
    """Views of whole blocks, the far end filled up with its edge."""
    pads = [(0, -n % f) for n, f in zip(array.shape, factors, strict=True)]
    array = np.pad(array, pads, mode="edge") if any(b for _, b in pads) else array
    (k, j, i), (a, b, c) = array.shape, factors
    return array.reshape(k // a, a, j // b, b, i // c, c)


def _enlarged(chance: npt.NDArray[np.float32], factors: tuple[int, int, int], shape: tuple[int, ...]) -> npt.NDArray:
    """Back on the full grid, linear between block centres."""
    if max(factors) == 1:
        return chance
    from scipy import ndimage

    scale = 1.0 / np.asarray(factors, float)
    return np.asarray(
        ndimage.affine_transform(chance, scale, 0.5 * scale - 0.5, output_shape=shape, order=1, mode="nearest")
    )
