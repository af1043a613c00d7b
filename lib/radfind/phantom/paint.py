"""Hounsfield units of a scene on a grid, with partial volume at every surface.

Densities are the usual ones of unenhanced chest CT at 120 kV.
"""

from __future__ import annotations

import numpy as np

from radfind.phantom import confounders
from radfind.phantom.grid import coordinates, sub_geometry
from radfind.phantom.lesions import FOCAL, PLEURAL
from radfind.phantom.shapes import Field
from radfind.phantom.view import View

# Width in mm over which infiltrates fade into the lung around them.
_SOFT_EDGE = {"consolidation": 5.0, "ground_glass_opacity": 6.0, "ground_glass_nodule": 1.5, "part_solid_nodule": 1.5}


def coverage(distance: Field, width: float) -> Field:
    """Share of a voxel of `width` mm that lies inside a surface at signed `distance`."""
    share = distance * np.float32(-1 / width)
    share += np.float32(0.5)
    return np.clip(share, 0, 1, out=share)


def sheet(distance: Field, thickness: float, width: float) -> Field:
    """Share of a voxel of `width` mm that a sheet of `thickness` mm fills; `distance` is signed, from its middle."""
    half = np.float32(thickness / 2)
    return coverage(distance - half, width) - coverage(distance + half, width)


def over(hu: Field, share: Field, value: Field | float) -> None:
    """Paint `value` over `hu` in place, as much as `share` says."""
    hu += share * (value - hu)


def paint(view: View, width: float) -> Field:
    """Noise-free HU at the voxel centres; `width` (mm) is the voxel size used for partial volume."""
    texture = view.texture
    hu = np.full(view.geometry.shape, -1000, np.float32)
    _table(view, width, hu)
    _soft_tissue(view, width, hu, texture)
    _belly(view, width, hu, texture)
    _bones(view, width, hu, texture)
    if "chest_wall_air" in view.scene.extras:
        over(hu, coverage(view.tubes("wall_air"), width) * coverage(view.field("body") + 4, width), -960)
    _lungs(view, width, hu, texture)
    return hu


def _table(view: View, width: float, hu: Field) -> None:
    """A curved carbon-fibre shell with foam inside, and the mattress that the patient lies on."""
    points = coordinates(view.geometry)
    x, y = points[0] - np.float32(view.scene.table[0]), points[1] - np.float32(view.scene.table[1])
    depth = 34 - 22 * np.clip(x / 230, -1, 1) ** 2
    inside = np.maximum(np.maximum(-y, y - depth), np.abs(x) - 215)
    over(hu, coverage(inside, width), -60)
    over(hu, coverage(inside + 2.5, width), -945)
    over(hu, coverage(np.maximum(np.maximum(y + 1, -y - 16), np.abs(x) - 190), width), -930)


def _soft_tissue(view: View, width: float, hu: Field, texture: Field) -> None:
    """Skin, fat, muscle, and the contents of the mediastinum."""
    body = view.field("body")
    over(hu, coverage(body, width), 25)
    over(hu, coverage(body + 1.8, width), -103 + 5 * texture)
    # Gland strands in the breasts, fat strands in the muscles.
    over(hu, coverage(np.maximum(view.field("gland"), 3 * (0.35 - texture)), 2 * width), 30)
    flesh = 25.0 if "fatty_muscle" in view.scene.extras else 54.0
    strands = np.where(texture > 1.25, np.float32(-40), np.float32(flesh)) + 4 * texture
    over(hu, coverage(view.field("muscle"), width), strands)
    over(hu, coverage(view.field("cavity") + 1, width), -92 + 10 * texture)
    heart = view.field("heart")
    over(hu, coverage(heart, width), -85)  # fat under the epicardium
    if "pericardial_fluid" in view.scene.extras:
        over(hu, coverage(heart + 1, width), 12)
    over(hu, coverage(heart + (10 if "pericardial_fluid" in view.scene.extras else 3) + 1.5 * texture, width), 48)
    over(hu, coverage(heart + 13, width), 38)
    over(hu, coverage(view.field("crus"), width), 50)


def _belly(view: View, width: float, hu: Field, texture: Field) -> None:
    """Liver, spleen, stomach with its gas, and the tubes of the mediastinum."""
    aside = 0.0
    if "ascites" in view.scene.extras:
        aside = 11.0 * view.scene.patient.scale
        fluid = np.minimum(view.field("liver"), view.field("spleen") - np.float32(aside))
        over(hu, coverage(np.maximum(fluid, view.field("cavity") + 4), width), 9)
    over(hu, coverage(view.field("liver") + np.float32(aside), width), 58 + 3 * texture)
    over(hu, coverage(view.field("spleen") + np.float32(aside / 3), width), 48 + 3 * texture)
    stomach = view.field("stomach")
    over(hu, coverage(stomach, width), 40)
    # Supine: gas collects at the front of the stomach, above the fluid level.
    level = (view.template_y + 34) * np.float32(view.scene.patient.scale)
    over(hu, coverage(np.maximum(stomach + 4, -level), width), 15)
    over(hu, coverage(np.maximum(stomach + 4, level), width), -985)
    over(hu, coverage(view.tubes("nodes"), width), 35)
    over(hu, coverage(view.tubes("great"), width), 43)
    over(hu, coverage(view.tubes("gullet"), width), 36)
    if "gullet_air" in view.scene.extras:
        over(hu, coverage(view.distance_to(view.scene.gullet.grown(3.5)), width), 36)
        over(hu, coverage(view.distance_to(view.scene.gullet.grown(1.0)), width), -980)
    if "colon_gas" in view.scene.extras:
        over(hu, coverage(view.field("colon"), width), 42)
        over(hu, coverage(view.field("colon") + 2.5, width), -985)


def _bones(view: View, width: float, hu: Field, texture: Field) -> None:
    spine = view.field("spine")
    over(hu, coverage(spine, width), 420)
    over(hu, coverage(spine + 1.6, width), 165 + 25 * texture)
    over(hu, coverage(view.tubes("cartilage"), width), 95)
    over(hu, coverage(view.tubes("blades"), width), 480)
    for name, shell in (("ribs", 1.3), ("girdle", 1.5)):
        over(hu, coverage(view.tubes(name), width), 720)
        over(hu, coverage(view.distance_to(getattr(view.scene, name).grown(-shell)), width), 190 + 30 * texture)


def _lungs(view: View, width: float, hu: Field, texture: Field) -> None:
    """Parenchyma, fissures, vessels and airways, with the lesions between them in the order in which they hide."""
    patient = view.scene.patient
    air = patient.parenchyma + np.float32(patient.gradient) * (view.template_y + 60) + 14 * texture
    right, left = view.field("lung_right"), view.field("lung_left")
    inside = coverage(np.minimum(right, left), width)
    over(hu, inside, air)
    if "dependent" in view.scene.extras:
        confounders.dependent_haze(view, hu, np.minimum(right, left))
    for lung, fissure in ((right, view.field("major_right")), (left, view.field("major_left"))):
        over(hu, sheet(fissure, 0.7, width) * coverage(lung + 0.5, width), -560)
    minor = sheet(view.field("minor_right"), 0.6, width) * (view.field("major_right") > 0)
    over(hu, minor * coverage(right + 0.5, width), -600)
    _lesions(view, width, hu, texture, ("emphysema",))
    _lesions(view, width, hu, texture, ("ground_glass_opacity",))
    over(hu, coverage(view.tubes("vessels"), width) * inside, 42)
    _lesions(view, width, hu, texture, ("atelectasis", "consolidation"))
    over(hu, coverage(view.tubes("airway_walls"), width), 20)
    over(hu, coverage(view.tubes("airways"), width), -990)
    _lesions(view, width, hu, texture, FOCAL)
    _lesions(view, width, hu, texture, PLEURAL)


def _lesions(view: View, width: float, hu: Field, texture: Field, kinds: tuple[str, ...]) -> None:
    for number, lesion in enumerate(view.scene.lesions):
        if lesion.spec.kind in kinds:
            _lesion(view, number, width, hu, texture)


def _lesion(view: View, number: int, width: float, hu: Field, texture: Field) -> None:
    lesion = view.scene.lesions[number]
    found = view.lesion(number)
    if found is None:
        return
    box, distance = found
    part = hu[box]
    share = coverage(distance, width)
    softness = _SOFT_EDGE.get(lesion.spec.kind)
    if softness is not None:  # an ill-defined margin, but sharp where lung or lobe ends
        uncut = view.uncut(number)
        border = coverage(np.where(distance > uncut, distance, -1e3), width)
        share = border * coverage(uncut + 0.25 * softness * texture[box], max(softness, width))
    ground_glass = lesion.spec.kind in ("ground_glass_nodule", "ground_glass_opacity", "part_solid_nodule")
    value = lesion.hu + (25 if ground_glass else 12 if softness else 4) * texture[box]
    # Ground glass veils what lies under it: vessels stay visible.
    over(part, share, np.maximum(part, value) if ground_glass else value)
    if lesion.core is not None:
        points = coordinates(sub_geometry(view.geometry, box))
        inner = np.maximum(lesion.core.distance(points), distance)
        over(part, coverage(inner, width), 520 if "calcified" in lesion.spec.attributes else 25)
    lung = view.field(f"lung_{lesion.side}")
    if len(lesion.spicules):
        over(hu, coverage(view.distance_to(lesion.spicules), width) * coverage(lung, width), lesion.hu)
    if lesion.spec.kind == "pneumothorax":  # the visceral pleura
        over(part, sheet(lung, 0.6, width) * (distance < 2), -150)
