"""Signed distances (negative inside) of simple shapes on the template grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Field = npt.NDArray[np.float32]

STEP = 3.0
"""Grid step of the fields, template mm: surfaces are smooth, so linear interpolation between is exact enough."""
LOW = np.array([-230.0, -170.0, -215.0])
HIGH = np.array([230.0, 160.0, 185.0])


def template_axes() -> tuple[Field, Field, Field]:
    """Broadcastable template coordinates x, y, z of the field grid, arrays in (z, y, x) order."""
    x, y, z = (np.arange(low, high + STEP / 2, STEP, dtype=np.float32) for low, high in zip(LOW, HIGH, strict=True))
    return x[None, None, :], y[None, :, None], z[:, None, None]


def ellipsoid(x: Field, y: Field, z: Field, centre: npt.ArrayLike, radii: npt.ArrayLike) -> Field:
    """Approximate signed distance to an ellipsoid: f(f - 1) / g with f, g the scaled norms (Inigo Quilez's bound)."""
    c, r = np.asarray(centre, np.float32), np.asarray(radii, np.float32)
    u, v, w = (x - c[0]) / r[0], (y - c[1]) / r[1], (z - c[2]) / r[2]
    f = np.sqrt(u * u + v * v + w * w)
    u, v, w = u / r[0], v / r[1], w / r[2]
    g = np.sqrt(u * u + v * v + w * w)
    return (f * (f - 1) / np.maximum(g, 1e-6)).astype(np.float32)


def smooth_min(a: Field, b: Field, k: float) -> Field:
    """Union of two signed distances with a fillet of about `k` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def oval(
    x: Field, y: Field, z: Field, levels: Sequence[float], tables: Sequence[Sequence[float]], power: float
) -> Field:
    """Signed distance (first order) to a stack of superellipses: half width, front and back at each of `levels`."""
    half, front, back = (np.interp(z, levels, table).astype(np.float32) for table in tables)
    half, front, back = (ndimage.gaussian_filter1d(t, 4, axis=0, mode="nearest") for t in (half, front, back))
    centre, depth = (front + back) / 2, (back - front) / 2
    u, v = np.abs(x) / half, np.abs(y - centre) / depth
    f = (u**power + v**power) ** np.float32(1 / power)
    f = np.maximum(f, 1e-3)
    gu, gv = (u / f) ** (power - 1) / half, (v / f) ** (power - 1) / depth
    return ((f - 1) / np.sqrt(gu * gu + gv * gv + 1e-9)).astype(np.float32)
