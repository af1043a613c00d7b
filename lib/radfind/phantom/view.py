"""A scene seen on one voxel grid: signed distances at its voxel centres, each computed once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from radfind.phantom.grid import box_slices, coordinates, sample, sub_geometry
from radfind.phantom.lesions import PLEURAL
from radfind.phantom.scene import Lesion, Scene
from radfind.phantom.shapes import Field
from radfind.phantom.tubes import Tubes, tube_distance
from radfind.volume import Geometry

FAR = 60.0
"""Distance (template mm) given where a structure is too far off to matter."""

Box = tuple[slice, slice, slice]


class View:
    """All distances in mm, negative inside, float32 (k, j, i)."""

    def __init__(self, scene: Scene, geometry: Geometry) -> None:
        self.scene = scene
        self.geometry = geometry
        self._fields: dict[str, Field] = {}
        self._tubes: dict[str, Field] = {}
        self._lesions: dict[int, tuple[Box, Field, Field] | None] = {}

    def field(self, name: str) -> Field:
        """Distance to a structure kept as a template field (do not change the array)."""
        if name not in self._fields:
            scale = np.float32(self.scene.patient.scale)
            outside = 0.0 if name == "texture" else FAR
            out = np.full(self.geometry.shape, outside * scale, np.float32)
            box = box_slices(self.geometry, *self.scene.bounds[name], self.scene.patient.matrix)
            if box is not None:
                part = sub_geometry(self.geometry, box)
                out[box] = sample(self.scene.images[name], part, self.scene.to_template, outside) * scale
            self._fields[name] = out
        return self._fields[name]

    @property
    def texture(self) -> Field:
        """Smooth random field of unit variance, fixed in the patient."""
        return self.field("texture") / np.float32(self.scene.patient.scale)

    @property
    def template_y(self) -> Field:
        """Depth from front to back in template mm."""
        matrix = (self.scene.to_template @ self.geometry.affine)[1].astype(np.float32)
        k, j, i = (np.arange(n, dtype=np.float32) for n in self.geometry.shape)
        return (matrix[2] * k + matrix[3])[:, None, None] + (matrix[1] * j)[None, :, None] + matrix[0] * i

    def tubes(self, name: str) -> Field:
        """Distance to the tubes that the scene keeps under `name`."""
        if name not in self._tubes:
            self._tubes[name] = self.distance_to(getattr(self.scene, name))
        return self._tubes[name]

    def distance_to(self, tubes: Tubes) -> Field:
        return tube_distance(self.geometry, tubes, margin=2.0)

    def lobe(self, side: str, lobe: str) -> Field:
        """Distance to a lobe's side of the fissures (not cut by the lung)."""
        major = self.field(f"major_{side}")
        if lobe == "lower":
            return major
        if side == "left":
            return -major
        minor = self.field("minor_right")
        return np.maximum(-major, minor if lobe == "middle" else -minor)

    def lesion(self, number: int) -> tuple[Box, Field] | None:
        """Distance to a lesion (0-based) in the box that holds it, or None when the grid misses it."""
        found = self._cached(number)
        return None if found is None else (found[0], found[1])

    def lesion_mask(self, number: int) -> tuple[Box, npt.NDArray[np.bool_]] | None:
        """Which voxel centres lie in a lesion (0-based), in the box of `lesion`.

        Emphysema is lung without tissue: the vessels and bronchi that cross it are none.
        """
        found = self.lesion(number)
        if found is None:
            return None
        box, distance = found
        mask = distance < 0
        if self.scene.lesions[number].spec.kind == "emphysema":
            mask &= (self.tubes("vessels")[box] >= 0) & (self.tubes("airway_walls")[box] >= 0)
        return box, mask

    def uncut(self, number: int) -> Field:
        """As `lesion`, but not cut by the lung and the lobe; only where `lesion` is not None."""
        found = self._cached(number)
        assert found is not None
        return found[2]

    def _cached(self, number: int) -> tuple[Box, Field, Field] | None:
        if number not in self._lesions:
            self._lesions[number] = self._lesion(self.scene.lesions[number])
        return self._lesions[number]

    def _lesion(self, lesion: Lesion) -> tuple[Box, Field, Field] | None:
        if lesion.spec.kind in PLEURAL:
            k, j, i = self.geometry.shape
            layer = self.field(f"{lesion.spec.kind}_{lesion.side}")
            return (slice(0, k), slice(0, j), slice(0, i)), layer, layer
        low = np.min([b.centre - b.reach for b in lesion.blobs], axis=0) - 3
        high = np.max([b.centre + b.reach for b in lesion.blobs], axis=0) + 3
        box = box_slices(self.geometry, low, high)
        if box is None:
            return None
        part = sub_geometry(self.geometry, box)
        uncut = np.full(part.shape, FAR, np.float32)
        for blob in lesion.blobs:
            inner = box_slices(part, blob.centre - blob.reach - 3, blob.centre + blob.reach + 3)
            if inner is not None:
                points = coordinates(sub_geometry(part, inner))
                uncut[inner] = np.minimum(uncut[inner], blob.distance(points))
        local = View(self.scene, part)
        distance = np.maximum(uncut, local.field(f"lung_{lesion.side}"))
        if lesion.cut_lobe:
            distance = np.maximum(distance, local.lobe(lesion.side, str(lesion.lobe)))
        return box, distance, uncut
