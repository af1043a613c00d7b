"""Where a lesion lies, in words and as agreement with the place a text names."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.regions import place_score
from radfind.language.concepts import Side
from radfind.language.findings import Place

_SAMPLES = 200
LOBES: dict[str, tuple[Side, str]] = {
    "right_upper_lobe": ("right", "upper"),
    "right_middle_lobe": ("right", "middle"),
    "right_lower_lobe": ("right", "lower"),
    "left_upper_lobe": ("left", "upper"),
    "left_lower_lobe": ("left", "lower"),
    "lingula": ("left", "lingula"),
}
"""Side and lobe by concept id."""


def place_agreement(anatomy: Anatomy, place: Place, lesion: Lesion) -> float:
    """0..1: how well a lesion fits the lobe, segment or zone of a place; the side is judged apart.

    A focal lesion is where its middle is; of a spread-out one half its voxels may lie elsewhere (the upper quartile
    of their scores counts). Soft borders: 0.5 on the border itself.
    """
    neutral = _without_side(place)
    points = _sample(lesion)
    scores = place_score(anatomy, neutral, points)
    return float(np.clip(np.percentile(scores, 75), 0.0, 1.0))


def covered(anatomy: Anatomy, place: Place) -> str:
    """How much of the place the scan shows: "whole", "part" or "none"; of the lungs where it cannot tell."""
    regions = [site.id for site in place.sites if site.id not in ("lung", "pleura")]
    sides = [place.side] if place.side in ("left", "right") else ["right", "left"]
    for lobe in place.lobes:
        regions += [f"{side}_{lobe}_lobe" if lobe != "lingula" else "lingula" for side in sides]
    regions += ["lung_apex"] * ("apical" in place.zones) + ["lung_base"] * ("basal" in place.zones)
    answers: list[str] = [anatomy.covers(region, place.side) for region in regions]
    known = [answer for answer in answers if answer != "unknown"]
    if not known:
        known = [anatomy.covers("lung", place.side)]
    if all(answer == "whole" for answer in known):
        return "whole"
    return "none" if all(answer == "none" for answer in known) else "part"


def describe(anatomy: Anatomy, lesion: Lesion) -> str:
    """ "right upper lobe, apical": the lobe and zone that fit best; only the side where none fits well."""
    if lesion.side == "both":
        return "both lungs"
    points = _sample(lesion)
    lobes = {
        concept.replace("_", " "): float(place_score(anatomy, Place(lobes=(lobe,)), points).mean())
        for concept, (side, lobe) in LOBES.items()
        if side == lesion.side and concept != "lingula"
    }
    best = max(lobes, key=lambda words: lobes[words])
    where = best if lobes[best] >= 0.5 else f"{lesion.side} lung"
    for zone in ("apical", "basal"):
        if float(place_score(anatomy, Place(zones=(zone,)), points).mean()) >= 0.5:
            return f"{where}, {zone}"
    return where


def _without_side(place: Place) -> Place:
    """The place with lobes kept and sides dropped ("right upper lobe" becomes "upper lobe")."""
    lobes = list(place.lobes)
    sites = []
    for site in place.sites:
        if site.id in LOBES:
            lobes.append(LOBES[site.id][1])
        else:
            sites.append(site)
    return dataclasses.replace(place, side=None, lobes=tuple(dict.fromkeys(lobes)), sites=tuple(sites))


def _sample(lesion: Lesion) -> npt.NDArray[np.intp]:
    """Up to `_SAMPLES` voxel positions of a lesion, evenly taken, on the oriented grid."""
    points = np.argwhere(lesion.mask)
    step = max(1, len(points) // _SAMPLES)
    return np.asarray(points[::step] + np.array([part.start for part in lesion.box]))
