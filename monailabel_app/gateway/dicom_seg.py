"""A task's labelmap as a DICOM SEG of the series it was made on (``output=dicom_seg``)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel_app.gateway.errors import Refusal
from radfind.errors import InputError


def labelmap_as_seg(labelmap: Path, series: Path, params: Mapping[str, Any]) -> Path:
    """Write the SEG to a temporary file.

    Arguments:
        series: folder of the DICOM series.
        params: the task's answer; its ``label_names`` (name to value) name the segments.

    Raises:
        Refusal: 422, the image is not a DICOM series, or nothing was found.
        InputError: the labelmap does not lie on the series' grid.
    """
    import numpy as np

    import radfind
    from radfind.exports.dicom_seg import write_seg
    from radfind.results import Segment, Segmentation

    if not series.is_dir():
        raise Refusal(422, "A DICOM SEG needs a DICOM series; this image is another file. Ask for output=image.")
    volume, labels = radfind.load(series), radfind.load(labelmap)
    if not labels.geometry.same_grid(volume.geometry, tolerance_mm=0.05):
        raise InputError("The labelmap does not lie on the grid of its series, so it cannot become a DICOM SEG.")
    given = params.get("label_names")
    names = {int(value): str(name) for name, value in given.items()} if isinstance(given, Mapping) else {}
    values = [int(value) for value in np.unique(labels.array) if value > 0]
    if not values:
        raise Refusal(422, "Nothing was found, and a DICOM SEG cannot be empty. Ask for output=json to see why.")
    segments = tuple(Segment(names.get(value, f"label {value}"), labels.array == value) for value in values)
    segmentation = Segmentation(volume.geometry, segments, engine=str(params.get("engine", "")))
    handle, name = tempfile.mkstemp(prefix="radfind-", suffix=".dcm")
    os.close(handle)
    return write_seg(segmentation, volume, Path(name))
