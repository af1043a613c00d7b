"""A closed surface around a point, found on rays: the shape model behind clicks and boxes.

From a centre, rays leave in all directions; on each the surface has one radius. Region terms along the ray pull it to
where the object's densities end, neighbours on the sphere hold it together, so that a vessel (a few rays) cannot carry
it away and a chest wall of the same density (many rays without an edge) is bridged by the membrane spanned between
the rays that have one. The idea is that of optimal surfaces on a graph of rays (Li et al., IEEE TPAMI 2006); the
minimum is found by mean-field annealing, which for quadratic coupling needs only the neighbours' mean radius.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.interactive.patch import Floats, Patch
from radfind.engines.builtin.interactive.sphere import sphere

STEPS = 48
"""Radii tried on each ray."""

REACH = 2.0
"""The longest radius tried, in expected radii."""

_FAR = 1e3


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """Radii on the rays of `sphere()` about a centre.

    Arguments:
        centre: position in mm.
        axes: mm along (k, j, i): a ray's unit of length in each direction (all alike for a click).
        radii: (rays,) in units of `axes`.
    """

    centre: Floats
    axes: Floats
    radii: Floats

    @property
    def points(self) -> Floats:
        """(rays, 3) positions in mm."""
        return np.asarray(self.centre + sphere().directions * self.axes * self.radii[:, None])

    @property
    def centroid(self) -> Floats:
        """Centre of gravity of the enclosed body, mm."""
        third = float((self.radii**3).sum())
        moment = (sphere().directions * (self.radii**4)[:, None]).sum(axis=0)
        return np.asarray(self.centre + self.axes * 0.75 * moment / max(third, 1e-12))

    @property
    def size(self) -> float:
        """Radius of the ball of the same volume, mm."""
        return float(np.cbrt((self.radii**3).mean() * np.prod(self.axes)))

    def holds(self, position: Floats, slack: float) -> bool:
        """Whether a position (mm) is inside, or outside by at most `slack` mm."""
        offset = (position - self.centre) / self.axes
        away = float(np.linalg.norm(offset))
        ray = int((sphere().directions @ offset).argmax())
        return (away - float(self.radii[ray])) * float(np.cbrt(np.prod(self.axes))) <= slack

    def inside(self, patch: Patch, *, grow: float = 0.0) -> npt.NDArray[np.bool_]:
        """The patch's voxels whose centre is within the surface, moved outwards by `grow` mm."""
        mask = np.zeros(patch.array.shape, bool)
        margin = abs(grow) + 1e-3
        box, positions = patch.voxels_between(self.points.min(0) - margin, self.points.max(0) + margin)
        offsets = (positions - self.centre.astype(np.float32)) / self.axes.astype(np.float32)
        length = np.linalg.norm(offsets, axis=-1)
        limit = sphere().interpolate(self.radii + grow / float(np.cbrt(np.prod(self.axes))), offsets)
        mask[box] = length <= limit
        return mask


@dataclasses.dataclass(frozen=True)
class Model:
    """What the object looks like: a voxel belongs by its value to the degree of `membership`.

    Arguments:
        low, high: values half-way to the darker and brighter surroundings; infinite when there are none.
        low_width, high_width: how gradual the change is.
    """

    low: float
    high: float
    low_width: float
    high_width: float

    def membership(self, values: Floats) -> Floats:
        """0..1; unknown values (NaN, beyond the scan) do not belong."""
        with np.errstate(over="ignore", invalid="ignore"):
            result = 1.0 / (1.0 + np.exp(-np.clip((values - self.low) / self.low_width, -30, 30)))
            result *= 1.0 / (1.0 + np.exp(-np.clip((self.high - values) / self.high_width, -30, 30)))
        return np.nan_to_num(result, nan=0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Bounds:
    """Hard limits of the radii on each ray, in units of the axes: what points and boxes demand."""

    low: Floats
    high: Floats

    @classmethod
    def free(cls) -> Bounds:
        count = len(sphere().directions)
        return cls(np.zeros(count), np.full(count, np.inf))


def fit(
    patch: Patch,
    centre: Floats,
    axes: Floats,
    model: Model,
    bounds: Bounds,
    *,
    stiffness: float = 0.5,
    prior: float = 2.0,
) -> Surface:
    """The surface of least energy about `centre`.

    Arguments:
        axes: expected half axes, mm.
        stiffness: weight of a squared difference of one radial step between neighbours.
        prior: how strongly radii beyond the expected ones are held back.
    """
    rays = sphere()
    ticks = (np.arange(STEPS) + 1.0) * (REACH / STEPS)
    positions = centre + rays.directions[:, None, :] * axes * ticks[None, :, None]
    belongs = model.membership(patch.sample(patch.array, positions))
    excess = np.maximum(0.0, ticks - 1.1) * prior
    # Including the stretch up to a radius costs where it does not belong and pays where it does.
    data = np.cumsum(0.5 - belongs + excess, axis=1) - 0.5 * (0.5 - belongs)
    data[ticks[None, :] < bounds.low[:, None] - 1e-9] += _FAR
    data[ticks[None, :] > np.maximum(bounds.high, ticks[0])[:, None] + 1e-9] += _FAR
    data = data.astype(np.float32)
    steps = np.arange(STEPS, dtype=np.float32)
    radius = np.full(len(rays.directions), STEPS / REACH - 1.0, np.float32)
    for temperature in np.geomspace(4.0, 0.25, 40):
        around = radius[rays.neighbours].mean(axis=1)
        energy = data + stiffness * (steps - around[:, None]) ** 2
        weight = np.exp(-(energy - energy.min(axis=1, keepdims=True)) / temperature)
        radius = (weight * steps).sum(axis=1) / weight.sum(axis=1)
    return Surface(centre, axes, (radius.astype(float) + 1.0) * (REACH / STEPS))
