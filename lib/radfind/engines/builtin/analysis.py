"""What the built-in engine has found in one scan; worked out once and shared by all three tasks."""

from __future__ import annotations

import functools
import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.emphysema import find_emphysema
from radfind.engines.builtin.field import LungField, lung_field
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.masses import may_be_masses, with_merged_masses
from radfind.engines.builtin.nodules import find_nodules
from radfind.engines.builtin.opacities import find_opacities
from radfind.engines.builtin.pleura import find_effusions, find_pneumothoraces
from radfind.errors import ImageError, NotSupportedError
from radfind.volume import Volume

_FINDERS: dict[str, Callable[[LungField, Context], list[Lesion]]] = {
    "nodule": find_nodules,
    "opacity": find_opacities,
    "effusion": find_effusions,
    "pneumothorax": find_pneumothoraces,
}

MIN_SLICES = 4
MAX_SPACING_MM = 12.0


class Analysis:
    """Anatomy and lesions of one CT, each made on first use. Safe to share between threads.

    Arguments:
        volume: a CT in Hounsfield units, any orientation.

    Raises:
        NotSupportedError: the volume is not a CT, or has colours.
        ImageError: it is too thin or empty to search in three dimensions.
    """

    def __init__(self, volume: Volume) -> None:
        check(volume)
        self.anatomy = Anatomy(volume)
        self._lock = threading.RLock()
        self._found: dict[str, tuple[Lesion, ...]] = {}

    @functools.cached_property
    def field(self) -> LungField | None:
        """The lung field, or None when the scan shows no lung to speak of."""
        anatomy = self.anatomy
        spacing = anatomy.volume.geometry.spacing
        return lung_field(
            anatomy.hu,
            spacing,
            anatomy.lungs,
            exclude=anatomy.airways,
            cage=anatomy.thorax_cavity,
            air=anatomy.air,
        )

    def lesions(self, family: str, context: Context) -> tuple[Lesion, ...]:
        """All lesions of a family of `vocabulary.FAMILIES`, surest first; none when the organ is not in the scan."""
        with self._lock:
            if family not in self._found:
                self._found[family] = self._find(family, context)
            return self._found[family]

    def masses(self, context: Context) -> tuple[Lesion, ...]:
        """The lesions of the family "nodule" together with the masses that merge with what they touch."""
        with self._lock:
            if "mass" not in self._found:
                spacing = self.anatomy.volume.geometry.spacing
                nodules, dense = self.lesions("nodule", context), self.lesions("opacity", context)
                self._found["mass"] = with_merged_masses(nodules, dense, spacing)
            return self._found["mass"]

    def mass_like(self, context: Context) -> tuple[Lesion, ...]:
        """The consolidations that may be a mass, for where none was found."""
        with self._lock:
            if "mass-like" not in self._found:
                spacing = self.anatomy.volume.geometry.spacing
                self._found["mass-like"] = may_be_masses(self.lesions("opacity", context), spacing)
            return self._found["mass-like"]

    def _find(self, family: str, context: Context) -> tuple[Lesion, ...]:
        field = self.field
        if field is None:
            return ()
        if family == "emphysema":
            return tuple(find_emphysema(field, self.lesions("pneumothorax", context), context))
        return tuple(_FINDERS[family](field, context))

    def own_mask(self, lesion: Lesion, volume: Volume) -> npt.NDArray[np.bool_]:
        """The mask of a lesion on the grid of the volume asked about."""
        return volume.restore(lesion.full_mask(self.anatomy.volume.geometry.shape))

    def own_position(self, kji: tuple[float, float, float], volume: Volume) -> tuple[float, float, float]:
        """Indices on the grid of the volume asked about, for indices on the oriented grid."""
        k, j, i = volume.geometry.to_index(self.anatomy.volume.geometry.to_lps(kji))
        return float(k), float(j), float(i)


def check(volume: Volume) -> None:
    """Refuse what the built-in engine cannot read.

    Raises:
        NotSupportedError: the volume is not a CT, or has colours.
        ImageError: it is too thin or empty to search in three dimensions.
    """
    named = f"'{volume.name}'" if volume.name else "This image"
    if volume.is_color or volume.modality != "CT":
        raise NotSupportedError(
            f"{named} is of modality {volume.modality}; from text alone the built-in engine reads CT only, because it "
            "works with Hounsfield units. Give a CT, mark the structure with points or a box, or choose a neural "
            "engine."
        )
    if min(volume.geometry.shape) < MIN_SLICES or max(volume.geometry.spacing) > MAX_SPACING_MM:
        k, j, i = volume.geometry.shape
        raise ImageError(
            f"{named} has {k} x {j} x {i} voxels, {volume.geometry.spacing[0]:.1f} mm apart between slices. The "
            f"built-in engine looks for findings in three dimensions and needs at least {MIN_SLICES} slices no more "
            f"than {MAX_SPACING_MM:.0f} mm apart. Give the whole series."
        )
    sample = volume.array[:: max(1, volume.array.shape[0] // 16), ::8, ::8].astype(np.float32)
    if not np.isfinite(sample).any() or float(np.nanmax(sample) - np.nanmin(sample)) < 1.0:
        raise ImageError(f"{named} holds no image: all its voxels are alike or not numbers. Check the source files.")


class AnalysisCache:
    """The last few analyses, by the content of the volume, so that rank, verify and segment share one."""

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._analyses: OrderedDict[str, Analysis] = OrderedDict()
        self._keys: weakref.WeakKeyDictionary[Volume, str] = weakref.WeakKeyDictionary()

    def get(self, volume: Volume) -> Analysis:
        """The analysis of this volume, or of one with the same voxels and geometry.

        Raises:
            NotSupportedError, ImageError: as `Analysis`.
        """
        with self._lock:
            key = self._keys.get(volume)
        if key is None:
            check(volume)
            key = _content_key(volume)
        with self._lock:
            self._keys[volume] = key
            found = self._analyses.get(key)
            if found is None:
                found = self._analyses[key] = Analysis(volume)
                while len(self._analyses) > self._size:
                    self._analyses.popitem(last=False)
            self._analyses.move_to_end(key)
            return found


def _content_key(volume: Volume) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((volume.array.shape, volume.array.dtype.str)).encode())
    digest.update(volume.geometry.affine.tobytes())
    for plane in volume.array:
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()
