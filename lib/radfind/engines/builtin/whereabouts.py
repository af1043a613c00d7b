"""Where a lesion lies, in words and as agreement with the place a text names."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.coverage import Coverage
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.regions import LEFT, RIGHT, place_score
from radfind.language.concepts import Side
from radfind.language.findings import Finding, Place

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

ENDS = {"lung_apex": "apical", "lung_base": "basal"}
"""Zone by concept id."""

CERTAIN = 0.9
"""A lobe or an end of the lung is named from this share on. With the borders of `regions`, that is 15 mm off a border
for the whole lesion; fissures vary by centimetres between people."""


def place_agreement(anatomy: Anatomy, place: Place, lesion: Lesion) -> float:
    """0..1: how well a lesion fits the lobe, segment or zone of a place; the side is judged apart.

    A focal lesion is where its middle is; of a spread-out one half its voxels may lie elsewhere (the upper quartile
    of their scores counts). Soft borders: 0.5 on the border itself.
    """
    neutral = without_side(place)
    points = _sample(lesion)
    scores = place_score(anatomy, neutral, points)
    return float(np.clip(np.percentile(scores, 75), 0.0, 1.0))


def covered(anatomy: Anatomy, place: Place) -> Coverage:
    """How much of the place the scan shows: "whole", "part" or "none"; of the lungs where it cannot tell."""
    regions = [site.id for site in place.sites if site.id not in ("lung", "pleura")]
    sides = [place.side] if place.side in ("left", "right") else ["right", "left"]
    for lobe in place.lobes:
        regions += [f"{side}_{lobe}_lobe" if lobe != "lingula" else "lingula" for side in sides]
    regions += ["lung_apex"] * ("apical" in place.zones) + ["lung_base"] * ("basal" in place.zones)
    answers: list[Coverage] = [anatomy.covers(region, place.side) for region in regions]
    known: list[Coverage] = [answer for answer in answers if answer != "unknown"]
    if not known:
        known = [anatomy.covers("lung", place.side)]
    if all(answer == "whole" for answer in known):
        return "whole"
    return "none" if all(answer == "none" for answer in known) else "part"


def covered_structure(anatomy: Anatomy, finding: Finding) -> Coverage:
    """How much of the place of a structure the scan shows; "unknown" for what has no place of its own."""
    place = finding.place
    if finding.concept.id == "lung" and (place.lobes or place.zones or place.segments):
        return covered(anatomy, place)
    return anatomy.covers(finding.concept.id, place.side)


def locate(anatomy: Anatomy, lesion: Lesion) -> Place:
    """Side, lobe and zone of a lesion of the lung: no more than is certain.

    Fissures are not seen but placed by surface anatomy, so a lobe is named only when the lesion lies well off the
    border (`CERTAIN`); otherwise the third of the lung, which the scan itself shows. Where neither end of the lung is
    in the scan, nothing tells how high a lesion lies and the side alone is given.
    """
    if lesion.side == "both":
        return Place(side="both")
    side: Side = "right" if lesion.side == "right" else "left"
    points = _sample(lesion)

    def share(place: Place) -> float:
        return float(place_score(anatomy, place, points).mean())

    frame = anatomy.frames.get(RIGHT if side == "right" else LEFT)
    if frame is None or not (frame.apex_seen or frame.base_seen):
        return Place(side=side)
    shares = {lobe: share(Place(lobes=(lobe,))) for own, lobe in LOBES.values() if own == side and lobe != "lingula"}
    best = max(shares, key=lambda lobe: shares[lobe])
    lobes = (best,) if shares[best] >= CERTAIN else ()
    for zone in ("apical", "basal"):
        if share(Place(zones=(zone,))) >= CERTAIN:
            return Place(side=side, lobes=lobes, zones=(zone,))
    if lobes:
        return Place(side=side, lobes=lobes)
    thirds = {zone: share(Place(zones=(zone,))) for zone in ("upper", "middle", "lower")}
    return Place(side=side, zones=(max(thirds, key=lambda zone: thirds[zone]),))


def without_side(place: Place) -> Place:
    """The place in lobes and zones alone: "right upper lobe" becomes "upper lobe", "lung apex" becomes "apical"."""
    lobes, zones = list(place.lobes), list(place.zones)
    sites = []
    for site in place.sites:
        if site.id in LOBES:
            lobes.append(LOBES[site.id][1])
        elif site.id in ENDS:
            zones.append(ENDS[site.id])
        else:
            sites.append(site)
    return dataclasses.replace(
        place,
        side=None,
        lobes=tuple(dict.fromkeys(lobes)),
        zones=tuple(dict.fromkeys(zones)),
        sites=tuple(sites),
    )


def _sample(lesion: Lesion) -> npt.NDArray[np.intp]:
    """Up to `_SAMPLES` voxel positions of a lesion, evenly taken, on the oriented grid."""
    points = np.argwhere(lesion.mask)
    step = max(1, len(points) // _SAMPLES)
    return np.asarray(points[::step] + np.array([part.start for part in lesion.box]))
