"""Display windows: measured values to 8-bit grey, only ever for looking, never before measuring."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError
from radfind.volume import Volume

_RADIOPAEDIA = "Radiopaedia, 'Windowing (CT)', typical values (rID 52108)"
_SLICER = "3D Slicer, CT display presets"


@dataclasses.dataclass(frozen=True)
class Window:
    """A grey-level window.

    Arguments:
        center, width: in the units of the voxels (CT: Hounsfield units), as DICOM's Window Center and Window Width.
        gamma: exponent applied to the result in [0, 1]; below 1 brightens the dark half.
        source: where the numbers come from.
    """

    center: float
    width: float
    gamma: float = 1.0
    source: str = ""

    def __post_init__(self) -> None:
        if not (np.isfinite([self.center, self.width, self.gamma]).all() and self.width >= 1 and self.gamma > 0):
            raise InputError(
                "A window needs a finite centre, a width of at least 1 and a gamma above 0, not centre "
                f"{self.center:g}, width {self.width:g}, gamma {self.gamma:g}."
            )

    def apply(self, values: npt.NDArray) -> npt.NDArray[np.uint8]:
        """Grey 0..255 of scalar `values` of any shape; NaN is black.

        The LINEAR function of DICOM PS3.3 C.11.2.1.2.1, rounded to the nearest grey, after gamma.
        """
        if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
            # 65536 answers are computed once and looked up: ten times faster than the formula on every voxel.
            bits = 8 * values.dtype.itemsize
            every = np.arange(1 << bits, dtype=np.uint32).astype(f"u{bits // 8}").view(values.dtype)
            return self._grey(every)[values.view(f"u{bits // 8}")]
        return self._grey(values)

    def _grey(self, values: npt.NDArray) -> npt.NDArray[np.uint8]:
        x: npt.NDArray[np.floating] = values.astype(
            np.float32 if values.dtype == np.float32 else np.float64, copy=False
        )
        if self.width > 1:
            share = np.clip((x - (self.center - 0.5)) / (self.width - 1) + 0.5, 0.0, 1.0)
        else:
            share = (x > self.center - 0.5).astype(np.float64)  # the standard's two conditions, with no ramp between
        share = np.nan_to_num(share, nan=0.0)
        if self.gamma != 1:
            share = share**self.gamma
        return np.rint(share * 255).astype(np.uint8)


PRESETS: Mapping[str, Window] = MappingProxyType(
    {
        "lung": Window(-600, 1500, source=_RADIOPAEDIA),
        "mediastinum": Window(50, 350, source=_RADIOPAEDIA),
        "abdomen": Window(50, 400, source=_RADIOPAEDIA),
        "soft_tissue": Window(50, 400, source=_RADIOPAEDIA),
        "liver": Window(30, 150, source=_RADIOPAEDIA),
        "bone": Window(400, 1800, source=_RADIOPAEDIA),
        "brain": Window(40, 80, source=_RADIOPAEDIA),
        # Published as ranges, width 130-300 and centre 50-100: the middle of each.
        "subdural": Window(75, 215, source=_RADIOPAEDIA),
        "stroke": Window(40, 40, source=_RADIOPAEDIA),
        "temporal_bone": Window(600, 2800, source=_RADIOPAEDIA),
        # Width 350-400, centre 20-60.
        "neck": Window(40, 375, source=_RADIOPAEDIA),
        "spine": Window(50, 250, source=_RADIOPAEDIA),
        "angio": Window(200, 600, source=_RADIOPAEDIA),  # "vascular/heart"
        "air": Window(-426, 1000, source=_SLICER),
        # All of the Hounsfield scale of 12-bit CT, -1024 to 3071.
        "full": Window(1024, 4096, source="12-bit CT range"),
    }
)
"""CT display presets by what is looked for."""

# Share of the voxels of the object that may be darker than black or brighter than white, in percent. MR: coil
# hot spots and vessels are few and very bright. Projections keep nearly all: collimated borders are cut off below.
_CLIP = {"MR": (0.5, 99.5), "PT": (0.0, 99.8), "CR": (1.0, 99.0), "DX": (1.0, 99.0), "MG": (1.0, 99.5)}
_GAMMA = {"MR": 0.8}
_SAMPLES = 2_000_000


def preset(name: str) -> Window:
    """The preset of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise InputError(f"There is no display window '{name}'. There are: {', '.join(PRESETS)}.") from None


def window_for(volume: Volume, name: str | None = None) -> Window:
    """The window that shows `volume`.

    CT: the preset `name` (None: ``"soft_tissue"``). Other modalities have no fixed scale, so `name` is checked but
    their own spread of values decides.

    Raises:
        InputError: there is no preset of that name, or the image is in colour.
    """
    chosen = preset(name or "soft_tissue")
    if volume.is_color:
        raise InputError("A colour image has no display window; show its colours as they are.")
    return chosen if volume.modality == "CT" else robust(volume)


def robust(volume: Volume) -> Window:
    """A window from percentiles of the object's own values, with a gamma for MR.

    Background is left out: padding, non-finite values, and for modalities whose background is near zero everything
    below a tenth of the 99th percentile, which would otherwise drag the percentiles down with the share of air.
    """
    values = volume.array.reshape(-1)
    values = values[:: max(1, values.size // _SAMPLES)]
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if volume.padding is not None:
        values = values[values != volume.padding]
    if values.size == 0:
        return Window(0.5, 1.0, source="no values")
    low_share, high_share = _CLIP.get(volume.modality, (0.5, 99.5))
    low, high = (float(v) for v in np.percentile(values, (low_share, high_share)))
    if volume.modality in ("MR", "PT"):
        inside = values[values > 0.1 * np.percentile(values, 99)]
        if inside.size:
            high = float(np.percentile(inside, high_share))
        low = min(low, float(np.percentile(values, 1)))
    # The standard's formula shows `low` as 0 and `high` as 255 for this centre and width.
    return Window((low + high + 1) / 2, max(high - low, 0.0) + 1, _GAMMA.get(volume.modality, 1.0), "percentiles")


def apply(volume: Volume, name: str | None = None) -> npt.NDArray[np.uint8]:
    """The whole volume for display: (k, j, i) grey, or (k, j, i, 3) when it is in colour.

    For one slice use ``window_for(volume, name).apply(volume.array[k])``.
    """
    if volume.is_color:
        return volume.array
    return window_for(volume, name).apply(volume.array)


def channels(volume: Volume, names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Several windows as channels, (k, j, i, len(names)), for engines that see more than one at once.

    A colour image has its own three channels and gives those.
    """
    if volume.is_color:
        return volume.array
    return np.stack([window_for(volume, name).apply(volume.array) for name in names], axis=-1)
