"""Where a structure lies, in words: side and level."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from radfind.errors import NotSupportedError
from radfind.language.concepts import Side
from radfind.measure.body import body_of
from radfind.measure.distances import centroid
from radfind.measure.quantities import Measured
from radfind.measure.surface import bounding_box
from radfind.volume import Geometry, Volume


def side_of(
    mask: npt.NDArray[np.bool_], geometry: Geometry, body: npt.NDArray[np.bool_], *, midline_mm: float = 5.0
) -> Side:
    """The side of the patient on which a structure lies.

    The midline is the middle of the body's voxels in the slices the structure spans. "both" when the structure
    reaches more than `midline_mm` over it to both sides with at least a tenth of its voxels.

    Raises:
        InputError: a mask is empty or does not fit the geometry.
    """
    box = bounding_box(mask, geometry)
    around = np.zeros_like(body)
    around[box[0]] = body[box[0]]
    trunk = bounding_box(around if around.any() else body, geometry)
    corners = geometry.to_lps([[part.start for part in trunk], [part.stop - 1 for part in trunk]])
    middle = float(corners[:, 0].mean())
    left = geometry.to_lps(np.argwhere(mask[box]) + [part.start for part in box])[:, 0] - middle
    shares = float(np.mean(left > midline_mm)), float(np.mean(left < -midline_mm))
    if min(shares) >= 0.1:
        return "both"
    return "left" if float(left.mean()) > 0 else "right"


def level_of(
    mask: npt.NDArray[np.bool_], geometry: Geometry, landmarks: Mapping[str, npt.NDArray[np.bool_]]
) -> tuple[str, ...]:
    """The landmarks (e.g. ``{"L1": mask, ...}``) at whose height a structure lies, head first; its nearest when none.

    Raises:
        InputError: a mask is empty or does not fit the geometry.
    """
    low, high = _heights(mask, geometry)
    spans = {name: _heights(landmark, geometry) for name, landmark in landmarks.items() if landmark.any()}
    crossed = [name for name, (bottom, top) in spans.items() if bottom <= high and top >= low]
    if not crossed and spans:
        own = float(centroid(mask, geometry)[2])
        crossed = [min(spans, key=lambda name: abs(sum(spans[name]) / 2 - own))]
    return tuple(sorted(crossed, key=lambda name: -sum(spans[name])))


def placed(measured: Sequence[Measured], volume: Volume) -> list[Measured]:
    """The same measurements with `Measured.place`: the side of the body, and the vertebrae at whose height each lies.

    Vertebrae are the measured segments so named ("T12 vertebra", "vertebrae_L1"). Scans without a body get no side.
    """
    try:
        body = body_of(volume)
    except NotSupportedError:
        return list(measured)
    spine = {}
    for item in measured:
        if (found := _VERTEBRA.search(item.segment.name.replace("_", " "))) is not None:
            spine[found[1].upper()] = item.segment.mask
    result = []
    for item in measured:
        side: str = side_of(item.segment.mask, volume.geometry, body)
        levels = level_of(item.segment.mask, volume.geometry, spine)
        words = "both sides" if side == "both" else side
        if levels:
            words += f", at {levels[0]}" + (f" to {levels[-1]}" if len(levels) > 1 else "")
        result.append(dataclasses.replace(item, place=words))
    return result


_VERTEBRA = re.compile(r"(?i)(?=.*vertebra).*?\b([CTLS]\d{1,2})\b")


def _heights(mask: npt.NDArray[np.bool_], geometry: Geometry) -> tuple[float, float]:
    box = bounding_box(mask, geometry)
    z = geometry.to_lps(np.argwhere(mask[box]) + [part.start for part in box])[:, 2]
    return float(z.min()), float(z.max())
