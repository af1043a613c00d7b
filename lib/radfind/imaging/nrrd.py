"""Write NRRD files (teem, "Definition of the NRRD file format", version 5).

SimpleITK cannot write sheared grids, nor the list axis that 3D Slicer's segmentation layers need.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radfind.volume import Geometry

_TYPES = {"uint8": "uint8", "uint16": "uint16", "int16": "int16", "int32": "int32", "float32": "float"}
_GZIP = 31  # zlib's window bits for a gzip wrapper; unlike the gzip module it stamps no time, so files compare equal
_CHUNK = 2**24


def write_nrrd(
    path: Path,
    array: npt.NDArray,
    geometry: Geometry,
    fields: Mapping[str, str] | None = None,
    *,
    compress: bool = True,
) -> None:
    """Write `array`, (k, j, i) or (layer, k, j, i), in LPS space; gzip-compressed unless asked not to be.

    Arguments:
        geometry: of the last three axes; sheared ones are kept exactly.
        fields: key/value pairs for the header; values may span lines and hold any Unicode.
    """
    layered = array.ndim == 4
    sizes = [*geometry.shape[::-1]]
    directions = [_vector(geometry.affine[:3, axis]) for axis in range(3)]
    kinds = ["domain"] * 3
    if layered:
        array = np.moveaxis(array, 0, -1)  # the list axis is the fastest
        sizes, directions, kinds = [array.shape[-1], *sizes], ["none", *directions], ["list", *kinds]
    lines = [
        "NRRD0004",
        f"type: {_TYPES[array.dtype.name]}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, sizes))}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        "endian: little",
        f"encoding: {'gzip' if compress else 'raw'}",
        f"space origin: {_vector(geometry.affine[:3, 3])}",
    ]
    for key, value in (fields or {}).items():
        escaped = value.replace("\\", "\\\\").replace("\r", "").replace("\n", "\\n")
        lines.append(f"{key}:={escaped}")
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    with path.open("wb") as file:
        file.write(("\n".join(lines) + "\n\n").encode())
        if not compress:
            file.write(np.ascontiguousarray(little).data)
            return
        packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
        view = np.ascontiguousarray(little).reshape(-1).view(np.uint8)
        for start in range(0, len(view), _CHUNK):
            file.write(packer.compress(view[start : start + _CHUNK].data))
        file.write(packer.flush())


def _vector(values: npt.NDArray[np.float64]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
