"""Mask clean-up in millimetres, each step with its reason, and which steps a concept gets by default."""

from __future__ import annotations

import dataclasses

import cc3d
import edt
import fill_voids
import numpy as np
import numpy.typing as npt

from radfind.language.concepts import Concept

Mask = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Which steps are taken, in this order.

    Arguments:
        close_mm: gaps narrower than twice this are closed: noise tears solid things.
        fill: holes without a way out are filled: what is enclosed by a solid lesion belongs to it.
        smooth_mm: width of the smoothing of the distance to the surface: steps of thick slices are no anatomy.
        parts: "largest", "all".
        reason: why a concept gets these steps.
    """

    close_mm: float = 0.0
    fill: bool = False
    smooth_mm: float = 0.0
    parts: str = "all"
    reason: str = ""


SOLID = Recipe(
    1.0, True, 0.7, "largest", "A solid lesion is one piece without holes; its surface is smooth or spiculated."
)
HAZY = Recipe(1.0, True, 0.7, "all", "Ground glass and consolidation come in patches; vessels within belong to them.")
AIRY = Recipe(0.0, False, 0.0, "all", "Emphysema is made of small holes in tissue: closing or filling would invent it.")
FLUID = Recipe(0.0, True, 0.7, "all", "Fluid and air in the pleura lie in layers that closing would glue to the wall.")
TUBE = Recipe(0.0, False, 0.0, "all", "Vessels and airways are thinner than any smoothing that would be seen.")
ORGAN = Recipe(1.0, True, 1.0, "largest", "An organ is one piece; its cut surface is smooth.")

_BY_CONCEPT = {
    **dict.fromkeys(("emphysema", "bulla"), AIRY),
    **dict.fromkeys(("ground_glass_opacity", "consolidation", "atelectasis", "ground_glass_nodule"), HAZY),
    **dict.fromkeys(("pleural_effusion", "pneumothorax"), FLUID),
    **dict.fromkeys(("airway", "trachea", "main_bronchus", "pulmonary_vessel", "aorta", "rib"), TUBE),
    **dict.fromkeys(("calcification", "subcutaneous_fat", "visceral_fat", "muscle", "bowel_gas", "bone"), Recipe()),
}

_TIP_MM = 1.5
"""A part that smoothing would shorten by more than this is a tip, not a step, and stays."""


def recipe_for(concept: Concept | None) -> Recipe:
    """The default steps for a concept; a marked object without a name counts as a solid lesion."""
    if concept is None:
        return SOLID
    return _BY_CONCEPT.get(concept.id, SOLID if concept.kind == "finding" else ORGAN)


def clean(mask: Mask, spacing: Spacing, recipe: Recipe, *, allowed: Mask | None = None) -> Mask:
    """A cleaned copy of `mask`.

    Arguments:
        mask: boolean (k, j, i); spacing: mm along (k, j, i).
        allowed: where the concept can be at all (no lung lesion in a rib); None for anywhere.
    """
    out = mask.copy() if allowed is None else mask & allowed
    if not out.any():
        return out
    box = _grown(out, recipe.close_mm + 3 * recipe.smooth_mm, spacing)
    part = out[box]
    if recipe.close_mm > 0:
        part = close(part, spacing, recipe.close_mm)
    if recipe.fill:
        part = np.asarray(fill_voids.fill(part), bool)
    if recipe.smooth_mm > 0:
        part = smooth(part, spacing, recipe.smooth_mm)
    if recipe.parts == "largest":
        part = np.asarray(cc3d.largest_k(part, k=1, connectivity=18) > 0)
    out = np.zeros_like(mask)
    out[box] = part
    return out if allowed is None else out & allowed


def close(mask: Mask, spacing: Spacing, radius_mm: float) -> Mask:
    """Morphological closing by a ball of millimetres; nothing is taken away at the border of the array."""
    grown = edt.edt(~mask, anisotropy=spacing, parallel=1) <= radius_mm
    return np.asarray((edt.edt(grown, anisotropy=spacing, black_border=False, parallel=1) > radius_mm) | mask)


def smooth(mask: Mask, spacing: Spacing, width_mm: float) -> Mask:
    """Smooth the signed distance to the surface and keep the volume; tips (spicules, corners) stay as they were."""
    from scipy import ndimage

    if mask.all() or not mask.any():
        return mask
    signed = _signed(mask, spacing)
    soft = ndimage.gaussian_filter(signed, [width_mm / s for s in spacing], mode="nearest")
    # The level that keeps the number of voxels: smoothing alone shrinks what is convex.
    count = int(mask.sum())
    level = np.partition(soft.ravel(), -count)[-count]
    result = soft >= level
    lost = mask & ~result
    if lost.any() and result.any():
        away = edt.edt(~result, anisotropy=spacing, parallel=1)
        labels = cc3d.connected_components(lost, connectivity=26)
        tips = np.unique(labels[lost & (away > _TIP_MM)])
        result = result | np.isin(labels, tips[tips > 0])
    return np.asarray(result, bool)


def _signed(mask: Mask, spacing: Spacing) -> npt.NDArray[np.float32]:
    inside = edt.edt(mask, anisotropy=spacing, black_border=False, parallel=1)
    outside = edt.edt(~mask, anisotropy=spacing, black_border=False, parallel=1)
    return np.asarray(inside - outside, np.float32)


def _grown(mask: Mask, margin_mm: float, spacing: Spacing) -> tuple[slice, ...]:
    parts = []
    for axis, step in enumerate(spacing):
        hit = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        margin = int(np.ceil(margin_mm / step)) + 1
        parts.append(slice(max(int(hit[0]) - margin, 0), min(int(hit[-1]) + margin + 1, mask.shape[axis])))
    return tuple(parts)
