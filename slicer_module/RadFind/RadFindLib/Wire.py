"""RadFind's wire form (version 1): prompts out, masks and geometry in."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .Errors import ServerError
from .Geometry import Grid, Mask, cropped

VERSION = 1


def prompts(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {"version": VERSION, "prompts": list(items)}


def point(lps: Any, positive: bool) -> dict[str, Any]:
    return {"type": "point", "space": "lps", "position": [float(x) for x in lps], "positive": positive}


def box(first: Any, second: Any) -> dict[str, Any]:
    """The voxels between two voxel centres, both included, given in LPS."""
    return {"type": "box", "space": "lps", "start": [float(x) for x in first], "stop": [float(x) for x in second]}


def scribble(lps: Any, positive: bool) -> dict[str, Any]:
    positions = np.round(np.asarray(lps, np.float64), 4).tolist()
    return {"type": "scribble", "space": "lps", "positions": positions, "positive": positive}


def stockPrompts(items: Iterable[Mapping[str, Any]], on: Grid) -> dict[str, Any]:
    """Prompts as stock MONAI Label takes them: voxel indices (i, j, k) of the volume.

    Raises:
        ServerError: there is a kind of prompt that it does not know.
    """
    params: dict[str, Any] = {}
    for item in items:
        if item["type"] == "point":
            ijk = np.rint(on.indices(item["position"]))[::-1].astype(int).tolist()
            params.setdefault("foreground" if item["positive"] else "background", []).append(ijk)
        elif item["type"] == "box" and "roi" not in params:
            corners = np.rint(on.indices([item["start"], item["stop"]]))[:, ::-1].astype(int)
            low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
            params["roi"] = [number for pair in zip(low, high) for number in pair]
        elif item["type"] != "everything":
            raise ServerError("A stock MONAI Label server takes points and one box, no scribbles and no second box.")
    return params


def example(name: str, place: Mapping[str, str], mask: Mask, on: Grid) -> dict[str, Any]:
    """A structure shown on another image, which `place` names by "image" (an id) or "session"."""
    return {
        "type": "example",
        "name": name,
        **place,
        "mask": packMask(mask),
        "grid": {"shape_kji": list(on.shape), "affine_ijk_to_lps": on.toLPS.tolist()},
    }


def grid(volume: Mapping[str, Any]) -> Grid:
    """The grid of a reply's ``volume``.

    Raises:
        ServerError: it is missing or malformed.
    """
    try:
        k, j, i = (int(n) for n in volume["shape_kji"])
        toLPS = np.array(volume["affine_ijk_to_lps"], np.float64)
        if toLPS.shape != (4, 4) or min(k, j, i) < 1 or not np.all(np.isfinite(toLPS)):
            raise ValueError(volume)
        np.linalg.inv(toLPS)
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError):
        raise ServerError("The answer does not say where its voxels lie; nothing was placed.") from None
    return Grid((k, j, i), toLPS)


def unpackMask(wire: Mapping[str, Any], shape: tuple[int, int, int]) -> Mask:
    """A mask on a grid of `shape`.

    Raises:
        ServerError: the mask is malformed or leaves the grid.
    """
    try:
        start = tuple(int(n) for n in wire["start"])
        size = tuple(int(n) for n in wire["shape"])
        if (
            len(start) != 3
            or len(size) != 3
            or any(a < 0 or n < 0 or a + n > limit for a, n, limit in zip(start, size, shape))
        ):
            raise ValueError(wire)
        count = size[0] * size[1] * size[2]
        expected = (count + 7) // 8
        packed = zlib.decompressobj().decompress(base64.b64decode(wire["bits"], validate=True), expected + 1)
        if len(packed) != expected:
            raise ValueError(len(packed))
    except (KeyError, TypeError, ValueError, zlib.error):
        raise ServerError("A mask in the answer is damaged; nothing was placed. Ask again.") from None
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=count)
    return Mask((start[0], start[1], start[2]), bits.reshape(size).astype(bool))


def packMask(mask: Mask) -> dict[str, Any]:
    """A mask as it travels, without its empty margins."""
    tight = cropped(mask.voxels, mask.start)
    bits = zlib.compress(np.packbits(tight.voxels).tobytes(), 1)
    return {"start": list(tight.start), "shape": list(tight.voxels.shape), "bits": base64.b64encode(bits).decode()}
