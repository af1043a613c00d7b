"""Small pictures of slices, as PPM: Qt reads it from memory without any image library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .Bookmarks import localIndex
from .Volumes import gridOf, voxelsOf

SIDE = 96
_ARM = (*range(-10, -4), *range(5, 11))
"""Pixels of the cross, from what it marks."""
_CROSS = (255, 210, 0)


def thumbnail(volume: Any, lps: Sequence[float], side: int = SIDE) -> bytes:
    """The slice at a position in the volume's own LPS, in the volume's display window, marked with a cross.

    It is seen as a slice view shows it, whatever the order of the voxels: the patient's left on the right side of an
    axial or coronal slice, front at the top of an axial and head at the top of the others, in true proportions.
    """
    k, j, i = localIndex(volume, lps)
    rows, columns, transposed = _sampling(gridOf(volume).toLPS[:3, :3], voxelsOf(volume).shape[1:3], side)
    plane = voxelsOf(volume)[k]
    small = plane[np.ix_(rows, columns)].astype(np.float32)
    if small.ndim == 3:
        small = small.mean(axis=2)
    low, high = _window(volume, small)
    grey = np.clip((small - low) * (255.0 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    picture = np.repeat(grey[..., None], 3, axis=2)
    row, column = int(np.abs(rows - j).argmin()), int(np.abs(columns - i).argmin())
    for offset in _ARM:
        if 0 <= row + offset < grey.shape[0]:
            picture[row + offset, column] = _CROSS
        if 0 <= column + offset < grey.shape[1]:
            picture[row, column + offset] = _CROSS
    if transposed:
        picture = picture.swapaxes(0, 1)
    height, width = picture.shape[:2]
    return b"P6 %d %d 255\n" % (width, height) + np.ascontiguousarray(picture).tobytes()


def _sampling(steps: np.ndarray, shape: Sequence[int], side: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """The j and i to show, in order, and whether j runs across the picture.

    Arguments:
        steps: LPS steps of (i, j, k), as columns.
        shape: voxels along (j, i).
    """
    normal = int(np.abs(np.cross(steps[:, 0], steps[:, 1])).argmax())
    across = np.eye(3)[1 if normal == 0 else 0]  # to the back of a sagittal slice, to the left of the others
    down = np.array([0.0, 1.0, 0.0]) if normal == 2 else np.array([0.0, 0.0, -1.0])
    size = np.linalg.norm(steps[:, :2], axis=0)
    transposed = abs(steps[:, 1] @ across) / size[1] > abs(steps[:, 0] @ across) / size[0]
    picture = []
    longest = max(shape[0] * size[1], shape[1] * size[0])
    for axis, count, wanted in (
        (1, shape[0], across if transposed else down),
        (0, shape[1], down if transposed else across),
    ):
        pixels = max(1, round(side * count * size[axis] / longest))
        index = np.minimum(((np.arange(pixels) + 0.5) * count / pixels).astype(int), count - 1)
        picture.append(index[::-1] if steps[:, axis] @ wanted < 0 else index)
    return picture[0], picture[1], bool(transposed)


def _window(volume: Any, values: np.ndarray) -> tuple[float, float]:
    display = volume.GetDisplayNode()
    if display is not None and hasattr(display, "GetWindowLevelMin") and display.GetWindow() > 0:
        return float(display.GetWindowLevelMin()), float(display.GetWindowLevelMax())
    return float(values.min()), float(values.max())
