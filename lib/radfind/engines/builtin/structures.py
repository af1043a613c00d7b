"""Anatomical structures asked for by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.anatomy import SUPPORTED
from radfind.engines.builtin.regions import place_prior
from radfind.engines.builtin.whereabouts import LOBES
from radfind.language.concepts import Concept
from radfind.language.findings import Finding, Place
from radfind.volume import Volume


def structure_supported(concept: Concept) -> bool:
    """Whether density and shape alone show the structure."""
    return concept.id in SUPPORTED or concept.id in LOBES


def structure_mask(analysis: Analysis, finding: Finding, volume: Volume) -> npt.NDArray[np.bool_]:
    """The structure a text names, on the volume's own grid; lobes are where they usually lie, not segmented."""
    anatomy = analysis.anatomy
    concept = finding.concept.id
    if concept in LOBES:
        side, lobe = LOBES[concept]
        mask = (anatomy.lungs > 0) & (place_prior(anatomy, Place(side=side, lobes=(lobe,))) > 0.5)
    else:
        known = anatomy.mask(concept, finding.place.side)
        mask = np.zeros(anatomy.volume.geometry.shape, bool) if known is None else known
        if concept == "lung" and (finding.place.lobes or finding.place.zones or finding.place.segments):
            mask = mask & (place_prior(anatomy, finding.place) > 0.5)
    return volume.restore(mask)
