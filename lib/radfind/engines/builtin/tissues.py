"""Body outline and tissue classes by density."""

from __future__ import annotations

import cc3d
import edt
import fill_voids
import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.grid import Mask, Overview, dilate, erode

# Half way between air (-1000 HU) and water-like tissue (0 HU).
AIR_TISSUE = -500.0
# A table top is a shell or slab a few centimetres thick at most; limbs are rounder than that.
THIN_MM = 6.0
LIMB_RADIUS_MM = 20.0


def body_mask(overview: Overview) -> Mask:
    """The patient with everything enclosed, without table, clothes and cables, on the overview grid (k, j, i).

    Tissue is opened with a ball to cut thin things off; the largest piece and every other piece as thick as a
    limb stay, and each axial slice is filled so that lungs and bowel gas belong to the body.
    """
    tissue = overview.hu > AIR_TISSUE
    if not tissue.any():
        return tissue
    flat = (1e6, overview.spacing[1], overview.spacing[2])
    filled = _fill_slices(tissue)
    core = erode(filled, THIN_MM, flat)
    labels, count = cc3d.connected_components(core, connectivity=6, return_N=True)
    if count == 0:
        return _fill_slices(tissue)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    thickness = edt.edt(core, anisotropy=flat, black_border=False, parallel=2) + THIN_MM
    keep = np.zeros(count + 1, dtype=bool)
    keep[int(sizes.argmax())] = True
    for label, box in enumerate(cc3d.statistics(labels)["bounding_boxes"]):
        if label and sizes[label] * 100 > sizes.max() and not keep[label]:
            keep[label] = bool(thickness[box][labels[box] == label].max() >= LIMB_RADIUS_MM)
    grown = dilate(keep[labels], THIN_MM + 2 * max(flat[1:]), flat) & filled
    return _fill_slices(grown)


def _fill_slices(mask: Mask) -> Mask:
    out = np.empty_like(mask)
    for k in range(mask.shape[0]):
        out[k] = fill_voids.fill(mask[k])
    return out


def air_peak(hu: npt.NDArray, body: Mask) -> float:
    """Hounsfield units that this scan shows for air: the median outside the body, else -1000."""
    outside = hu[~body]
    outside = outside[(outside > -1023.5) & (outside < -900)]
    return float(np.median(outside)) if outside.size > 100 else -1000.0
