"""A volume: voxels that never travel without their geometry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError

# Direction letters of the patient axes, LPS order (DICOM PS3.3 C.7.6.2.1.1): +x left, +y posterior, +z superior.
_POSITIVE = ("L", "P", "S")
_NEGATIVE = ("R", "A", "I")


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """Where a voxel grid lies in the patient.

    Arguments:
        shape: number of voxels along (k, j, i); k is the slice axis.
        affine: 4x4, maps homogeneous (i, j, k, 1) voxel indices to LPS millimetres. Sheared
            matrices are allowed; singular ones are not.

    Raises:
        ImageError: the matrix is not finite, not 4x4, or singular, or a size is below 1.
    """

    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        shape = tuple(int(n) for n in self.shape)
        if affine.shape != (4, 4) or not np.all(np.isfinite(affine)):
            raise ImageError("Geometry.affine must be a finite 4x4 matrix (voxel index to LPS mm).")
        if len(shape) != 3 or min(shape) < 1:
            raise ImageError(f"Geometry.shape must be three sizes of at least 1, not {self.shape}.")
        columns = np.linalg.norm(affine[:3, :3], axis=0)
        if np.any(columns <= 0) or abs(np.linalg.det(affine[:3, :3] / columns)) < 1e-4:
            raise ImageError("Geometry.affine is singular: two image axes point the same way or a spacing is zero.")
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", shape)

    @classmethod
    def from_parts(
        cls,
        shape: tuple[int, int, int],
        *,
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
        direction: npt.ArrayLike | None = None,
    ) -> Geometry:
        """Build from parts: `shape` and `spacing` in (k, j, i) order, `origin` in LPS mm, and
        `direction` 3x3 with the unit vectors of the i, j, k axes as columns (ITK's convention)."""
        affine = np.eye(4)
        matrix = np.eye(3) if direction is None else np.asarray(direction, dtype=np.float64).reshape(3, 3)
        affine[:3, :3] = matrix * np.asarray(spacing[::-1], dtype=np.float64)
        affine[:3, 3] = origin
        return cls(shape, affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between neighbouring voxel centres along (k, j, i)."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(k), float(j), float(i)

    @property
    def direction(self) -> npt.NDArray[np.float64]:
        """3x3; columns are the unit vectors of the i, j, k axes in LPS (ITK's convention)."""
        matrix = self.affine[:3, :3]
        return matrix / np.linalg.norm(matrix, axis=0)

    @property
    def origin(self) -> tuple[float, float, float]:
        """LPS millimetres of the centre of voxel (0, 0, 0)."""
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def voxel_volume(self) -> float:
        """Cubic millimetres of one voxel (the determinant, so right under shear)."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def orientation(self) -> str:
        """Three letters: the patient direction in which i, j, k grow, e.g. ``"LPS"``; nearest axes if oblique."""
        return "".join((_POSITIVE if sign > 0 else _NEGATIVE)[axis] for axis, sign in self._nearest_axes())

    def _nearest_axes(self) -> list[tuple[int, int]]:
        """For i, j, k: (patient axis 0..2, sign), each patient axis used once."""
        direction = self.direction
        best: list[tuple[int, int]] = []
        best_score = -1.0
        for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
            score = sum(abs(direction[axis, column]) for column, axis in enumerate(order))
            if score > best_score + 1e-9:
                best_score = score
                best = [(axis, 1 if direction[axis, column] >= 0 else -1) for column, axis in enumerate(order)]
        return best

    def to_lps(self, kji: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """LPS millimetres of voxel indices; `kji` has shape (..., 3) in (k, j, i) order, may be fractional."""
        index = np.asarray(kji, dtype=np.float64)[..., ::-1]
        return index @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, lps: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Fractional (k, j, i) voxel indices of LPS millimetres; `lps` has shape (..., 3)."""
        offset = np.asarray(lps, dtype=np.float64) - self.affine[:3, 3]
        return np.linalg.solve(self.affine[:3, :3], offset[..., None])[..., 0][..., ::-1]

    def contains(self, kji: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether voxel indices (..., 3) lie on the grid (within half a voxel of its outer centres)."""
        index = np.asarray(kji, dtype=np.float64)
        return np.all((index >= -0.5) & (index <= np.asarray(self.shape) - 0.5), axis=-1)

    def crop(self, start: tuple[int, int, int], shape: tuple[int, int, int]) -> Geometry:
        """The geometry of a sub-grid that begins at voxel `start` (k, j, i)."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_lps(start)
        return Geometry(shape, affine)

    def same_grid(self, other: Geometry, *, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same size and every corner agrees within `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1).T
        return bool(np.max(np.abs(self.to_lps(corners) - other.to_lps(corners))) <= tolerance_mm)


@dataclasses.dataclass(frozen=True)
class SliceSource:
    """Where one slice came from: file, SOP Instance UID, and frame number (1-based) in a multi-frame object."""

    path: Path | None = None
    sop_instance_uid: str | None = None
    frame: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with geometry and provenance.

    Arguments:
        array: (k, j, i) scalar voxels, or (k, j, i, 3) RGB uint8 for colour images. CT voxels are
            Hounsfield units; PET and MR voxels are the rescaled stored values.
        geometry: of the first three axes.
        modality: DICOM Modality (``"CT"``, ``"MR"``, ``"PT"``, ``"CR"``, ``"DX"``, ``"US"``, ``"ES"``,
            ``"SM"``, ``"OT"`` when unknown).
        slices: one entry per k, or empty when the source has no slices of its own (e.g. NIfTI).
        reversed_k: the source stores its slices in the opposite order. k here always ascends
            towards the patient's head / left / front; writers put the source's order back.
        placed: the geometry says where the image lies in the patient. Not so for pictures, projections and loops: left,
            right and position are unknown there, whatever the axes say.
        padding: value that marks "no data" outside the scan's field of view, or None.
        header: the DICOM attributes kept for naming and export, keyword to value (text).
        warnings: what was repaired or looks odd, a sentence each.

    k ascends towards head (axial), left (sagittal) or front (coronal) for every reader.
    """

    array: npt.NDArray
    geometry: Geometry
    modality: str = "OT"
    slices: tuple[SliceSource, ...] = ()
    series_uid: str | None = None
    study_uid: str | None = None
    frame_of_reference_uid: str | None = None
    name: str = ""
    reversed_k: bool = False
    placed: bool = True
    padding: float | None = None
    header: Mapping[str, str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.ndim not in (3, 4) or (self.array.ndim == 4 and self.array.shape[3] != 3):
            raise ImageError(f"Volume.array must be (k, j, i) or (k, j, i, 3), not {self.array.shape}.")
        if self.array.shape[:3] != self.geometry.shape:
            raise ImageError(f"Volume.array {self.array.shape} does not fit geometry {self.geometry.shape}.")
        if self.slices and len(self.slices) != self.geometry.shape[0]:
            raise ImageError(f"Volume has {self.geometry.shape[0]} slices but {len(self.slices)} slice sources.")

    @property
    def is_color(self) -> bool:
        return self.array.ndim == 4

    def sop_instance_uid(self, k: int) -> str | None:
        """SOP Instance UID of slice k, or None when the source has none."""
        return self.slices[k].sop_instance_uid if self.slices else None

    def oriented(self, letters: str = "LPS") -> Volume:
        """The same voxels with axes permuted and flipped so that i, j, k grow along `letters`.

        Exact: no resampling; an oblique volume stays oblique. `slices` is dropped when k changes axis.
        Put a mask made on the result back with `restore`.
        """
        order, flips = _reorientation(self.geometry, letters)
        array, geometry = _reorient(self.array, self.geometry, order, flips)
        slices: tuple[SliceSource, ...] = ()
        if order[0] == 0:
            slices = self.slices[::-1] if flips[0] else self.slices
        return dataclasses.replace(self, array=array, geometry=geometry, slices=slices, reversed_k=False)

    def restore(self, array: npt.NDArray, letters: str = "LPS") -> npt.NDArray:
        """Bring an array made on ``self.oriented(letters)`` back to this volume's own axis order."""
        order, flips = _reorientation(self.geometry, letters)
        flipped = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        rest = tuple(range(3, array.ndim))
        return np.ascontiguousarray(flipped.transpose(*np.argsort(order).tolist(), *rest))


def _reorientation(geometry: Geometry, letters: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For new array axes (k, j, i): which old array axis, and whether it is flipped."""
    if len(letters) != 3 or {_axis(letter)[0] for letter in letters} != {0, 1, 2}:
        raise ValueError(f"orientation must name three different axes, e.g. 'LPS', not {letters!r}")
    current = geometry._nearest_axes()  # for i, j, k
    order, flips = [], []
    for letter in reversed(letters):  # array order k, j, i
        axis, sign = _axis(letter)
        column = next(c for c, (a, _) in enumerate(current) if a == axis)
        order.append(2 - column)
        flips.append(current[column][1] != sign)
    return tuple(order), tuple(flips)


def _axis(letter: str) -> tuple[int, int]:
    if letter in _POSITIVE:
        return _POSITIVE.index(letter), 1
    if letter in _NEGATIVE:
        return _NEGATIVE.index(letter), -1
    raise ValueError(f"{letter!r} is not one of L, R, P, A, S, I")


def _reorient(
    array: npt.NDArray, geometry: Geometry, order: tuple[int, ...], flips: tuple[bool, ...]
) -> tuple[npt.NDArray, Geometry]:
    rest = tuple(range(3, array.ndim))
    moved = array.transpose(*order, *rest)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    matrix = np.zeros((3, 3))
    start = np.zeros(3)  # old (k, j, i) index of the new first voxel
    for new_axis, (old_axis, flip) in enumerate(zip(order, flips, strict=True)):
        matrix[:, 2 - new_axis] = geometry.affine[:3, 2 - old_axis] * (-1 if flip else 1)
        if flip:
            start[old_axis] = geometry.shape[old_axis] - 1
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = geometry.to_lps(start)
    k, j, i = moved.shape[:3]
    return np.ascontiguousarray(moved), Geometry((k, j, i), affine)
