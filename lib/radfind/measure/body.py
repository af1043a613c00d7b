"""The patient's body in a scan: what the skin encloses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from radfind.errors import NotSupportedError
from radfind.volume import Volume

_SECTIONAL = ("CT", "MR", "OT")  # a NIfTI file does not say that it is MR: OT, unknown
_SMOOTHING_MM = 2.0


def body_of(volume: Volume) -> npt.NDArray[np.bool_]:
    """The body (k, j, i) on the grid of `volume`, everything enclosed in it filled.

    On CT as the built-in engine knows it, without table and clothes. On MR, where air has no fixed value, the largest
    piece brighter than Otsu's threshold of the logarithm: dark lung and cortical bone inside are filled.

    Raises:
        NotSupportedError: the scan is no CT or MR, or shows no body.
    """
    if volume.modality not in _SECTIONAL or volume.is_color:
        raise NotSupportedError(f"The body is found in CT and MR; this scan is {volume.modality}.")
    body = _of_ct(volume) if volume.modality == "CT" else _of_mr(volume)
    if not body.any():
        raise NotSupportedError(f"No body was found in '{volume.name or 'the scan'}'. Give a scan of a patient.")
    return body


def _of_ct(volume: Volume) -> npt.NDArray[np.bool_]:
    from radfind.engines.builtin.anatomy import Anatomy

    body = volume.restore(Anatomy(volume).body)
    return np.asarray(body, dtype=bool)


def _of_mr(volume: Volume) -> npt.NDArray[np.bool_]:
    import cc3d
    import fill_voids
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu

    values = np.nan_to_num(volume.array.astype(np.float32))
    values = np.log1p(np.maximum(gaussian_filter(values, [_SMOOTHING_MM / s for s in volume.geometry.spacing]), 0.0))
    bright = values > threshold_otsu(values) if values.min() < values.max() else np.zeros(values.shape, bool)
    body: npt.NDArray[np.bool_] = np.asarray(cc3d.largest_k(bright, k=1, connectivity=6) > 0)
    upright = Volume(body, volume.geometry).oriented("LPS").array
    axial = np.stack([fill_voids.fill(np.ascontiguousarray(plane)) for plane in upright]).astype(bool)
    filled = Volume(body, volume.geometry).restore(axial)
    return np.asarray(filled, dtype=bool)
