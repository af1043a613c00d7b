"""One answer of two: what an engine found itself, and what saved labels of other cases show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from radfind.engines.builtin.everything import TISSUES
from radfind.engines.builtin.prompted import joined
from radfind.results import Segmentation


def with_taught(
    own: Segmentation, shown: Segmentation, cases: Mapping[str, Sequence[str]], words: Sequence[str], *, apart: bool
) -> Segmentation:
    """Both answers in one; the engine line and a note say which structures came from which cases.

    Arguments:
        own: the engine's answer.
        shown: the structures brought from the cases.
        cases: image ids, by the structure's name.
        words: what in the text asked for these structures: no longer unsupported.
        apart: let no two of the structures overlap.
    """
    told = [f"'{name}' answered from the saved labels of {', '.join(images)}." for name, images in cases.items()]
    if apart:
        own, shown = _apart(own, shown)
    unknown = tuple(text for text in own.not_supported if not any(f"'{word}'" in text for word in words))
    engine = f"{own.engine}; saved labels of other cases (chosen by auto: the engine does not show {', '.join(cases)})"
    both = joined([dataclasses.replace(own, not_supported=unknown), shown], engine)
    return dataclasses.replace(both, notes=(*told, *both.notes))


def _apart(own: Segmentation, shown: Segmentation) -> tuple[Segmentation, Segmentation]:
    """No overlaps: a structure the engine sees stays, tissues in general give way to the organ they are part of."""
    free = np.ones(own.geometry.shape, bool)
    for segment in own.segments:
        if segment.concept is not None and segment.concept.kind == "anatomy" and segment.concept.id not in TISSUES:
            free &= ~segment.mask
    segments = []
    for segment in shown.segments:
        mask = segment.mask & free
        if mask.any():
            free &= ~mask
            segments.append(dataclasses.replace(segment, mask=mask, prompt="everything"))
    taken = np.zeros(own.geometry.shape, bool)
    for segment in segments:
        taken |= segment.mask
    kept = [
        dataclasses.replace(segment, mask=segment.mask & ~taken)
        if segment.concept is not None and segment.concept.id in TISSUES
        else segment
        for segment in own.segments
    ]
    return (
        dataclasses.replace(own, segments=tuple(segment for segment in kept if segment.mask.any())),
        dataclasses.replace(shown, segments=tuple(segments)),
    )
