"""Nodules and masses: every blob of the lung field is outlined, measured and judged."""

from __future__ import annotations

import dataclasses

import cc3d
import edt
import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.blobs import Blob, find_blobs
from radfind.engines.builtin.boxes import Box, bounding_box, box_around
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Spacing
from radfind.engines.builtin.lesion import Lesion, diameters

MASS_MM = 30.0
"""Nodules end and masses begin here (Fleischner Society glossary, Bankier et al., Radiology 2024)."""

SOLID_HU = -350.0
"""Solid above, ground glass below: between -300 and -400 in the literature (Scholten et al., Eur Radiol 2015)."""

CALCIFIED_HU = 200.0
"""Calcified above (Siegelman et al., Radiology 1986: 164; 200 keeps contrast-filled vessels out)."""

MAX_BLOBS = 250
"""Blobs looked at closer; a bound on time, far above the number in any lung worth reading blob by blob."""

_SMALL_SOLID_HU = -600.0  # a solid nodule of 3-4 mm, blurred: nothing smaller than 6 mm is called ground glass

_CELL_MM = 1.5  # blur of usual kernels: what lies this near a solid edge may be that edge


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """One candidate's voxels and what was measured on them, before judging."""

    box: Box
    mask: npt.NDArray[np.bool_]
    kind: str
    contrast: float
    noise_ratio: float
    diameter: float
    elongation: float
    compactness: float
    contact: float
    pleural: float
    protrusion: float
    core: npt.NDArray[np.bool_]


def find_nodules(field: LungField, context: Context) -> list[Lesion]:
    """Nodules and masses, surest first. Scores below 0.5 are kept as doubtful candidates down to 0.2."""
    lesions: list[Lesion] = []
    taken: list[tuple[Box, npt.NDArray[np.bool_]]] = []
    blobs = find_blobs(field)[:MAX_BLOBS]
    for number, blob in enumerate(blobs):
        context.step(number / max(len(blobs), 1), "nodules")
        position = field.to_voxel(blob.position)
        if any(_holds(box, mask, position) for box, mask in taken):
            continue
        outline = outline_blob(field, blob)
        if outline is None:
            continue
        score = judge(outline, blob)
        if score < 0.2:
            continue
        lesion = _lesion(field, outline, score)
        taken.append((outline.box, outline.mask))
        lesions.append(lesion)
    return _without_doubles(lesions)


def outline_blob(field: LungField, blob: Blob) -> Outline | None:
    """Outline the lesion around a blob on the scan's own voxels, or None when nothing stands out there.

    The threshold is half-way between the lesion and its surroundings (the edge of a blurred step); vessels and
    pleural tags are cut by an opening whose ball is a share of the lesion's own radius, then the rim the opening
    took is given back (Kuhnigk et al., IEEE TMI 2006; Kostis et al., IEEE TMI 2003).
    """
    radius = blob.sigma * np.sqrt(3.0)
    centre = field.to_voxel(blob.position)
    box = box_around(centre, 2.6 * radius + 8.0, field.spacing, field.array.shape)
    hu = _smoothed(field.array[box].astype(np.float32), field)
    domain = field.field_in(box) > 0
    own = centre - [part.start for part in box]
    distance = _distance_from(own, hu.shape, field.spacing)
    near = domain & (distance <= max(0.5 * radius, 0.8 * max(field.spacing)))
    shell = domain & (distance > 1.3 * radius + 1.0)
    if near.sum() < 1 or shell.sum() < 20:
        return None
    quiet = hu[shell & (hu < field.background + 150.0)]
    background = float(np.median(quiet)) if quiet.size > 50 else field.background
    inner = float(np.percentile(hu[near], 60))
    noise = max(field.noise, 8.0)
    if inner - background < 2.0 * noise * 0.5 + 60.0:
        return None
    if inner > SOLID_HU or (radius < 2.5 and inner > _SMALL_SOLID_HU):
        solid = _cut(hu > (min(max(inner, SOLID_HU), 60.0) + background) / 2.0, domain, distance, radius, field.spacing)
        if solid is None:
            return None
        halo = _halo(hu, domain, solid, background, noise, field.spacing)
        if halo is not None:
            return _measure(field, box, hu, halo, solid, domain, "part_solid", background)
        return _measure(field, box, hu, solid, solid, domain, "solid", background)
    faint = _cut(hu > (inner + background) / 2.0, domain, distance, radius, field.spacing)
    if faint is None:
        return None
    level = float(np.median(hu[faint]))
    again = _cut(hu > (level + background) / 2.0, domain, distance, radius, field.spacing)
    faint = faint if again is None else again
    core = faint & (hu > SOLID_HU)
    share = core.sum() / faint.sum()
    kind = "part_solid" if share > 0.05 and _depth(core, field.spacing).max(initial=0) > 1.0 else "ground_glass"
    return _measure(field, box, hu, faint, core if kind == "part_solid" else faint, domain, kind, background)


def judge(outline: Outline, blob: Blob) -> float:
    """How sure it is that an outline is a nodule, 0..1: the product of what each property allows.

    The limits were set on literature and synthetic scans of other seeds than those reported: vessels are long
    (elongation) and go on past the outline (contact), noise is small and faint, walls and scars are flat.
    """
    shape = _falling(outline.elongation, 1.6, 2.6) * _rising(outline.compactness, 0.45, 0.75)
    loose = _falling(outline.contact, 0.18, 0.5)
    clear = _rising(outline.noise_ratio, 2.0, 4.0)
    low, high = (2.5, 5.5) if outline.kind == "solid" else (5.0, 7.0)
    size = _rising(outline.diameter, low, high)
    attached = _falling(outline.pleural, 0.35, 0.55) * _rising(outline.protrusion, 0.5, 0.9)
    round_ = _rising(blob.roundness, 0.2, 0.45)
    return float(shape * loose * clear * size * round_ * attached)


def _rising(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))


def _falling(value: float, low: float, high: float) -> float:
    return 1.0 - _rising(value, low, high)


def _smoothed(hu: npt.NDArray[np.float32], field: LungField) -> npt.NDArray[np.float32]:
    """Less noise where there is much of it, no further blur where there is little."""
    from scipy import ndimage

    if field.noise < 25.0:
        return hu
    width = 0.5 if field.noise < 50.0 else 0.8
    return np.asarray(ndimage.gaussian_filter(hu, [width / s for s in field.spacing]), np.float32)


def _distance_from(own: npt.NDArray[np.float64], shape: tuple[int, ...], spacing: Spacing) -> npt.NDArray[np.float32]:
    grids = [((np.arange(n) - c) * s) ** 2 for n, c, s in zip(shape, own, spacing, strict=True)]
    return np.sqrt(grids[0][:, None, None] + grids[1][None, :, None] + grids[2][None, None, :]).astype(np.float32)


def _depth(mask: npt.NDArray[np.bool_], spacing: Spacing) -> npt.NDArray[np.float32]:
    return np.asarray(edt.edt(mask, anisotropy=spacing, black_border=False, parallel=1))


def _cut(
    bright: npt.NDArray[np.bool_],
    domain: npt.NDArray[np.bool_],
    distance: npt.NDArray[np.float32],
    radius: float,
    spacing: Spacing,
) -> npt.NDArray[np.bool_] | None:
    """The bright piece at the blob without the vessels that enter it; None when nothing bright lies there."""
    piece = bright & domain
    depth = _depth(piece, spacing)
    reach = depth * (distance <= max(radius, 1.2 * max(spacing)))
    widest = float(reach.max())
    if widest <= 0:
        return None
    seed = int(reach.argmax())
    ball = float(np.clip(0.5 * widest, 0.0, 8.0))
    core = depth >= ball
    labels = cc3d.connected_components(core, connectivity=26)
    core = labels == labels.flat[seed]
    grown = edt.edt(~core, anisotropy=spacing, black_border=False, parallel=1) <= ball + 0.35 * min(spacing)
    mask = grown & piece
    labels = cc3d.connected_components(mask, connectivity=6)
    return np.asarray(labels == labels.flat[seed])


def _halo(
    hu: npt.NDArray[np.float32],
    domain: npt.NDArray[np.bool_],
    solid: npt.NDArray[np.bool_],
    background: float,
    noise: float,
    spacing: Spacing,
) -> npt.NDArray[np.bool_] | None:
    """The solid core with the ground glass around it, or None when there is no more than blur around it."""
    size = float(np.cbrt(solid.sum() * np.prod(spacing)))
    # A slice thicker than the blur smears an edge over one slice, so that one slice counts as one blur.
    blurred = (min(spacing[0], _CELL_MM), min(spacing[1], _CELL_MM), min(spacing[2], _CELL_MM))
    away = edt.edt(~solid, anisotropy=blurred, black_border=False, parallel=1)
    hazy = domain & (hu > background + max(110.0, 2.5 * noise)) & (hu < SOLID_HU)
    wide = hazy & (away > _CELL_MM) & (away < max(12.0, 1.5 * size))
    depth = _depth(wide | (away <= _CELL_MM), blurred)
    # Ground glass is thick; the blurred edges of vessels that leave the core are thin.
    thick = wide & (depth > 1.5)
    if thick.sum() < 0.3 * solid.sum() or thick.sum() * np.prod(spacing) < 30.0:
        return None
    level = float(np.median(hu[thick]))
    body = domain & ((hu > (level + background) / 2.0) | solid) & (away < max(12.0, 1.5 * size))
    depth = _depth(body, spacing)
    ball = float(np.clip(0.35 * depth.max(), 1.0, 6.0))
    core = (depth >= ball) | solid
    labels = cc3d.connected_components(core, connectivity=26)
    core = labels == np.bincount(labels[solid]).argmax()
    grown = edt.edt(~core, anisotropy=spacing, black_border=False, parallel=1) <= ball + 0.35 * min(spacing)
    whole = np.asarray(grown & body | solid)
    return whole if whole.sum() > 1.5 * solid.sum() else None


def _measure(
    field: LungField,
    box: Box,
    hu: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
    core: npt.NDArray[np.bool_],
    domain: npt.NDArray[np.bool_],
    kind: str,
    background: float,
) -> Outline | None:
    spacing = np.asarray(field.spacing)
    count = int(mask.sum())
    if count < 4:
        return None
    volume = count * float(spacing.prod())
    points = np.argwhere(mask) * spacing
    # A voxel's own extent is added, or a row of single voxels would be infinitely thin.
    spread = np.cov(points.T) + np.diag(spacing**2) / 12.0
    variances = np.maximum(np.linalg.eigvalsh(spread), 1e-6)
    axes = np.sqrt(5.0 * variances)  # semi-axes of the ellipsoid with the same second moments
    ellipsoid = 4.0 / 3.0 * np.pi * float(np.prod(axes))
    level = float(np.median(hu[mask]))
    grown = edt.edt(~mask, anisotropy=field.spacing, black_border=False, parallel=1)
    rim = (grown > 0) & (grown <= 1.01 * spacing.max())
    bright = hu > background + 0.5 * max(level - background, 1.0)
    rim_in = rim & domain
    base = int((mask & _touches(~domain)).sum()) * float(np.prod(spacing) ** (2.0 / 3.0))
    height = float((_depth(domain, field.spacing) * mask).max())
    # Where the scan ends inside the lesion nobody knows how it goes on: that face counts as contact.
    cut = sum(
        int(mask[end].sum())
        for end, stops in ((0, box[0].start == 0), (-1, box[0].stop == field.array.shape[0]))
        if stops
    )
    return Outline(
        box=box,
        mask=mask,
        kind=kind,
        contrast=level - background,
        noise_ratio=(level - background) / max(field.noise, 8.0),
        diameter=float(2.0 * np.cbrt(volume * 3.0 / (4.0 * np.pi))),
        elongation=float(axes[2] / np.sqrt(axes[0] * axes[1])),
        compactness=min(1.0, volume / ellipsoid),
        contact=float((int((rim_in & bright).sum()) + 2 * cut) / max(int(rim.sum()) + cut, 1)),
        pleural=float((rim & ~domain).sum() / max(rim.sum(), 1)),
        core=core,
        protrusion=height / np.sqrt(base / np.pi) if base > 0 else 9.0,
    )


def _touches(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Voxels that share a face with `mask`."""
    out = np.zeros_like(mask)
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= mask[:, :-1]
    out[:, :-1] |= mask[:, 1:]
    out[:, :, 1:] |= mask[:, :, :-1]
    out[:, :, :-1] |= mask[:, :, 1:]
    return out & ~mask


def _holds(box: Box, mask: npt.NDArray[np.bool_], position: npt.NDArray[np.float64]) -> bool:
    index = np.round(position).astype(int) - [part.start for part in box]
    return bool(np.all(index >= 0) and np.all(index < mask.shape) and mask[tuple(index)])


def _lesion(field: LungField, outline: Outline, score: float) -> Lesion:
    tight = bounding_box(outline.mask)
    mask = np.ascontiguousarray(outline.mask[tight])
    start = [part.start + own.start for part, own in zip(outline.box, tight, strict=True)]
    box = tuple(slice(s, s + n) for s, n in zip(start, mask.shape, strict=True))
    hu = field.array[box[0], box[1], box[2]][mask]
    longest, across = diameters(mask, field.spacing)
    depth = edt.edt(np.pad(mask, 1), anisotropy=field.spacing, parallel=1)[1:-1, 1:-1, 1:-1]
    centre = np.array(np.unravel_index(int(depth.argmax()), mask.shape)) + start
    sides = field.field_in((box[0], box[1], box[2]))[mask]
    attributes = [outline.kind]
    if (hu > CALCIFIED_HU).mean() > 0.1:
        attributes.append("calcified")
    core_long = diameters(outline.core, field.spacing)[0] if outline.kind == "part_solid" else 0.0
    concept = "pulmonary_mass" if longest > MASS_MM else f"{outline.kind}_nodule"
    return Lesion(
        concept=concept,
        box=(box[0], box[1], box[2]),
        mask=mask,
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        side="right" if (sides == 1).sum() >= (sides == 2).sum() else "left",
        score=score,
        longest_mm=longest,
        perpendicular_mm=across,
        volume_mm3=float(mask.sum() * np.prod(field.spacing)),
        mean_hu=float(hu.mean()),
        attributes=tuple(attributes),
        values={
            "solid_core_mm": core_long,
            "pleural_contact": outline.pleural,
            "elongation": outline.elongation,
            "compactness": outline.compactness,
            "contact": outline.contact,
            "protrusion": outline.protrusion,
        },
    )


def _without_doubles(lesions: list[Lesion]) -> list[Lesion]:
    """Surest first; a lesion whose centre lies in a surer one, or the other way round, is the same lesion."""
    kept: list[Lesion] = []
    for lesion in sorted(lesions, key=lambda item: -item.score * np.cbrt(item.volume_mm3)):
        if not any(_same(lesion, other) for other in kept):
            kept.append(lesion)
    return sorted(kept, key=lambda item: -item.score)


def _same(a: Lesion, b: Lesion) -> bool:
    overlap = [slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a.box, b.box, strict=True)]
    if any(part.start >= part.stop for part in overlap):
        return False
    in_a = a.mask[tuple(slice(o.start - p.start, o.stop - p.start) for o, p in zip(overlap, a.box, strict=True))]
    in_b = b.mask[tuple(slice(o.start - p.start, o.stop - p.start) for o, p in zip(overlap, b.box, strict=True))]
    shared = np.count_nonzero(in_a & in_b)
    return shared > 0.3 * min(np.count_nonzero(a.mask), np.count_nonzero(b.mask))
