"""Volumes on coarse grids for registration, and where along the body one lies on the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from radfind.volume import Volume

WORK_MM = 3.0
"""Registration works at this spacing: below it inner organs gain nothing (their borders move by more between cases)."""

COARSE_MM = 9.0
"""Spacing of thumbnails: enough to see which part of the body a scan shows."""

_BINS = 24
_OVERLAP = 0.35
"""A shift must leave this share of the smaller scan over the other to count."""

Floats = npt.NDArray[np.float32]


def working_image(volume: Volume, step: float = WORK_MM) -> sitk.Image:
    """The volume (LPS axes order) as an image of about `step` mm, block means, values scaled to -1..1.

    CT is clipped to soft tissue (-160..240 HU and a little beyond): organs, not air and bone, must agree.
    """
    volume = volume.oriented("LPS")
    array = volume.array.astype(np.float32)
    if array.ndim == 4:
        array = array.mean(axis=-1)
    if volume.modality == "CT":
        array = np.clip(np.nan_to_num(array, nan=-1000.0), -250.0, 250.0) / 250.0
    else:
        low, high = np.nanpercentile(array[:: max(1, len(array) // 16), ::2, ::2], [1.0, 99.5])
        array = np.clip((np.nan_to_num(array) - low) / max(float(high - low), 1e-6), 0.0, 1.0) * 2 - 1
    return shrunk(to_image(array, volume), step)


def to_image(array: npt.NDArray, volume: Volume) -> sitk.Image:
    """An array on the volume's grid as an image."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(volume.geometry.spacing[::-1])
    image.SetOrigin(volume.geometry.origin)
    image.SetDirection(volume.geometry.direction.ravel().tolist())
    return image


def shrunk(image: sitk.Image, step: float) -> sitk.Image:
    """Block means, blocks of at most about `step` mm."""
    factors = [
        int(np.clip(round(step / s), 1, max(1, n // 4)))
        for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    return sitk.BinShrink(image, factors) if max(factors) > 1 else image


def dependence(a: npt.NDArray, b: npt.NDArray) -> float:
    """How far `a` follows from `b`, 0..1: the correlation ratio (Roche et al., MICCAI 1998).

    Works across modalities: it asks for some function between the values, not for equal ones.
    """
    if a.size < 50:
        return 0.0
    low, high = np.percentile(b, [0.5, 99.5])
    bins = np.clip(((b - low) / max(float(high - low), 1e-9) * _BINS).astype(int), 0, _BINS - 1)
    count = np.bincount(bins, minlength=_BINS).astype(float)
    total = np.bincount(bins, a, minlength=_BINS)
    mean = total / np.maximum(count, 1)
    variance = float(np.var(a))
    explained = float((count * (mean - a.mean()) ** 2).sum() / a.size)
    return explained / variance if variance > 1e-9 else 0.0


def best_shift(fixed: sitk.Image, moving: sitk.Image) -> tuple[float, float, float]:
    """The translation (LPS mm) of `moving` that makes it resemble `fixed` most: scans of different extent."""
    return _aligned(fixed, moving)[0]


def best_likeness(fixed: sitk.Image, moving: sitk.Image) -> float:
    """How far `fixed` follows from `moving`, 0..1, where they lie best on one another."""
    return max(0.0, _aligned(fixed, moving)[1])


def _aligned(fixed: sitk.Image, moving: sitk.Image) -> tuple[tuple[float, float, float], float]:
    a, b = shrunk(fixed, COARSE_MM), shrunk(moving, COARSE_MM)
    one, other = sitk.GetArrayFromImage(a), sitk.GetArrayFromImage(b)
    smaller = min(one.size * np.prod(a.GetSpacing()), other.size * np.prod(b.GetSpacing()))
    base = _middle(a) - _middle(b)
    reach = (_length(a) + _length(b)) / 2
    best, chosen = -1.0, base
    for step in np.arange(-reach, reach + 1, COARSE_MM):
        for across in ((0, 0), (15, 0), (-15, 0), (0, 20), (0, -20)):
            shift = base + np.array([*across, step])
            value = _likeness(a, one, b, shift, float(smaller))
            if value > best:
                best, chosen = value, shift
    return (float(chosen[0]), float(chosen[1]), float(chosen[2])), best


def _middle(image: sitk.Image) -> npt.NDArray[np.float64]:
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _length(image: sitk.Image) -> float:
    return float(image.GetSize()[2] * image.GetSpacing()[2])


def _likeness(a: sitk.Image, one: npt.NDArray, b: sitk.Image, shift: npt.NDArray, smaller: float) -> float:
    moved = sitk.Resample(b, a, sitk.TranslationTransform(3, (-shift).tolist()), sitk.sitkNearestNeighbor, -9.0)
    values = sitk.GetArrayFromImage(moved)
    known = values > -5.0
    if known.sum() * np.prod(a.GetSpacing()) < _OVERLAP * smaller:
        return -1.0
    return dependence(one[known], values[known]) * float(np.sqrt(known.sum() * np.prod(a.GetSpacing()) / smaller))
