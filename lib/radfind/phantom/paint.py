"""Hounsfield units of a scene on a grid, with partial volume at every surface."""

from __future__ import annotations

import numpy as np

from radfind.phantom.body import Field
from radfind.phantom.lesions import FOCAL
from radfind.phantom.scene import FAR, Lesion, Scene
from radfind.volume import Geometry


def coverage(distance: Field, width: float) -> Field:
    """Share of a voxel of `width` mm that lies inside a surface at signed `distance`."""
    return np.clip(np.float32(0.5) - distance / np.float32(width), 0, 1)


def over(hu: Field, share: Field, value: Field | float) -> None:
    """Paint `value` over `hu` in place, as much as `share` says."""
    hu += share * (value - hu)


def paint(scene: Scene, geometry: Geometry, width: float) -> Field:
    """Noise-free HU at the voxel centres of `geometry`; `width` (mm) is the voxel size used for partial volume."""
    patient = scene.patient

    def field(name: str) -> Field:
        return scene.field(name, geometry)

    def cover(name: str) -> Field:
        return coverage(field(name), width)

    texture = scene.field("texture", geometry, 0.0) / np.float32(patient.scale)
    hu = np.full(geometry.shape, -1000, np.float32)
    body = field("body")
    over(hu, coverage(body, width), 25)
    over(hu, coverage(body + 1.8, width), -103 + 5 * texture)
    muscle = field("muscle")
    strands = np.where(texture > 1.25, np.float32(-40), np.float32(54)) + 4 * texture
    over(hu, coverage(muscle, width), strands)
    cavity = field("cavity")
    over(hu, coverage(cavity + 1, width), -92 + 10 * texture)
    over(hu, cover("heart"), 42 + 2 * texture)
    over(hu, cover("liver"), 58 + 3 * texture)
    over(hu, cover("spleen"), 48 + 3 * texture)
    stomach = field("stomach")
    over(hu, coverage(stomach, width), 40)
    # Supine: gas collects at the front of the stomach, above the fluid level.
    level = _template_y(scene, geometry) + 34
    over(hu, coverage(np.maximum(stomach + 4, -level * patient.scale), width), 15)
    over(hu, coverage(np.maximum(stomach + 4, level * patient.scale), width), -985)
    over(hu, coverage(scene.tubes(scene.great, geometry), width), 43)
    over(hu, coverage(scene.tubes(scene.gullet, geometry), width), 36)
    spine = scene.field("spine", geometry, FAR)
    over(hu, coverage(spine, width), 420)
    over(hu, coverage(spine + 1.6, width), 165 + 25 * texture)
    over(hu, coverage(scene.tubes(scene.cartilage, geometry), width), 95)
    for bones, shell in ((scene.ribs, 1.3), (scene.girdle, 1.5)):
        distance = scene.tubes(bones, geometry)
        over(hu, coverage(distance, width), 720)
        over(hu, coverage(scene.tubes(bones.grown(-shell), geometry), width), 190 + 30 * texture)
    _paint_lungs(scene, geometry, width, hu, texture)
    return hu


def _template_y(scene: Scene, geometry: Geometry) -> Field:
    matrix = scene.to_template @ geometry.affine
    k, j, i = (np.arange(n, dtype=np.float32) for n in geometry.shape)
    row = matrix[1].astype(np.float32)
    return (row[2] * k + row[3])[:, None, None] + (row[1] * j)[None, :, None] + row[0] * i


def _paint_lungs(scene: Scene, geometry: Geometry, width: float, hu: Field, texture: Field) -> None:
    patient = scene.patient
    y = _template_y(scene, geometry)
    air = patient.parenchyma + np.float32(patient.gradient) * (y + 60) + 14 * texture
    lungs = np.minimum(scene.field("lung_right", geometry), scene.field("lung_left", geometry))
    inside = coverage(lungs, width)
    over(hu, inside, air)
    for side in ("right", "left"):
        share = coverage(np.abs(scene.field(f"major_{side}", geometry)) - 0.35, width)
        over(hu, share * coverage(scene.field(f"lung_{side}", geometry) + 0.5, width), -560)
    minor = coverage(np.abs(scene.field("minor_right", geometry)) - 0.3, width)
    minor *= scene.field("major_right", geometry) > 0
    over(hu, minor * coverage(scene.field("lung_right", geometry) + 0.5, width), -600)
    for lesion in scene.lesions:
        if lesion.spec.kind == "emphysema":
            _paint_lesion(scene, lesion, geometry, width, hu, texture)
    for lesion in scene.lesions:
        if lesion.spec.kind == "ground_glass_opacity":
            _paint_lesion(scene, lesion, geometry, width, hu, texture)
    over(hu, coverage(scene.tubes(scene.vessels, geometry), width) * inside, 42)
    for lesion in scene.lesions:
        if lesion.spec.kind in (*FOCAL, "atelectasis", "consolidation"):
            _paint_lesion(scene, lesion, geometry, width, hu, texture)
    wall = coverage(scene.tubes(scene.airways.grown(0.9), geometry), width)
    over(hu, wall, 10)
    over(hu, coverage(scene.tubes(scene.airways, geometry), width), -990)
    for lesion in scene.lesions:
        if lesion.spec.kind in ("pleural_effusion", "pneumothorax"):
            _paint_lesion(scene, lesion, geometry, width, hu, texture)


def _paint_lesion(scene: Scene, lesion: Lesion, geometry: Geometry, width: float, hu: Field, texture: Field) -> None:
    found = scene.lesion_distance(lesion, geometry)
    if found is None:
        return
    box, distance = found
    view = hu[box]
    share = coverage(distance, width)
    ground_glass = lesion.spec.kind in ("ground_glass_nodule", "ground_glass_opacity", "part_solid_nodule")
    value = lesion.hu + (25 if ground_glass else 4) * texture[box]
    # Ground glass veils what lies under it: vessels stay visible.
    over(view, share, np.maximum(view, value) if ground_glass else value)
    if lesion.core is not None:
        from radfind.phantom.grid import coordinates, sub_geometry

        inner = np.maximum(lesion.core.distance(coordinates(sub_geometry(geometry, box))), distance)
        over(view, coverage(inner, width), 520 if "calcified" in lesion.spec.attributes else 25)
    if len(lesion.spicules):
        lung = coverage(scene.field(f"lung_{lesion.side}", geometry), width)
        over(hu, coverage(scene.tubes(lesion.spicules, geometry), width) * lung, lesion.hu)
