"""Lungs, left and right."""

from __future__ import annotations

import cc3d
import edt
import fill_voids
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from radfind.engines.builtin.grid import Mask, Overview, Spacing, box_of, close, depth, dilate, erode, open_, spread
from radfind.engines.builtin.thorax import enclosed

# Aerated lung lies below this density (Hu et al., IEEE TMI 2001;20:490; Armato & Sensakovic, Acad Radiol 2004).
AERATED = -400.0
# Vessels and nodules up to this diameter that touch the pleura are closed into the lung.
CLOSING_MM = 12.0
RIGHT, LEFT = 1, 2
# Free air: within this of tracheal air, at least this much, with this share of its rim in the chest wall.
FREE_AIR_MARGIN = 20.0
FREE_AIR_ML = 10.0
WALL_SHARE = 0.3
FREE_AIR_GROWTH_MM = 15.0
SPINE_SEARCH_MM = 60.0
HOLE_MM2 = 1250.0  # a disc of 40 mm
# Mean lung density is -700 to -900 HU over breathing depths (Hounsfield scale of air -1000); emphysematous lung
# still measures above -960 as a whole. Gas in the bowel is air.
GAS_MARGIN = 40.0
INFLATED = -550.0
CORE_MM = 5.0
MINIMUM_ML = 0.5
# A lung is no smaller than this when whole; less is believed only where an end of the scan cuts it.
LUNG_ML = 150.0
SECTION_MM2 = 300.0
NEIGHBOUR_MM = 15.0


def aerated(hu: npt.NDArray[np.float32], spacing: Spacing, body: Mask, air: float) -> Mask:
    """Aerated lung on a coarse grid: low-density pieces of the body that are not gas
    of the bowel; airways open to the lung come with it.

    Lung holds vessels and walls, so that its inside measures some 50 HU or more above air even when it is
    hyperinflated; gas in the bowel measures as air does. A piece is lung by the density of its inside, and by
    being large, or cut by an end of the scan, or level with a piece that is lung.
    """
    low = (hu < AERATED) & body
    labels, count = cc3d.connected_components(low, connectivity=6, return_N=True)
    keep = np.zeros(count + 1, dtype=bool)
    if not count:
        return keep[labels]
    stats = cc3d.statistics(labels)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    volumes = stats["voxel_counts"] * voxel_ml
    inside = depth(low, spacing)
    certain: list[int] = []
    perhaps: list[tuple[int, float]] = []
    densities: list[float] = []
    top = hu.shape[0] - 1
    for label in range(1, count + 1):
        if volumes[label] < MINIMUM_ML:
            continue
        box = stats["bounding_boxes"][label]
        here = labels[box] == label
        distance = inside[box][here]
        core = hu[box][here][distance >= min(CORE_MM, 0.7 * float(distance.max()))]
        density = float(np.median(core))
        if not air + GAS_MARGIN < density < INFLATED:
            continue
        cut = float((labels[top] == label).sum()) * spacing[1] * spacing[2]
        if volumes[label] >= LUNG_ML or cut >= SECTION_MM2:
            certain.append(label)
            densities.append(density)
        else:
            perhaps.append((label, density))
    keep[certain] = True
    if certain:
        near = dilate(keep[labels], NEIGHBOUR_MM, spacing)
        for label, density in perhaps:
            box = stats["bounding_boxes"][label]
            alike = min(abs(density - other) for other in densities) < 100.0
            keep[label] = alike and bool(near[box][labels[box] == label].any())
    return keep[labels]


def free_air(hu: npt.NDArray[np.float32], spacing: Spacing, low: Mask, airways: Mask, body: Mask, air: float) -> Mask:
    """Air between lung and chest wall (pneumothorax) among the low-density voxels of the chest, on a coarse grid.

    It measures as the air in the trachea does, without the vessels and septa that even destroyed lung holds, it is
    thick in every direction, and one of its sides is the chest wall.
    """
    clear = max(3.0, 1.01 * max(spacing[1:]))  # beyond the voxels that the lumen shares with its wall
    lumen = hu[depth(airways, spacing) > clear] if airways.any() else hu[:0]
    level = float(np.median(lumen)) if lumen.size >= 20 else air
    box = box_of(low, 3)
    out = np.zeros_like(low)
    if box is None:
        return out
    values = hu[box]
    smooth = ndimage.gaussian_filter(values, [2.0 / s for s in spacing])
    pure = open_((smooth < level + FREE_AIR_MARGIN) & low[box], 2.5, spacing)
    labels, count = cc3d.connected_components(pure, connectivity=6, return_N=True)
    lung_level = float(np.median(values[low[box]]))
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * float(np.prod(spacing)) / 1000.0
    light = ndimage.gaussian_filter(values, [1.0 / s for s in spacing])
    darker = low[box] & (light < (level + lung_level) / 2)
    found = np.zeros_like(pure)
    for label in range(1, count + 1):
        if sizes[label] < FREE_AIR_ML:
            continue
        piece = labels == label
        grown = dilate(piece, FREE_AIR_GROWTH_MM, spacing) & darker
        grown = spread(grown | piece, piece)
        rim = dilate(grown, 2.5 * max(spacing), spacing) & ~grown & body[box] & ~airways[box]
        if rim.any() and float((~low[box] & (values > -300.0))[rim].mean()) >= WALL_SHARE:
            found |= grown
    out[box] = found
    return out


def midline(x: npt.NDArray[np.float32], body: Mask, bone: Mask, spacing: Spacing) -> float:
    """The patient's midline, LPS x in mm: where spine and sternum stand, else the middle of the trunk.

    Arguments:
        x: LPS x of each coarse voxel, mm.
        body, bone: coarse masks.
    """
    trunk = erode(body, 30.0, (1e6, *spacing[1:]))
    where = x[trunk] if trunk.any() else x[body]
    if not where.size:
        return float(x.mean())
    middle = float(where.mean())
    near = x[bone & (np.abs(x - middle) < SPINE_SEARCH_MM)]
    if near.size * float(np.prod(spacing)) < 5000.0:
        return middle
    bins = np.arange(middle - SPINE_SEARCH_MM, middle + SPINE_SEARCH_MM + 2.0, 2.0)
    counts, _ = np.histogram(near, bins)
    heavy = np.convolve(counts, np.ones(15), mode="same")  # a vertebral body is about 30 mm wide
    peak = float(bins[int(heavy.argmax())] + 1.0)
    return float(near[np.abs(near - peak) < 20.0].mean())


def split(mask: Mask, spacing: Spacing, left_half: Mask) -> npt.NDArray[np.uint8]:
    """Name each voxel of both lungs RIGHT or LEFT, cutting where the two touch.

    The mask is eroded until its large pieces lie on different sides of the midline; each voxel then goes to
    the side of its nearest piece.
    """
    out = np.zeros(mask.shape, dtype=np.uint8)
    labels, count = cc3d.connected_components(mask, connectivity=6, return_N=True)
    if not count:
        return out
    inside = depth(mask, spacing)
    stats = cc3d.statistics(labels)
    for label in range(1, count + 1):
        box = stats["bounding_boxes"][label]
        here = labels[box] == label
        left = float(left_half[box][here].mean())
        if 0.1 < left < 0.9 and here.sum() * np.prod(spacing) > 100_000:
            out[box][here] = _cut(here, inside[box], spacing, left_half[box])[here]
        else:
            out[box][here] = LEFT if left > 0.5 else RIGHT
    return out


def _cut(piece: Mask, inside: npt.NDArray[np.float32], spacing: Spacing, left_half: Mask) -> npt.NDArray[np.uint8]:
    for radius in (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 13.0, 16.0):
        seeds, count = cc3d.connected_components(piece & (inside > radius), connectivity=6, return_N=True)
        sides = np.zeros(count + 1, dtype=np.uint8)
        mixed = False
        for label, size in enumerate(np.bincount(seeds.ravel(), minlength=count + 1)):
            if label and size:
                left = float(left_half[seeds == label].mean())
                mixed |= 0.15 < left < 0.85 and size > 0.05 * piece.sum()
                sides[label] = LEFT if left > 0.5 else RIGHT
        if not mixed and {RIGHT, LEFT} <= set(sides.tolist()):
            marked = sides[seeds]
            to_right = edt.edt(marked != RIGHT, anisotropy=spacing, black_border=False, parallel=2)
            to_left = edt.edt(marked != LEFT, anisotropy=spacing, black_border=False, parallel=2)
            return np.where(to_left < to_right, LEFT, RIGHT).astype(np.uint8)
    return np.where(left_half, LEFT, RIGHT).astype(np.uint8)


def fill(lung: Mask, spacing: Spacing, forbidden: Mask, chest_wall: Mask) -> Mask:
    """One lung with the vessels, nodules, masses and consolidations it encloses, alone or with the chest wall.

    Arguments:
        lung: its aerated part.
        forbidden: what can never belong to it.
        chest_wall: what lies outside the rib cage on this lung's side: dense lung that lies against it counts as
            enclosed when aerated lung surrounds the rest.
    """
    margin = int(np.ceil(CLOSING_MM / min(spacing))) + 1
    box = box_of(lung, margin)
    if box is None:
        return lung
    part = close(lung[box], CLOSING_MM / 2, spacing)
    for start, end in ((box[0].start, 0), (box[0].stop - lung.shape[0], -1)):
        if start == 0:  # the scan cuts the lung here: close its vessels and nodules so that they count as enclosed
            part[end] = _fill_small(part[end], float(spacing[1] * spacing[2]))
    wall = chest_wall[box]
    dense = enclosed(part | wall, ~(part | wall))
    dense = open_(dense, 3.0, spacing)
    out = lung.copy()
    out[box] = ((fill_voids.fill(part) | enclosed(part, ~part) | dense) & ~forbidden[box]) | lung[box]
    return out


def _fill_small(section: Mask, pixel_mm2: float) -> Mask:
    """An axial section with its holes up to a large nodule's size filled; a larger hole may be the diaphragm."""
    holes = fill_voids.fill(section) & ~section
    labels = cc3d.connected_components(holes, connectivity=4)
    small = np.bincount(labels.ravel()) * pixel_mm2 <= HOLE_MM2
    small[0] = False
    return section | small[labels]


def refine(
    hu: npt.NDArray[np.int16], view: Overview, coarse: npt.NDArray[np.uint8], forbidden: Mask
) -> npt.NDArray[np.uint8]:
    """Lungs on the full grid from lungs on the coarse one.

    Against the chest wall the surface follows the scan's own voxels; where lung was closed over dense tissue it
    follows the coarse surface, interpolated.

    Arguments:
        hu: full-resolution Hounsfield units (k, j, i).
        view: the overview `coarse` lives on.
        coarse: 0, RIGHT or LEFT.
        forbidden: coarse voxels that can never be lung (airways, bowel gas, outside).
    """
    out = np.zeros(hu.shape, dtype=np.uint8)
    step = 1.01 * max(view.spacing)
    for side in (RIGHT, LEFT):
        lung = coarse == side
        box = box_of(lung, 2)
        if box is None:
            continue
        whole = np.zeros_like(lung)
        whole[box] = dilate(lung[box], step, view.spacing)
        whole &= ~forbidden & ((coarse == 0) | lung)
        added = lung & (view.hu >= AERATED)
        smooth = np.zeros_like(lung)
        smooth[box] = erode(lung[box], step, view.spacing) | dilate(added[box], step, view.spacing)
        full = view.full_box(box)
        aired = view.up_box(whole, box) & (hu[full] < AERATED)
        closed = view.up_smooth(lung, full) & view.up_box(smooth, box)
        out[full][(aired | closed) & (out[full] == 0)] = side
    return out
