"""Boxes of voxels and isotropic resampling."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.grid import Spacing

Box: TypeAlias = tuple[slice, slice, slice]


def bounding_box(mask: npt.NDArray[np.bool_], margin: tuple[int, ...] = (0, 0, 0)) -> Box:
    """The box of the true voxels of `mask` (k, j, i), grown by `margin` voxels and clipped to the grid.

    Raises:
        ValueError: no voxel is true.
    """
    parts = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        present = np.flatnonzero(mask.any(axis=others))
        if present.size == 0:
            raise ValueError("The mask is empty, so it has no bounding box.")
        parts.append(
            slice(max(int(present[0]) - margin[axis], 0), min(int(present[-1]) + 1 + margin[axis], mask.shape[axis]))
        )
    return parts[0], parts[1], parts[2]


def box_around(centre: npt.ArrayLike, radius_mm: float, spacing: Spacing, shape: tuple[int, ...]) -> Box:
    """The box of half-width `radius_mm` about the voxel position `centre` (k, j, i), clipped to the grid."""
    parts = []
    for c, s, n in zip(np.asarray(centre, float), spacing, shape, strict=True):
        reach = radius_mm / s
        parts.append(slice(max(int(np.floor(c - reach)), 0), min(int(np.ceil(c + reach)) + 1, n)))
    return parts[0], parts[1], parts[2]


def resample(array: npt.NDArray, spacing: Spacing, step: float) -> npt.NDArray[np.float32]:
    """`array` (k, j, i) on an isotropic grid of `step` mm over the same extent, linearly interpolated.

    Voxel (0, 0, 0) of both grids shares its outer corner, so position p of the new grid is
    ``(p + 0.5) * step / spacing - 0.5`` of the old one. Past the outermost centres the edge value is held.
    """
    import SimpleITK

    image = SimpleITK.GetImageFromArray(array.astype(np.float32, copy=False))
    image.SetSpacing([float(s) for s in spacing[::-1]])
    filter_ = SimpleITK.ResampleImageFilter()
    filter_.SetInterpolator(SimpleITK.sitkLinear)
    size = [max(1, round(n * s / step)) for n, s in zip(array.shape[::-1], spacing[::-1], strict=True)]
    filter_.SetSize(size)
    filter_.SetOutputSpacing([step] * 3)
    filter_.SetOutputOrigin([(step - s) / 2 for s in spacing[::-1]])
    filter_.SetOutputPixelType(SimpleITK.sitkFloat32)
    filter_.UseNearestNeighborExtrapolatorOn()
    return np.asarray(SimpleITK.GetArrayFromImage(filter_.Execute(image)))


def downsample(array: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """Means of `factor`-cubes; a remainder at the far ends is dropped."""
    k, j, i = (n // factor for n in array.shape)
    trimmed = array[: k * factor, : j * factor, : i * factor]
    return np.asarray(trimmed.reshape(k, factor, j, factor, i, factor).mean(axis=(1, 3, 5)), np.float32)
