"""The patient: a random adult, and the frame that the anatomy is described in.

Template frame: millimetres of an average adult, x to the left, y to the back, z to the head, origin at the
carina. `Patient.matrix` takes it to LPS (size, position and rotation of this patient).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

HILA = {"right": (-34.0, 16.0, -22.0), "left": (38.0, 18.0, -20.0)}
"""Where vessels and bronchi enter the lungs, template mm."""


@dataclasses.dataclass(frozen=True, eq=False)
class Patient:
    """Random anatomy, made by `random_patient`.

    Arguments:
        matrix: 4x4, template to LPS millimetres.
        scale: mean factor of `matrix`, turns template distances into millimetres.
        fat: thickness of the subcutaneous fat, template mm.
        breasts: whether breast tissue is drawn.
        dome: (right, left) height z of the diaphragm domes.
        heart: centre of the heart.
        tilt: slope and shift of the fissures.
        parenchyma: HU of well-aerated lung at the front.
        gradient: HU per mm from front to back.
        spine_bend: sideways curve of the spine, mm.
    """

    matrix: npt.NDArray[np.float64]
    scale: float
    fat: float
    breasts: bool
    dome: tuple[float, float]
    heart: tuple[float, float, float]
    heart_size: float
    tilt: tuple[float, float, float]
    parenchyma: float
    gradient: float
    spine_bend: float

    def to_lps(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """LPS millimetres of template points (..., 3)."""
        return np.asarray(points, dtype=np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def spine(self, z: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray]:
        """(x, y) of the centre of the vertebral bodies at height z: thoracic kyphosis, slight scoliosis."""
        z = np.asarray(z)
        return self.spine_bend * np.sin(z / 90.0), 46 + 12 * np.exp(-(((z - 5) / 95.0) ** 2))


def random_patient(rng: np.random.Generator) -> Patient:
    """Draw body size, position, rotation, and organ positions."""
    size = rng.uniform(0.92, 1.07)
    scale = size * rng.uniform(0.96, 1.04, 3)
    angles = np.deg2rad(rng.uniform(-4, 4, 3))
    rotation = euler(angles)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * scale
    matrix[:3, 3] = rng.uniform((-15, -25, -300), (15, 15, 300))
    return Patient(
        matrix=matrix,
        scale=float(np.mean(scale)),
        fat=float(rng.uniform(6, 22)),
        breasts=bool(rng.random() < 0.5),
        dome=(float(rng.uniform(-112, -88)), float(rng.uniform(-122, -98))),
        heart=(float(rng.uniform(18, 28)), float(rng.uniform(-38, -30)), float(rng.uniform(-72, -60))),
        heart_size=float(rng.uniform(0.9, 1.12)),
        tilt=(float(rng.uniform(0.8, 1.1)), float(rng.uniform(-10, 10)), float(rng.uniform(-10, 10))),
        parenchyma=float(rng.uniform(-890, -850)),
        gradient=float(rng.uniform(0.3, 0.8)),
        spine_bend=float(rng.uniform(-4, 4)),
    )


def euler(angles: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Rotation matrix about x, then y, then z (radians)."""
    a, b, c = np.asarray(angles, dtype=np.float64)
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ ry @ rx
