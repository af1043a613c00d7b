"""Diameters of a mask: in the slice as read at the console, and in space."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import numpy.typing as npt

from radfind.measure.moments import moments
from radfind.measure.surface import bounding_box
from radfind.volume import Geometry

Point = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class SliceDiameters:
    """Two diameters in one slice, at right angles.

    Arguments:
        longest_mm: the longest diameter in any slice (RECIST 1.1, Eisenhauer et al., Eur J Cancer 2009;45:228).
        perpendicular_mm: the longest chord at right angles to it in the same slice (WHO 1979).
        slice_index: k of that slice.
        ends_lps: the two ends of the longest diameter.
        across_lps: the two ends of the perpendicular one.
    """

    longest_mm: float
    perpendicular_mm: float
    slice_index: int
    ends_lps: tuple[Point, Point]
    across_lps: tuple[Point, Point]

    @property
    def mean_mm(self) -> float:
        """Mean of both, the size Lung-RADS v2022 and the Fleischner Society (2017) grade nodules by."""
        return (self.longest_mm + self.perpendicular_mm) / 2.0


def slice_diameters(mask: npt.NDArray[np.bool_], geometry: Geometry) -> SliceDiameters:
    """The longest diameter in any slice of the scan, and the longest chord across it.

    Right within half a voxel diagonal for objects a few voxels wide and more.

    Raises:
        InputError: the mask is empty or does not fit the geometry.
    """
    box = bounding_box(mask, geometry)
    best: tuple[float, int, npt.NDArray, npt.NDArray] | None = None
    for k in range(box[0].start, box[0].stop):
        plane = mask[k, box[1], box[2]]
        if not plane.any():
            continue
        index = _border(plane) + np.array([box[1].start, box[2].start])
        points = geometry.to_lps(np.column_stack([np.full(len(index), k), index]))
        length, a, b = _farthest(points)
        if best is None or length > best[0]:
            best = length, k, points[a], points[b]
    assert best is not None  # the mask is not empty
    length, k, first, second = best
    across = _longest_across(mask[k], k, geometry, first, second)
    return SliceDiameters(length, across[0], k, (_point(first), _point(second)), across[1])


def greatest_diameter(mask: npt.NDArray[np.bool_], geometry: Geometry) -> tuple[float, tuple[Point, Point]]:
    """The greatest distance between two points of the mask's border in space (3-D Feret), mm, and its ends in LPS.

    Raises:
        InputError: the mask is empty or does not fit the geometry.
    """
    box = bounding_box(mask, geometry)
    points = geometry.to_lps(_border(mask[box]) + [part.start for part in box])
    length, a, b = _farthest(points)
    return length, (_point(points[a]), _point(points[b]))


def ellipsoid_axes(mask: npt.NDArray[np.bool_], geometry: Geometry) -> tuple[float, float, float]:
    """Full lengths, mm, of the axes of the ellipsoid with the mask's second moments, longest first.

    A solid ellipsoid of semi-axis a has variance a^2 / 5 along it; each voxel adds its own s^2 / 12.

    Raises:
        InputError: the mask is empty or does not fit the geometry.
    """
    _, covariance = moments(mask, geometry)
    steps = geometry.affine[:3, :3]
    c, b, a = 2.0 * np.sqrt(5.0 * np.linalg.eigvalsh(covariance + steps @ steps.T / 12.0))
    return float(a), float(b), float(c)


def _border(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Fractional indices of the corners of boxes half the size of a voxel, around each voxel on the border.

    The centres of the voxels inside are no farther apart than the object is wide, and the outer corners of the
    voxels that hold it are no nearer. Half-way between both, a diameter is wrong by half a voxel diagonal at most.
    """
    padded = np.pad(mask, 1)
    inner = tuple([slice(1, -1)] * mask.ndim)
    hidden = np.ones_like(mask)
    for axis in range(mask.ndim):
        for step in (1, -1):
            hidden &= np.roll(padded, step, axis)[inner]
    voxels = np.argwhere(mask & ~hidden).astype(np.float64)
    return np.concatenate([voxels + corner for corner in itertools.product((-0.25, 0.25), repeat=mask.ndim)])


def _farthest(points: npt.NDArray[np.float64]) -> tuple[float, int, int]:
    """The two points farthest apart: both are corners of the convex hull."""
    from scipy.spatial import ConvexHull, QhullError

    candidates = np.arange(len(points))
    centred = points - points.mean(axis=0)
    rank = int(np.sum(np.linalg.svd(centred, compute_uv=False, full_matrices=False) > 1e-6)) if len(points) > 3 else 0
    if len(points) > 16 and rank >= 2:
        frame = np.linalg.svd(centred, full_matrices=False)[2][:rank]
        try:
            candidates = ConvexHull(centred @ frame.T).vertices
        except QhullError:  # nearly flat: all points stay candidates
            candidates = np.arange(len(points))
    chosen = points[candidates]
    best = (-1.0, 0, 0)
    for start in range(0, len(chosen), 512):
        squared = np.sum((chosen[start : start + 512, None] - chosen[None]) ** 2, axis=2)
        a, b = np.unravel_index(int(squared.argmax()), squared.shape)
        if squared[a, b] > best[0]:
            best = float(squared[a, b]), start + int(a), int(b)
    return float(np.sqrt(best[0])), int(candidates[best[1]]), int(candidates[best[2]])


def _longest_across(
    plane: npt.NDArray[np.bool_], k: int, geometry: Geometry, first: npt.NDArray, second: npt.NDArray
) -> tuple[float, tuple[Point, Point]]:
    """The longest chord of the slice's mask at right angles to the line from `first` to `second`."""
    from scipy.ndimage import map_coordinates

    length = float(np.linalg.norm(second - first))
    along = (second - first) / length
    row, column = geometry.affine[:3, 0], geometry.affine[:3, 1]
    normal = np.cross(row, column)
    across = np.cross(normal / np.linalg.norm(normal), along)
    step = 0.2 * min(geometry.spacing[1:])
    rows_columns = np.argwhere(plane)
    inside = geometry.to_lps(np.column_stack([np.full(len(rows_columns), k), rows_columns]))
    reach = np.abs((inside - first) @ across).max() + max(geometry.spacing[1:])
    t = np.arange(0.0, length + step, step)
    u = np.arange(-reach, reach + step, step)
    points = first + t[:, None, None] * along + u[None, :, None] * across
    index = geometry.to_index(points)[..., 1:]
    values = map_coordinates(plane.astype(np.float32), index.reshape(-1, 2).T, order=1, mode="constant")
    within = values.reshape(len(t), len(u)) >= 0.5
    if not within.any():  # narrower than the sampling: one voxel
        middle = (first + second) / 2
        width = min(geometry.spacing[1:])
        return width, (_point(middle - across * width / 2), _point(middle + across * width / 2))
    start = within.argmax(axis=1)
    stop = within.shape[1] - 1 - within[:, ::-1].argmax(axis=1)
    widths = np.where(within.any(axis=1), stop - start, -1)
    best = int(widths.argmax())
    width = (int(widths[best]) + 1) * step  # each sample stands for one step
    a, b = points[best, start[best]], points[best, stop[best]]
    return min(width, length), (_point(a), _point(b))


def _point(values: npt.NDArray) -> Point:
    x, y, z = (float(v) for v in values)
    return x, y, z
