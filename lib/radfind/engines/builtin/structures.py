"""Anatomical structures asked for by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.analysis import Analysis
from radfind.language.concepts import Concept
from radfind.language.findings import Finding
from radfind.language.lexicon import Lexicon
from radfind.volume import Volume

SUPPORTED = frozenset({"body", "lung", "airway", "trachea"})


def structure_supported(concept: Concept, lexicon: Lexicon) -> bool:
    return concept.id in SUPPORTED


def structure_mask(analysis: Analysis, finding: Finding, volume: Volume) -> npt.NDArray[np.bool_]:
    anatomy = analysis.anatomy
    sides = {"right": (1,), "left": (2,)}.get(finding.place.side or "", (1, 2))
    if finding.concept.id == "lung":
        mask = np.isin(anatomy.lungs, sides)
    elif finding.concept.id == "body":
        mask = anatomy.body
    else:
        mask = anatomy.airways
    return volume.restore(mask)
