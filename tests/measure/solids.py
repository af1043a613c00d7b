"""Solids with known sizes on random oblique, anisotropic grids."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from radfind.volume import Geometry


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """A grid around a point; `inside` takes LPS offsets from that point."""

    geometry: Geometry
    centre: npt.NDArray[np.float64]

    @property
    def diagonal(self) -> float:
        return float(np.linalg.norm(self.geometry.spacing))

    def offsets(self) -> npt.NDArray[np.float64]:
        index = np.stack(np.meshgrid(*map(np.arange, self.geometry.shape), indexing="ij"), -1)
        return self.geometry.to_lps(index) - self.centre

    def ball(self, radius: float, at: npt.ArrayLike = (0, 0, 0)) -> npt.NDArray[np.bool_]:
        return np.linalg.norm(self.offsets() - np.asarray(at), axis=-1) <= radius

    def ellipsoid(self, axes: npt.ArrayLike, turn: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        return np.linalg.norm(self.offsets() @ turn / np.asarray(axes), axis=-1) <= 1

    def box(self, halves: npt.ArrayLike, turn: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        return np.all(np.abs(self.offsets() @ turn) <= np.asarray(halves), axis=-1)

    def capsule(self, half: npt.NDArray[np.float64], radius: float) -> npt.NDArray[np.bool_]:
        return segment_distance(self.offsets(), -half, half) <= radius


def segment_distance(points: npt.NDArray, a: npt.NDArray, b: npt.NDArray) -> npt.NDArray[np.float64]:
    t = np.clip((points - a) @ (b - a) / float((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(points - (a + t[..., None] * (b - a)), axis=-1)


def scene(seed: int, reach: float, *, oblique: bool = True) -> tuple[Scene, np.random.Generator, float]:
    """A scene that holds everything within `reach` times the coarsest spacing, that generator, and that spacing."""
    rng = np.random.default_rng(seed)
    spacing = rng.uniform(0.5, 2.0, 3)
    coarse = float(spacing.max())
    direction = Rotation.random(random_state=seed).as_matrix() if oblique else np.eye(3)
    if seed % 3 == 0:
        direction[:, 0] *= -1  # left-handed grids occur (flipped NIfTI)
    k, j, i = (int(np.ceil(2 * reach * coarse / s)) + 4 for s in spacing)
    geometry = Geometry.from_parts(
        (k, j, i), spacing=tuple(spacing), origin=tuple(rng.uniform(-200, 200, 3)), direction=direction
    )
    centre = geometry.to_lps((np.array([k, j, i]) - 1) / 2 + rng.uniform(-0.5, 0.5, 3))
    return Scene(geometry, centre), rng, coarse


def turn(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
