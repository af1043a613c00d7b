"""Measuring segments without a freeze: the scene is read between two turns of the event loop, the rest on a thread."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from . import Measure
from .Errors import RadFindError
from .Geometry import Grid
from .Labelmaps import SegmentCopy, copyOf
from .Tables import Table
from .Volumes import gridOf, unitOf, voxelsOf


def measured(
    segmentation: Any, segments: Sequence[str], volume: Any = None
) -> Generator[tuple[float, str], None, Table]:
    """One line for each segment, on the volume's grid when there is one, else on the segment's own.

    Yields (fraction, message) while it works.

    Raises:
        RadFindError: nothing is chosen, a segment has no voxels, or one was removed meanwhile.
    """
    if segmentation is None or not segments:
        raise RadFindError("Choose the segments to measure.")
    cells = []
    thread = ThreadPoolExecutor(1)
    try:
        for number, segment in enumerate(segments):
            found = segmentation.GetSegmentation().GetSegment(segment)
            if found is None:
                raise RadFindError("A segment was removed meanwhile; nothing was measured.")
            copy = copyOf(segmentation, segment, volume)
            grid = gridOf(volume) if volume is not None else copy.grid
            work = thread.submit(_measure, copy, grid, voxelsOf(volume) if volume is not None else None)
            while not work.done():
                yield number / len(segments), f"measuring {found.GetName()}"
            cells.append(work.result().cells(found.GetName()))
    finally:
        thread.shutdown(wait=False)  # who cancels does not wait for the segment that is being measured
    return Table(Measure.columns(unitOf(volume) if volume is not None else ""), cells)


def _measure(copy: SegmentCopy, grid: Grid, voxels: np.ndarray | None) -> Measure.Measures:
    return Measure.measure(copy.on(grid), grid, voxels)
