"""Straight ways from the skin to a target, with the room they leave to what must not be hit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError
from radfind.measure.distances import SurfaceDistance, contains
from radfind.measure.surface import surface
from radfind.volume import Geometry

Point = tuple[float, float, float]

ROOM_ENOUGH_MM = 10.0
"""More room than this does not make a way better; among such ways the shorter comes first."""

_BORDER = 1.5  # voxels from the edge of the scan


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """One straight way.

    Arguments:
        entry_lps, target_lps: its ends, LPS mm.
        length_mm: between them.
        skin_angle_deg: between the way and the inward normal of the skin at the entry; 0 is straight in.
        axial_angle_deg: between the way and the axial plane, positive when it runs towards the head.
        clearance_mm: to each critical structure, negative when the way enters it.
    """

    entry_lps: Point
    target_lps: Point
    length_mm: float
    skin_angle_deg: float
    axial_angle_deg: float
    clearance_mm: Mapping[str, float]

    @property
    def least_clearance_mm(self) -> float:
        """To the nearest critical structure; inf when there is none."""
        return min(self.clearance_mm.values(), default=float("inf"))


def trajectories(
    target_lps: npt.ArrayLike,
    body: npt.NDArray[np.bool_],
    critical: Mapping[str, npt.NDArray[np.bool_]],
    geometry: Geometry,
    *,
    entry: npt.NDArray[np.bool_] | None = None,
    max_length_mm: float = 150.0,
    min_clearance_mm: float = 3.0,
    max_skin_angle_deg: float = 60.0,
    count: int = 10,
    candidates: int = 1500,
) -> list[Trajectory]:
    """The best ways to a target, most room first, then the shortest; [] when no way keeps the limits.

    Arguments:
        target_lps: where the tip goes.
        body: the patient; its surface is the skin, except where the scan ends. Ways that leave the body between
            entry and target are not taken.
        critical: name to mask of what must not be hit.
        entry: where the skin may be entered, or None for anywhere.
        count: at most this many are returned, their entries at least 10 mm apart.
        candidates: entry points tried, spread evenly over the skin within reach.

    Raises:
        InputError: the target is not inside the body.
    """
    target = np.asarray(target_lps, dtype=float)
    if not contains(body, geometry, target[None])[0]:
        raise InputError(f"The target {target.round(1).tolist()} (LPS mm) is not inside the body.")
    skin = surface(body, geometry)
    lengths = np.linalg.norm(skin.vertices - target, axis=1)
    inwards = (target - skin.vertices) / np.maximum(lengths, 1e-9)[:, None]
    angles = np.degrees(np.arccos(np.clip(-np.sum(inwards * skin.normals, axis=1), -1, 1)))
    # Where the scan ends inside the patient, the body's surface is a cut and no skin.
    index = geometry.to_index(skin.vertices)
    on_skin = np.all((index > _BORDER) & (index < np.asarray(geometry.shape) - 1 - _BORDER), axis=1)
    usable = on_skin & (lengths <= max_length_mm) & (angles <= max_skin_angle_deg)
    if entry is not None:
        usable &= contains(entry, geometry, skin.vertices)
    chosen = _spread(np.flatnonzero(usable), skin.vertices, candidates)
    if not len(chosen):
        return []
    step = min(geometry.spacing) / 2.0
    structures = {
        name: (mask, SurfaceDistance(surface(mask, geometry))) for name, mask in critical.items() if mask.any()
    }
    found = []
    for number in chosen:
        points = _samples(skin.vertices[number], target, step)
        deep = points[np.linalg.norm(points - points[0], axis=1) > 2.0 * max(geometry.spacing)]
        if not contains(body, geometry, deep).all():
            continue
        clearance = {
            name: _clearance(points, mask, distances, geometry) for name, (mask, distances) in structures.items()
        }
        if clearance and min(clearance.values()) < min_clearance_mm:
            continue
        x, y, z = (float(v) for v in skin.vertices[number])
        a, b, c = (float(v) for v in target)
        length = float(lengths[number])
        found.append(
            Trajectory(
                (x, y, z),
                (a, b, c),
                length,
                float(angles[number]),
                float(np.degrees(np.arcsin(np.clip((c - z) / length, -1, 1)))),
                clearance,
            )
        )
    found.sort(key=lambda t: (-min(t.least_clearance_mm, ROOM_ENOUGH_MM), t.length_mm))
    return _apart(found, count)


def clearance_along(
    entry_lps: npt.ArrayLike, target_lps: npt.ArrayLike, structure: npt.NDArray[np.bool_], geometry: Geometry
) -> float:
    """The least distance from a straight way to a structure, mm; negative depth when the way enters it."""
    points = _samples(np.asarray(entry_lps, float), np.asarray(target_lps, float), min(geometry.spacing) / 2.0)
    return _clearance(points, structure, SurfaceDistance(surface(structure, geometry)), geometry)


def _samples(start: npt.NDArray, stop: npt.NDArray, step: float) -> npt.NDArray[np.float64]:
    count = max(int(np.ceil(np.linalg.norm(stop - start) / step)), 1) + 1
    return start + np.linspace(0.0, 1.0, count)[:, None] * (stop - start)


def _clearance(
    points: npt.NDArray, mask: npt.NDArray[np.bool_], distances: SurfaceDistance, geometry: Geometry
) -> float:
    lengths, _ = distances.query(points)
    inside = contains(mask, geometry, points)
    return -float(lengths[inside].max()) if inside.any() else float(lengths.min())


def _spread(numbers: npt.NDArray[np.intp], vertices: npt.NDArray, count: int) -> npt.NDArray[np.intp]:
    """About `count` of the vertices, one for each cell of a grid over them, so that they cover the skin evenly."""
    if len(numbers) <= count:
        return numbers
    size = 1.0
    while True:
        _, first = np.unique(np.floor(vertices[numbers] / size).astype(int), axis=0, return_index=True)
        if len(first) <= count:
            return numbers[np.sort(first)]
        size *= 1.25


def _apart(found: list[Trajectory], count: int, gap_mm: float = 10.0) -> list[Trajectory]:
    kept: list[Trajectory] = []
    for each in found:
        if all(np.linalg.norm(np.subtract(each.entry_lps, other.entry_lps)) >= gap_mm for other in kept):
            kept.append(each)
        if len(kept) == count:
            break
    return kept
