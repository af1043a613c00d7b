"""What a worker thread gets to know of a volume: voxels and grid, nothing of MRML."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np

from . import Nrrd
from .Cancellation import Cancellation
from .Geometry import Grid, Mask

_HASHED = 4 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """A volume as it is sent.

    Arguments:
        voxels: (k, j, i) or (k, j, i, 3), C order, a view of Slicer's own memory: it is not copied.
        grid: without the volume's parent transform.
        series: SeriesInstanceUID when the volume is a DICOM series as it was loaded.
    """

    voxels: np.ndarray
    grid: Grid
    series: str = ""

    @property
    def header(self) -> bytes:
        return Nrrd.header(self.voxels.dtype, self.grid, self.voxels.shape[3] if self.voxels.ndim == 4 else 1)

    @property
    def nbytes(self) -> int:
        return len(self.header) + self.voxels.nbytes

    def chunks(self, size: int) -> Iterator[memoryview]:
        """Its NRRD file in pieces of at most `size` bytes."""
        yield memoryview(self.header)
        view = self.voxels.data.cast("B")
        for start in range(0, len(view), size):
            yield view[start : start + size]

    def digest(self, cancellation: Cancellation) -> str:
        """SHA-256 of its NRRD file."""
        sha = hashlib.sha256()
        for chunk in self.chunks(_HASHED):
            cancellation.check()
            sha.update(chunk)
        return sha.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """What a structure looks like on another volume.

    Arguments:
        name: of the structure; the segment found is called so.
        volume: the other volume.
        mask: the structure, on the grid of that volume.
    """

    name: str
    volume: Snapshot
    mask: Mask
