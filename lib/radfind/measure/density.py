"""What the voxels inside a mask say: statistics, solid part, emphysema index, calcium."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.errors import NotSupportedError
from radfind.measure.surface import bounding_box
from radfind.volume import Volume

SOLID_HU = -300.0
"""From here on a part of a subsolid nodule counts as solid. Published thresholds run from -350 to -150 HU; -300 HU
is that of Matsuguma et al., Eur J Radiol 2013."""
EMPHYSEMA_HU = -950.0
"""Low attenuation below this is emphysema (Gevenois et al., Am J Respir Crit Care Med 1995;152:653)."""
CALCIUM_HU = 130.0
"""Agatston et al., J Am Coll Cardiol 1990;15:827."""


@dataclasses.dataclass(frozen=True)
class Density:
    """Statistics of the voxels inside a mask; padding and non-numbers are left out.

    Arguments:
        unit: UCUM: ``[hnsf'U]`` for CT, ``1`` where the scan's values have no unit.
        voxels: how many were counted.
    """

    mean: float
    deviation: float
    minimum: float
    percentile_5: float
    median: float
    percentile_95: float
    maximum: float
    unit: str
    voxels: int


def density(volume: Volume, mask: npt.NDArray[np.bool_]) -> Density:
    """Statistics of `volume` inside `mask`.

    Raises:
        InputError: the mask is empty or lies on another grid.
        NotSupportedError: colour images have no density.
    """
    values = _values(volume, mask)
    low, middle, high = np.percentile(values, [5.0, 50.0, 95.0])
    return Density(
        mean=float(values.mean()),
        deviation=float(values.std()),
        minimum=float(values.min()),
        percentile_5=float(low),
        median=float(middle),
        percentile_95=float(high),
        maximum=float(values.max()),
        unit="[hnsf'U]" if volume.modality == "CT" else "1",
        voxels=len(values),
    )


def solid_part(volume: Volume, nodule: npt.NDArray[np.bool_], *, threshold: float = SOLID_HU) -> npt.NDArray[np.bool_]:
    """The solid component of a nodule: its largest connected part at or above `threshold`; empty when there is none.

    Raises:
        NotSupportedError: the scan is no CT.
    """
    import cc3d

    _need_ct(volume, "The solid part")
    box = bounding_box(nodule, volume.geometry)
    dense = nodule[box] & (volume.array[box] >= threshold)
    result = np.zeros(nodule.shape, bool)
    if dense.any():
        labels = cc3d.connected_components(dense, connectivity=26)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        result[box] = labels == int(sizes.argmax())
    return result


def emphysema_index(volume: Volume, lungs: npt.NDArray[np.bool_]) -> float:
    """LAA-950: the share (0..1) of the lungs' voxels below -950 HU.

    It depends on dose, kernel and slice thickness: compare scans made alike.

    Raises:
        NotSupportedError: the scan is no CT.
    """
    _need_ct(volume, "The emphysema index")
    return float(np.mean(_values(volume, lungs) < EMPHYSEMA_HU))


def agatston(volume: Volume, region: npt.NDArray[np.bool_]) -> float:
    """The Agatston score inside `region` (the coronary arteries, or one of them).

    In each slice, every lesion of at least 1 mm2 at or above 130 HU gives its area times 1, 2, 3 or 4 for a peak from
    130, 200, 300 or 400 HU.

    Raises:
        NotSupportedError: the scan is not one the score is defined for: unenhanced CT, 120 kVp, 2.5 to 3 mm slices.
    """
    import cc3d

    _need_agatston_scan(volume)
    box = bounding_box(region, volume.geometry)
    row, column = volume.geometry.affine[:3, 0], volume.geometry.affine[:3, 1]
    pixel = float(np.linalg.norm(np.cross(row, column)))
    score = 0.0
    for k in range(box[0].start, box[0].stop):
        values = volume.array[k, box[1], box[2]]
        labels = cc3d.connected_components(
            np.ascontiguousarray(region[k, box[1], box[2]] & (values >= CALCIUM_HU)), connectivity=8
        )
        for label in range(1, int(labels.max()) + 1):
            lesion = labels == label
            area = float(np.count_nonzero(lesion)) * pixel
            if area >= 1.0:
                score += area * int(np.clip(values[lesion].max() // 100, 1, 4))
    return score


def _need_agatston_scan(volume: Volume) -> None:
    _need_ct(volume, "The Agatston score")
    header, wrong = volume.header, []
    voltage = _number(header.get("KVP"))
    if voltage is None:
        wrong.append("it does not state its tube voltage")
    elif abs(voltage - 120.0) > 1.0:
        wrong.append(f"the tube voltage is {voltage:g} kV, not 120")
    if header.get("ContrastBolusAgent", "").strip().lower() not in ("", "none", "no"):
        wrong.append("contrast agent was given")
    apart, thickness = volume.geometry.spacing[0], _number(header.get("SliceThickness"))
    if not 2.4 <= apart <= 3.1:
        wrong.append(f"slices lie {apart:g} mm apart, not 2.5 to 3")
    elif thickness is not None and not 2.4 <= thickness <= 3.1:
        wrong.append(f"slices are {thickness:g} mm thick, not 2.5 to 3")
    if wrong:
        raise NotSupportedError(
            f"The Agatston score is not defined for this scan: {'; '.join(wrong)}. Use the unenhanced, gated "
            "3 mm series at 120 kV."
        )


def _number(text: str | None) -> float | None:
    """A number of the header; None when there is none."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _need_ct(volume: Volume, what: str) -> None:
    if volume.modality != "CT":
        raise NotSupportedError(
            f"{what} is defined in Hounsfield units, and this scan is {volume.modality}. Use a CT series."
        )


def _values(volume: Volume, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    if volume.is_color:
        raise NotSupportedError("A colour image has no density values. Measure lengths and areas on it instead.")
    box = bounding_box(mask, volume.geometry)
    values = volume.array[box][mask[box]].astype(np.float64)
    values = values[np.isfinite(values)]
    if volume.padding is not None:
        values = values[values != volume.padding]
    if not len(values):
        raise NotSupportedError("The segment lies wholly outside the scanned field: it holds no measured value.")
    return values
