"""The femoral head in the bones of a hip joint: a ball of known size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from radfind.engines.builtin.grid import Mask, Spacing, box_of, close, depth

# Femoral heads: diameter 40-54 mm (Milner & Boldsen, J Forensic Sci 2012;57:35), centres 160-200 mm apart.
HEAD_MM = (19.5, 27.0)
HEAD_OFFSET_MM = (60.0, 125.0)
"""How far beside the spinal canal its centre may lie."""
# An edge of bone against fat or muscle, and how far from the widest place of the bones the centre is looked for.
EDGE_HU = (-50.0, 450.0)
EDGE_SLOPE = 12.0
SPHERE_SEARCH_MM = 20.0


def find_head(
    solid: Mask, hu: npt.NDArray[np.float32], hip: Mask, lateral: npt.NDArray[np.float64], spacing: Spacing
) -> tuple[npt.NDArray[np.float64], float] | None:
    """The largest ball that fits into the bones of a hip joint.

    Arguments:
        solid: bones with their marrow, (k, j, i).
        hip: the hip bone of that side.
        lateral: mm from the spinal canal towards that side.
        spacing: of the grid (k, j, i), mm.

    Returns:
        its centre (k, j, i) in voxels and radius in mm, or None where the scan does not show the head.
    """
    box = box_of(hip, 2)
    if box is None:
        return None
    place = (lateral[box] > HEAD_OFFSET_MM[0]) & (lateral[box] < HEAD_OFFSET_MM[1])
    inside = depth(close(solid[box], 4.0, spacing), spacing) * place
    widest = np.array(np.unravel_index(int(inside.argmax()), inside.shape))
    if float(inside[tuple(widest)]) < HEAD_MM[0] - max(spacing):
        return None
    centre, radius = _sphere(hu, widest + np.array([part.start for part in box]), spacing)
    if centre[0] * spacing[0] < radius / 2:
        return None  # the scan ends in the head or above it: the socket's roof alone looks round, too
    return centre, radius


def _sphere(
    hu: npt.NDArray[np.float32], start: npt.NDArray[np.intp], spacing: Spacing
) -> tuple[npt.NDArray[np.float64], float]:
    """The centre and radius near `start` that most of the surfaces around it face (Hough transform for spheres,
    Ballard, Pattern Recognition 1981;13:111): every edge votes along its gradient at the radii of femoral heads."""
    step = np.asarray(spacing)
    margin = np.ceil((SPHERE_SEARCH_MM + HEAD_MM[1] + 6.0) / step).astype(int)
    low = np.maximum(start - margin, 0)
    high = np.minimum(start + margin + 1, hu.shape)
    part = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    smooth = ndimage.gaussian_filter(np.clip(hu[part], *EDGE_HU), 2.0 / step)
    if min(smooth.shape) < 2:
        return start.astype(np.float64), float(np.mean(HEAD_MM))
    slope = np.stack(np.gradient(smooth, *spacing), axis=-1)
    steep = np.linalg.norm(slope, axis=-1)
    edges = np.argwhere(steep > EDGE_SLOPE)
    ways = slope[tuple(edges.T)] / steep[tuple(edges.T)][:, None] / step
    radii = np.arange(HEAD_MM[0], HEAD_MM[1] + 0.1, 1.5)
    votes = np.zeros((len(radii), *smooth.shape), dtype=np.float32)
    for n, radius in enumerate(radii):
        points = np.rint(edges + ways * radius).astype(np.intp)
        points = points[((points >= 0) & (points < smooth.shape)).all(axis=1)]
        np.add.at(votes[n], tuple(points.T), 1.0)
        votes[n] = ndimage.gaussian_filter(votes[n], 4.0 / step)
    grid = np.indices(smooth.shape).reshape(3, -1).T
    far = np.linalg.norm((grid - (start - low)) * step, axis=1).reshape(smooth.shape) > SPHERE_SEARCH_MM
    total = np.where(far, -1.0, votes.sum(axis=0))
    centre = np.unravel_index(int(total.argmax()), total.shape)
    weights = votes[:, centre[0], centre[1], centre[2]]
    radius = float((weights * radii).sum() / max(float(weights.sum()), 1e-6))
    return np.array(centre, dtype=np.float64) + low, radius
