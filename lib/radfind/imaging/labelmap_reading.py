"""Read a labelmap file back as a segmentation on the grid of its image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError, NotSupportedError
from radfind.imaging.detached import check_detached
from radfind.imaging.image_files import suffix_of
from radfind.imaging.sources import SourceFile
from radfind.language.concepts import Concept
from radfind.results import Segment, Segmentation
from radfind.volume import Geometry, Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_CLOSE_MM = 0.05


def read_segmentation(path: str | Path, volume: Volume, *, names: Mapping[int, str] | None = None) -> Segmentation:
    """The segments of a ``.seg.nrrd``, NRRD, NIfTI or MHA labelmap, a DICOM SEG or an RTSTRUCT, on `volume`'s grid.

    A ``.seg.nrrd``, SEG or RTSTRUCT brings names, codes and colours; for others give `names` (label value to name).
    Names that the lexicon knows give their segments a concept.

    Raises:
        ImageError: the file cannot be read, holds no labels, lies on another grid, or was made on another series.
        NotSupportedError: it is a DICOM object of another kind.
    """
    import SimpleITK as sitk

    from radfind.imaging.dicom_origins import read_object

    file = Path(path)
    dataset = read_object(file)
    if dataset is not None:
        return _from_dicom(dataset, volume, file)
    if file.is_file():
        check_detached(SourceFile(file, file))
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise ImageError(
            f"'{file}' cannot be read as a labelmap. Give a .seg.nrrd, .nrrd, .nii.gz or .mha, or a DICOM "
            "SEG or RTSTRUCT."
        ) from error
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() != 3 or array.dtype.kind not in "iu":
        raise ImageError(f"'{file}' is no labelmap: it must be three-dimensional with whole numbers as labels.")
    shape = array.shape[:3]
    geometry = Geometry.from_parts(
        (shape[0], shape[1], shape[2]),
        spacing=image.GetSpacing()[::-1],
        origin=image.GetOrigin(),
        direction=image.GetDirection(),
    )
    layers = _on_grid(array if array.ndim == 4 else array[..., None], geometry, volume, file)
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()} if suffix_of(file) == ".seg.nrrd" else {}
    segments = _named(layers, fields) if "Segment0_ID" in fields else _plain(layers[..., 0], names or {})
    if not segments:
        raise ImageError(f"'{file}' holds no label: every voxel is 0.")
    return Segmentation(volume.geometry, tuple(segments), engine="imported")


def _from_dicom(dataset: Dataset, volume: Volume, file: Path) -> Segmentation:
    from radfind.imaging import dicom_seg_reading, rtstruct_reading

    kind = str(dataset.SOPClassUID)
    try:
        if kind in dicom_seg_reading.SOP_CLASSES:
            return dicom_seg_reading.segmentation_from_seg(dataset, volume, file)
        if kind == rtstruct_reading.SOP_CLASS:
            return rtstruct_reading.segmentation_from_rtstruct(dataset, volume, file)
    except (AttributeError, KeyError, ValueError, TypeError, IndexError) as error:  # pydicom's, for what is not there
        raise ImageError(
            f"'{file}' lacks what a DICOM object of its kind must have ({error}). Export it again."
        ) from error
    from pydicom.uid import UID

    raise NotSupportedError(
        f"'{file}' is a DICOM object of the kind {UID(kind).name}. Segments are read from SEG and RTSTRUCT objects."
    )


def read_names(path: str | Path) -> dict[int, str]:
    """A JSON object of label value to name, as labelmaps often come with.

    Names as TotalSegmentator writes them are brought into words: "kidney_left" is "left kidney".

    Raises:
        ImageError: it is none.
    """
    try:
        return {
            int(value): _in_words(str(name))
            for value, name in json.loads(Path(path).read_text(encoding="utf-8")).items()
        }
    except (OSError, ValueError, AttributeError) as error:
        raise ImageError(f'\'{path}\' is no JSON object of label value to name, e.g. {{"1": "liver"}}.') from error


def _in_words(name: str) -> str:
    if "_" not in name or " " in name:
        return name
    words = name.split("_")
    sides = [word for word in words if word in ("left", "right")]
    return " ".join(sides + [word for word in words if word not in sides])


def _on_grid(layers: npt.NDArray, geometry: Geometry, volume: Volume, file: Path) -> npt.NDArray:
    """The labels in the order of the volume, which may have its slices reversed against the file."""
    if geometry.same_grid(volume.geometry, tolerance_mm=_CLOSE_MM):
        return layers
    oriented = Volume(np.zeros(geometry.shape, np.uint8), geometry)
    letters = volume.geometry.orientation
    if oriented.oriented(letters).geometry.same_grid(volume.geometry, tolerance_mm=_CLOSE_MM):
        parts = [Volume(layers[..., n], geometry).oriented(letters).array for n in range(layers.shape[-1])]
        return np.stack(parts, axis=-1)
    raise ImageError(
        f"'{file}' lies on another grid than the image ({geometry.shape} against {volume.geometry.shape}, or elsewhere "
        "in the patient). Give the labelmap of this very image, or resample it."
    )


def _named(layers: npt.NDArray, fields: Mapping[str, str]) -> list[Segment]:
    segments = []
    number = 0
    while f"Segment{number}_ID" in fields:
        layer = int(fields.get(f"Segment{number}_Layer", 0))
        value = int(fields.get(f"Segment{number}_LabelValue", 1))
        name = fields.get(f"Segment{number}_Name", f"segment {number + 1}")
        shares = [float(part) for part in fields.get(f"Segment{number}_Color", "0.9 0.7 0.24").split()]
        red, green, blue = (round(share * 255) for share in shares[:3])
        segments.append(Segment(name, layers[..., layer] == value, concept_of(name), (red, green, blue)))
        number += 1
    return segments


def _plain(labels: npt.NDArray, names: Mapping[int, str]) -> list[Segment]:
    segments = []
    for value in (int(v) for v in np.unique(labels) if v > 0):
        name = names.get(value, f"label {value}")
        concept = concept_of(name)
        color = concept.color if concept is not None else (230, 180, 60)
        segments.append(Segment(name, labels == value, concept, color))
    return segments


def concept_of(name: str) -> Concept | None:
    """The concept a segment's name means, its side aside; None when the lexicon does not know it."""
    from radfind.language.lexicon import default_lexicon

    lexicon = default_lexicon()
    whole = lexicon.lookup(name)
    if whole is not None:
        return whole
    for side in ("right ", "left ", "右", "左"):
        if name.lower().startswith(side):
            return lexicon.lookup(name[len(side) :])
    return None
