"""Frames of one DICOM series to a `Volume`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError
from radfind.imaging import photometric
from radfind.imaging.dicom_header import Frame, floats, kept_header, value_of
from radfind.imaging.dicom_pixels import MAX_IMAGE_BYTES, PixelLayout, PixelStore, locate, read_frame, read_frames
from radfind.imaging.dicom_series import Series
from radfind.imaging.flat_images import flat_stack
from radfind.imaging.progress import Progress
from radfind.imaging.stacking import Stack, names, stack
from radfind.volume import SliceSource, Volume


def read_series(series: Series, progress: Progress) -> Volume:
    """Read the pixels of a series.

    Raises:
        ImageError: it is no regular volume, its pixels are damaged, or it holds no value at all.
    """
    _refuse_mosaic(series)
    frames, warnings = _without_localizers(series)
    stores = _locate_all(frames, series)
    layout = _common_layout(frames, stores, series)
    stacked = _arrange(frames, stores, layout, series)
    array, padding, told = _fill(stacked.frames, stores, progress)
    first = stacked.frames[0].instance
    if array.dtype.kind == "f" and not np.isfinite(array).any():
        raise ImageError(f"{series.title} holds no number: every voxel is NaN or infinite. Export the series again.")
    return Volume(
        array=array,
        geometry=stacked.geometry,
        modality=series.info.modality or "OT",
        slices=tuple(_source(frame) for frame in stacked.frames),
        series_uid=first.text("SeriesInstanceUID") or None,
        study_uid=first.text("StudyInstanceUID") or None,
        frame_of_reference_uid=first.text("FrameOfReferenceUID") or None,
        name=series.info.description or first.source.shown.parent.name,
        reversed_k=stacked.reversed_k,
        placed=stacked.placed,
        padding=padding,
        header=kept_header(first.dataset),
        warnings=(*series.warnings, *warnings, *stacked.warnings, *told),
    )


def _source(frame: Frame) -> SliceSource:
    multi = frame.instance.frame_count > 1
    return SliceSource(
        path=frame.instance.source.shown,
        sop_instance_uid=frame.instance.text("SOPInstanceUID") or None,
        frame=frame.index + 1 if multi else None,
    )


def _without_localizers(series: Series) -> tuple[list[Frame], list[str]]:
    """Scout views filed in a series of slices are no part of its volume (ImageType value 3, PS3.3 C.8.2.1.1.1)."""
    scouts = [f for f in series.frames if "LOCALIZER" in f.instance.text("ImageType").upper().split("\\")]
    if not scouts or len(scouts) == len(series.frames):
        return list(series.frames), []
    left = {id(frame) for frame in scouts}
    return [f for f in series.frames if id(f) not in left], [f"Localizer images were left out: {names(scouts)}."]


def _refuse_mosaic(series: Series) -> None:
    """Siemens tiles the slices of one MR volume in one picture, whose place and matrix are those of the picture."""
    for frame in series.frames:
        if "MOSAIC" in frame.instance.text("ImageType").upper().split("\\"):
            raise ImageError(
                f"{series.title} is a mosaic: {frame.label} holds many slices side by side in one picture, and only "
                "private attributes say where they lie. Convert the series with dcm2niix and give the NIfTI file."
            )


def _locate_all(frames: Sequence[Frame], series: Series) -> dict[int, PixelStore]:
    instances = {id(frame.instance): frame.instance for frame in frames}
    stores = {key: locate(instance) for key, instance in instances.items()}
    total = sum(store.layout.frame_bytes * store.instance.frame_count for store in stores.values())
    if total > MAX_IMAGE_BYTES:
        raise ImageError(
            f"{series.title} needs {total / 2**30:.0f} GB; at most {MAX_IMAGE_BYTES / 2**30:.0f} GB are read. "
            "Give a part of it."
        )
    return stores


def _common_layout(frames: Sequence[Frame], stores: dict[int, PixelStore], series: Series) -> PixelLayout:
    """All slices of a volume share matrix size and colour; the number of stored bits may differ."""
    groups: dict[tuple[int, int, bool], list[Frame]] = {}
    for frame in frames:
        layout = stores[id(frame.instance)].layout
        groups.setdefault((layout.rows, layout.columns, photometric.is_color(layout)), []).append(frame)
    if len(groups) > 1:
        parts = "; ".join(
            f"{len(members)} of {rows} x {columns}{' in colour' if color else ''} like {members[0].label}"
            for (rows, columns, color), members in list(groups.items())[:5]
        )
        raise ImageError(
            f"{series.title} mixes images of different size ({parts}), so it is not one volume. "
            "Give the files of one size only."
        )
    return stores[id(frames[0].instance)].layout


def _arrange(frames: list[Frame], stores: dict[int, PixelStore], layout: PixelLayout, series: Series) -> Stack:
    sectional = series.info.modality in photometric.SECTIONAL
    places = {tuple(f.position) for f in frames if f.position is not None and f.orientation is not None}
    placed = all(f.position is not None and f.orientation is not None for f in frames)
    # A cine loop or a set of views may repeat one position; only sections must not.
    if placed and (sectional or len(places) == len(frames)):
        thickness = floats(value_of(frames[0].instance.dataset, "SliceThickness"))

        def same_pixels(a: Frame, b: Frame) -> bool:
            if (a.slope, a.intercept) != (b.slope, b.intercept):
                return False
            one, other = (read_frame(stores[id(f.instance)], f.index) for f in (a, b))
            return bool(np.array_equal(one, other))

        return stack(
            frames,
            series=series.title,
            thickness=thickness[0] if thickness and thickness[0] > 0 else None,
            same_pixels=same_pixels,
        )
    if sectional and len(frames) > 1:  # one image is at least itself; several would be in no known order
        lost = [f for f in frames if f.position is None or f.orientation is None]
        raise ImageError(
            f"{series.title} is {series.info.modality} but {len(lost)} of its {len(frames)} slices do not say "
            f"where they lie (no ImagePositionPatient or ImageOrientationPatient): {names(lost)}. "
            "Export the original series."
        )
    return flat_stack(frames, series.title)


def _fill(
    frames: Sequence[Frame], stores: dict[int, PixelStore], progress: Progress
) -> tuple[npt.NDArray, float | None, list[str]]:
    """Decode all frames into one array of final values."""
    convert = photometric.converter(frames, [stores[id(f.instance)].layout for f in frames])
    # 16-bit unsigned CT rarely uses its upper half: int16 is tried first, and read again wider only if it does not fit.
    narrow = convert.dtype == np.int32
    array = _decoded(frames, stores, convert, np.dtype(np.int16) if narrow else convert.dtype, progress)
    if array is None:
        array = _decoded(frames, stores, convert, convert.dtype, progress)
    assert array is not None
    return array, convert.padding, list(convert.warnings)


def _decoded(
    frames: Sequence[Frame],
    stores: dict[int, PixelStore],
    convert: photometric.Converter,
    dtype: np.dtype,
    progress: Progress,
) -> npt.NDArray | None:
    """All frames as `dtype`, or None when a value does not fit an int16 that was only tried."""
    layout = stores[id(frames[0].instance)].layout
    array = np.empty((len(frames), layout.rows, layout.columns, *((3,) if convert.color else ())), dtype)
    tried = dtype != convert.dtype
    overflow = threading.Event()

    def take(k: int, stored: npt.NDArray) -> None:
        if tried and not convert.fits(k, stored, dtype):
            overflow.set()
        if not overflow.is_set():
            convert.write(k, stored, array[k])

    read_frames(frames, stores, take, lambda done: progress.step(done, "Reading slices"))
    return None if overflow.is_set() else array
