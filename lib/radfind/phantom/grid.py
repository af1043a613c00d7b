"""Evaluating template fields and closed-form shapes on any voxel grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from radfind.phantom.shapes import LOW, STEP, Field
from radfind.volume import Geometry


def field_image(field: Field) -> sitk.Image:
    """A field on the template grid as an ITK image whose physical space is the template frame."""
    image = sitk.GetImageFromArray(field)
    image.SetSpacing((STEP,) * 3)
    image.SetOrigin(tuple(LOW))
    return image


def sample(image: sitk.Image, geometry: Geometry, to_template: npt.NDArray[np.float64], outside: float) -> Field:
    """The field at every voxel centre of `geometry` (trilinear), `outside` beyond the template grid.

    `to_template` is 4x4, LPS to template mm. Any affine works, so oblique and sheared grids are exact too.
    """
    matrix = to_template @ geometry.affine
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    resample = sitk.ResampleImageFilter()
    resample.SetNumberOfThreads(1)  # the caller runs slabs in parallel
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetTransform(transform)
    resample.SetSize([int(n) for n in geometry.shape[::-1]])
    resample.SetDefaultPixelValue(outside)
    out = resample.Execute(image)
    return sitk.GetArrayFromImage(out)


def box_slices(
    geometry: Geometry, low: npt.ArrayLike, high: npt.ArrayLike, matrix: npt.NDArray[np.float64] | None = None
) -> tuple[slice, slice, slice] | None:
    """(k, j, i) slices of the voxels that may lie in the box [low, high] given in LPS, or in the frame that `matrix`
    (4x4) takes to LPS; None when the box misses the grid."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T
    if matrix is not None:
        corners = corners @ matrix[:3, :3].T + matrix[:3, 3]
    index = geometry.to_index(corners)
    start = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
    stop = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, geometry.shape)
    if np.any(start >= stop):
        return None
    k, j, i = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return k, j, i


def sub_geometry(geometry: Geometry, part: tuple[slice, slice, slice]) -> Geometry:
    """The geometry of ``array[part]``."""
    k, j, i = part
    return geometry.crop((k.start, j.start, i.start), (k.stop - k.start, j.stop - j.start, i.stop - i.start))


def coordinates(geometry: Geometry) -> npt.NDArray[np.float32]:
    """LPS millimetres of all voxel centres, (3, k, j, i)."""
    k, j, i = (np.arange(n, dtype=np.float64) for n in geometry.shape)
    a = geometry.affine
    return np.stack(
        [
            ((a[r, 2] * k + a[r, 3])[:, None, None] + (a[r, 1] * j)[None, :, None] + (a[r, 0] * i)).astype(np.float32)
            for r in range(3)
        ]
    )
