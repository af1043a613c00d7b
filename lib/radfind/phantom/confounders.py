"""What is no finding but may be mistaken for one: asked for by name, drawn from a source of its own.

A phantom without confounders is the same, voxel for voxel, whether or not this module exists.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import numpy as np

from radfind.phantom.patient import Patient
from radfind.phantom.shapes import Field, ellipsoid, template_axes
from radfind.phantom.tubes import Tubes

if TYPE_CHECKING:
    from radfind.phantom.view import View

Confounder = Literal[
    "paravertebral",
    "dependent",
    "motion",
    "chest_wall_air",
    "colon_gas",
    "gullet_air",
    "ascites",
    "pericardial_fluid",
    "deep_breath",
    "fatty_muscle",
]
"""paravertebral: lungs that end beside the spine (without it they meet behind it, which real ones do not);
dependent: the haze of lung that lies lowest; motion: breathing during the scan; chest_wall_air: subcutaneous emphysema;
colon_gas: bowel between liver and diaphragm; gullet_air: a wide gullet full of air; ascites; pericardial_fluid;
deep_breath: normal lung at -920 HU; fatty_muscle: muscle of 25 HU."""

MOTION_MM = 5.0


def breathed_in(patient: Patient) -> Patient:
    """The patient at full inspiration: thin, even lung."""
    return dataclasses.replace(patient, parenchyma=-918.0, gradient=0.25)


def shape_lungs(fields: dict[str, Field], patient: Patient) -> None:
    """Keep the lungs out of the space behind the vertebrae."""
    x, y, z = template_axes()
    spine_x, spine_y = (t.astype(np.float32) for t in patient.spine(z))
    behind = np.maximum(np.abs(x - spine_x) - 21, spine_y - 6 - y)
    for name in ("lung_right", "lung_left"):
        fields[name] = np.maximum(fields[name], -behind).astype(np.float32)


def add_colon(fields: dict[str, Field], patient: Patient) -> None:
    """A gas-filled loop in front of the liver, right under the diaphragm."""
    x, y, z = template_axes()
    loop = ellipsoid(x, y, z, (-62, -48, patient.dome[0] - 26), (46, 30, 30))
    belly = np.maximum(fields["cavity"] + 4, 3 - fields["floor_lung_right"])
    fields["colon"] = np.maximum(loop, belly).astype(np.float32)


def wall_air(fields: dict[str, Field], patient: Patient, rng: np.random.Generator) -> Tubes:
    """Streaks of air in the fat and muscle of the chest wall, LPS mm."""
    x, y, z = (np.broadcast_to(t, fields["body"].shape) for t in template_axes())
    where = np.flatnonzero((fields["body"] < -6) & (fields["cavity"] > 6) & (np.abs(z) < 110) & (y < 60))
    pick = rng.choice(where, 60, replace=False)
    spots = np.column_stack([t.ravel()[pick] for t in (x, y, z)]).astype(float)
    ends = spots + rng.normal(0, 9, spots.shape)
    radii = rng.uniform(1.0, 3.5, len(spots))
    return Tubes(spots, ends, radii, radii * 0.6).moved(patient.matrix, patient.scale)


def dependent_haze(view: View, hu: Field, lung: Field) -> None:
    """Up to 14 mm of half-aerated lung along the back, fading forwards."""
    scale = np.float32(view.scene.patient.scale)
    low = np.clip((view.template_y - 35) / 30, 0, 1)
    share = np.clip(1 + lung / (14 * scale), 0, 1) * low * (lung < 0) * np.float32(0.8)
    hu += share * (-470 - hu)
