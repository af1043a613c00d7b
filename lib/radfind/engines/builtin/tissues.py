"""Body outline and tissue classes by density."""

from __future__ import annotations

import cc3d
import fill_voids
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from radfind.engines.builtin.grid import Mask, Overview, close, dilate, erode, open_, thickness

# Half way between air (-1000 HU) and water-like tissue (0 HU).
AIR_TISSUE = -500.0
# Table tops, clothes, blankets and cables are shells thinner than this; what is thicker and not the trunk is kept
# only when it is as thick as a limb (adult wrist about 40 mm) and as dense as tissue.
SHELL_MM = 6.0
LIMB_MM = 36.0
TISSUE_HU = (-200.0, 150.0)

# Air is -1000 HU by definition; scanners out of calibration, and air near the edge of the field of view, are off by
# some tens.
AIR_HU = (-1100.0, -900.0)
# Noise of a few HU spreads air over more values than make up this share each.
CONSTANT_SHARE = 0.15
PADDING_BELOW = -1010.0
# Trachea and bowel gas are some 50 ml of 20 l.
GAS_SHARE = 2e-4


def body_mask(overview: Overview) -> Mask:
    """The patient with everything enclosed, without table, clothes and cables, on the overview grid (k, j, i).

    Tissue is opened in each axial slice so that thin shells fall off; the largest piece and every other piece as
    thick and dense as a limb stay, and each slice is filled so that lungs and bowel gas belong to the body.
    """
    tissue = overview.hu > AIR_TISSUE
    flat = (1e6, overview.spacing[1], overview.spacing[2])
    solid = open_(tissue, SHELL_MM / 2, flat)
    labels, count = cc3d.connected_components(solid, connectivity=6, return_N=True)
    if count == 0:
        return _fill_slices(tissue)
    stats = cc3d.statistics(labels)
    sizes = stats["voxel_counts"].astype(np.int64)
    sizes[0] = 0
    keep = np.zeros(count + 1, dtype=bool)
    keep[int(sizes.argmax())] = True
    for label in np.flatnonzero((sizes * 100 > sizes.max()) & ~keep):
        box = stats["bounding_boxes"][label]
        here = labels[box] == label
        thick = thickness(np.pad(here, ((0, 0), (1, 1), (1, 1))), flat) >= LIMB_MM
        keep[label] = thick and TISSUE_HU[0] < np.median(overview.hu[box][here]) < TISSUE_HU[1]
    kept = _fill_slices(keep[labels])
    rim = dilate(kept, 1.01 * max(flat[1:]), flat) & tissue  # skin that the opening rounded off
    return _fill_slices(kept | rim)


def _fill_slices(mask: Mask) -> Mask:
    out = np.empty_like(mask)
    for k in range(mask.shape[0]):
        out[k] = fill_voids.fill(mask[k])
    return out


def air_peak(hu: npt.NDArray, body: Mask) -> float:
    """Hounsfield units that this scan shows for air: the commonest outside the body, else -1000.

    The commonest, not the middle one: the foam of table and cushions measures some 50 HU more and may fill as much.
    What has one value over and over is no air, which is noisy, but padding; unless gas in the body has it, too: then
    air lies at the lower end of the image's scale, or below.
    """
    outside = hu[~body]
    outside = outside[(outside > AIR_HU[0]) & (outside < AIR_HU[1])]
    values, counts = np.unique(outside, return_counts=True)
    for constant in values[(counts > CONSTANT_SHARE * outside.size) & (values < PADDING_BELOW)]:
        if np.count_nonzero(hu[body] == constant) < GAS_SHARE * np.count_nonzero(body):
            outside = outside[outside != constant]
    if outside.size <= 100:
        return -1000.0
    counts, edges = np.histogram(outside, bins=np.arange(AIR_HU[0], AIR_HU[1] + 1.0, 4.0))
    peak = int(ndimage.gaussian_filter1d(counts.astype(np.float32), 1.5).argmax())
    return float(edges[peak] + 2.0)


# Fat -190 to -30 HU (Kvist et al., J Comput Assist Tomogr 1986;10:53; Yoshizumi et al., Radiology 1999;211:283);
# muscle -29 to 150 HU (Mourtzakis et al., Appl Physiol Nutr Metab 2008;33:997).
FAT_HU = (-190, -30)
MUSCLE_HU = (-29, 150)
# Calcium in soft tissue: the Agatston threshold (Agatston et al., J Am Coll Cardiol 1990;15:827).
CALCIUM_HU = 130
SKIN_MM = 4.0
ABDOMINAL_WALL_MM = 12.0
FASCIA_GAP_MM = 8.0
STEADY_MM = 30.0


def inside_of_muscle(view: Overview, body: Mask, bone: Mask, lung: Mask) -> Mask:
    """What the muscular wall of the trunk encloses, wall included, on the overview grid: all but skin and
    subcutaneous fat.

    Dense tissue deeper than the skin is closed over the gaps between muscles and filled in each axial slice.
    """
    flat = (1e6, view.spacing[1], view.spacing[2])
    deep = erode(body, SKIN_MM, flat)
    dense = deep & ((view.hu > FAT_HU[1]) | (view.hu < FAT_HU[0]) | lung | bone)
    dense = open_(dense, SKIN_MM / 2, flat)
    inner = _fill_slices(close(_fill_slices(dense), FASCIA_GAP_MM, flat) & body)
    # A wall that is open in one slice (linea alba, hernia) is closed in its neighbours.
    size = 2 * round(STEADY_MM / 2 / view.spacing[0]) + 1
    steady = ndimage.uniform_filter1d(inner.astype(np.float32), size, axis=0, mode="nearest") > 0.45
    return _fill_slices(steady & deep)


def visceral_region(inside: Mask, bone: Mask, lung: Mask, spacing: tuple[float, float, float]) -> Mask:
    """The abdominal and pelvic cavity, roughly: inside the muscular wall, in front of the spine, below the lungs."""
    flat = (1e6, spacing[1], spacing[2])
    out = erode(inside, ABDOMINAL_WALL_MM, flat) & ~lung & ~bone
    for k in range(out.shape[0]):
        rows = np.nonzero(bone[k].any(axis=1))[0]
        if rows.size:
            body_rows = np.nonzero(inside[k].any(axis=1))[0]
            behind = rows[rows > (body_rows[0] + body_rows[-1]) / 2] if body_rows.size else rows
            if behind.size:
                out[k, int(np.median(behind)) :] = False
    return out


def within(hu: npt.NDArray[np.int16], bounds: tuple[int, int]) -> Mask:
    """Voxels whose Hounsfield units lie in `bounds`, ends included."""
    return (hu >= bounds[0]) & (hu <= bounds[1])
