"""What a NIfTI header says of where its voxels lie, held against what ITK makes of it.

A header may give two places, qform (a rotation) and sform (any affine), each with a code that says what space it is
in, and the voxel sizes a third time (nifti1.h, "3D image (volume) orientation and location in space"). ITK takes one
of them, with the voxel sizes always from pixdim; where they contradict each other it does so in silence.
"""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError
from radfind.volume import Geometry

_HEADER, _HEADER_2 = 348, 540  # sizeof_hdr of NIfTI-1 and of NIfTI-2
_TO_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units: metres, millimetres, micrometres; unknown counts as mm
_SAME = 0.1  # voxels by which two places may differ at a corner: 32-bit rounding stays far below
_SHEAR = 1e-3  # cosine between two axes
GZIP_MARK = b"\x1f\x8b"
UNPLACED = (
    "The file does not say how it lies in the patient (NIfTI: qform and sform codes are 0; NRRD: no space): left and "
    "right are unknown, and what is told of them may be wrong."
)


@dataclasses.dataclass(frozen=True, eq=False)
class NiftiPlace:
    """The places a header gives, each a 4x4 matrix from voxel (i, j, k) to LPS mm; None where its code is 0."""

    qform: npt.NDArray[np.float64] | None
    sform: npt.NDArray[np.float64] | None
    qform_code: int
    sform_code: int


def read_place(path: Path, shown: Path) -> NiftiPlace | None:
    """The places of a file, none for one in the older Analyze format; None where it is neither, which ITK will refuse.

    Raises:
        ImageError: it is NIfTI-2, which ITK cannot read.
    """
    header = _header(path.with_suffix(".hdr") if path.suffix.lower() == ".img" else path)
    order = next((o for o in "<>" if len(header) >= 4 and struct.unpack(f"{o}i", header[:4])[0] == _HEADER_2), None)
    if order is not None:
        raise ImageError(f"'{shown}' is NIfTI-2, which RadFind does not read. Save it as NIfTI-1 or NRRD.")
    order = next((o for o in "<>" if len(header) == _HEADER and struct.unpack(f"{o}i", header[:4])[0] == _HEADER), None)
    if order is None:
        return None
    if header[344:347] not in (b"n+1", b"ni1"):
        return NiftiPlace(None, None, 0, 0)
    pixdim = struct.unpack(f"{order}8f", header[76:108])
    qform_code, sform_code = struct.unpack(f"{order}2h", header[252:256])
    quaternion = struct.unpack(f"{order}6f", header[256:280])
    rows = np.reshape(struct.unpack(f"{order}12f", header[280:328]), (3, 4))
    to_lps = np.diag([-1.0, -1.0, 1.0]) * _TO_MM.get(header[123] & 7, 1.0)
    return NiftiPlace(
        to_lps @ _rotated(quaternion, pixdim) if qform_code > 0 else None,
        to_lps @ rows if sform_code > 0 else None,
        qform_code,
        sform_code,
    )


def check_place(place: NiftiPlace, geometry: Geometry, shown: Path) -> tuple[str, ...]:
    """What a user should know of the place ITK took.

    Raises:
        ImageError: it contradicts the header, or the header is of a sheared grid.
    """
    taken = geometry.affine[:3]
    by_qform, by_sform = (_agree(taken, other, geometry) for other in (place.qform, place.sform))
    if place.qform is None and place.sform is None:
        return (UNPLACED,)
    if not by_qform and not by_sform:
        raise ImageError(
            f"'{shown}' contradicts itself: the voxel sizes of its header (pixdim) are not those of its sform, so no "
            "size or place in it can be trusted. Save it again with the right voxel sizes, or give the original series."
        )
    if by_qform and place.sform is not None and not by_sform:
        if place.sform_code == place.qform_code and _sheared(place.sform):
            raise ImageError(
                f"'{shown}' is sheared: its axes are not at right angles (a tilted scan converted as it is). RadFind "
                "does not straighten it, since that would invent voxels. Resample it first, e.g. in 3D Slicer."
            )
        return (_two_places("qform"),)
    return (_two_places("sform"),) if place.qform is not None and not by_qform else ()


def _two_places(taken: str) -> str:
    return f"The header gives two places (qform and sform) that differ; {taken} was taken, as ITK and Slicer do."


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP_MARK
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            return file.read(_HEADER)
    except (OSError, EOFError, zlib.error):  # damaged: ITK says how
        return b""


def _rotated(quaternion: tuple[float, ...], pixdim: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """The 3x4 matrix of qform (nifti1.h, method 2)."""
    b, c, d = quaternion[:3]
    a = max(0.0, 1.0 - (b * b + c * c + d * d)) ** 0.5
    rotation = np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ])  # fmt: skip
    sizes = np.array(pixdim[1:4]) * (1, 1, -1 if pixdim[0] < 0 else 1)
    return np.column_stack([rotation * sizes, quaternion[3:]])


def _agree(taken: npt.NDArray[np.float64], other: npt.NDArray[np.float64] | None, geometry: Geometry) -> bool:
    """Whether both put every corner of the grid at the same place."""
    if other is None or not np.isfinite(other).all():
        return False
    k, j, i = geometry.shape
    corners = np.array(list(itertools.product((0, i - 1), (0, j - 1), (0, k - 1), (1,)))).T
    return bool(np.abs((taken - other) @ corners).max() <= _SAME * min(geometry.spacing))


def _sheared(affine: npt.NDArray[np.float64]) -> bool:
    axes = affine[:, :3] / np.linalg.norm(affine[:, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > _SHEAR)
