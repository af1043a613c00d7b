"""The few lines of NRRD that a volume is sent as and a labelmap comes back as."""

from __future__ import annotations

import re
import zlib
from typing import Any

import numpy as np

from .Errors import ServerError
from .Geometry import Grid

_NAMES = {
    "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32",
    "int64": "int64", "uint64": "uint64", "float32": "float", "float64": "double",
}  # fmt: skip
_DTYPES = {
    **{text: numpy for numpy, text in _NAMES.items()},
    "signed char": "int8", "unsigned char": "uint8", "uchar": "uint8", "short": "int16", "signed short": "int16",
    "unsigned short": "uint16", "ushort": "uint16", "int": "int32", "unsigned int": "uint32", "uint": "uint32",
    "uint8_t": "uint8", "int16_t": "int16", "uint16_t": "uint16",
}  # fmt: skip


def header(dtype: np.dtype[Any], grid: Grid, components: int = 1) -> bytes:
    """The header in front of raw voxels, (k, j, i) with i fastest, or (k, j, i, component)."""
    sizes = [str(n) for n in grid.shape[::-1]]
    steps = [_vector(grid.toLPS[:3, axis]) for axis in range(3)]
    kinds = ["domain"] * 3
    if components > 1:
        sizes, steps, kinds = [str(components), *sizes], ["none", *steps], ["RGB-color", *kinds]
    lines = [
        "NRRD0004",
        f"type: {_NAMES[dtype.name]}",
        f"dimension: {len(sizes)}",
        "space: left-posterior-superior",
        f"sizes: {' '.join(sizes)}",
        f"space directions: {' '.join(steps)}",
        f"kinds: {' '.join(kinds)}",
        f"endian: {'big' if dtype.newbyteorder('=').str[0] == '>' else 'little'}",
        "encoding: raw",
        f"space origin: {_vector(grid.toLPS[:3, 3])}",
    ]
    return ("\n".join(lines) + "\n\n").encode("ascii")


def readLabelmap(data: bytes) -> tuple[np.ndarray, Grid]:
    """Labels (k, j, i) and their grid.

    Raises:
        ServerError: it is not a three-dimensional NRRD in raw or gzip encoding, or half of it is missing.
    """
    head, mark, rest = data.partition(b"\n\n")
    if not data.startswith(b"NRRD000") or not mark:
        raise ServerError("The server's labelmap is not a NRRD file.")
    fields = dict(line.split(": ", 1) for line in head.decode("utf-8", "replace").splitlines() if ": " in line)
    try:
        shape = tuple(int(n) for n in fields["sizes"].split())[::-1]
        dtype = np.dtype(_DTYPES[fields["type"]]).newbyteorder(">" if fields.get("endian") == "big" else "<")
        toLPS = np.eye(4)
        for axis, vector in enumerate(re.findall(r"\(([^)]*)\)", fields["space directions"])):
            toLPS[:3, axis] = [float(x) for x in vector.split(",")]
        toLPS[:3, 3] = [float(x) for x in fields["space origin"].strip("() ").split(",")]
        if fields.get("space", "").startswith(("right-anterior", "RAS")):
            toLPS = np.diag([-1.0, -1.0, 1.0, 1.0]) @ toLPS
        count = int(np.prod(shape))
        if len(shape) != 3:
            raise ValueError(shape)
        size = count * dtype.itemsize
        raw = rest if fields["encoding"] == "raw" else zlib.decompressobj(31).decompress(rest, size + 1)
        if len(raw) < size:
            raise ServerError(f"The labelmap should hold {size} bytes but holds {len(raw)}: half a file. Ask again.")
        return np.frombuffer(raw, dtype, count).reshape(shape), Grid((shape[0], shape[1], shape[2]), toLPS)
    except (KeyError, ValueError, TypeError, IndexError, zlib.error) as error:
        raise ServerError("The server's labelmap cannot be read: it is not a plain 3-D NRRD.") from error


def _vector(values: np.ndarray) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
