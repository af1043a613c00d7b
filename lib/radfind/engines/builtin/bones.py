"""The skeleton: cortical bone and the marrow it encloses."""

from __future__ import annotations

import cc3d
import fill_voids
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from radfind.engines.builtin.grid import Mask, Overview, Spacing, box_of, close, depth, dilate, erode
from radfind.engines.builtin.thorax import enclosed

# Cortical bone measures 300-1900 HU, spongy bone 100-300 (Schreiber et al., J Bone Joint Surg Am 2011;93:1057);
# soft tissue without contrast stays below 100.
BONE_HU = 160.0
CORTEX_HU = 300.0
# Spongy bone thinned by partial volume or age, believed only beside sure bone.
SPONGY_HU = 110.0
SPONGY_MM = 6.0
SMOOTHING_MM = 1.5
SOFT_HU = 50.0
EDGE_SHARE = 0.2
# Gaps in a cortex thinned by partial volume, and the trabecular space between shells.
CLOSING_MM = 4.0
# Marrow: spongy bone above soft tissue, or fat.
MARROW_HU = 75.0
MINIMUM_ML = 0.4
SHAFT_MM2 = 3000.0  # a femoral head is about 50 mm across


def find_bones(hu: npt.NDArray[np.float32], spacing: Spacing, body: Mask) -> Mask:
    """The skeleton on a coarse grid (k, j, i): dense pieces with a cortex, closed, with their marrow.

    Contrast medium (vessels, bowel, renal pelvis) and stones are told from bone by what surrounds their inside:
    a bone's rim is denser than its inside, a lumen's is not.
    """
    dense = (hu > BONE_HU) & body
    dense &= ~_lumens(hu, dense, spacing)
    labels, count = cc3d.connected_components(dense, connectivity=26, return_N=True)
    if not count:
        return dense
    voxel_ml = float(np.prod(spacing)) / 1000.0
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
    cortex = np.bincount(labels[hu > CORTEX_HU], minlength=count + 1) * voxel_ml
    keep = (sizes >= MINIMUM_ML) & (cortex >= 0.05)
    keep[0] = False
    bone = keep[labels]
    smooth = ndimage.gaussian_filter(hu, [SMOOTHING_MM / s for s in spacing])
    solid = bone | ((smooth > SPONGY_HU) & dilate(bone, SPONGY_MM, spacing) & body)
    shell = close(solid, CLOSING_MM, spacing)
    solid |= enclosed(shell, hu > -200.0) & body
    solid |= shell & ((hu > MARROW_HU) | (hu < -30.0)) & (hu > -200.0)
    solid |= _shafts(hu, solid, float(spacing[1] * spacing[2]))
    # The rim of what was added may be cortex blurred into its surroundings: it must reach a share of the cortex's peak.
    size = [2 * max(1, round(3.0 / s)) + 1 for s in spacing]
    peak = ndimage.maximum_filter(hu, size=size)
    rim = solid & (hu > SOFT_HU + EDGE_SHARE * (peak - SOFT_HU))
    return bone | rim | erode(solid, 1.01 * min(spacing), spacing)


def _shafts(hu: npt.NDArray[np.float32], bone: Mask, pixel_mm2: float) -> Mask:
    """Marrow of long bones: holes of axial slices that hold fat or spongy bone. The spinal canal holds neither."""
    out = np.zeros_like(bone)
    for k in range(bone.shape[0]):
        holes = fill_voids.fill(bone[k]) & ~bone[k]
        if not holes.any():
            continue
        parts = cc3d.connected_components(holes, connectivity=4)
        for part in range(1, int(parts.max()) + 1):
            here = parts == part
            marrow = float(np.median(hu[k][here]))
            if here.sum() * pixel_mm2 <= SHAFT_MM2 and (marrow > MARROW_HU or -150.0 < marrow < -30.0):
                out[k] |= here
    return out


def refine(hu: npt.NDArray[np.int16], view: Overview, coarse: Mask) -> Mask:
    """The skeleton on the full grid: the surface follows the scan's own voxels, the inside the coarse mask."""
    out = np.zeros(hu.shape, dtype=bool)
    box = box_of(coarse, 2)
    if box is None:
        return out
    near = np.zeros_like(coarse)
    near[box] = dilate(coarse[box], 1.01 * max(view.spacing), view.spacing)
    full = view.full_box(box)
    surface = view.up_box(near, box) & (hu[full] > 200)
    inside = np.zeros_like(coarse)
    inside[box] = erode(coarse[box], 1.01 * min(view.spacing), view.spacing)
    marrow = view.up_box(inside, box) & (hu[full] > -200)
    out[full] = surface | marrow | (view.up_smooth(coarse, full) & (hu[full] > SPONGY_HU))
    return out


def _lumens(hu: npt.NDArray[np.float32], dense: Mask, spacing: Spacing) -> Mask:
    """Contrast-filled lumens among dense voxels."""
    out = np.zeros_like(dense)
    inside = depth(dense, spacing) > 4.0
    labels, count = cc3d.connected_components(inside, connectivity=6, return_N=True)
    if not count:
        return out
    stats = cc3d.statistics(labels)
    margin = [int(np.ceil(8.0 / s)) + 1 for s in spacing]
    for label in range(1, count + 1):
        tight = stats["bounding_boxes"][label]
        box = tuple(
            slice(max(0, part.start - m), min(n, part.stop + m))
            for part, m, n in zip(tight, margin, dense.shape, strict=True)
        )
        core = labels[box] == label
        near = dilate(core, 4.0, spacing)
        rim = near & ~dilate(core, 1.5, spacing) & dense[box]
        values = hu[box][core]
        level = float(np.median(values))
        if rim.any() and np.percentile(hu[box][rim], 75) > level + 25.0:
            continue
        if float(values.std()) > 40.0 or level > 1200.0:
            continue  # uneven: spongy bone; brighter than any contrast: compact bone or metal
        out[box] |= dilate(core, 6.0, spacing) & (hu[box] < level + 120.0)
    return out & dense
