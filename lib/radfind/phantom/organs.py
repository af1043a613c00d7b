"""The large structures of the chest as signed distance fields in the template frame.

Shapes follow the proportions of sectional anatomy (ICRP Publication 110 reference phantoms); they are formulas,
not copies of anyone's scan.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from radfind.phantom.patient import HILA, Patient, euler
from radfind.phantom.shapes import Field, ellipsoid, oval, smooth_min, template_axes

Fields = dict[str, Field]

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


def cavity_outline(z: npt.NDArray[np.float64]) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Half width, front and back of the rib cage's inside at height z."""
    half, front, back = (np.interp(z, _Z, t) for t in (_CAVITY_HALF_WIDTH, _CAVITY_FRONT, _CAVITY_BACK))
    return half, front, back


def organ_fields(patient: Patient, rng: np.random.Generator) -> Fields:
    """Signed distances (template mm, negative inside) on the template grid, and the random "texture"."""
    x, y, z = template_axes()
    fields: Fields = {}
    _chest_wall(fields, patient)
    _mediastinum(fields, patient)
    _lungs(fields, patient)
    _fissures(fields, patient)
    _belly(fields, patient)
    grain = rng.standard_normal(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=np.float32)
    grain = ndimage.gaussian_filter(grain, 1.4)
    fields["texture"] = grain / grain.std()
    return {name: np.clip(np.broadcast_to(f, grain.shape), -60, 60).astype(np.float32) for name, f in fields.items()}


def _chest_wall(fields: Fields, patient: Patient) -> None:
    """Skin, breast glands, muscle, and the inside of the rib cage."""
    x, y, z = template_axes()
    cavity = oval(x, y, z, _Z, (_CAVITY_HALF_WIDTH, _CAVITY_FRONT, _CAVITY_BACK), 2.25)
    skin = oval(x, y, z, _Z, (_SKIN_HALF_WIDTH, _SKIN_FRONT, _SKIN_BACK), 2.4) - (patient.fat - 10)
    gland = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), 60, np.float32)
    if patient.breasts:
        for side in (-1, 1):
            skin = smooth_min(skin, ellipsoid(x, y, z, (side * 78, -100 - patient.fat, -25), (56, 34, 52)), 12)
            gland = np.minimum(gland, ellipsoid(x, y, z, (side * 80, -108 - patient.fat, -26), (34, 17, 32)))
    fields["gland"] = gland
    fields["body"] = skin
    # Chest wall: intercostal layer, and the big muscles around it; fat planes lie between.
    girdle = np.interp(z, [-200, -60, 10, 60, 110, 160], [10, 11, 12, 20, 60, 80]).astype(np.float32)
    wall = cavity - girdle
    lateral = np.abs(x)
    bulges = [
        ((26, 96, -20), (28, 20, 260)),  # erector spinae
        ((88, -62, 46), (58, 22, 48)),  # pectoralis
        ((138, 30, 10), (22, 52, 110)),  # latissimus and serratus
        ((104, 88, 60), (46, 24, 62)),  # muscles of the shoulder blade
        ((60, 80, 110), (70, 26, 60)),  # trapezius
        ((148, 40, 130), (34, 44, 60)),  # shoulder
    ]
    for centre, radii in bulges:
        wall = smooth_min(wall, ellipsoid(lateral, y, z, centre, radii), 5)
    fields["muscle"] = np.maximum(skin + patient.fat, wall)
    fields["cavity"] = cavity


def _spine_column(patient: Patient, radius: float) -> Field:
    x, y, z = template_axes()
    spine_x, spine_y = (t.astype(np.float32) for t in patient.spine(z))
    return np.sqrt((x - spine_x) ** 2 + (y - spine_y) ** 2) - np.float32(radius)


def _heart(patient: Patient) -> Field:
    """Ventricles as an ellipsoid whose long axis points left, forward and down, with the right atrium beside it."""
    x, y, z = template_axes()
    hx, hy, hz = patient.heart
    s = patient.heart_size
    turn = euler((np.deg2rad(12), np.deg2rad(28), np.deg2rad(-32)))
    px, py, pz = x - hx, y - hy, z - hz
    qx, qy, qz = (turn[0, r] * px + turn[1, r] * py + turn[2, r] * pz for r in range(3))
    heart = ellipsoid(qx, qy, qz, (0, 0, 0), (62 * s, 43 * s, 50 * s))
    right_atrium = ellipsoid(x, y, z, (hx - 44, hy + 18, hz + 10), (26 * s, 28 * s, 36 * s))
    return np.maximum(smooth_min(heart, right_atrium, 16), z - (hz + 42))


def _mediastinum(fields: Fields, patient: Patient) -> None:
    """A septum that is wide at the great vessels, with heart, aorta, spine and hila bulging from it."""
    x, y, z = template_axes()
    spine_x, spine_y = (t.astype(np.float32) for t in patient.spine(z))
    width_right = np.interp(z, [-180, -60, 0, 50, 110, 150], [20, 22, 22, 22, 20, 30]).astype(np.float32)
    width_left = np.interp(z, [-180, -60, 0, 50, 110, 150], [20, 24, 24, 26, 20, 30]).astype(np.float32)
    narrow = np.interp(y, [-90, -60, -30, 20, 60], [-12, -10, 0, 0, -4]).astype(np.float32)
    ripple = 2.5 * np.sin(z / 19.0 + y / 31.0) + 2 * np.sin(y / 15.0 - z / 37.0)
    septum = np.maximum(x - width_left - narrow - ripple, -x - width_right - narrow + ripple)
    septum = np.maximum(septum, y - 60).astype(np.float32)
    heart = np.maximum(_heart(patient), fields["cavity"] + 6)
    fields["heart"] = heart
    arch = ellipsoid(x, y, z, (14, 12, 36), (24, 34, 22))
    aorta = np.sqrt((x - 22 - spine_x) ** 2 + (y - spine_y + 12) ** 2) - np.float32(13)
    aorta = np.maximum(aorta, z - 30)
    medial = smooth_min(septum, _spine_column(patient, 21), 8)
    medial = smooth_min(medial, heart - np.float32(4), 10)
    medial = smooth_min(medial, np.minimum(arch, aorta) - np.float32(2), 6)
    for hilum in HILA.values():
        medial = smooth_min(medial, ellipsoid(x, y, z, hilum, (15, 13, 22)), 10)
    fields["mediastinum"] = medial


def _lungs(fields: Fields, patient: Patient) -> None:
    """The rest of the rib cage above the diaphragm's domes and below a rounded apex."""
    x, y, z = template_axes()
    cavity, medial = fields["cavity"], fields["mediastinum"]
    for name, sign, top, centre_x in (("lung_right", -1, patient.dome[0], -68), ("lung_left", 1, patient.dome[1], 74)):
        drop_x, drop_y = (x - centre_x) / 72, (y + 18) / np.where(y > -18, 108, 86).astype(np.float32)
        wave = 4 * np.sin(x / 17 + top) * np.sin(y / 23)
        height = top - 72 * (drop_x**2 + drop_y**2) ** np.float32(0.85) + wave
        slope_x = 72 * 1.7 * drop_x / 72
        slope_y = 72 * 1.7 * drop_y / 100
        floor = (height - z) / np.sqrt(1 + 0.6 * (slope_x**2 + slope_y**2))
        floor = np.maximum(floor, -160 - z)
        fields[f"floor_{name}"] = floor
        round_x, round_y = (x - sign * 46) / 44, (y - 26) / 52
        apex = z - 118 + 30 * (round_x**2 + round_y**2) ** np.float32(1.5) - 2 * np.maximum(50 - z, 0)
        apex = apex * np.float32(0.6)
        lung = np.maximum(cavity + 2.5, -medial)
        lung = np.maximum(lung, np.maximum(floor, np.maximum(apex, -sign * x)))
        fields[name] = ndimage.gaussian_filter(lung, 0.9)


def _fissures(fields: Fields, patient: Patient) -> None:
    """Gently bowed planes; "major_*" is negative in the lower lobe, "minor_right" in the middle lobe."""
    x, y, z = template_axes()
    slope, shift_major, shift_minor = patient.tilt
    bow = 6 * np.sin(x / 31.0) + 4 * np.sin(y / 27.0)
    norm = np.float32(np.sqrt(1 + slope**2))
    fields["major_right"] = (z - (-25 + shift_major + slope * (y - 10)) + bow) / norm
    fields["major_left"] = (z - (-18 - shift_major + slope * (y - 10)) - bow) / norm
    fields["minor_right"] = z - (-12 + shift_minor) + 0.5 * bow - 0.1 * (x + 60)


def _belly(fields: Fields, patient: Patient) -> None:
    """Liver, spleen, stomach and the crura of the diaphragm, under the domes."""
    x, y, z = template_axes()
    cavity = fields["cavity"]
    spine_x, spine_y = (t.astype(np.float32) for t in patient.spine(z))
    floor = np.where(x < 0, fields["floor_lung_right"], fields["floor_lung_left"])
    belly = np.maximum(cavity + 3, 3 - floor)
    column_gap = np.maximum(belly, -_spine_column(patient, 19))
    crus = np.sqrt((x - spine_x) ** 2 + ((y - spine_y + 4) / 0.85) ** 2) - np.float32(27)
    fields["crus"] = np.maximum(np.maximum(crus, z + 95), cavity + 3)
    fields["liver"] = np.maximum(column_gap, np.maximum(x - np.float32(28) - 0.25 * y, y - 74))
    stomach = ellipsoid(x, y, z, (66, -22, patient.dome[1] - 62), (48, 52, 46))
    fields["stomach"] = np.maximum(stomach, belly + 4)
    fields["spleen"] = np.maximum(ellipsoid(x, y, z, (98, 50, patient.dome[1] - 62), (34, 42, 50)), belly + 2)
