"""Write a segmentation as a labelmap file, on the grid of the image as its source stores it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radfind.errors import InputError
from radfind.imaging.image_files import suffix_of
from radfind.imaging.nrrd import write_nrrd
from radfind.imaging.slicer_segments import layers_of, segment_fields
from radfind.imaging.stacking import flipped_k
from radfind.results import Segmentation
from radfind.volume import Geometry, Volume

SUFFIXES = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", ".mha")

_ORTHONORMAL = 1e-4


def checked_suffix(path: Path) -> str:
    """The suffix of a labelmap file, one of `SUFFIXES`.

    Raises:
        InputError: it is none.
    """
    suffix = suffix_of(path)
    if suffix not in SUFFIXES:
        raise InputError(f"'{path.name}' ends in no format that labelmaps are written in. Use {', '.join(SUFFIXES)}.")
    return suffix


def write_labelmap(segmentation: Segmentation, path: str | Path, volume: Volume, *, compress: bool = True) -> Path:
    """Write `segmentation` to `path`; the suffix decides the format.

    ``.seg.nrrd`` keeps overlapping segments apart (in layers) and carries names, colours and terminology for 3D
    Slicer. The others hold one labelmap, values 1..N in the order of the segments; where segments overlap the later
    one wins. All but ``.nii`` are compressed unless `compress` is off. The grid is that of the image file or series
    `volume` came from: where loading reversed the slice order (`Volume.reversed_k`), it is put back. The file appears
    whole or not at all.

    Returns:
        The path written.

    Raises:
        InputError: the suffix is unknown, the grids differ, the format cannot hold the grid, or the folder cannot be
            written to.
    """
    target = Path(path)
    suffix = checked_suffix(target)
    if not segmentation.geometry.same_grid(volume.geometry):
        raise InputError(
            "The segmentation lies on another grid than the image it is written for "
            f"({segmentation.geometry.shape} against {volume.geometry.shape}, or elsewhere in the patient). "
            "Segment this image, or resample the segmentation onto it."
        )
    geometry = flipped_k(volume.geometry) if volume.reversed_k else volume.geometry
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".radfind-") as folder:
            # Written beside the target, then renamed: a reader never sees half a file.
            draft = Path(folder) / f"labelmap{suffix}"
            if suffix == ".seg.nrrd":
                _write_segments(segmentation, draft, geometry, backwards=volume.reversed_k, compress=compress)
            else:
                labels: npt.NDArray = segmentation.labelmap()
                _write_labels(labels[::-1] if volume.reversed_k else labels, draft, geometry, compress=compress)
            draft.replace(target)
    except OSError as error:
        raise InputError(
            f"'{target}' cannot be written ({error.strerror or error}). Name a folder that exists and is writable."
        ) from error
    return target


def _write_segments(
    segmentation: Segmentation, path: Path, geometry: Geometry, *, backwards: bool, compress: bool
) -> None:
    masks = [segment.mask[::-1] if backwards else segment.mask for segment in segmentation.segments]
    layers, where = layers_of(masks, geometry.shape)
    fields = segment_fields(segmentation.segments, masks, where)
    write_nrrd(path, layers if len(layers) > 1 else layers[0], geometry, fields, compress=compress)


def _write_labels(labels: npt.NDArray, path: Path, geometry: Geometry, *, compress: bool) -> None:
    if suffix_of(path) == ".nrrd":
        write_nrrd(path, labels, geometry, compress=compress)
        return
    import SimpleITK as sitk

    direction = geometry.direction
    if np.abs(direction.T @ direction - np.eye(3)).max() > _ORTHONORMAL:
        raise InputError(
            f"The image's axes are not at right angles, which {suffix_of(path)} files cannot hold. Write .nrrd instead."
        )
    image = sitk.GetImageFromArray(np.ascontiguousarray(labels))
    image.SetSpacing(geometry.spacing[::-1])
    image.SetOrigin(geometry.origin)
    image.SetDirection(direction.ravel().tolist())
    try:
        sitk.WriteImage(image, str(path), useCompression=compress and suffix_of(path) != ".nii", compressionLevel=1)
    except RuntimeError as error:  # SimpleITK's only exception: here a full disk
        raise OSError(str(error).strip().splitlines()[-1]) from error
