"""A slice as the RGB picture a vision model sees."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError
from radfind.imaging import windows
from radfind.volume import Volume

MODALITIES = ("CT", "MR", "PT", "CR", "DX", "MG", "US", "ES", "SM", "OT")
"""What can be shown so: CT by its windows, colour as it is, all else by its own spread of values."""


class SlicePictures:
    """Slices of one volume as (rows, columns, 3) uint8 pictures.

    Arguments:
        volume: any modality; colour volumes are shown as they are.
        presets: for CT, names in `radfind.imaging.windows`: one gives grey, three give the channels red,
            green, blue. Other modalities are shown by their own spread of values.
    """

    def __init__(self, volume: Volume, presets: Sequence[str] = ("soft_tissue",)) -> None:
        if len(presets) not in (1, 3):
            raise ValueError(f"one window or three, not {len(presets)}")
        self.volume = volume
        self.presets = tuple(presets)
        self._windows = [] if volume.is_color else [windows.window_for(volume, name) for name in presets]

    def __len__(self) -> int:
        return self.volume.geometry.shape[0]

    def picture(self, k: int) -> npt.NDArray[np.uint8]:
        """Slice k.

        Raises:
            ImageError: it holds no image (no finite value): a missing slice is never scored.
        """
        pixels = self.volume.array[k]
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).any():
            uid = self.volume.sop_instance_uid(k)
            raise ImageError(
                f"Slice {k}{f' ({uid})' if uid else ''} holds no image: none of its values is a number. Remove it or "
                "load the series again; a missing image is never scored."
            )
        if self.volume.is_color:
            return np.ascontiguousarray(pixels, dtype=np.uint8)
        grey = [window.apply(pixels) for window in self._windows]
        return np.stack(grey if len(grey) == 3 else grey * 3, axis=-1)

    def key(self, k: int) -> bytes:
        """Equal for equal pictures only: what a cache of computed features is keyed by."""
        shown = repr((self.presets, self._windows, self.volume.array.shape[1:], str(self.volume.array.dtype)))
        digest = hashlib.blake2b(np.ascontiguousarray(self.volume.array[k]).data, digest_size=20)
        digest.update(shown.encode())
        return digest.digest()


def presets_for(names: Sequence[str]) -> tuple[str, ...]:
    """The windows for a question about concepts that are best seen in the windows `names`.

    One window when all agree; lung, soft tissue and bone as three channels when they differ or none is known.
    """
    distinct = dict.fromkeys(names)
    return tuple(distinct) if len(distinct) == 1 else ("lung", "soft_tissue", "bone")
