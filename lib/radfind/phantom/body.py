"""The patient: a random adult chest as signed distance fields in a template frame.

Template frame: millimetres of an average adult, x to the left, y to the back, z to the head, origin at the
carina. `Patient.matrix` takes it to LPS (size, position and rotation of this patient). Shapes follow the proportions
of sectional anatomy (ICRP Publication 110 reference phantoms); they are formulas, not copies of anyone's scan.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Field = npt.NDArray[np.float32]

STEP = 2.5
"""Grid step of the fields, template mm: surfaces are smooth, so linear interpolation between is exact enough."""
LOW = np.array([-230.0, -170.0, -215.0])
HIGH = np.array([230.0, 160.0, 185.0])

# Levels (z) of the tables below.
_Z = [-215.0, -180, -140, -100, -60, -20, 20, 50, 75, 95, 110, 125, 150, 190]
# Thoracic cavity (inside of the ribs): half width, front and back.
_CAVITY_HALF_WIDTH = [118.0, 126, 132, 135, 134, 129, 119, 104, 86, 66, 50, 44, 40, 38]
_CAVITY_FRONT = [-88.0, -92, -94, -94, -91, -85, -73, -58, -42, -26, -13, -8, -5, -5]
_CAVITY_BACK = [82.0, 86, 88, 90, 92, 93, 91, 88, 84, 79, 74, 70, 66, 64]
# Skin.
_SKIN_HALF_WIDTH = [152.0, 160, 166, 170, 173, 176, 180, 183, 184, 183, 181, 176, 160, 120]
_SKIN_FRONT = [-112.0, -116, -118, -119, -118, -114, -104, -92, -80, -70, -64, -60, -58, -56]
_SKIN_BACK = [112.0, 114, 116, 118, 121, 124, 126, 127, 126, 124, 121, 118, 112, 104]


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


def oval(x: Field, y: Field, z: Field, tables: tuple[list[float], list[float], list[float]], power: float) -> Field:
    """Signed distance (first order) to a stack of superellipses given by half width, front and back per level."""
    half, front, back = (np.interp(z, _Z, table).astype(np.float32) for table in tables)
    half, front, back = (ndimage.gaussian_filter1d(t, 4, axis=0, mode="nearest") for t in (half, front, back))
    centre, depth = (front + back) / 2, (back - front) / 2
    u, v = np.abs(x) / half, np.abs(y - centre) / depth
    f = (u**power + v**power) ** np.float32(1 / power)
    f = np.maximum(f, 1e-3)
    gu, gv = (u / f) ** (power - 1) / half, (v / f) ** (power - 1) / depth
    return ((f - 1) / np.sqrt(gu * gu + gv * gv + 1e-9)).astype(np.float32)


def cavity_outline(z: npt.ArrayLike) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Half width, front and back of the rib cage's inside at height z."""
    half, front, back = (np.interp(z, _Z, t) for t in (_CAVITY_HALF_WIDTH, _CAVITY_FRONT, _CAVITY_BACK))
    return half, front, back


def organ_fields(patient: Patient, rng: np.random.Generator) -> dict[str, Field]:
    """Signed distances (template mm, negative inside) of the large structures on the field grid."""
    x, y, z = template_axes()
    fields: dict[str, Field] = {}
    cavity = oval(x, y, z, (_CAVITY_HALF_WIDTH, _CAVITY_FRONT, _CAVITY_BACK), 2.25)
    skin = oval(x, y, z, (_SKIN_HALF_WIDTH, _SKIN_FRONT, _SKIN_BACK), 2.4) - (patient.fat - 10)
    if patient.breasts:
        for side in (-1, 1):
            skin = smooth_min(skin, ellipsoid(x, y, z, (side * 78, -100 - patient.fat, -25), (56, 34, 52)), 12)
    fields["body"] = skin
    # Muscle: inside the fat, and not far from the rib cage except at the shoulders.
    girdle = np.interp(z, [-200, -60, 10, 60, 110, 160], [13, 15, 22, 45, 90, 90]).astype(np.float32)
    fields["muscle"] = np.maximum(skin + patient.fat, cavity - girdle)
    fields["cavity"] = cavity

    spine_x, spine_y = (t.astype(np.float32) for t in patient.spine(z))
    column = np.sqrt((x - spine_x) ** 2 + (y - spine_y) ** 2) - np.float32(21)
    # Mediastinum: a septum that is wide at the great vessels, with heart, aorta and spine bulging from it.
    width_right = np.interp(z, [-180, -60, 0, 50, 110, 150], [20, 22, 22, 22, 20, 30]).astype(np.float32)
    width_left = np.interp(z, [-180, -60, 0, 50, 110, 150], [20, 24, 24, 26, 20, 30]).astype(np.float32)
    narrow = np.interp(y, [-90, -60, -30, 20, 60], [-12, -10, 0, 0, -4]).astype(np.float32)
    septum = np.maximum(x - width_left - narrow, -x - width_right - narrow)
    septum = np.maximum(septum, y - 60)
    hx, hy, hz = patient.heart
    s = patient.heart_size
    # Long axis of the heart to the left, front and down.
    turn = euler((np.deg2rad(12), np.deg2rad(28), np.deg2rad(-32)))
    px, py, pz = x - hx, y - hy, z - hz
    qx, qy, qz = (turn[0, r] * px + turn[1, r] * py + turn[2, r] * pz for r in range(3))
    heart = ellipsoid(qx, qy, qz, (0, 0, 0), (62 * s, 43 * s, 50 * s))
    right_atrium = ellipsoid(x, y, z, (hx - 44, hy + 18, hz + 10), (26 * s, 28 * s, 36 * s))
    heart = np.maximum(smooth_min(heart, right_atrium, 16), cavity + 6)
    heart = np.maximum(heart, z - (hz + 42))
    fields["heart"] = heart
    arch = ellipsoid(x, y, z, (14, 12, 36), (24, 34, 22))
    aorta = np.sqrt((x - 22 - spine_x) ** 2 + (y - spine_y + 12) ** 2) - np.float32(13)
    aorta = np.maximum(aorta, z - 30)
    medial = smooth_min(septum, column, 8)
    medial = smooth_min(medial, heart - 4, 10)
    medial = smooth_min(medial, np.minimum(arch, aorta) - 2, 6)
    for hilum in HILA.values():
        medial = smooth_min(medial, ellipsoid(x, y, z, hilum, (15, 13, 22)), 10)
    fields["mediastinum"] = medial

    for name, sign, top, centre_x in (("lung_right", -1, patient.dome[0], -68), ("lung_left", 1, patient.dome[1], 74)):
        drop_x, drop_y = (x - centre_x) / 72, (y + 18) / np.where(y > -18, 108, 86).astype(np.float32)
        wave = 4 * np.sin(x / 17 + top) * np.sin(y / 23)
        height = top - 72 * (drop_x**2 + drop_y**2) ** np.float32(0.85) + wave
        slope_x = 72 * 1.7 * drop_x / 72
        slope_y = 72 * 1.7 * drop_y / 100
        floor = (height - z) / np.sqrt(1 + 0.6 * (slope_x**2 + slope_y**2))
        floor = np.maximum(floor, -160 - z)
        fields[f"floor_{name}"] = floor
        apex = z - 112 - (3 if sign > 0 else 0)
        lung = np.maximum(cavity + 2.5, -medial)
        lung = np.maximum(lung, np.maximum(floor, np.maximum(apex, -sign * x)))
        fields[name] = ndimage.gaussian_filter(lung, 0.9)
    floor = np.where(x < 0, fields["floor_lung_right"], fields["floor_lung_left"])
    belly = np.maximum(cavity + 3, -np.where(z < -95, floor, np.float32(30)) + 3)
    column_gap = np.maximum(belly, -(column - 2))
    fields["liver"] = np.maximum(column_gap, np.maximum(x - np.float32(28) - 0.25 * y, y - 74))
    stomach = ellipsoid(x, y, z, (66, -22, patient.dome[1] - 62), (48, 52, 46))
    fields["stomach"] = np.maximum(stomach, belly + 4)
    fields["spleen"] = np.maximum(ellipsoid(x, y, z, (98, 50, patient.dome[1] - 62), (34, 42, 50)), belly + 2)
    slope, shift_major, shift_minor = patient.tilt
    bow = 6 * np.sin(x / 31.0) + 4 * np.sin(y / 27.0)
    norm = np.float32(np.sqrt(1 + slope**2))
    fields["major_right"] = (z - (-25 + shift_major + slope * (y - 10)) + bow) / norm
    fields["major_left"] = (z - (-18 - shift_major + slope * (y - 10)) - bow) / norm
    fields["minor_right"] = z - (-12 + shift_minor) + 0.5 * bow - 0.1 * (x + 60)
    grain = rng.standard_normal(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=np.float32)
    grain = ndimage.gaussian_filter(grain, 1.6)
    fields["texture"] = grain / grain.std()
    return {name: np.clip(np.broadcast_to(f, grain.shape), -60, 60).astype(np.float32) for name, f in fields.items()}


HILA = {"right": (-34.0, 16.0, -22.0), "left": (38.0, 18.0, -20.0)}
"""Where vessels and bronchi enter the lungs, template mm."""
