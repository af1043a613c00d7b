"""Ribs, sternum, clavicles and scapulae as tubes, vertebrae as a fine field."""

from __future__ import annotations

import numpy as np

from radfind.phantom.organs import cavity_outline
from radfind.phantom.patient import Patient
from radfind.phantom.shapes import Field
from radfind.phantom.tubes import Tubes

VERTEBRA = 24.0
"""Height of one vertebra with its disc, template mm."""


def ribs(patient: Patient) -> tuple[Tubes, Tubes]:
    """(bone, cartilage) in template mm: twelve slanted pairs, the upper seven joined to the sternum."""
    bone: list[Tubes] = []
    cartilage: list[Tubes] = []
    for number in range(1, 13):
        z = 118 - (number - 1) * VERTEBRA
        slant = np.interp(number, [1, 3, 7, 12], [30, 48, 72, 55])
        stop = np.interp(number, [1, 2, 7, 10, 11, 12], [150, 150, 135, 118, 95, 70])
        angle = np.deg2rad(np.linspace(10, stop, 44))
        joint = np.deg2rad(np.linspace(stop, 168, 14)) if number <= 7 else np.zeros(0)
        for side in (-1, 1):
            for angles, into in ((angle, bone), (joint, cartilage)):
                if not len(angles):
                    continue
                height = z + 4 - slant * (1 - np.cos(angles)) / 2
                half, front, back = cavity_outline(height)
                power = 2 / 2.25
                x = side * (half + 5) * np.abs(np.sin(angles)) ** power
                cosine = np.cos(angles)
                y = (front + back) / 2 + ((back - front) / 2 + 5) * np.sign(cosine) * np.abs(cosine) ** power
                if into is bone:
                    sx, sy = patient.spine(z)
                    blend = np.clip(np.arange(len(angles)) / 5, 0, 1)
                    x = blend * x + (1 - blend) * (side * 20 + sx)
                    y = blend * y + (1 - blend) * (sy + 16)
                for shift in (-2.6, 2.6):  # a flat rib: two tubes, one above the other
                    into.append(Tubes.along(np.column_stack([x, y, height + shift]), 3.9))
    return Tubes.join(bone), Tubes.join(cartilage)


def girdle() -> Tubes:
    """Sternum, clavicles and upper arms in template mm."""
    parts = []
    z = np.linspace(62, -92, 24)
    _, front, _ = cavity_outline(z)
    for x in np.linspace(-10, 10, 9):
        width = np.where(z > 25, 1.4, 1.0)
        parts.append(Tubes.along(np.column_stack([x * width, front - 8, z]), 5.5))
    for side in (-1, 1):
        parts.append(
            Tubes.along(
                [[side * 16, -64, 72], [side * 60, -66, 92], [side * 105, -38, 108], [side * 138, -8, 118]],
                [8.5, 6, 6, 7.5],
            )
        )
        parts.append(Tubes.along([[side * 150, 48, 112], [side * 160, 30, 150], [side * 162, 20, 190]], [20, 18, 13]))
    return Tubes.join(parts)


def shoulder_blades() -> Tubes:
    """Scapulae with their spines in template mm: thin bone without marrow."""
    parts = []
    for side in (-1, 1):
        for s in np.linspace(0, 1, 24):  # the blade: a fan of thin struts
            top = np.array([side * (92 + 42 * s), 96 - 44 * s, 92 - 2 * s])
            tip = np.array([side * 104, 102.0, -28])
            parts.append(Tubes.along([top, (top + tip) / 2 + [side * 4, 2, 0], tip], [2.6, 1.7, 2.2]))
        parts.append(Tubes.along([[side * 88, 108, 88], [side * 118, 96, 100], [side * 148, 58, 112]], [4, 4, 6]))
    return Tubes.join(parts)


FINE = 1.0
SPINE_LOW = np.array([-48.0, 0.0, -215.0])
SPINE_HIGH = np.array([48.0, 128.0, 185.0])


def vertebrae(patient: Patient) -> Field:
    """Signed distance (template mm) to the vertebral column on a grid of `FINE` mm from SPINE_LOW to SPINE_HIGH."""
    axes = [np.arange(a, b + FINE / 2, FINE, dtype=np.float32) for a, b in zip(SPINE_LOW, SPINE_HIGH, strict=True)]
    x, y, z = axes[0][None, None, :], axes[1][None, :, None], axes[2][:, None, None]
    sx, sy = (t.astype(np.float32) for t in patient.spine(z))
    x, y = x - sx, y - sy
    z = (z + 400) % np.float32(VERTEBRA) - np.float32(VERTEBRA / 2)
    waist = 1.8 * (1 - (z / 10) ** 2)
    disc = np.sqrt((x / 1.18) ** 2 + y**2) - (14.5 - waist)
    body = np.maximum(disc, np.maximum(np.abs(z) - 9.2, y - 12))
    ring = np.abs(np.sqrt((x / 1.1) ** 2 + (y - 22) ** 2) - 11.5) - 3.0
    arch = np.maximum(ring, np.maximum(np.abs(z + 1) - 7.5, 12 - y))
    drop = z + 0.55 * (y - 33)
    spinous = np.maximum(np.maximum(np.abs(x) - 3, np.abs(drop) - 6), np.maximum(30 - y, y - 58))
    side = np.abs(x)
    process = np.maximum(
        np.sqrt((y - 24 - 0.3 * (side - 14)) ** 2 + (z - 2) ** 2) - 5, np.maximum(11 - side, side - 33)
    )
    bone = np.minimum(np.minimum(body, arch), np.minimum(spinous, process))
    return np.clip(np.broadcast_to(bone, (len(axes[2]), len(axes[1]), len(axes[0]))), -20, 20).astype(np.float32)
