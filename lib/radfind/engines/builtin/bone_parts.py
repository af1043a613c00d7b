"""The skeleton divided into named bones: spine, sacrum, hip bones, femurs and ribs.

Every bone is anchored in what lies beside it (canal, sacroiliac joint, hip joint) and sized by published anatomy; a
bone whose anchor is not in the scan is not named. Nothing is learned from scans.
"""

from __future__ import annotations

import dataclasses
import math

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

from radfind.engines.builtin.femoral_head import HEAD_OFFSET_MM, find_head
from radfind.engines.builtin.grid import Mask, Spacing, box_of, close, depth, dilate
from radfind.engines.builtin.spine import Canal, find_canal

NAMES = ("vertebra", "sacrum", "pelvic_bone", "femur", "rib")
VERTEBRA, SACRUM, HIP, FEMUR, RIB = range(1, 6)

# A vertebra around the middle of its canal: body 25-35 mm deep plus half a canal in front, spinous process 30-45 mm
# behind, transverse processes spanning 80-100 mm in the lumbar spine (Panjabi et al., Spine 1992;17:299; Gray's
# Anatomy, 41st ed., ch. 43).
FRONT_MM = 52.0
BACK_MM = 62.0
HALF_WIDTH_MM = 48.0
# Ribs meet the transverse process about 35 mm beside the canal.
COSTAL_MM = 34.0
CORE_MM = 20.0
# A hip bone: in axial section its wing is a plate over 60 mm long and its socket with the head as wide, a rib's section
# stays below 50 mm; the bone holds 250-400 ml, and 40 ml must be in view.
PLATE_MM = 55.0
PLATE_LEVELS_MM = 15.0
HIP_ML = 40.0
# No head is as wide as a pelvis: head breadth 140-165 mm (ISO 7250-1), hip breadth above 280 mm.
PELVIS_WIDTH_MM = 210.0
JOINT_MM = 8.0
SACRAL_GAP_MM = 9.0
# The joint is about 60 mm long and ends near the upper plate of S1 (Vleeming et al., J Anat 2012;221:537).
JOINT_LEVELS_MM = 10.0
DISC_BELOW_MM, DISC_ABOVE_MM = 8.0, 22.0
# Discs measure 60-120 HU, endplates above 200.
DISC_DIP_HU = 40.0
ENDPLATE_MM = 12.0
# A rib is 6-14 mm thick (Mohr et al., J Biomech 2007;40:3033), within this of the pleura; muscle keeps the shoulder
# blade farther away. The costodiaphragmatic recess hides lung from ribs at the lungs' lower end.
RIB_DEPTH_MM = 9.0
PLEURA_MM = 16.0
RECESS_MM = 40.0
CREST_MM2 = 400.0
# More of a slice than this is not bone: the scan is no CT in Hounsfield units, or shows a skull.
MOST_BONE = 0.3
# Within this of the head everything is marked: hip bone above, femur to below the trochanters.
FEMUR_REACH_MM = 150.0
MARROW_GAP_MM = 6.0


@dataclasses.dataclass(frozen=True, eq=False)
class BoneParts:
    """Named bones on the overview grid.

    Arguments:
        labels: 0, or 1 + index into `NAMES`.
        canal: the spinal canal.
        heads: (k, j, i) centre in voxels and radius in mm of each femoral head found.
    """

    labels: npt.NDArray[np.uint8]
    canal: Canal
    heads: tuple[tuple[npt.NDArray[np.float64], float], ...]

    def mask(self, name: str) -> Mask:
        """Voxels of a bone of `NAMES`; the sacrum does not count as vertebra."""
        return self.labels == NAMES.index(name) + 1


def find_parts(hu: npt.NDArray[np.float32], spacing: Spacing, bone: Mask, body: Mask, chest: Mask) -> BoneParts:
    """Divide the skeleton.

    Arguments:
        hu, bone, body: overview grid, k to head, j to back, i to left.
        chest: lungs and airways.
        spacing: of the grid (k, j, i), mm.
    """
    canal = find_canal(hu, spacing, bone, body)
    share = bone.sum(axis=(1, 2)) / np.maximum(body.sum(axis=(1, 2)), 1)
    canal = dataclasses.replace(canal, seen=canal.seen & (share < MOST_BONE))
    labels = np.zeros(bone.shape, dtype=np.uint8)
    aside = (np.arange(bone.shape[2])[None, :] - canal.columns[:, None]) * spacing[2]  # mm, by slice and column
    behind = (np.arange(bone.shape[1])[None, :] - canal.rows[:, None]) * spacing[1]
    hips = _hips(bone, body, chest, spacing, aside)
    solid = _filled(bone, hu, hips, spacing, aside, behind)
    heads: list[tuple[npt.NDArray[np.float64], float]] = []
    markers = np.zeros(bone.shape, dtype=np.int16)
    core = (np.abs(aside) < CORE_MM)[:, None, :] & ((behind > -FRONT_MM) & (behind < BACK_MM / 2))[:, :, None]
    seen = canal.seen[:, None, None]
    markers[core & solid & seen] = VERTEBRA
    joint = _joint(behind)[:, :, None]
    sacral = (np.abs(aside)[:, None, :] < joint - JOINT_MM) & ((behind > -FRONT_MM) & (behind < 20.0))[:, :, None]
    sacral &= hips.any(axis=(1, 2))[:, None, None]
    markers[sacral & solid & seen] = VERTEBRA
    for side in (-1, 1):
        hip = hips & (aside * side > 0)[:, None, :]
        if not hip.any():
            continue
        lateral = np.broadcast_to((aside * side)[:, None, :], bone.shape)
        markers[hip & (lateral > joint + JOINT_MM)] = HIP
        head = find_head(solid, hu, hip, lateral, spacing)
        if head is not None:
            heads.append(head)
            _mark_femur(markers, solid, head, spacing, side)
    labels = _grow(markers, solid, spacing)
    for value in (FEMUR, HIP):
        _fill_marrow(labels, value, hu, heads, spacing)
    _part_ribs(labels, bone, chest, hips, spacing, aside, behind)
    _part_sacrum(labels, hu, canal, hips, spacing)
    return BoneParts(labels, canal, tuple(heads))


def _hips(bone: Mask, body: Mask, chest: Mask, spacing: Spacing, aside: npt.NDArray[np.float64]) -> Mask:
    """Bones beside the spine that hold the plate of an ilium, with what touches them (femurs)."""
    out = np.zeros_like(bone)
    lateral = bone & (np.abs(aside) > HALF_WIDTH_MM)[:, None, :]
    labels, count = cc3d.connected_components(lateral, connectivity=26, return_N=True)
    if not count:
        return out
    stats = cc3d.statistics(labels)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    wide = body.any(axis=1).sum(axis=1) * spacing[2] > PELVIS_WIDTH_MM
    trunk = chest.sum(axis=(1, 2)) * spacing[1] * spacing[2] > 300.0
    for label in range(1, count + 1):
        if stats["voxel_counts"][label] * voxel_ml < HIP_ML:
            continue
        box = stats["bounding_boxes"][label]
        levels = np.arange(box[0].start, box[0].stop)
        if trunk[levels].mean() > 0.3 or wide[levels].mean() < 0.5:
            continue  # a shoulder or a head
        piece = labels[box] == label
        long = np.array([_longest(section, spacing) for section in piece])
        if (long > PLATE_MM).sum() * spacing[0] >= PLATE_LEVELS_MM:
            out[box] |= piece
    return out


def _joint(behind: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far beside the canal the sacroiliac joint lies, mm."""
    return np.interp(behind, [-30.0, 25.0], [56.0, 34.0])


def _longest(section: Mask, spacing: Spacing) -> float:
    """Diagonal in mm of the box of the largest section in a slice."""
    labels, _ = ndimage.label(section, np.ones((3, 3), dtype=bool))
    sizes = [
        math.hypot((rows.stop - rows.start) * spacing[1], (columns.stop - columns.start) * spacing[2])
        for rows, columns in ndimage.find_objects(labels)
    ]
    return max(sizes, default=0.0)


def _filled(
    bone: Mask,
    hu: npt.NDArray[np.float32],
    hips: Mask,
    spacing: Spacing,
    aside: npt.NDArray[np.float64],
    behind: npt.NDArray[np.float64],
) -> Mask:
    """The skeleton with the spongy bone of the sacrum, whose thin shell leaves gaps."""
    levels = np.flatnonzero(hips.any(axis=(1, 2)))
    if not levels.size:
        return bone
    part = slice(int(levels[0]), int(levels[-1]) + 1)
    out = bone.copy()
    near = (np.abs(aside[part]) < HALF_WIDTH_MM + 12.0)[:, None, :] & (
        (behind[part] > -FRONT_MM) & (behind[part] < 25.0)
    )[:, :, None]
    out[part] |= close(bone[part], SACRAL_GAP_MM, spacing) & near & (hu[part] > -120.0)
    return out


def _mark_femur(
    markers: npt.NDArray[np.int16],
    solid: Mask,
    head: tuple[npt.NDArray[np.float64], float],
    spacing: Spacing,
    side: int,
) -> None:
    """Sure femur and sure hip bone around a femoral head."""
    reach = [math.ceil(FEMUR_REACH_MM / s) for s in spacing]
    part = tuple(slice(max(0, int(c) - n), int(c) + n + 1) for c, n in zip(head[0], reach, strict=True))
    markers, solid = markers[part], solid[part]
    centre, radius = head[0] - np.array([edge.start for edge in part]), head[1]
    up, back, out = (
        ((np.arange(n) - c) * s).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, (n, c, s) in enumerate(zip(solid.shape, centre, spacing, strict=True))
    )
    out = out * side
    distance = np.sqrt(up**2 + back**2 + out**2)
    # The neck leaves the head at 125-135 degrees to the shaft, outwards and down (Gray's Anatomy, ch. 81).
    along = (0.8 * out - 0.6 * up) / np.maximum(distance, 1.0)
    neck = (along > 0.8) & (distance < 2.2 * radius)
    neck |= (out > 0.0) & (up < -0.6 * radius) & (back < 0.6 * radius)
    shaft = (up < -radius - 5.0) & (out > -8.0)
    trochanter = (up < 0.5 * radius) & (out > radius + 8.0)
    femur = (distance < 0.9 * radius) | neck | shaft | trochanter
    roof = (up > -0.3 * radius) & (distance > radius + 3.0)
    ischium = (up < -0.3 * radius) & (out < -10.0) & (back > 0.3 * radius) & (distance > radius + 2.0)
    ramus = (out < -radius - 4.0) | ((up < -radius - 5.0) & (out < -22.0))
    hip = (roof | ischium | ramus) & ~femur
    half = out > -HEAD_OFFSET_MM[0]
    markers[solid & half & hip & (markers == 0) & (distance < FEMUR_REACH_MM)] = HIP
    markers[solid & half & ~hip & (markers == HIP)] = 0
    markers[solid & half & femur] = FEMUR


def _grow(markers: npt.NDArray[np.int16], solid: Mask, spacing: Spacing) -> npt.NDArray[np.uint8]:
    """Markers grown through the skeleton to basins of its thickness (watershed; Beucher & Meyer 1993)."""
    out = np.zeros(solid.shape, dtype=np.uint8)
    box = box_of(markers, 1)
    if box is None:
        return out
    box = box_of(solid, 1) or box
    part = solid[box]
    grown = watershed(-depth(part, spacing), markers[box], connectivity=3, mask=part)
    out[box] = grown
    return out


def _fill_marrow(
    labels: npt.NDArray[np.uint8],
    value: int,
    hu: npt.NDArray[np.float32],
    heads: list[tuple[npt.NDArray[np.float64], float]],
    spacing: Spacing,
) -> None:
    """Give a bone its fatty marrow, through gaps in a thin or metal-streaked cortex."""
    box = box_of(labels == value, tuple(math.ceil(MARROW_GAP_MM / s) + 1 for s in spacing))
    if box is None:
        return
    part = labels[box]
    solid = part == value
    flat = (1e6, spacing[1], spacing[2])
    closed = close(solid, MARROW_GAP_MM, flat) if value == FEMUR else solid
    for k in range(solid.shape[0]):
        closed[k] = ndimage.binary_fill_holes(closed[k])
    part[closed & (part == 0) & (hu[box] > -200.0)] = value
    if value == FEMUR:
        grid = np.indices(solid.shape).reshape(3, -1).T + [edge.start for edge in box]
        for centre, radius in heads:
            near = np.linalg.norm((grid - centre) * np.asarray(spacing), axis=1).reshape(solid.shape) <= radius - 1.0
            part[near] = FEMUR


def _part_ribs(
    labels: npt.NDArray[np.uint8],
    bone: Mask,
    chest: Mask,
    hips: Mask,
    spacing: Spacing,
    aside: npt.NDArray[np.float64],
    behind: npt.NDArray[np.float64],
) -> None:
    """Name the thin bones beside the spine that hug the lungs, or lie below them and above the hip bones, ribs."""
    seen = np.abs(aside) < HALF_WIDTH_MM + 12.0
    far = (np.abs(aside) > COSTAL_MM)[:, None, :]
    pieces = bone & far & ((labels == 0) | (labels == VERTEBRA))
    named, count = cc3d.connected_components(pieces, connectivity=26, return_N=True)
    if not count:
        return
    reaching = np.zeros(count + 1, dtype=bool)
    reaching[np.unique(named[pieces & ~seen[:, None, :]])] = True
    reaching[0] = False
    levels = np.flatnonzero(chest.any(axis=(1, 2)))
    place = np.zeros_like(pieces)
    if not hips.any():  # the crest of an ilium that the scan's lower end cuts
        parts, number = ndimage.label(named[0] > 0, np.ones((3, 3), dtype=bool))
        for part in range(1, number + 1):
            if (parts == part).sum() * spacing[1] * spacing[2] > CREST_MM2:
                reaching[np.unique(named[0][parts == part])] = False
    if levels.size:
        low, high = int(levels[0]), int(levels[-1])
        near = dilate(chest, PLEURA_MM, spacing)
        place[: high + 1] = near[: high + 1]
        if low > 0:  # the scan shows the lungs' lower end
            place[: min(high, low + round(RECESS_MM / spacing[0]))] = True
    elif hips.any():
        place[:] = True
    plane = np.zeros((3, 3, 3), dtype=bool)
    plane[1] = True
    sections, sections_count = ndimage.label(reaching[named], plane)
    sizes = np.bincount(sections.ravel(), minlength=sections_count + 1)
    close_by = np.bincount(sections[place], minlength=sections_count + 1) > 0.6 * sizes
    close_by[0] = False
    ribs = close_by[sections] & place & (depth(bone, spacing) < RIB_DEPTH_MM)
    tops = np.flatnonzero(hips.any(axis=(1, 2)))
    if tops.size:
        ribs[: int(np.percentile(tops, 80))] = False
    labels[pieces & (labels == VERTEBRA) & reaching[named]] = 0
    labels[ribs] = RIB
    outside = (behind < -FRONT_MM) | (behind > BACK_MM)
    labels[(labels == VERTEBRA) & outside[:, :, None]] = 0


def _part_sacrum(
    labels: npt.NDArray[np.uint8], hu: npt.NDArray[np.float32], canal: Canal, hips: Mask, spacing: Spacing
) -> None:
    """Name the spine below the last mobile disc sacrum."""
    up = sacral_top(labels, hu, canal, spacing)
    if up is None:
        return
    level, slope = up
    k, j = np.indices(labels.shape[:2])
    row = canal.rows[min(max(round(level), 0), len(canal.rows) - 1)]
    # The disc's plane stands at right angles to the canal.
    below = (k - level) * spacing[0] + (j - row) * spacing[1] * slope < 0
    labels[(labels == VERTEBRA) & below[:, :, None]] = SACRUM


def sacral_top(
    labels: npt.NDArray[np.uint8], hu: npt.NDArray[np.float32], canal: Canal, spacing: Spacing
) -> tuple[float, float] | None:
    """Slice at which the plane of the lumbosacral disc crosses the canal, and the canal's slope (mm back per mm up).

    The sacrum is where the spine touches both hip bones along the sacroiliac joints; its upper end is the first disc
    from the upper end of that contact on. None where the spine touches no hip bone.
    """
    spine, hip = labels == VERTEBRA, labels == HIP
    touch = spine & ndimage.binary_dilation(hip, np.ones((1, 3, 3), dtype=bool))
    columns = np.arange(labels.shape[2])[None, None, :]
    left = columns > canal.columns[:, None, None]
    area = [(touch & part).sum(axis=(1, 2)) * spacing[0] * min(spacing[1:]) for part in (left, ~left)]
    both = ndimage.uniform_filter1d(np.minimum(*area).astype(np.float64), max(1, round(6.0 / spacing[0])))
    contact = np.flatnonzero(both > 0.5 * both.max()) if both.any() else np.zeros(0, dtype=np.intp)
    if contact.size * spacing[0] < JOINT_LEVELS_MM:
        return None
    profile = disc_profile(hu, canal, spacing)
    slope = np.gradient(canal.rows * spacing[1], spacing[0])
    top = int(contact[-1])
    last = min(len(profile) - 1, top + round(DISC_ABOVE_MM / spacing[0]))
    levels = np.arange(max(1, top - round(DISC_BELOW_MM / spacing[0])), last)
    reach = max(1, round(ENDPLATE_MM / spacing[0]))
    for k in levels:
        around = profile[k - 1 : k + 2]
        sides = (profile[max(0, k - reach) : k].max(), profile[k + 1 : k + 1 + reach].max())
        if profile[k] == around.min() and min(sides) - profile[k] > DISC_DIP_HU:
            return float(k), float(slope[k])
    return float(top), float(slope[top])


def disc_profile(hu: npt.NDArray[np.float32], canal: Canal, spacing: Spacing) -> npt.NDArray[np.float32]:
    """Mean density of the middle of the vertebral column in front of each slice's canal, cut at right angles to the
    canal: discs are its minima, between the bright endplates."""
    slope = np.gradient(canal.rows * spacing[1], spacing[0])
    norm = np.hypot(1.0, slope)
    ahead, beside = np.meshgrid(np.arange(14.0, 31.0, 2.0), np.arange(-10.0, 11.0, 2.0), indexing="ij")
    k = np.arange(len(slope))[:, None, None] + ahead * (slope / norm)[:, None, None] / spacing[0]
    j = canal.rows[:, None, None] - ahead / norm[:, None, None] / spacing[1]
    i = canal.columns[:, None, None] + np.broadcast_to(beside / spacing[2], k.shape)
    values = ndimage.map_coordinates(np.clip(hu, -100.0, 400.0), [k, j, i], order=1, mode="nearest")
    return np.asarray(values.mean(axis=(1, 2)), dtype=np.float32)
