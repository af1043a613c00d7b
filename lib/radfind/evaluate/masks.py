"""How well a mask fits the truth: MONAI's metrics, in millimetres, and which lesions were found at all."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

TOLERANCE_MM = 2.0
"""Surfaces that are no farther apart count as agreeing in NSD."""

OVERLAP = 0.1
"""A lesion counts as found when the mask covers this part of it."""

SIZES_MM = ((0.0, 6.0), (6.0, 10.0), (10.0, 20.0), (20.0, float("inf")))
"""Equivalent diameters for which recall is told apart; 6 mm is where nodules begin to be followed
(Fleischner Society, 2017)."""


@dataclasses.dataclass(frozen=True)
class MaskScore:
    """Of one case; `dice` and `nsd` in 0..1, `hd95_mm` is NaN when either mask is empty (then Dice and NSD are 0,
    or 1 when both are empty). `lesions` holds (equivalent diameter in mm, found) for each true lesion."""

    dice: float
    nsd: float
    hd95_mm: float
    lesions: tuple[tuple[float, bool], ...]


def score_mask(
    mask: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], spacing: tuple[float, float, float]
) -> MaskScore:
    """Compare boolean (k, j, i) masks on one grid of `spacing` mm."""
    lesions = _lesions(mask, truth, spacing)
    if not mask.any() or not truth.any():
        same = float(not mask.any() and not truth.any())
        return MaskScore(same, same, float("nan"), lesions)
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    # Only where either mask is: the metrics are the same, the work is not.
    box = tuple(slice(max(0, low - 1), high + 2) for low, high in _extent(mask | truth))
    given, expected = (torch.from_numpy(np.ascontiguousarray(one[box]))[None, None].float() for one in (mask, truth))
    dice = compute_dice(given, expected, include_background=True)
    near = compute_surface_dice(given, expected, [TOLERANCE_MM], include_background=True, spacing=spacing)
    far = compute_hausdorff_distance(given, expected, include_background=True, percentile=95, spacing=spacing)
    return MaskScore(float(dice), float(near), float(far), lesions)


def _lesions(
    mask: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[tuple[float, bool], ...]:
    import cc3d

    labels, count = cc3d.connected_components(truth, connectivity=26, return_N=True)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    covered = np.bincount(labels[mask].ravel(), minlength=count + 1)[1:]
    diameters = (6 * sizes * float(np.prod(spacing)) / np.pi) ** (1 / 3)
    return tuple(
        (float(diameter), bool(part >= OVERLAP * size))
        for diameter, part, size in zip(diameters, covered, sizes, strict=True)
    )


def _extent(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    found = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return [(int(hits[0]), int(hits[-1])) for hits in found]
