"""What the built-in engine knows of a CT's anatomy: masks made on first use and kept."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin import airways, bone_parts, bones, lungs, organs, thorax, tissues
from radfind.engines.builtin.coverage import Coverage, coverage
from radfind.engines.builtin.frame import LungFrame, lung_frame
from radfind.engines.builtin.grid import Mask, Overview, box_of, depth, dilate
from radfind.volume import Volume

# Half the width of the mediastinum and spine, within which nothing is chest wall of one side.
MEDIASTINUM_MM = 35.0
# From the bottom of the costophrenic recess to the dome of the diaphragm.
DIAPHRAGM_MM = 110.0

# Other ids of what one mask shows.
ALIASES = {"airway": "airways", "bone": "bones", "skeleton": "bones", "pulmonary_vessel": "vessels"}
SUPPORTED: frozenset[str] = frozenset(
    {
        *("body", "lung", "lung_base", "lung_apex", "airway", "airways", "trachea", "main_bronchus", "bone", "bones"),
        *("skeleton", "fat", "subcutaneous_fat", "visceral_fat", "muscle", "bowel_gas", "calcification"),
        *("vessels", "pulmonary_vessel"),
        *("spine", *bone_parts.NAMES, *organs.NAMES),
    }
)


class Anatomy:
    """Masks of one CT volume, on the grid of ``volume.oriented("LPS")`` (k to head, j to back, i to left).

    Arguments:
        volume: a CT in Hounsfield units, any orientation.
        context: progress and cancellation; None for none.

    Masks are read-only by convention: they are shared between callers.
    """

    def __init__(self, volume: Volume, context: Context | None = None) -> None:
        self.source = volume
        self.volume = volume.oriented("LPS")
        self._context = context or Context()

    @cached_property
    def hu(self) -> npt.NDArray[np.int16]:
        """Hounsfield units (k, j, i), clipped to -1024..3071: padding counts as air, NaN too."""
        array = self.volume.array
        if array.dtype.kind == "f":
            array = np.nan_to_num(array, nan=-1024.0)
        return np.clip(array, -1024, 3071).astype(np.int16)

    @cached_property
    def overview(self) -> Overview:
        """Block means at about 2 mm, for global decisions."""
        return Overview.of(self.hu, self.volume.geometry.spacing)

    @cached_property
    def _body(self) -> Mask:
        self._context.step(0.0, "body")
        return tissues.body_mask(self.overview)

    @cached_property
    def air(self) -> float:
        """Hounsfield units that this scan shows for air."""
        return tissues.air_peak(self.overview.hu, self._body)

    @cached_property
    def _low(self) -> Mask:
        """Aerated lung, possibly with the airways in it."""
        view = self.overview
        return lungs.aerated(view.hu, view.spacing, self._body, self.air)

    @cached_property
    def _airways(self) -> Mask:
        self._context.step(0.1, "airways")
        view = self.overview
        return airways.find_airways(view.hu, view.spacing, self._body, self._low, self.air)

    @cached_property
    def _aerated(self) -> Mask:
        spacing = self.overview.spacing
        return self._low & ~self._free_air & ~dilate(self._airways, 1.01 * max(spacing), spacing)

    @cached_property
    def _free_air(self) -> Mask:
        view = self.overview
        return lungs.free_air(view.hu, view.spacing, self._low, self._airways, self._body, self.air)

    def _coordinate(self, axis: int) -> npt.NDArray[np.float32]:
        """LPS x, y or z of each overview voxel in mm, however the grid is turned."""
        view = self.overview
        row = self.volume.geometry.affine[axis]
        terms = [
            (np.arange(n, dtype=np.float32) * f + np.float32((f - 1) / 2)) * np.float32(row[2 - a])
            for a, (n, f) in enumerate(zip(view.hu.shape, view.factors, strict=True))
        ]
        return terms[0][:, None, None] + terms[1][None, :, None] + terms[2] + np.float32(row[3])

    @cached_property
    def _x(self) -> npt.NDArray[np.float32]:
        return self._coordinate(0)

    @cached_property
    def _y(self) -> npt.NDArray[np.float32]:
        return self._coordinate(1)

    @cached_property
    def _z(self) -> npt.NDArray[np.float32]:
        return self._coordinate(2)

    @cached_property
    def _middle(self) -> float:
        return lungs.midline(self._x, self._body, self._bones, self.overview.spacing)

    @cached_property
    def _cage(self) -> Mask:
        middle_column = float(np.abs(self._x.mean(axis=(0, 1)) - self._middle).argmin())
        filled = self._aerated | self._free_air  # free air may stand above the lung
        return thorax.rib_cage(self._bones, filled, self.overview.spacing, middle_column)

    @cached_property
    def _lungs(self) -> npt.NDArray[np.uint8]:
        self._context.step(0.3, "lungs")
        view = self.overview
        left_half = self._x > self._middle
        sides = lungs.split(self._aerated, view.spacing, left_half)
        out = np.zeros_like(sides)
        lateral = np.abs(self._x - self._middle) > MEDIASTINUM_MM
        lateral &= self._cage.any(axis=(1, 2))[:, None, None]
        for side in (lungs.RIGHT, lungs.LEFT):
            other = (sides > 0) & (sides != side)
            wall = ~self._cage & lateral & (left_half == (side == lungs.LEFT))
            forbidden = self._airways | self._free_air | other | ~self._body | self._bones
            filled = lungs.fill(sides == side, view.spacing, forbidden, wall)
            out[filled & (out == 0)] = side
        return out

    @cached_property
    def body(self) -> Mask:
        """The patient, filled, without table and clothes."""
        return self.overview.up(self._body)

    @cached_property
    def airways(self) -> Mask:
        """Trachea and main bronchi (lumen)."""
        return self.overview.up(self._airways)

    @cached_property
    def lungs(self) -> npt.NDArray[np.uint8]:
        """0 outside, 1 right, 2 left; with vessels, nodules and consolidations inside, without central airways."""
        low = (self.overview.hu < lungs.AERATED) & (self._lungs == 0)
        return lungs.refine(self.hu, self.overview, self._lungs, self._airways | low | ~self._body)

    @cached_property
    def pleural_air(self) -> Mask:
        """Air between lung and chest wall (pneumothorax)."""
        near = dilate(self._free_air, 1.01 * max(self.overview.spacing), self.overview.spacing)
        return self.overview.up(near) & (self.hu < lungs.AERATED) & (self.lungs == 0) & ~self.airways

    @cached_property
    def lung_air(self) -> Mask:
        """Aerated lung: below -400 HU inside the lungs."""
        return (self.lungs > 0) & (self.hu < lungs.AERATED)

    @cached_property
    def _bones(self) -> Mask:
        view = self.overview
        return bones.find_bones(view.hu, view.spacing, self._body)

    @cached_property
    def bones(self) -> Mask:
        """The skeleton, cortical bone and marrow."""
        return bones.refine(self.hu, self.overview, self._bones)

    @cached_property
    def skeleton_parts(self) -> bone_parts.BoneParts:
        """Named bones, on the overview grid."""
        self._context.step(0.5, "bones")
        view = self.overview
        chest = (self._lungs > 0) | self._airways
        return bone_parts.find_parts(view.hu, view.spacing, self._bones, self._body, chest)

    @cached_property
    def urinary_bladder(self) -> Mask:
        """The filled urinary bladder; empty when the scan does not show it or nothing passes for it (`covers`)."""
        view = self.overview
        found = organs.find_bladder(view.hu, view.spacing, self.skeleton_parts, self._body)
        return np.zeros(view.full_shape, dtype=bool) if found is None else view.up_whole(found)

    def _bone(self, name: str) -> Mask:
        """A named bone on the full grid; the spine is vertebrae and sacrum."""
        parts = ("vertebra", "sacrum") if name == "spine" else (name,)
        found = np.logical_or.reduce([self.skeleton_parts.mask(part) for part in parts])
        return self.overview.up_whole(found)

    @cached_property
    def thorax_cavity(self) -> npt.NDArray[np.uint8]:
        """Inside of the rib cage, 1 right and 2 left of the midline: lungs, pleural fluid and air, and mediastinum."""
        sides = np.where(self._x > self._middle, lungs.LEFT, lungs.RIGHT).astype(np.uint8)
        return self.overview.up(sides * self._cage)

    @cached_property
    def _trunk(self) -> Mask:
        view = self.overview
        return tissues.inside_of_muscle(view, self._body, self._bones, self._lungs > 0)

    @cached_property
    def fat(self) -> Mask:
        """Fat by density, anywhere in the body."""
        return tissues.within(self.hu, tissues.FAT_HU) & self.body & (self.lungs == 0) & ~self.bones

    @cached_property
    def subcutaneous_fat(self) -> Mask:
        """Fat outside the muscular wall."""
        return self.fat & ~self.overview.up(self._trunk)

    @cached_property
    def _chest(self) -> Mask:
        """Levels above the highest the diaphragm reaches over the lungs' lowest point, as a mask that broadcasts."""
        bottoms = [float(self._z[self._lungs == side].min()) for side in self.frames]
        return self._z > min(bottoms) + DIAPHRAGM_MM if bottoms else np.zeros_like(self._body)

    @cached_property
    def visceral_fat(self) -> Mask:
        """Fat in the abdominal and pelvic cavity; the cavity's outline is approximate."""
        view = self.overview
        cavity = tissues.visceral_region(self._trunk, self._bones, self._lungs > 0, view.spacing)
        cavity &= ~self._chest  # fat of the mediastinum is not visceral
        return self.fat & view.up(cavity)

    @cached_property
    def muscle(self) -> Mask:
        """Tissue of muscle's density: muscle, and organs that measure alike."""
        return tissues.within(self.hu, tissues.MUSCLE_HU) & self.body & (self.lungs == 0) & ~self.bones

    @cached_property
    def bowel_gas(self) -> Mask:
        """Gas in the body that is neither lung nor central airway nor in the chest."""
        gas = (self.overview.hu < tissues.AIR_TISSUE) & self._body & ~self._airways & (self._lungs == 0)
        gas &= ~self._chest  # there it is in the gullet or the throat
        gas &= ~dilate(self._lungs > 0, 1.5 * max(self.overview.spacing), self.overview.spacing)
        near = dilate(gas, 1.01 * max(self.overview.spacing), self.overview.spacing)
        return self.overview.up(near) & (self.hu < tissues.AIR_TISSUE) & (self.lungs == 0) & self.body

    @cached_property
    def calcification(self) -> Mask:
        """Calcium or contrast outside the skeleton: above 130 HU, 2 mm or more away from bone."""
        near_bone = self.overview.up(dilate(self._bones, 2.5, self.overview.spacing))
        return (self.hu > tissues.CALCIUM_HU) & self.body & ~near_bone & ~self.bones

    @cached_property
    def vessels(self) -> Mask:
        """Dense branching tissue inside the lungs (vessels; nodules and consolidation measure alike)."""
        return (self.lungs > 0) & (self.hu > lungs.AERATED)

    @cached_property
    def frames(self) -> dict[int, LungFrame]:
        """Normalised coordinates of each lung that the scan shows, by side (1 right, 2 left)."""
        found: dict[int, LungFrame] = {}
        for side in (lungs.RIGHT, lungs.LEFT):
            frame = lung_frame(
                self._lungs == side,
                (self._x, self._y, self._z),
                self.overview.spacing,
                lumen_seen=bool(self._airways.any()),
                left=side == lungs.LEFT,
            )
            if frame is not None:
                found[side] = frame
        return found

    @cached_property
    def pleural_depth(self) -> npt.NDArray[np.float32]:
        """Millimetres from each overview voxel of the lungs to the nearest edge of its lung; 0 outside."""
        view = self.overview
        out = np.zeros(view.hu.shape, dtype=np.float32)
        for side in (lungs.RIGHT, lungs.LEFT):
            box = box_of(self._lungs == side, 1)
            if box is not None:
                out[box] += depth(self._lungs[box] == side, view.spacing)
        return out

    def side_at(self, index: tuple[npt.NDArray[np.intp], ...]) -> npt.NDArray[np.uint8]:
        """1 right or 2 left for overview voxels (k, j, i): by the lung they are in, else by the midline."""
        half = np.where(self._x[index] > self._middle, lungs.LEFT, lungs.RIGHT)
        lung = self._lungs[index]
        return np.where(lung > 0, lung, half).astype(np.uint8)

    def covers(self, region: str, side: str | None = None) -> Coverage:
        """How much of a region of the chest the scan shows: ``"whole"``, ``"part"``, ``"none"``, or ``"unknown"``
        for what this engine cannot place.

        Arguments:
            region: a concept id: lung, a lobe, lung_apex, lung_base, airway, trachea, main_bronchus, pleura,
                mediastinum, body, bone...
            side: "left", "right", "both" or None (either).
        """
        return coverage(self, region, side)

    def mask(self, concept_id: str, side: str | None = None) -> Mask | None:
        """The boolean mask of a supported concept on the oriented grid, or None when it is not supported.

        Arguments:
            concept_id: see `SUPPORTED`.
            side: "left" or "right" for lungs and their parts; None or "both" for both.
        """
        name = ALIASES.get(concept_id, concept_id)
        if name in ("lung", "lung_base", "lung_apex"):
            sides = {"right": (lungs.RIGHT,), "left": (lungs.LEFT,)}.get(side or "", (lungs.RIGHT, lungs.LEFT))
            mask = np.isin(self.lungs, sides)
            return mask if name == "lung" else mask & self._third(name)
        if name not in SUPPORTED:
            return None
        if name in ("trachea", "main_bronchus"):
            return self._airway_part(name)
        named = name == "spine" or name in bone_parts.NAMES
        mask = self._bone(name) if named else np.asarray(getattr(self, name))
        if side in ("left", "right"):
            mask = mask & self.overview.up((self._x > self._middle) == (side == "left"))
        return mask

    def _third(self, name: str) -> Mask:
        """Upper or lower third of the lungs by their expected length."""
        out = np.zeros(self._lungs.shape, dtype=bool)
        for side, frame in self.frames.items():
            fraction = frame.down(self._z)
            out |= (self._lungs == side) & (fraction < 1 / 3 if name == "lung_apex" else fraction > 2 / 3)
        near = dilate(out, 1.01 * max(self.overview.spacing), self.overview.spacing) if out.any() else out
        levels = out.any(axis=(1, 2))
        near[~levels] = False
        return self.overview.up(near)

    def _airway_part(self, name: str) -> Mask:
        """The airways above the carina, or below it."""
        split = airways.carina(self._airways)
        part = self._airways.copy()
        if name == "trachea":
            part[:split] = False
        else:
            part[split:] = False
        return self.overview.up(part)
