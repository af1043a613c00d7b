"""Location words as soft regions of the patient: lobes, segments, zones and sides of the lungs.

Each lung has coordinates of its own (`frame.LungFrame`): down from apex to base, backwards from front to back, outwards
from its medial to its lateral edge, each 0 to 1, and the depth under the pleura in millimetres. Lobes and segments are
placed in them after the surface anatomy of the lungs (Gray's Anatomy, 41st ed., ch. 54: the oblique fissure runs from
the third thoracic vertebra behind to the sixth costochondral junction in front, the horizontal fissure along the fourth
rib) and Boyden's segments (Boyden, Segmental Anatomy of the Lungs, 1955). They are priors, not segmentations: fissures
vary by centimetres between people, so every border is soft.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.frame import LungFrame
from radfind.language.findings import Place

Values = npt.NDArray[np.float32]

RIGHT, LEFT = 1, 2
# Softness of a border, as a share of the lung's length, depth or width.
SOFT = 0.06
FLOOR = 0.02

# Centres (down, backwards, outwards) of the segments, 1 to 10.
_SEGMENTS: dict[int, dict[int, tuple[float, float, float]]] = {
    RIGHT: {
        1: (0.10, 0.55, 0.45),
        2: (0.27, 0.80, 0.60),
        3: (0.35, 0.25, 0.50),
        4: (0.62, 0.35, 0.80),
        5: (0.68, 0.20, 0.40),
        6: (0.45, 0.82, 0.50),
        7: (0.80, 0.55, 0.20),
        8: (0.80, 0.45, 0.70),
        9: (0.84, 0.70, 0.80),
        10: (0.86, 0.88, 0.45),
    },
    LEFT: {
        1: (0.10, 0.55, 0.45),
        2: (0.25, 0.80, 0.60),
        3: (0.33, 0.25, 0.50),
        4: (0.56, 0.25, 0.65),
        5: (0.70, 0.22, 0.60),
        6: (0.43, 0.82, 0.50),
        7: (0.78, 0.50, 0.40),
        8: (0.80, 0.45, 0.70),
        9: (0.84, 0.70, 0.80),
        10: (0.86, 0.88, 0.45),
    },
}
_SPREAD = (0.16, 0.24, 0.32)
_SITE_WORDS: dict[str, tuple[str | None, str | None, str | None]] = {  # side, lobe, zone
    "right_upper_lobe": ("right", "upper", None),
    "right_middle_lobe": ("right", "middle", None),
    "right_lower_lobe": ("right", "lower", None),
    "left_upper_lobe": ("left", "upper", None),
    "left_lower_lobe": ("left", "lower", None),
    "lingula": ("left", "lingula", None),
    "lung_apex": (None, None, "apical"),
    "lung_base": (None, None, "basal"),
    "lung_hilum": (None, None, "perihilar"),
}
_GENERAL_SITES = ("upper_lobe", "middle_lobe", "lower_lobe", "lung_segment", "thorax")  # told by lobes and segments
_PLEURAL_SITES = ("pleural_space", "diaphragm", "costophrenic_angle")  # where any effusion is
_ZONES = frozenset(
    {
        *("apical", "basal", "perihilar", "peripheral", "subpleural", "central", "anterior", "posterior"),
        *("medial", "lateral", "upper", "middle", "lower"),
    }
)


def place_score(anatomy: Anatomy, place: Place, points_kji: npt.ArrayLike) -> Values:
    """How well points fit a place, 0 to 1.

    Arguments:
        anatomy: of the scan.
        place: as read from the text; words this module cannot place (see `unresolved`) change nothing.
        points_kji: (n, 3) voxel indices on the grid of ``anatomy.volume`` (LPS), may be fractional.

    Returns:
        (n,) float32. Points outside the lungs are judged by the coordinates of their side.
    """
    points = np.asarray(points_kji, dtype=np.float64).reshape(-1, 3)
    view = anatomy.overview
    coarse = (points + 0.5) / np.asarray(view.factors) - 0.5
    nearest = np.clip(np.rint(coarse).astype(np.intp), 0, np.asarray(view.hu.shape) - 1)
    index = tuple(nearest.T)
    lps = anatomy.volume.geometry.to_lps(points)
    return _score(anatomy, place, lps, anatomy.side_at(index), anatomy.pleural_depth[index])


def place_prior(anatomy: Anatomy, place: Place) -> Values:
    """`place_score` of every voxel: (k, j, i) float32 on the grid of ``anatomy.volume``, in steps of about 2 mm."""
    view = anatomy.overview
    grid = np.indices(view.hu.shape).reshape(3, -1)
    side = anatomy.side_at(tuple(grid))
    factors = np.asarray(view.factors)
    lps = anatomy.volume.geometry.to_lps(grid.T * factors + (factors - 1) / 2)
    score = _score(anatomy, place, lps, side, anatomy.pleural_depth.ravel())
    return np.asarray(view.up(score.reshape(view.hu.shape)), dtype=np.float32)


def unresolved(place: Place) -> tuple[str, ...]:
    """The words of a place that `place_score` cannot place in a scan: vertebral levels, organs, unknown zones."""
    words = [zone for zone in place.zones if zone not in _ZONES]
    words += [name for name in place.segments if not segment_numbers(name)]
    words += place.levels
    known = {"lung", "pleura", *_SITE_WORDS, *_GENERAL_SITES, *_PLEURAL_SITES}
    words += [site.english for site in place.sites if site.id not in known]
    return tuple(words)


def segment_numbers(name: str) -> tuple[int, ...]:
    """("S1+2") is (1, 2); names that are no lung segment give ()."""
    match = re.fullmatch(r"S(\d{1,2})(?:[+/&](?:S)?(\d{1,2}))?[ab]?", name.strip(), flags=re.IGNORECASE)
    numbers = tuple(int(n) for n in match.groups() if n) if match else ()
    return numbers if all(1 <= n <= 10 for n in numbers) else ()


def _score(anatomy: Anatomy, place: Place, lps: npt.NDArray, side: npt.NDArray, depth: npt.NDArray) -> Values:
    sides: set[str] = {place.side} if place.side in ("left", "right") else set()
    lobes, zones = list(place.lobes), list(place.zones)
    for site in place.sites:
        one, lobe, zone = _SITE_WORDS.get(site.id, (None, None, None))
        if one:
            sides.add(one)
        lobes += [lobe] if lobe else []
        zones += [zone] if zone else []
    segments = [n for name in place.segments for n in segment_numbers(name)]
    out = np.ones(len(lps), dtype=np.float32)
    if len(sides) == 1:
        wanted = LEFT if "left" in sides else RIGHT
        out *= np.where(side == wanted, 1.0, 0.0).astype(np.float32)
    for number, frame in anatomy.frames.items():
        here = (side == number) & (out > 0)
        if not here.any():
            continue
        x, y, z = lps[here].T
        where = (frame.down(z), frame.backwards(y), frame.outwards(x))
        value = np.ones(int(here.sum()))
        if lobes:
            value *= np.max([_lobe(lobe, number, *where[:2]) for lobe in lobes], axis=0)
        if segments:
            value *= np.max([_segment(n, number, where) for n in segments], axis=0)
        for zone in zones:
            if zone in _ZONES:
                value *= _zone(zone, where, depth[here], frame, lps[here])
        out[here] *= np.maximum(value, FLOOR).astype(np.float32)
    if lobes or segments or zones:
        out[~np.isin(side, list(anatomy.frames))] *= FLOOR
    return out


def _above(value: npt.NDArray, border: npt.ArrayLike, soft: float = SOFT) -> npt.NDArray:
    """Soft step: 0 well below the border, 1 well above."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip((value - border) / (soft / 2), -40, 40))))


def _lobe(lobe: str, side: int, down: npt.NDArray, back: npt.NDArray) -> npt.NDArray:
    """Lobes by the oblique and horizontal fissures."""
    lower = _above(down, 0.98 - 0.76 * back)
    half = _above(down, 0.47)
    if lobe == "lower":
        return lower
    if lobe == "lingula":
        return (1 - lower) * half if side == LEFT else np.zeros_like(down)
    if lobe == "middle":
        return (1 - lower) * half if side == RIGHT else np.zeros_like(down)
    return (1 - lower) * (1 - half) if side == RIGHT else 1 - lower


def _segment(number: int, side: int, where: tuple[npt.NDArray, ...]) -> npt.NDArray:
    """A bell around the segment's centre with a flat top."""
    centre = _SEGMENTS[side][number]
    distance = sum(((w - c) / s) ** 2 for w, c, s in zip(where, centre, _SPREAD, strict=True))
    return np.exp(-0.5 * np.maximum(np.sqrt(distance) - 0.7, 0.0) ** 2)


def _zone(
    zone: str,
    where: tuple[npt.NDArray, ...],
    depth: npt.NDArray,
    frame: LungFrame,
    lps: npt.NDArray,
) -> npt.NDArray:
    down, back, out = where
    if zone in ("peripheral", "subpleural"):  # the outer third of the lung; within about a centimetre of the pleura
        reach, soft = (20.0, 8.0) if zone == "peripheral" else (10.0, 5.0)
        return 1 - _above(depth, reach, soft)
    if zone in ("central", "perihilar"):
        gap = np.linalg.norm(lps - np.asarray(frame.hilum), axis=1)
        return 1 - _above(gap, 60.0 if zone == "perihilar" else 75.0, 20.0)
    borders = {
        "apical": 1 - _above(down, 0.25, 0.1),
        "upper": 1 - _above(down, 0.36, 0.1),
        "middle": _above(down, 0.30, 0.1) * (1 - _above(down, 0.70, 0.1)),
        "lower": _above(down, 0.64, 0.1),
        "basal": _above(down, 0.68, 0.1),
        "anterior": 1 - _above(back, 0.5, 0.2),
        "posterior": _above(back, 0.5, 0.2),
        "medial": 1 - _above(out, 0.5, 0.2),
        "lateral": _above(out, 0.5, 0.2),
    }
    return borders[zone]
