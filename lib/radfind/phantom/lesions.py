"""Lesions: what may be asked for, where it is put, and its exact shape."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal[
    "solid_nodule",
    "part_solid_nodule",
    "ground_glass_nodule",
    "pulmonary_mass",
    "consolidation",
    "ground_glass_opacity",
    "emphysema",
    "atelectasis",
    "pleural_effusion",
    "pneumothorax",
]
Side = Literal["left", "right"]
FOCAL = ("solid_nodule", "part_solid_nodule", "ground_glass_nodule", "pulmonary_mass")
PLEURAL = ("pleural_effusion", "pneumothorax")
LOBES = {"right": ("upper", "middle", "lower"), "left": ("upper", "lower")}


@dataclasses.dataclass(frozen=True)
class LesionSpec:
    """A lesion to put into a phantom; what is None is drawn at random.

    Arguments:
        kind: id of the lexicon's concept.
        side, lobe: where; `lobe` is ignored for the pleural kinds.
        diameter_mm: longest axis of a focal lesion or extent of a diffuse one; for an effusion or pneumothorax the
            greatest depth of the layer.
        attributes: any of "lobulated", "spiculated", "calcified", "juxtapleural", "juxtavascular", "round"
            (focal kinds); "round" makes an exact sphere.
    """

    kind: Kind
    side: Side | None = None
    lobe: Literal["upper", "middle", "lower"] | None = None
    diameter_mm: float | None = None
    attributes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Blob:
    """An ellipsoid in LPS mm, with smooth bumps: the surface is at radius 1 + sum of `bumps` in its own axes.

    Arguments:
        centre: LPS mm.
        radii: half axes, mm.
        axes: 3x3, rows are the unit vectors of the half axes.
        bumps: (n, 5) rows (wave vector x, y, z, phase, amplitude) over the unit direction; empty for an ellipsoid.
    """

    centre: npt.NDArray[np.float64]
    radii: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    bumps: npt.NDArray[np.float64]

    @property
    def reach(self) -> float:
        """Radius of a ball that holds the lesion, mm."""
        return float(self.radii.max() * (1 + np.abs(self.bumps[:, 4]).sum()))

    def distance(self, lps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """First-order signed distance in mm (negative inside, zero exactly on the surface) of points (3, ...)."""
        offset = lps - self.centre.astype(np.float32).reshape(3, *[1] * (lps.ndim - 1))
        local = np.einsum("ab,b...->a...", (self.axes / self.radii[:, None]).astype(np.float32), offset)
        norm = np.sqrt((local**2).sum(axis=0))
        unit = local / np.maximum(norm, 1e-6)
        surface = np.ones_like(norm)
        for *wave, phase, amplitude in self.bumps:
            turn = np.einsum("a,a...->...", np.array(wave, np.float32), unit)
            surface += np.float32(amplitude) * np.sin(turn + np.float32(phase))
        slope = np.einsum("a...,a->...", unit**2, (1 / self.radii**2).astype(np.float32))
        return (norm - surface) / np.sqrt(np.maximum(slope, 1e-9))


def make_blob(
    rng: np.random.Generator,
    centre: npt.ArrayLike,
    diameter: float,
    *,
    attributes: tuple[str, ...] = (),
    roughness: float = 0.03,
) -> Blob:
    """A random blob whose longest axis is `diameter` mm."""
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    radii = diameter / 2 * np.array([1.0, rng.uniform(0.74, 0.95), rng.uniform(0.7, 0.95)])
    if "round" in attributes:
        return Blob(np.asarray(centre, float), np.full(3, diameter / 2), axes, np.zeros((0, 5)))
    if "lobulated" in attributes:
        roughness = 0.1
    waves = rng.normal(0, 1, (5, 3))
    waves *= (rng.uniform(2.5, 5.5, 5) / np.linalg.norm(waves, axis=1))[:, None]
    bumps = np.column_stack([waves, rng.uniform(0, 2 * np.pi, 5), rng.uniform(0.4, 1, 5) * roughness])
    return Blob(np.asarray(centre, float), radii, axes, bumps)
