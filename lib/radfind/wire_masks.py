"""Masks and heat maps on the wire, small enough for JSON; part of the wire form that `protocol` decides."""

from __future__ import annotations

import base64
import zlib
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from radfind.errors import PromptError


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class WireMask(Wire):
    """A boolean mask: `start` and `shape` (k, j, i) of its bounding box, `bits` = base64(zlib(packed bits))."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]
    bits: str

    @classmethod
    def pack(cls, mask: npt.NDArray[np.bool_]) -> WireMask:
        start, stop = [], []
        for axis in range(3):
            hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
            start.append(int(hit[0]) if hit.size else 0)
            stop.append(int(hit[-1]) + 1 if hit.size else 0)
        crop = mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
        k, j, i = crop.shape
        bits = base64.b64encode(zlib.compress(np.packbits(crop).tobytes(), 1)).decode("ascii")
        return cls(start=(start[0], start[1], start[2]), shape=(k, j, i), bits=bits)

    def unpack(self, shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
        """The full mask on a grid of `shape`.

        Raises:
            PromptError: the box leaves the grid, or the bits do not fill the box.
        """
        full = np.zeros(shape, bool)
        if any(a < 0 or n < 0 or a + n > limit for a, n, limit in zip(self.start, self.shape, shape, strict=True)):
            raise PromptError(f"The mask box at {self.start} of size {self.shape} leaves the image of size {shape}.")
        count = int(np.prod(self.shape))
        expected = (count + 7) // 8
        try:
            inflater = zlib.decompressobj()
            packed = inflater.decompress(base64.b64decode(self.bits, validate=True), expected + 1)
        except (ValueError, zlib.error) as error:
            raise PromptError("The mask bits are not base64 of deflated data.") from error
        if len(packed) != expected:
            raise PromptError(f"The mask should unpack to {expected} bytes but does not.")
        crop = np.unpackbits(np.frombuffer(packed, np.uint8), count=count).reshape(self.shape).astype(bool)
        full[tuple(slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))] = crop
        return full


class WireHeat(Wire):
    """Where on a slice a vision model's answer comes from: `shape` (rows, columns) of a grid laid evenly over the
    slice, `levels` = base64(zlib(one byte a cell, row by row)), 255 at the warmest cell."""

    shape: tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]]
    levels: str

    @classmethod
    def pack(cls, heat: npt.NDArray[np.float32]) -> WireHeat:
        warmest = float(heat.max()) or 1.0
        levels = np.rint(heat / warmest * 255).astype(np.uint8)
        rows, columns = heat.shape
        return cls(shape=(rows, columns), levels=base64.b64encode(zlib.compress(levels.tobytes())).decode("ascii"))

    def unpack(self) -> npt.NDArray[np.float32]:
        """Non-negative, sum 1 (or all 0).

        Raises:
            PromptError: the levels do not fill the grid.
        """
        count = self.shape[0] * self.shape[1]
        try:
            raw = zlib.decompressobj().decompress(base64.b64decode(self.levels, validate=True), count + 1)
        except (ValueError, zlib.error) as error:
            raise PromptError("The heat map is not base64 of deflated data.") from error
        if len(raw) != count:
            raise PromptError(f"The heat map should unpack to {count} bytes but does not.")
        heat = np.frombuffer(raw, np.uint8).reshape(self.shape).astype(np.float32)
        return np.asarray(heat / max(float(heat.sum()), 1.0), np.float32)
