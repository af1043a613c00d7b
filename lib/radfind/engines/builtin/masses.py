"""Masses that merge with hilum, mediastinum or chest wall: doubtful dense lung too thick to be a vessel.

Nothing in the voxels parts such a mass from what it touches, so that the search for nodules, which asks for a closed
surface, passes it by, or holds a corner of it for a smaller lesion. What tells it from the vessels of the hilum is how
thick it is, and that the other side has no such thing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from radfind.engines.builtin.boxes import bounding_box
from radfind.engines.builtin.grid import Spacing, dilate, thickness
from radfind.engines.builtin.lesion import Lesion

_VESSEL_MM = 20.0
_MASS_MM = 30.0
"""Thickness of the widest hilar vessels (interlobar arteries beside the veins), and from where on it is a mass by
definition (Fleischner glossary, Radiology 2024)."""

_SCORES = (0.45, 0.75)
"""How sure a mass of either thickness is: from the doubt of dense lung that merges, to more sure than not."""

_DOUBTFUL = 0.5
"""Dense lung that is surer than this is free of what it touches: a consolidation, or a mass found as one."""

_ENHANCED_HU = 120.0
"""Mean density of blood under contrast and more: an aneurysm or a large vessel (tumours: below 100)."""

_BESIDE_MM = 4.0


def with_merged_masses(nodules: Sequence[Lesion], dense: Sequence[Lesion], spacing: Spacing) -> tuple[Lesion, ...]:
    """The nodules and masses found, and the masses among doubtful dense lung in place of their own parts.

    Arguments:
        nodules: lesions of the family "nodule".
        dense: lesions of the family "opacity".
        spacing: mm along (k, j, i) of the grid that the lesions lie on.
    """
    masses = _merged_masses(dense, spacing)
    whole = [n for n in nodules if not any(_part_of(n, mass, spacing) for mass in masses)]
    return (*whole, *masses)


def may_be_masses(dense: Sequence[Lesion], spacing: Spacing) -> tuple[Lesion, ...]:
    """The consolidations that may be a mass: those that are sure, and doubtful ones too thick for a vessel.

    Arguments: as `with_merged_masses`.
    """
    return tuple(
        d
        for d in dense
        if d.concept == "consolidation" and (d.score >= _DOUBTFUL or thickness(np.pad(d.mask, 1), spacing) > _VESSEL_MM)
    )


def _merged_masses(dense: Sequence[Lesion], spacing: Spacing) -> list[Lesion]:
    doubtful = [d for d in dense if d.concept == "consolidation" and d.score < _DOUBTFUL]
    thick = {id(d): thickness(np.pad(d.mask, 1), spacing) for d in doubtful}
    lumps = [d for d in doubtful if thick[id(d)] > _VESSEL_MM and d.mean_hu < _ENHANCED_HU]
    masses = []
    for lump in lumps:
        if any({lump.side, other.side} == {"right", "left"} for other in lumps):
            continue  # as thick on both sides: wide arteries, or enlarged lymph nodes
        share = (thick[id(lump)] - _VESSEL_MM) / (_MASS_MM - _VESSEL_MM)
        certain = float(np.interp(share, (0.0, 1.0), _SCORES)) * lump.score / max(_SCORES[0], lump.score)
        masses.append(dataclasses.replace(lump, concept="pulmonary_mass", score=certain, attributes=("solid",)))
    return masses


def _part_of(nodule: Lesion, mass: Lesion, spacing: Spacing) -> bool:
    """Whether a smaller or fainter lesion touches a mass: a corner of it, or the haze around it."""
    if nodule.volume_mm3 > mass.volume_mm3:
        return False
    low = [min(a.start, b.start) for a, b in zip(nodule.box, mass.box, strict=True)]
    high = [max(a.stop, b.stop) for a, b in zip(nodule.box, mass.box, strict=True)]
    both = np.zeros((2, *(b - a for a, b in zip(low, high, strict=True))), bool)
    for canvas, lesion in zip(both, (nodule, mass), strict=True):
        canvas[tuple(slice(p.start - a, p.stop - a) for p, a in zip(lesion.box, low, strict=True))] = lesion.mask
    near = bounding_box(both[0], tuple(int(np.ceil(_BESIDE_MM / s)) + 1 for s in spacing))
    return bool((dilate(both[1][near], _BESIDE_MM, spacing) & both[0][near]).any())
