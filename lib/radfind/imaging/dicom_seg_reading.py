"""Read a DICOM SEG of any tool (PS3.3 C.8.20.2: BINARY, FRACTIONAL, LABELMAP) on the grid of its image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError, NotSupportedError
from radfind.imaging.dicom_origins import concept_of_code, made_on, nested, part_of, side_of_codes
from radfind.results import Segment, Segmentation
from radfind.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SOP_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""
_BACKGROUND = "125040"  # DCM: what a LABELMAP calls the voxels of no segment
_CLOSE_MM = 0.05
_DEFAULT_COLOR = (230, 180, 60)


def segmentation_from_seg(dataset: Dataset, volume: Volume, file: Path) -> Segmentation:
    """The segments of a SEG as masks on the grid of `volume`, with names, concepts and colours.

    Every frame is put where its position and orientation say, voxel for voxel: frames may be few, in any order, a crop,
    flipped, or cut along another axis. Nothing is resampled. FRACTIONAL segments are cut at half of their maximum.
    A segment that goes on beyond the image is named a part.

    Raises:
        ImageError: it belongs to another series, lies on another grid, or is damaged.
        NotSupportedError: it is one of a whole slide or another image without a patient position.
    """
    if "TotalPixelMatrixColumns" in dataset:
        raise NotSupportedError(
            f"'{file}' segments a tiled image (a microscopy slide). Only SEGs of slices in the patient are read."
        )
    notes = made_on(
        volume,
        file,
        series=[str(s.get("SeriesInstanceUID", "")) for s in nested(dataset, "ReferencedSeriesSequence")],
        instances=_sources(dataset),
        frames_of_reference=[str(dataset.get("FrameOfReferenceUID", ""))],
    )
    kind = str(dataset.get("SegmentationType", ""))
    if kind == "FRACTIONAL":
        what = str(dataset.get("SegmentationFractionalType", "")).lower()
        notes += (f"The SEG holds fractions ({what or 'unknown kind'}); voxels of at least half were taken.",)
    masks: dict[int, npt.NDArray[np.bool_]] = {}
    cut: set[int] = set()  # segments with voxels beyond the image

    def put(place: _Place, pixels: npt.NDArray[np.bool_], number: int) -> None:
        if number not in masks:
            masks[number] = np.zeros(volume.geometry.shape, bool)
        if pixels.any() and not place.put(pixels, masks[number]):
            cut.add(number)

    described = {
        int(item.SegmentNumber): item for item in nested(dataset, "SegmentSequence") if "SegmentNumber" in item
    }
    shared = next(iter(nested(dataset, "SharedFunctionalGroupsSequence")), None)
    groups = list(nested(dataset, "PerFrameFunctionalGroupsSequence"))
    _check_spacing(dataset, groups, shared, volume, file)
    half = float(dataset.get("MaximumFractionalValue", 255)) / 2.0
    empty = {0} if "PixelPaddingValue" not in dataset else {int(dataset.PixelPaddingValue)}
    for number, frame in enumerate(_frames(dataset, file)):
        group = groups[number] if number < len(groups) else None
        place = _Place(group, shared, volume, file, number)
        if kind == "LABELMAP":
            for value in np.unique(frame):
                if int(value) not in empty and not _is_background(described.get(int(value))):
                    put(place, frame == value, int(value))
            continue
        which = _first(group, shared, "SegmentIdentificationSequence")
        if which is None:
            raise ImageError(f"'{file}' does not say which segment its frame {number + 1} shows. Export it again.")
        put(place, frame >= half if kind == "FRACTIONAL" else frame > 0, int(which.ReferencedSegmentNumber))
    unknown = sorted(set(masks) - set(described))
    if unknown:
        raise ImageError(f"'{file}' has voxels of segment {unknown[0]}, which it does not describe. Export it again.")
    segments, missing = [], []
    for number, item in sorted(described.items()):
        if _is_background(item):
            continue
        if number in masks and masks[number].any():
            segments.append(_segment(item, masks[number], whole=number not in cut))
        else:
            missing.append(str(item.get("SegmentLabel", f"segment {number}")))
    if missing:
        notes += (f"Without voxels on this image: {', '.join(missing)}.",)
    if cut:
        notes += ("Segments named 'part' go on beyond this image: give the whole series to have all of them.",)
    if not segments:
        raise ImageError(f"'{file}' holds no voxel of any segment.")
    return Segmentation(volume.geometry, tuple(segments), engine="imported", notes=notes)


def _sources(dataset: Dataset) -> set[str]:
    references = [
        *nested(dataset, "ReferencedSeriesSequence", "ReferencedInstanceSequence"),
        *nested(dataset, "PerFrameFunctionalGroupsSequence", "DerivationImageSequence", "SourceImageSequence"),
        *nested(dataset, "SharedFunctionalGroupsSequence", "DerivationImageSequence", "SourceImageSequence"),
    ]
    return {str(item.get("ReferencedSOPInstanceUID", "")) for item in references} - {""}


def _frames(dataset: Dataset, file: Path) -> Iterator[npt.NDArray]:
    """The frames one by one: a SEG of many segments is many times as large unpacked as its image."""
    count, size = int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows) * int(dataset.Columns)
    if int(dataset.get("BitsAllocated", 0)) == 1 and "PixelData" in dataset and not _compressed(dataset):
        if len(dataset.PixelData) * 8 < count * size:
            raise ImageError(f"'{file}' is cut off: it has fewer pixels than its {count} frames need. Fetch it again.")
        packed = np.frombuffer(dataset.PixelData, np.uint8)
        for number in range(count):  # PS3.5 8.1.1: frames follow one another without a gap, also within a byte
            start, stop = number * size, (number + 1) * size
            bits = np.unpackbits(packed[start // 8 : -(-stop // 8)], bitorder="little")
            yield bits[start % 8 : start % 8 + size].reshape(dataset.Rows, dataset.Columns)
        return
    try:
        pixels = dataset.pixel_array
    except Exception as error:  # decoders raise what they like
        raise ImageError(f"The pixels of '{file}' cannot be decoded ({error}). Export it uncompressed.") from error
    yield from pixels.reshape(count, dataset.Rows, dataset.Columns)


def _compressed(dataset: Dataset) -> bool:
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    return bool(syntax is not None and syntax.is_compressed and not syntax.is_deflated)


def _first(group: Dataset | None, shared: Dataset | None, keyword: str) -> Dataset | None:
    for holder in (group, shared):
        if holder is not None and (items := holder.get(keyword)):
            first: Dataset = items[0]
            return first
    return None


class _Place:
    """Where one frame lies: the voxel of its first pixel, and the steps from row to row and column to column."""

    def __init__(self, group: Dataset | None, shared: Dataset | None, volume: Volume, file: Path, number: int) -> None:
        self._title, self._volume = f"Frame {number + 1} of '{file}'", volume
        position = _first(group, shared, "PlanePositionSequence")
        orientation = _first(group, shared, "PlaneOrientationSequence")
        measures = _first(group, shared, "PixelMeasuresSequence")
        if position is None or orientation is None or measures is None:
            self._first, self._row, self._column = self._of_source(group, shared)
            return
        x, y = np.array(orientation.ImageOrientationPatient, float).reshape(2, 3)
        rows, columns = (float(v) for v in measures.PixelSpacing)
        corner = np.array(position.ImagePositionPatient, float)
        index = volume.geometry.to_index(np.array([corner, corner + rows * y, corner + columns * x]))
        self._first, self._row, self._column = index[0], index[1] - index[0], index[2] - index[0]

    def _of_source(
        self, group: Dataset | None, shared: Dataset | None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """A frame without a position (of an X-ray, say) lies pixel for pixel on the image it names."""
        holders = [holder for holder in (group, shared) if holder is not None]
        named = {
            str(item.get("ReferencedSOPInstanceUID", ""))
            for holder in holders
            for item in nested(holder, "DerivationImageSequence", "SourceImageSequence")
        }
        slices = [k for k, source in enumerate(self._volume.slices) if source.sop_instance_uid in named]
        if len(slices) != 1:
            raise ImageError(
                f"{self._title} says neither where in the patient it lies nor on which one image. Export it again "
                "with positions."
            )
        return np.array([slices[0], 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])

    def put(self, pixels: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_]) -> bool:
        """Set the voxels of `mask` under the set pixels; whether all of them lie on the image.

        Raises:
            ImageError: they do not fall on voxels.
        """
        rows, columns = np.nonzero(pixels)
        index = self._first + rows[:, None] * self._row + columns[:, None] * self._column
        voxels = np.rint(index)
        away = float(np.abs((index - voxels) * self._volume.geometry.spacing).max())
        one_each = np.allclose([abs(self._row).sum(), abs(self._column).sum()], 1.0, atol=0.01)
        if away > _CLOSE_MM or not one_each:
            raise ImageError(
                f"{self._title} lies on another grid than the image (pixels up to {away:.2g} mm beside its voxels, or "
                "of another size). Give the series it was made on, or resample it onto this one."
            )
        here = ((voxels >= 0) & (voxels < mask.shape)).all(axis=1)
        k, j, i = voxels[here].astype(np.intp).T
        mask[k, j, i] = True
        return bool(here.all())


def _check_spacing(dataset: Dataset, groups: list[Dataset], shared: Dataset | None, volume: Volume, file: Path) -> None:
    """Frames of thicker slices would leave every other voxel empty. A SEG may leave slices out, so gaps prove nothing;
    the spacing it states does, unless it names the image's own slices."""
    measures, position = (
        _first(None, shared, "PixelMeasuresSequence"),
        [
            item.ImagePositionPatient
            for item in nested(dataset, "PerFrameFunctionalGroupsSequence", "PlanePositionSequence")
        ],
    )
    stated = float(measures.get("SpacingBetweenSlices") or 0.0) if measures is not None else 0.0
    own = {source.sop_instance_uid for source in volume.slices}
    if not stated or len(position) < 2 or own & _sources(dataset):
        return
    index = np.unique(np.rint(volume.geometry.to_index(np.array(position, float)) * 100) / 100, axis=0)
    steps = np.linalg.norm(np.diff(index, axis=0) * volume.geometry.spacing, axis=1)
    least = volume.geometry.spacing[int(np.argmax(np.ptp(index, axis=0)))]
    if len(steps) and steps.min() > 1.5 * least and stated > 1.5 * least:
        raise ImageError(
            f"'{file}' was made on slices {stated:g} mm apart; those of this image are {least:g} mm apart. Give the "
            "series it was made on, or resample it onto this one."
        )


def _is_background(item: Dataset | None) -> bool:
    codes = nested(item, "SegmentedPropertyTypeCodeSequence") if item is not None else ()
    return any(str(code.get("CodeValue", "")) == _BACKGROUND for code in codes)


def _segment(item: Dataset, mask: npt.NDArray[np.bool_], *, whole: bool) -> Segment:
    name = " ".join(str(item.get("SegmentLabel", "")).split()) or f"segment {item.SegmentNumber}"
    types = list(nested(item, "SegmentedPropertyTypeCodeSequence"))
    categories = [str(c.get("CodeValue", "")) for c in nested(item, "SegmentedPropertyCategoryCodeSequence")]
    side = side_of_codes(
        [
            *nested(item, "SegmentedPropertyTypeCodeSequence", "SegmentedPropertyTypeModifierCodeSequence"),
            *nested(item, "SegmentedPropertyTypeModifierCodeSequence"),
            *nested(item, "AnatomicRegionSequence", "AnatomicRegionModifierSequence"),
        ]
    )
    anatomy = not categories or categories[0] not in ("49755003", "M-01000", "404684003")
    concept = concept_of_code(types[0] if types else None, name, "anatomy" if anatomy else "finding")
    if side in ("left", "right") and side not in name.lower() and {"left": "左", "right": "右"}[side] not in name:
        name = f"{side} {name}"
    if not whole:
        name = part_of(name)
    return Segment(name, mask, concept, _color(item, concept.color if concept is not None else _DEFAULT_COLOR))


def _color(item: Dataset, otherwise: tuple[int, int, int]) -> tuple[int, int, int]:
    """The recommended colour, from DICOM's scaled CIELab (PS3.3 C.10.7.1.1)."""
    from skimage.color import lab2rgb

    given = item.get("RecommendedDisplayCIELabValue")
    if given is None or len(given) != 3:
        return otherwise
    light, a, b = (float(v) / 65535.0 for v in given)
    lab = np.array([[[light * 100.0, a * 255.0 - 128.0, b * 255.0 - 128.0]]])
    red, green, blue = (int(v) for v in np.rint(np.clip(lab2rgb(lab, illuminant="D50")[0, 0], 0, 1) * 255))
    return red, green, blue
