"""Two classes told apart in noise: a Markov field on blocks of the scan's own voxels."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.builtin.boxes import Box, bounding_box
from radfind.engines.builtin.field import LungField
from radfind.engines.builtin.grid import Mask, Overview, Spacing

Image = npt.NDArray[np.float32]

BLOCK_MM = 1.6
"""Noise of finer voxels is averaged; coarser ones stay as they are, for a thin layer or a small hole is in few of them,
and interpolation would halve its contrast."""


@dataclasses.dataclass(frozen=True, eq=False)
class Blocks:
    """Part of a scan in blocks of about `BLOCK_MM`.

    Arguments:
        field: of the scan.
        box: which part of the scan's voxels.
        view: the blocks.
    """

    field: LungField
    box: Box
    view: Overview

    @classmethod
    def around(cls, field: LungField, mask: Mask, margin_mm: float) -> Blocks:
        """What lies within `margin_mm` of `mask` (not empty, on the working grid) along each axis."""
        near = bounding_box(mask, margin=(int(np.ceil(margin_mm / field.step)),) * 3)
        low = np.floor(field.to_voxel([part.start for part in near])).astype(int)
        high = np.ceil(field.to_voxel([part.stop for part in near])).astype(int) + 1
        k, j, i = (slice(max(0, int(a)), min(int(b), n)) for a, b, n in zip(low, high, field.array.shape, strict=True))
        return cls(field, (k, j, i), Overview.of(field.array[k, j, i], field.spacing, BLOCK_MM))

    @property
    def hu(self) -> Image:
        return self.view.hu

    @property
    def spacing(self) -> Spacing:
        return self.view.spacing

    @property
    def voxel_ml(self) -> float:
        return float(np.prod(self.view.spacing)) / 1000.0

    def lungs(self) -> Mask:
        """The aerated lungs as segmented."""
        return self.view.down(self.field.lungs[self.box] > 0)

    def sampled(self, grid: npt.NDArray) -> npt.NDArray:
        """What lies on the working grid, on the blocks (nearest voxel)."""
        field, index = self.field, []
        for axis in range(3):
            count, factor = self.view.hu.shape[axis], self.view.factors[axis]
            centre = self.box[axis].start + (np.arange(count) + 0.5) * factor - 0.5
            position = (centre - field.start[axis] + 0.5) * field.spacing[axis] / field.step - 0.5
            index.append(np.clip(np.round(position).astype(int), 0, grid.shape[axis] - 1))
        return np.asarray(grid[np.ix_(*index)])


def mean_field(
    evidence: Image, inside: Mask | None, spacing: Spacing, coupling: float, sweeps: int, start: Image | None = None
) -> Image:
    """Ising's model, solved by its mean field (Zhang, IEEE Trans Signal Process 1992): -1 (no) to 1 (yes).

    Arguments:
        evidence: half of the logarithm of the odds of each voxel by itself.
        inside: where there is anything to decide; 0 elsewhere. None: everywhere.
        spacing: mm; neighbours farther apart than the nearest ones pull less, in proportion.
        coupling: pull of two opposite neighbours that are certain, in units of the evidence.
        sweeps: of the fixed-point iteration.
        start: what to begin with.
    """
    strengths = [0.5 * coupling * min(spacing) / size for size in spacing]
    mean = np.zeros_like(evidence) if start is None else start
    for _ in range(sweeps):
        mean = np.tanh(evidence + _pull(mean, strengths))
        if inside is not None:
            mean *= inside
    return mean.astype(np.float32, copy=False)


def _pull(mean: Image, strengths: list[float]) -> Image:
    """The pull of the six neighbours; past the ends of the array all goes on as it is."""
    out = np.zeros_like(mean)
    for axis, strength in enumerate(strengths):
        part = np.moveaxis(mean, axis, 0)
        pull = np.moveaxis(out, axis, 0)
        pull[1:] += strength * part[:-1]
        pull[:-1] += strength * part[1:]
        pull[0] += strength * part[0]
        pull[-1] += strength * part[-1]
    return out
