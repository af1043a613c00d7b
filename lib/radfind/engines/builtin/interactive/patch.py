"""The surroundings of the prompts: voxels, their spacing, and smooth sampling at positions in millimetres."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import numpy.typing as npt

from radfind.volume import Volume

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Patch:
    """A box of the volume, every voxel of it or means of blocks.

    Arguments:
        array: (k, j, i) float32, NaN-free; colour images as luminance.
        start: (k, j, i) of its first voxel in the volume.
        origin: position of the centre of its first (block of) voxel, mm.
        spacing: mm along (k, j, i).

    Positions are (k, j, i) in mm from the centre of the volume's first voxel, along the voxel axes, whatever the
    patch.
    """

    array: npt.NDArray[np.float32]
    start: tuple[int, int, int]
    origin: Floats
    spacing: tuple[float, float, float]

    @classmethod
    def around(
        cls, volume: Volume, low: npt.ArrayLike, high: npt.ArrayLike, margin_mm: float, *, step_mm: float = 0.0
    ) -> Patch:
        """The box from voxel `low` to `high` (k, j, i), grown by `margin_mm` and clipped to the volume; in blocks of
        about `step_mm` where voxels are smaller."""
        spacing = np.asarray(volume.geometry.spacing)
        first = np.floor(np.asarray(low, float) - margin_mm / spacing).astype(int)
        last = np.ceil(np.asarray(high, float) + margin_mm / spacing).astype(int) + 1
        first = np.clip(first, 0, np.asarray(volume.geometry.shape) - 1)
        last = np.clip(last, first + 1, volume.geometry.shape)
        k, j, i = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        voxels = volume.array[k, j, i]
        if voxels.ndim == 4:
            voxels = voxels @ np.array([0.299, 0.587, 0.114], np.float32)  # luminance, ITU-R BT.601
        voxels = np.nan_to_num(voxels.astype(np.float32))
        if volume.padding is not None:
            voxels[voxels == volume.padding] = max(
                volume.padding, float(voxels[voxels != volume.padding].min(initial=0))
            )
        blocks = np.clip((step_mm / spacing + 0.25).astype(int), 1, voxels.shape)
        voxels = _means(voxels, blocks)
        sizes = blocks * spacing
        origin = first * spacing + (sizes - spacing) / 2
        start = (k.start, j.start, i.start)
        return cls(voxels, start, origin, (float(sizes[0]), float(sizes[1]), float(sizes[2])))

    @cached_property
    def smooth(self) -> npt.NDArray[np.float32]:
        """The voxels with less noise: a Gaussian of one in-plane voxel, at most 1 mm."""
        from scipy import ndimage

        width = min(1.0, float(np.median(self.spacing)))
        return np.asarray(ndimage.gaussian_filter(self.array, [width / s for s in self.spacing], truncate=2.5))

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the noise, from second differences along i (median absolute deviation).

        Scanner noise is correlated between neighbours, which hides about half of it: hence the factor 2.
        """
        row = self.array[:: max(1, self.array.shape[0] // 12)]
        if row.shape[2] < 3:
            return 1.0
        second = row[..., 2:] - 2 * row[..., 1:-1] + row[..., :-2]
        return max(2.0 * 1.4826 / 6**0.5 * float(np.median(np.abs(second))), 1e-3 * float(np.ptp(row)) + 1e-6)

    def sample(self, array: npt.NDArray[np.float32], positions: Floats) -> Floats:
        """`array` (the patch's shape) at positions (..., 3) in mm, linear, NaN outside.

        An image of one slice is taken to go on alike before and behind it: what matters is where things end on it.
        """
        from scipy import ndimage

        index = (positions - self.origin) / np.asarray(self.spacing)
        size = np.asarray(array.shape)
        outside = np.any(((index < -0.5) | (index > size - 0.5)) & (size > 1), axis=-1)
        values = ndimage.map_coordinates(array, np.moveaxis(index, -1, 0), order=1, mode="nearest", output=np.float64)
        values[outside] = np.nan
        return np.asarray(values)

    def voxels_between(self, low: Floats, high: Floats) -> tuple[tuple[slice, slice, slice], npt.NDArray[np.float32]]:
        """The voxels between two positions: their box in the patch, and their positions (k, j, i, 3)."""
        spacing = np.asarray(self.spacing)
        shape = np.asarray(self.array.shape)
        first = np.clip(np.floor((low - self.origin) / spacing).astype(int), 0, shape - 1)
        last = np.clip(np.ceil((high - self.origin) / spacing).astype(int) + 1, first + 1, shape)
        k, j, i = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        ticks = [
            (np.arange(part.start, part.stop) * step + begin).astype(np.float32)
            for part, step, begin in zip((k, j, i), self.spacing, self.origin, strict=True)
        ]
        return (k, j, i), np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1)


def _means(voxels: npt.NDArray[np.float32], blocks: npt.NDArray[np.int_]) -> npt.NDArray[np.float32]:
    """Means of blocks; a remainder at the far ends is dropped."""
    if blocks.max() == 1:
        return voxels
    k, j, i = (n // b for n, b in zip(voxels.shape, blocks, strict=True))
    a, b, c = (int(x) for x in blocks)
    return np.asarray(voxels[: k * a, : j * b, : i * c].reshape(k, a, j, b, i, c).mean(axis=(1, 3, 5)), np.float32)
