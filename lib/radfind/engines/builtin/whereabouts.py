"""Where a lesion lies, in words and as agreement with the place a text names."""

from __future__ import annotations

from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.lesion import Lesion
from radfind.language.findings import Place


def place_agreement(anatomy: Anatomy, place: Place, lesion: Lesion) -> float:
    """0..1: how well a lesion fits the lobe, segment, zone or level of a place; the side is judged apart."""
    return 1.0


def covered(anatomy: Anatomy, place: Place) -> bool:
    """Whether the scan shows the place at all."""
    return bool((anatomy.lungs > 0).any())


def describe(anatomy: Anatomy, lesion: Lesion) -> str:
    """ "right lung, apex"."""
    return f"{lesion.side} lung" if lesion.side != "both" else "both lungs"
