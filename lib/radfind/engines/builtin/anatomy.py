"""What the built-in engine knows of a CT's anatomy: masks made on first use and kept."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin import airways, bones, lungs, thorax, tissues
from radfind.engines.builtin.grid import Mask, Overview
from radfind.volume import Volume

# Half the width of the mediastinum and spine, within which nothing is chest wall of one side.
MEDIASTINUM_MM = 35.0


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
    def _air(self) -> float:
        return tissues.air_peak(self.overview.hu, self._body)

    @cached_property
    def _airways(self) -> Mask:
        self._context.step(0.1, "airways")
        view = self.overview
        nothing = np.zeros_like(self._body)
        guess = lungs.aerated(view.hu, view.spacing, self._body, nothing, self._air)
        return airways.find_airways(view.hu, view.spacing, self._body, guess, self._air)

    @cached_property
    def _aerated(self) -> Mask:
        view = self.overview
        return lungs.aerated(view.hu, view.spacing, self._body, self._airways, self._air)

    @cached_property
    def _x(self) -> npt.NDArray[np.float32]:
        """LPS x of each overview voxel in mm: left of the patient is larger, however the grid is turned."""
        view, geometry = self.overview, self.volume.geometry
        row = geometry.affine[0]
        centre = [(f - 1) / 2 for f in view.factors]
        axes = [
            (np.arange(n, dtype=np.float32) * f + c) * np.float32(row[2 - axis])
            for axis, (n, f, c) in enumerate(zip(view.hu.shape, view.factors, centre, strict=True))
        ]
        return axes[0][:, None, None] + axes[1][None, :, None] + axes[2] + np.float32(row[3])

    @cached_property
    def _middle(self) -> float:
        return lungs.midline(self._x, self._body, self._bones, self.overview.spacing)

    @cached_property
    def _cage(self) -> Mask:
        middle_column = float(np.abs(self._x.mean(axis=(0, 1)) - self._middle).argmin())
        return thorax.rib_cage(self._bones, self._aerated, self.overview.spacing, middle_column)

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
            forbidden = self._airways | other | ~self._body | self._bones
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
    def thorax_cavity(self) -> npt.NDArray[np.uint8]:
        """Inside of the rib cage, 1 right and 2 left of the midline: lungs, pleural fluid and air, and mediastinum."""
        sides = np.where(self._x > self._middle, lungs.LEFT, lungs.RIGHT).astype(np.uint8)
        return self.overview.up(sides * self._cage)
