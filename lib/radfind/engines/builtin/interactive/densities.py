"""What a voxel's own density says of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

_BINS = 48


def opinion(
    values: npt.NDArray[np.float32], fore: Mask, back: Mask, held: Mask | None, noise: float
) -> tuple[npt.NDArray[np.float32], float]:
    """What each voxel's own density says, 0..1, and how far the densities inside and around are apart."""
    ours = values[held if held is not None and held.any() else fore]
    theirs = values[~held if held is not None else back]
    low, high = np.percentile(values, [0.5, 99.5])
    edges = np.linspace(low, high + 1e-6, _BINS + 1)
    bins = np.clip(np.digitize(values, edges) - 1, 0, _BINS - 1)
    width = max(1.0, noise / max(float(edges[1] - edges[0]), 1e-9))
    histograms = []
    for sample in (ours, theirs):
        count = np.histogram(np.clip(sample, low, high), edges)[0].astype(float)
        reach = np.arange(-3 * int(np.ceil(width)), 3 * int(np.ceil(width)) + 1)
        smooth = np.convolve(count, np.exp(-0.5 * (reach / width) ** 2), "same")[: len(reach) + _BINS]
        smooth = smooth[:_BINS] if len(smooth) >= _BINS else np.resize(smooth, _BINS)
        histograms.append(smooth / max(smooth.sum(), 1e-9) + 1e-3)
    chance = histograms[0] / (histograms[0] + histograms[1])
    prior = chance[bins].astype(np.float32)
    if held is not None:
        prior = 0.5 * prior + 0.5 * held.astype(np.float32)
    contrast = abs(float(np.median(ours)) - float(np.median(theirs))) if theirs.size else 0.0
    return prior, contrast
