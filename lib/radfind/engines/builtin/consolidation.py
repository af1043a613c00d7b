"""Consolidation: lung as dense as soft tissue, also where it merges with the diaphragm, the mediastinum or the wall.

Density does not tell dense lung from what it touches, so three things do: the space that the lung would fill, made
from the aerated lung around it; the fat between it and its neighbours; and what it rests on. A part of the liver or
heart within that space is bounded by more of the same tissue, a consolidation by aerated lung.
"""

from __future__ import annotations

import dataclasses

import fill_voids
import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.belief import rising
from radfind.engines.builtin.boxes import bounding_box
from radfind.engines.builtin.field import CLOSING_MM, LungField, close_within
from radfind.engines.builtin.grid import Mask, Overview, close, depth, dilate, erode, open_, spread, thickness
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.pleura import central_zone
from radfind.engines.builtin.spread import above_lung, blurred, pieces, spread_lesion

DENSE_HU = (-250.0, 200.0)
"""Consolidation obscures vessels: soft-tissue density with some air (Fleischner glossary, Radiology 2024)."""

TISSUE_HU = -30.0
"""Half way between fat (-100) and soft tissue (40): thinner layers of fat part consolidation from its neighbours."""

SPACE_MM = 40.0
"""Dense lung up to about twice this wide counts as lung: a ball of this radius does not fit between the lung beside it
and the chest wall, but fits into the heart's and the liver's hollows of the lung (radii of 50 mm and more)."""

_COARSE_MM = 4.0
_MEDIASTINUM_MM = 35.0
_PARAVERTEBRAL_MM = 25.0
"""Half the width of what a consolidation is not looked for in: at the depth of the whole space, and within lung that
is closed by a smaller ball."""

_VESSEL_MM = 6.0
"""Radius of the widest vessels and bronchi inside the lungs (lobar arteries: 12 mm)."""

_HILAR_VESSEL_MM = 10.0
_HILUM_MM = 60.0
"""Radius of the interlobar arteries and the veins beside them, and how far from the midline they run."""

_FREE = (0.05, 0.3)
_THIN_MM = (10.0, 13.0)
_CENTRAL_COST = 0.1
"""How much more of a lump's rim is aerated lung than other tissue (less what lies in the mediastinum costs), and how
thick it is, from not at all to doubtless: vessels go on at both ends, organs on one side."""

_DOUBTFUL = 0.45

_SMALLEST_ML = 2.0
_NECK_MM = 2.5
"""How much thinner the neck between two lumps is than they are (radius), to count them apart."""

_GROWTH_MM = 20.0
_FINEST_MM = 2.5
"""How far the parts of a consolidation reach beyond its core, and the radius of the finest of them."""

_LUMP_GROWTH_MM = 8.0
"""The same where the core is a whole lump."""

_BRONCHUS_MM = 4.0
"""Radius of the air bronchograms and of the gaps that belong to a consolidation."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Scan:
    """What a consolidation is looked for in, on the working grid of `field`.

    Arguments:
        field: the lung field.
        space: where lung is or would be.
        closed: the aerated lung with notches as wide as large nodules; a part of `space`.
        smooth: HU averaged over 1.5 mm of `space`.
        tissue: soft tissue by `smooth`, neither fat nor bone.
        lumps: the number of the lump that each voxel of soft tissue in the space belongs to; 0 elsewhere.
        beside: all tissue denser than fat, within the space and without.
    """

    field: LungField
    space: Mask
    closed: Mask
    smooth: npt.NDArray[np.float32]
    tissue: Mask
    lumps: npt.NDArray[np.int32]
    beside: Mask


def find_consolidations(field: LungField, context: Context) -> list[Lesion]:
    """Consolidations of some 3 ml and more, surest first."""
    context.step(0.0, "consolidation")
    scan = _scan(field.coarse)
    free = _free_lumps(scan)
    context.step(0.3, "consolidation")
    found, rest = _judge(scan, _cores(scan))
    large = np.bincount(scan.lumps.ravel()) * scan.field.step**3 >= 1000.0 * _SMALLEST_ML
    large[[0, *free]] = False
    candidates = [(core, score, rest | large[scan.lumps], _LUMP_GROWTH_MM) for core, score in _joined(scan, free)]
    candidates += [(core, score, rest, _GROWTH_MM) for core, score in found]
    lesions = []
    taken = np.zeros(scan.space.shape, bool)
    for core, score, others, reach_mm in candidates:
        if taken[core].mean() > 0.3:
            continue  # a lump of one that was outlined already
        outline = _outline(scan, core, others, reach_mm) & ~taken
        taken |= outline
        score *= float(np.clip((float(outline.sum()) * scan.field.step**3 / 1000.0 - 3.0) / 8.0, 0.0, 1.0))
        if score >= 0.2:
            lesion = spread_lesion(scan.field, outline, "consolidation", score, (-1100.0, 300.0))
            lesions += [] if lesion is None else [lesion]
    return sorted(lesions, key=lambda item: -item.score)


def _scan(field: LungField) -> _Scan:
    space, closed = lung_space(field)
    smooth = blurred(field, 1.5, space)
    sharp = blurred(field, 1.0, ~field.aerated)
    beside = ~field.aerated & (sharp > TISSUE_HU)
    lumps = _lumps(open_(beside & space & (sharp < DENSE_HU[1]), _FINEST_MM, (field.step,) * 3), field.step)
    return _Scan(field, space, closed, smooth, (smooth > TISSUE_HU) & (smooth < DENSE_HU[1]), lumps, beside)


def _free_lumps(scan: _Scan) -> dict[int, float]:
    """Number: score of the lumps that aerated lung surely surrounds more than other tissue does."""
    from scipy import ndimage

    step, spacing = scan.field.step, (scan.field.step,) * 3
    sizes = np.bincount(scan.lumps.ravel()) * step**3
    central = central_zone(scan.field, _MEDIASTINUM_MM)
    found = {}
    for label, box in enumerate(ndimage.find_objects(scan.lumps), 1):
        if box is None or sizes[label] < 1000.0 * _SMALLEST_ML:
            continue
        box = tuple(slice(max(part.start - 5, 0), part.stop + 5) for part in box)
        lump = scan.lumps[box] == label
        outside = depth(~lump, spacing)
        around = (outside > 2.01 * step) & (outside <= 4.01 * step)
        skin = (outside > 0) & (outside <= 1.01 * step)
        freedom = float(scan.field.aerated[box][around].mean()) - float((scan.beside[box] & ~lump)[skin].mean())
        freedom -= _CENTRAL_COST * float(central[box][lump].mean())
        score = rising(freedom, *_FREE) * rising(thickness(lump, spacing), *_THIN_MM)
        if score > _DOUBTFUL:
            found[label] = score
    return found


def _joined(scan: _Scan, free: dict[int, float]) -> list[tuple[Mask, float]]:
    """(core, score) of consolidations, surest first: lumps that nothing wider than a bronchus parts are one."""
    scores = np.zeros(int(scan.lumps.max()) + 1, np.float32)
    scores[list(free)] = list(free.values())
    lumps = scores[scan.lumps]
    near = pieces(dilate(lumps > 0, _BRONCHUS_MM / 2.0, (scan.field.step,) * 3), scan.field.step, 0.0)
    cores = [((lumps > 0) & piece, float(lumps[piece].max())) for piece in near]
    return sorted(cores, key=lambda item: -item[1])


def lung_space(field: LungField) -> tuple[Mask, Mask]:
    """(where lung is or would be, aerated lung with narrow notches closed) on the working grid.

    The space is each aerated lung closed together with the chest wall of its side by a ball of `SPACE_MM`, inside the
    ribs and the convex hull of both lungs.
    """
    view = Overview.of(field.aerated.astype(np.uint8), (field.step,) * 3, _COARSE_MM)
    cage = view.down(field.cage > 0) & _hull(view.hu > 0.5, view.spacing)
    lateral = ~view.down(central_zone(field, _MEDIASTINUM_MM)) & cage.any(axis=(1, 2))[:, None, None]
    halves = [view.down(field.cage == side) for side in (1, 2)]
    edge = np.where(halves[0].any(axis=1), np.arange(cage.shape[2])[None, :], 0).max(axis=1)
    right = np.arange(cage.shape[2])[None, None, :] <= edge[:, None, None]
    space, closed = field.aerated.copy(), field.aerated.copy()
    for side in (1, 2):
        lung = view.down(field.aerated & (field.half == side))
        if not lung.any():
            continue
        wall = ~cage & lateral & (right if side == 1 else ~right)
        whole = close_within(lung | wall, SPACE_MM, view.spacing, (True, True)) & cage & ~wall
        near = view.up_whole(close_within(lung, CLOSING_MM, view.spacing, (True, True)))
        other = field.aerated & (field.half != side)
        closed |= near & ~other
        space |= (near | (view.up_whole(whole) & (field.cage > 0))) & ~other
    return space, closed


def _hull(lung: Mask, spacing: tuple[float, float, float]) -> Mask:
    """The convex hull of a mask, by its extent in 400 directions (a Fibonacci lattice on the sphere)."""
    surface = np.argwhere(lung & ~erode(lung, 1.01 * max(spacing), spacing)).astype(np.float32)
    n = np.arange(400) + 0.5
    height, turn = 1.0 - 2.0 * n / 400, np.pi * (1.0 + 5.0**0.5) * n
    ring = np.sqrt(1.0 - height**2)
    directions = np.stack([height, ring * np.cos(turn), ring * np.sin(turn)], axis=1).astype(np.float32)
    k, j, i = (np.arange(count, dtype=np.float32) for count in lung.shape)
    out = np.ones(lung.shape, bool)
    for (a, b, c), limit in zip(directions, (surface @ directions.T).max(axis=0, initial=-np.inf), strict=True):
        out &= (a * k)[:, None, None] + (b * j)[None, :, None] + c * i <= limit + 1.0
    return out


def _cores(scan: _Scan) -> list[Mask]:
    """Lumps of dense tissue in the lung's space, thicker than its vessels."""
    step, spacing = scan.field.step, (scan.field.step,) * 3
    deep = open_(scan.space & scan.tissue & ~central_zone(scan.field, _MEDIASTINUM_MM), _VESSEL_MM, spacing)
    lumps = []
    for piece in pieces(deep, step, _SMALLEST_ML):
        labels = _lumps(piece, step)
        sizes = np.bincount(labels.ravel()) * step**3
        lumps += [labels == label for label in range(1, len(sizes)) if sizes[label] >= 1000.0 * _SMALLEST_ML]
    dense = scan.closed & (scan.smooth > DENSE_HU[0]) & (scan.smooth < DENSE_HU[1])
    dense &= ~central_zone(scan.field, _PARAVERTEBRAL_MM)
    for lump in lumps:
        dense &= ~dilate(lump, _VESSEL_MM, spacing)
    return lumps + pieces(open_(dense, _VESSEL_MM, spacing), step, _SMALLEST_ML)


def _lumps(mask: Mask, step: float) -> npt.NDArray[np.int32]:
    """A mask cut at its necks: the numbered basins of the watershed of its depth."""
    import SimpleITK

    out = np.zeros(mask.shape, np.int32)
    if mask.any():
        box = bounding_box(mask, (1, 1, 1))
        hollow = SimpleITK.GetImageFromArray(-depth(mask[box], (step,) * 3))
        labels = SimpleITK.GetArrayFromImage(
            SimpleITK.MorphologicalWatershed(hollow, level=_NECK_MM, markWatershedLine=False, fullyConnected=False)
        )
        out[box] = np.where(mask[box], labels, 0)
    return out


def _judge(scan: _Scan, cores: list[Mask]) -> tuple[list[tuple[Mask, float]], Mask]:
    """(cores that are consolidation with their scores, surest first; the other tissue around them).

    What is not consolidation supports its neighbours in turn, until nothing changes.
    """
    rest = scan.tissue & ~scan.space
    left = list(cores)
    while True:
        scores = [_score(scan, core, rest) for core in left]
        poor = [core for core, score in zip(left, scores, strict=True) if score < 0.2]
        left = [core for core, score in zip(left, scores, strict=True) if score >= 0.2]
        if not poor:
            order = np.argsort([-score for score in scores], kind="stable")
            return [(left[n], scores[n]) for n in order], rest
        rest = np.logical_or.reduce([rest, *poor])


def _score(scan: _Scan, core: Mask, rest: Mask) -> float:
    """0 for a part of an organ, 1 for dense lung with aerated lung around a fifth of it or more.

    Where it rests on other tissue and on the diaphragm, it must differ from that tissue: a cap of the liver measures as
    the liver does. What merges with the mediastinum is doubtful, be it lung, a mass or an aneurysm.
    """
    step, spacing = scan.field.step, (scan.field.step,) * 3
    around = dilate(core, 4.01 * step, spacing) & ~dilate(core, 2.01 * step, spacing)
    skin = dilate(core, 1.01 * step, spacing) & ~core
    aired = float(scan.field.aerated[around].mean()) if around.any() else 0.0
    merged = float(rest[skin].mean()) if skin.any() else 1.0
    if merged < 0.05:
        score = np.clip((aired - 0.1) / 0.1, 0.0, 1.0)
    elif above_lung(scan.field, core) > 0.5:  # no organ of the abdomen, but perhaps one of the mediastinum
        score = _DOUBTFUL * np.clip((aired - 0.1) / 0.1, 0.0, 1.0)
    else:
        beside = dilate(core, 8.0, spacing) & rest
        contrast = abs(float(np.median(scan.smooth[core])) - float(np.median(scan.smooth[beside])))
        score = np.clip((aired - merged - 0.05) / 0.1, 0.0, 1.0) * np.clip((contrast - 6.0) / 6.0, 0.0, 1.0)
    score *= np.clip((0.35 - merged) / 0.1, 0.0, 1.0)
    if _hilar_vessel(scan, core):
        score = min(score, _DOUBTFUL)
    return float(score) * _bulk(core, step)


def _hilar_vessel(scan: _Scan, core: Mask) -> bool:
    """No thicker than the vessels at the hilum, and beside it."""
    step = scan.field.step
    thin = thickness(core, (step,) * 3) < 2.0 * _HILAR_VESSEL_MM
    return thin and float(central_zone(scan.field, _HILUM_MM)[core].mean()) > 0.5


def _bulk(piece: Mask, step: float) -> float:
    """0 for a thin sheet, 1 for a piece a fifth as thick as long or more: dependent atelectasis is a sheet."""
    sides = [part.stop - part.start for part in bounding_box(piece)]
    return float(np.clip((thickness(piece, (step,) * 3) / (max(sides) * step) - 0.1) / 0.1, 0.0, 1.0))


def _outline(scan: _Scan, core: Mask, rest: Mask, reach_mm: float) -> Mask:
    """The consolidation around a core: its finer parts, its rim to half way to the lung's density, its bronchograms."""
    field, step, spacing = scan.field, scan.field.step, (scan.field.step,) * 3
    beside_lung = scan.closed & (scan.smooth > DENSE_HU[0]) & dilate(field.aerated, _VESSEL_MM, spacing)
    body = open_(scan.space & (scan.tissue | beside_lung) & (scan.smooth < DENSE_HU[1]), _FINEST_MM, spacing)
    grown = spread((body & _nearer(core, rest, reach_mm, spacing)) | core, core)
    half = (field.background + float(np.median(scan.smooth[core]))) / 2.0
    rim = scan.space & (blurred(field, 0.8, scan.space) > half) & ~rest
    rim &= dilate(grown, 2.01 * step, spacing) & dilate(field.aerated, 2.01 * step, spacing)
    return np.asarray(fill_voids.fill(close(grown | spread(rim | grown, grown), _BRONCHUS_MM, spacing) & scan.space))


def _nearer(core: Mask, rest: Mask, reach_mm: float, spacing: tuple[float, float, float]) -> Mask:
    """Voxels within `reach_mm` of a core that are no nearer to other tissue."""
    outside = depth(~core, spacing)
    return (outside <= reach_mm) & (outside <= depth(~rest, spacing))
