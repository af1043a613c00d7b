"""Small pictures of slices, as PGM: Qt reads it from memory without any image library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .Bookmarks import localIndex
from .Volumes import voxelsOf

SIDE = 96


def thumbnail(volume: Any, lps: Sequence[float], side: int = SIDE) -> bytes:
    """The slice at a position in the volume's own LPS, in the volume's display window, marked with a cross."""
    k, j, i = localIndex(volume, lps)
    plane = voxelsOf(volume)[k]
    if plane.ndim == 3:
        plane = plane.mean(axis=2)
    step = max(1, -(-max(plane.shape) // side))
    small = plane[::step, ::step].astype(np.float32)
    low, high = _window(volume, small)
    grey = np.clip((small - low) * (255.0 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    row, column = min(j // step, grey.shape[0] - 1), min(i // step, grey.shape[1] - 1)
    for offset in (-6, -5, -4, 4, 5, 6):
        if 0 <= row + offset < grey.shape[0]:
            grey[row + offset, column] = 255
        if 0 <= column + offset < grey.shape[1]:
            grey[row, column + offset] = 255
    height, width = grey.shape
    return b"P5 %d %d 255\n" % (width, height) + np.ascontiguousarray(grey).tobytes()


def _window(volume: Any, values: np.ndarray) -> tuple[float, float]:
    display = volume.GetDisplayNode()
    if display is not None and hasattr(display, "GetWindowLevelMin") and display.GetWindow() > 0:
        return float(display.GetWindowLevelMin()), float(display.GetWindowLevelMax())
    return float(values.min()), float(values.max())
