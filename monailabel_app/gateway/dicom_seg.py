"""A task's labelmap as a DICOM SEG of the series it was made on (``output=dicom_seg``)."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel_app.gateway.errors import Refusal
from monailabel_app.label_names import label_names


def labelmap_as_seg(labelmap: Path, series: Path, params: Mapping[str, Any]) -> Path:
    """Write the SEG to a temporary file.

    Arguments:
        series: folder of the DICOM series.
        params: the task's answer; its ``label_names`` (name to value) name the segments.

    Raises:
        Refusal: 422, the image is not a DICOM series, or nothing was found.
        ImageError: the labelmap does not lie on the series' grid.
    """
    import numpy as np

    import radfind
    from radfind.exports.dicom_seg import write_seg
    from radfind.imaging.labelmap_reading import read_segmentation

    if not series.is_dir():
        raise Refusal(422, "A DICOM SEG needs a DICOM series; this image is another file. Ask for output=image.")
    volume = radfind.load(series)
    if not np.any(radfind.load(labelmap).array):
        raise Refusal(422, "Nothing was found, and a DICOM SEG cannot be empty. Ask for output=json to see why.")
    found = read_segmentation(labelmap, volume, names=label_names(params))
    segmentation = dataclasses.replace(found, engine=str(params.get("engine", "")))
    handle, name = tempfile.mkstemp(prefix="radfind-", suffix=".dcm")
    os.close(handle)
    return write_seg(segmentation, volume, Path(name))
