"""Nodules and masses: every blob of the lung field is outlined, measured and judged."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.belief import falling, rising
from radfind.engines.builtin.blobs import BALL_DOT, Blob, find_blobs
from radfind.engines.builtin.boxes import Box
from radfind.engines.builtin.faint import find_hazes, outline_haze
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask
from radfind.engines.builtin.lesion import Lesion, diameters, overlap
from radfind.engines.builtin.outlining import Outline, outline_blob
from radfind.engines.builtin.spread import own_lesion

MASS_MM = 30.0
"""Nodules end and masses begin here (Fleischner Society glossary, Bankier et al., Radiology 2024)."""

CALCIFIED_HU = 200.0
"""Calcified above (Siegelman et al., Radiology 1986: 164; 200 keeps contrast-filled vessels out)."""

BLOBS_PER_SCALE = 40
"""Blobs of each scale looked at closer; a bound on time. Per scale, since faint large ones matter more than the many
flecks that noise and vessels make at the finest."""

_SHARPER_MM = 8.0
"""A cut this near to the lesion's own radius makes balls of vessels, too; smaller ones cannot be told apart."""

_FORK_MM = 12.0
"""Forks and bends of vessels make solid balls up to about this size, and go on past a larger share of their surface
than the one vessel that feeds a nodule."""

_LINEAR = (2.2, 3.0)
"""Longest over perpendicular diameter in a slice at which a nodule, "rounded" by the Fleischner glossary, becomes a
band: a vessel that runs in the plane of thick slices. Lymph nodes on pleura and fissures are flat, up to twice as long
as thick."""

_THIN_MM = (2.0, 4.0)
"""Perpendicular diameter on the scan's own voxels from which a nodule counts more and more: vessels across and noise
are as thin, and the Fleischner glossary calls what is under 3 mm a micronodule."""

_FAINT_COMPACTNESS = (0.8, 0.92)
"""Compactness from which ground glass is believed where vessels were not taken away: their blurred forks measure as
ground glass but are angular (0.82 and 0.83 on synthetic scans, true ones 0.98)."""

_HOLLOW, _DRAWN_OUT = (0.7, 0.85), (1.1, 1.3)
"""Compactness below which and elongation above which a part-solid outline is taken for vessels that meet, with the haze
of their blur between them (0.64 to 0.79 and 1.37 and more on synthetic and real scans). Irregular nodules are hollow as
well but as wide as long (a real one 0.77 and 1.15; 27 of 28 synthetic ones 0.91 and more)."""

_LIKELY, _LARGE_MM, _STRONG_HU = (0.8, 0.95), 8.0, 50.0
"""How likely by `faint` the closed surface of a part-solid nodule must be (on synthetic scans true ones 0.9 and more,
vessels as compact up to 0.82), and from which diameter and answer of the dot filter on it is asked for."""

_HALO_VOLUME, _HALO, _HALO_WITH_CORE = 1.5, 0.5, 0.3
"""Ground glass so much larger than the sure solid nodule inside it is the rest of a part-solid nodule, not its blur,
if it is as sure as this by itself; less is asked where its own outline is compact and has a core."""

_NORMAL_LUNG_HU = (-790.0, -740.0)
"""Mean from which ground glass is more than normal lung, which is as dense where it lies lowest or by emphysema."""

_ON_PLEURA = 0.12
"""Share of the surface on the border of the lung from which ground glass lies on the pleura, where vessels are thin."""

_UNLIKELY, _DOUBTFUL = 0.06, 0.4
"""Ground glass less likely than this by `faint` is at most so sure. On synthetic scans forks of vessels taken for
ground glass had up to 0.03 (one small one 0.12), ground-glass nodules 0.13 and more."""

_SAME = 0.3
"""Lesions that share more than this of the smaller one are one."""

KEPT, _SURE = 0.2, 0.8
"""Candidates judged below the first are dropped; outlines judged above the second need no second opinion."""


def find_nodules(field: LungField, context: Context) -> list[Lesion]:
    """Nodules and masses, surest first, down to a score of `KEPT`."""
    lesions: list[Lesion] = []
    seen: list[tuple[float, Box, Mask]] = []
    blobs = _strongest(find_blobs(field))
    for number, blob in enumerate(blobs):
        context.step(number / max(len(blobs), 1), "nodules")
        position = field.to_voxel(blob.position)
        if any(blob.sigma <= widest and _holds(box, mask, position) for widest, box, mask in seen):
            continue
        outline, score = _best_outline(field, blob)
        if outline is None:
            continue
        placed = outline.view.onto(outline.mask, field.array.shape)
        if placed is None:
            continue
        # A solid outline may be the core of something wider: the next scale is looked at as well.
        seen.append((blob.sigma * (1.2 if outline.kind == "solid" else 1.6), *placed))
        if score >= KEPT:
            lesion = _lesion(field, outline, score, *placed)
            if lesion.score >= KEPT:
                lesions.append(lesion)
    lesions = [_around_core(lesion, lesions) or _second_opinion(field, lesion) for lesion in lesions]
    hazy = _hazy_lesions(field, lesions)
    return _without_doubles([lesion for lesion in lesions + hazy if lesion.score >= KEPT])


def _around_core(whole: Lesion, lesions: list[Lesion]) -> Lesion | None:
    """Ground glass around a solid nodule as the part-solid nodule that both are; None where there is none."""
    compact = whole.attributes[0] == "part_solid" and whole.values["compactness"] >= _HOLLOW[1]
    if whole.attributes[0] == "solid" or whole.score < (_HALO_WITH_CORE if compact else _HALO):
        return None
    for core in lesions:
        solid = core.attributes[0] == "solid" and core.score >= 0.5
        if solid and whole.volume_mm3 >= _HALO_VOLUME * core.volume_mm3 and overlap(whole, core) > _SAME:
            return dataclasses.replace(
                whole,
                concept=whole.concept.replace("ground_glass_nodule", "part_solid_nodule"),
                score=max(whole.score, core.score),
                attributes=("part_solid", *whole.attributes[1:]),
                values={**whole.values, "solid_core_mm": whole.values["solid_core_mm"] or core.longest_mm},
            )
    return None


def _second_opinion(field: LungField, lesion: Lesion) -> Lesion:
    """Ground glass outlined by a threshold is doubtful where the closed surface about its middle is that of vessels."""
    if lesion.attributes[0] != "ground_glass" or lesion.values["pleural_contact"] > _ON_PLEURA:
        return lesion
    k, j, i = (float(x) for x in field.to_work(lesion.centre))
    sigma = float(np.cbrt(lesion.volume_mm3 * 3.0 / (4.0 * np.pi)) / np.sqrt(3.0))
    _, likely = outline_haze(field, Blob((k, j, i), sigma, 0.0, 1.0, hazy=True)) or (None, 0.0)
    return lesion if likely >= _UNLIKELY else dataclasses.replace(lesion, score=min(lesion.score, _DOUBTFUL))


def _hazy_lesions(field: LungField, sure: list[Lesion]) -> list[Lesion]:
    """Ground glass that vessels cross, where no lesion is sure."""
    lesions = []
    for blob in find_hazes(field):
        position = field.to_voxel(blob.position)
        if any(lesion.score >= _SURE and _holds(lesion.box, lesion.mask, position) for lesion in sure):
            continue
        outline, score = outline_haze(field, blob) or (None, 0.0)
        placed = None if outline is None else outline.view.onto(outline.mask, field.array.shape)
        if outline is not None and placed is not None and score >= KEPT:
            lesions.append(_lesion(field, outline, score, *placed))
    return lesions


def _best_outline(field: LungField, blob: Blob) -> tuple[Outline | None, float]:
    """The outline with the usual cut, or with the sharper one where only that leaves a nodule's shape."""
    outline = outline_blob(field, blob)
    if outline is None:
        return None, 0.0
    score = judge(outline, blob)
    if score >= 0.5 or blob.roundness < 0.4:
        return outline, score
    sharper = outline_blob(field, blob, share=0.7)
    if sharper is not None:
        other = judge(sharper, blob)
        if other > score and sharper.diameter >= _SHARPER_MM and sharper.elongation <= 1.45:
            return sharper, other
    if outline.kind == "part_solid" and outline.diameter >= _LARGE_MM and blob.dot >= _STRONG_HU:
        return _closed(field, blob) or (outline, score)
    return outline, score


def _closed(field: LungField, blob: Blob) -> tuple[Outline, float] | None:
    """The closed surface about a part-solid nodule whose outline by threshold runs on along a vessel or the wall."""
    outline, likely = outline_haze(field, blob) or (None, 0.0)
    if outline is None or outline.kind != "part_solid":
        return None
    return outline, rising(likely, *_LIKELY) * _shape(outline) * _attached(outline)


def _strongest(blobs: list[Blob]) -> list[Blob]:
    """The strongest of each scale, all by falling strength."""
    counts: dict[tuple[float, bool], int] = {}
    kept = []
    for blob in blobs:
        key = (blob.sigma, blob.hazy)
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= BLOBS_PER_SCALE:
            kept.append(blob)
    return kept


def judge(outline: Outline, blob: Blob) -> float:
    """How sure it is that an outline is a nodule, 0..1: the product of what each property allows.

    Vessels are long (elongation) and go on past the outline (contact), where they branch they are star-shaped
    (inscribed), where they run side by side they are bright and dark (hazy_share, dense_share, unevenness), walls and
    scars are flat, bulges of the mediastinum and the diaphragm have a wide base (pleural, protrusion), noise is small
    and faint. Limits were set on synthetic scans of other seeds than those reported. Solid nodules under 6 mm need no
    follow-up and cannot be told from vessels with confidence (Fleischner Society, MacMahon et al., Radiology 2017), nor
    can those seen on two thick slices, hence the rise with size.
    """
    small = outline.kind == "solid" and outline.diameter < _FORK_MM
    loose = falling(outline.contact, 0.1, 0.3) if small else falling(outline.contact, 0.18, 0.5)
    star = (1.0 - rising(outline.inscribed, 0.62, 0.82)) * rising(outline.elongation, 1.15, 1.45)
    loose *= 1.0 - star * rising(outline.contact, 0.05, 0.2)
    clear = rising(outline.noise_ratio, 2.0, 4.0)
    if blob.hazy:  # vessels side by side are bright and dark, ground glass is neither
        clear *= rising(outline.hazy_share, 0.5, 0.75)
    if blob.hazy or outline.kind == "ground_glass":  # what has a large core is seen without taking vessels away
        most = (0.12, 0.3) if outline.kind == "ground_glass" else (0.2, 0.35)  # a core is dense, too
        clear *= falling(outline.dense_share, *most) * falling(outline.unevenness, 0.5, 0.8)
    if outline.kind == "ground_glass" and not blob.hazy:
        clear *= rising(outline.compactness, *_FAINT_COMPACTNESS)
    thickest = max(outline.view.spacing)
    low, high = (2.5, max(5.5, 2.5 * thickest)) if outline.kind == "solid" else (5.0, max(7.0, 3.0 * thickest))
    size = rising(outline.diameter, low, high)
    round_ = rising(blob.roundness, 0.2, 0.45)
    # Taking vessels away dims what they run through, too.
    weakest, enough = (0.08, 0.25) if blob.hazy else (0.15, 0.35)
    round_ *= rising(blob.dot / (BALL_DOT * outline.contrast), weakest, enough)
    # The blob's own scale must be that of the outline: a fleck on the wall of a large vessel is no nodule.
    scale = outline.diameter / (2.0 * np.sqrt(3.0) * blob.sigma)
    fit = falling(scale, 1.6, 2.4) * rising(scale, 0.35, 0.55)
    return float(_shape(outline) * loose * clear * size * _attached(outline) * round_ * fit)


def _shape(outline: Outline) -> float:
    """How far the outline is as compact as a nodule, 0..1."""
    shape = falling(outline.elongation, 1.5, 2.1) * rising(outline.compactness, 0.45, 0.75)
    if outline.kind == "part_solid":
        shape *= 1.0 - falling(outline.compactness, *_HOLLOW) * rising(outline.elongation, *_DRAWN_OUT)
    return shape


def _attached(outline: Outline) -> float:
    """How far what lies on the wall of the lung bulges into it as a nodule does, 0..1."""
    return falling(outline.pleural, 0.35, 0.55) * rising(outline.protrusion, 0.5, 0.9)


def _holds(box: Box, mask: Mask, position: npt.NDArray[np.float64]) -> bool:
    index = np.round(position).astype(int) - [part.start for part in box]
    return bool(np.all(index >= 0) and np.all(index < mask.shape) and mask[tuple(index)])


def _lesion(field: LungField, outline: Outline, score: float, box: Box, mask: Mask) -> Lesion:
    sides = field.field_in(box)[mask]
    side = "right" if (sides == 1).sum() >= (sides == 2).sum() else "left"
    lesion = own_lesion(field, box, mask, f"{outline.kind}_nodule", score, side)
    hu = field.array[lesion.box][lesion.mask]
    attributes = [outline.kind]
    if (hu > CALCIFIED_HU).mean() > 0.1:
        attributes.append("calcified")
    longest, across = lesion.longest_mm, lesion.perpendicular_mm
    score *= falling(longest / across, *_LINEAR) * rising(across, *_THIN_MM)
    if outline.kind == "ground_glass":
        score *= rising(lesion.mean_hu, *_NORMAL_LUNG_HU)
    core = 0.0
    if outline.kind == "part_solid":
        core = diameters(outline.core, outline.view.isotropic)[0]
    return dataclasses.replace(
        lesion,
        concept="pulmonary_mass" if longest > MASS_MM else lesion.concept,
        score=score,
        attributes=tuple(attributes),
        values={
            "solid_core_mm": core,
            "brightest_hu": float(np.percentile(hu, 95)),
            "pleural_contact": outline.pleural,
            "protrusion": outline.protrusion,
            "elongation": outline.elongation,
            "compactness": outline.compactness,
            "contact": outline.contact,
            "inscribed": outline.inscribed,
        },
    )


def _without_doubles(lesions: list[Lesion]) -> list[Lesion]:
    """Surest first; of lesions that share voxels the one that is surer for its size stays."""
    kept: list[Lesion] = []
    for lesion in sorted(lesions, key=lambda item: -item.score * np.cbrt(item.volume_mm3)):
        if not any(overlap(lesion, other) > _SAME for other in kept):
            kept.append(lesion)
    return sorted(kept, key=lambda item: -item.score)
