"""Examples that a request gives: images of the datastore, sessions and uploads, with a mask or a label each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.exception import LabelNotFoundException

from monailabel_app.volumes import VolumeCache
from radfind.errors import PromptError
from radfind.imaging import load
from radfind.prompts import ExemplarPrompt
from radfind.protocol import WireExample
from radfind.volume import Geometry, Volume

_OFF = 0.1
"""A voxel of one grid lies on one of the other when their centres agree within this share of a voxel."""


class ExampleFinder:
    """Finds what `radfind.protocol.WireExample` names.

    Uploads and sessions are under ``example_images``, ``example_labels`` (lists of paths) and ``example_sessions``
    (id to path) of a request, where the gateway puts them; a client cannot.
    """

    def __init__(self, store: Datastore, volumes: VolumeCache) -> None:
        self._store = store
        self._volumes = volumes

    def find(self, wire: WireExample, request: Mapping[str, Any]) -> ExemplarPrompt:
        """The example with its voxels.

        Raises:
            PromptError: there is no such image, file or label, or it does not fit; the message names the example.
            ImageError: a file cannot be read.
        """
        volume = self._volume(wire, request)
        try:
            mask = self._mask(wire, request, volume)
        except PromptError as error:
            raise PromptError(f"The example '{wire.name}' cannot be used. {error}") from error
        return ExemplarPrompt(volume, mask, wire.name)

    def _volume(self, wire: WireExample, request: Mapping[str, Any]) -> Volume:
        if wire.image is not None:
            if wire.image not in self._store.list_images():
                raise PromptError(
                    f"The example '{wire.name}' names an image that is not on the server. "
                    "List the images with GET /datastore/?output=all."
                )
            return self._volumes.get(self._store.get_image_uri(wire.image))
        if wire.session is not None:
            path = (request.get("example_sessions") or {}).get(wire.session)
            if path is None:
                raise PromptError(f"The example '{wire.name}' names a session that is not on the server.")
            return self._volumes.get(path)
        return load(_sent(request, "example_image", wire.image_file, wire.name))

    def _mask(self, wire: WireExample, request: Mapping[str, Any], volume: Volume) -> npt.NDArray[np.bool_]:
        if wire.mask is not None:
            if wire.grid is None:
                return wire.mask.unpack(volume.geometry.shape)
            grid = wire.grid.geometry()
            if sorted(grid.shape) != sorted(volume.geometry.shape):
                raise PromptError(_elsewhere(grid, volume))
            return moved(wire.mask.unpack(grid.shape), grid, volume)
        if wire.label_file is not None:
            label = load(_sent(request, "example_label", wire.label_file, wire.name))
        else:
            label = self._saved(str(wire.image), str(wire.label_tag))
        array = np.asarray(label.array)
        return moved(array == wire.value if wire.value is not None else array > 0, label.geometry, volume)

    def _saved(self, image: str, tag: str) -> Volume:
        if tag not in self._store.get_labels_by_image_id(image):
            raise PromptError("Its image has no saved label with that tag.")
        try:
            return load(self._store.get_label_uri(image, tag))
        except LabelNotFoundException as error:  # taken back meanwhile
            raise PromptError("Its image has no saved label with that tag.") from error


def moved(mask: npt.NDArray[np.bool_], grid: Geometry, volume: Volume) -> npt.NDArray[np.bool_]:
    """A mask of the volume's voxels in another order (flipped or permuted axes), in the volume's own.

    Raises:
        PromptError: `grid` does not hold the volume's voxels.
    """
    own = volume.geometry
    if grid.same_grid(own, tolerance_mm=_OFF * min(own.spacing)):
        return mask
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij")).reshape(3, -1).T
    there = own.to_index(grid.to_lps(corners))
    whole = np.abs(there - np.rint(there)).max() <= _OFF
    if not whole or there.min() < -_OFF or np.any(there.max(axis=0) - np.array(own.shape) + 1 > _OFF):
        raise PromptError(_elsewhere(grid, volume))
    out = np.zeros(own.shape, bool)
    index = np.rint(own.to_index(grid.to_lps(np.argwhere(mask)))).astype(np.int64)
    out[tuple(index.T)] = True
    return out


def _elsewhere(grid: Geometry, volume: Volume) -> str:
    return (
        f"Its mask has {grid.shape} voxels (k, j, i), its image {volume.geometry.shape}, or they lie elsewhere. "
        "Give the mask on the image's own grid."
    )


def _sent(request: Mapping[str, Any], field: str, number: int | None, name: str) -> str:
    files = list(request.get(f"{field}s") or [])
    if number is None or number >= len(files):
        raise PromptError(
            f"The example '{name}' names file {number} of '{field}', but {len(files)} were sent. Numbers begin at 0."
        )
    return str(files[number])
