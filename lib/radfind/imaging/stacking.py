"""Order slices along their normal and prove that they form one regular grid.

What is repaired, because it is exact: slices in any file order; identical copies of one slice; positions rounded by
the writer. Everything else that is not a regular grid is refused, naming the slices: gaps, irregular spacing, tilt,
mixed orientation, several images at one place. Filling a gap or straightening a tilt would invent voxels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError
from radfind.imaging.dicom_header import Frame
from radfind.volume import Geometry

_SAME_PLACE_MM = 1e-3
_SAME_ORIENTATION = 1e-3  # difference of a direction cosine: 0.06 degrees
_SPACING_QUIET = 0.01  # share of the spacing a slice may be off the regular grid without a word
_SPACING_LIMIT = 0.10  # ... and with a warning: positions written with one decimal at 0.6 mm spacing reach 0.08
_DRIFT_LIMIT = 0.25  # pixels the stack may drift sideways in all: rounding of the direction cosines


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """Frames in k order, with their grid.

    Arguments:
        frames: one per k.
        geometry: k ascends towards the patient's head / left / front.
        reversed_k: k runs against row x column, which is the order ITK, Slicer and GDCM would stack them in.
        warnings: what was repaired.
        placed: as in `Volume`.
    """

    frames: tuple[Frame, ...]
    geometry: Geometry
    reversed_k: bool
    warnings: tuple[str, ...]
    placed: bool = True


def stack(
    frames: Sequence[Frame],
    *,
    series: str,
    thickness: float | None,
    same_pixels: Callable[[Frame, Frame], bool],
) -> Stack:
    """Sort positioned frames into a volume.

    Arguments:
        frames: at least one, all with position and orientation, all of one matrix size.
        series: how to name the series in an error.
        thickness: mm, the spacing of a stack of one.
        same_pixels: whether two frames hold the same image (asked for frames at one place only).

    Raises:
        ImageError: the frames are no regular grid.
    """
    orientation = _common_orientation(frames, series)
    spacing = _common_spacing(frames, series)
    normal = np.cross(orientation[0], orientation[1])
    along = np.array([normal @ _position(frame) for frame in frames])
    order = np.argsort(along, kind="stable")
    ordered = [frames[n] for n in order]
    ordered, warnings = _without_copies(ordered, along[order], series, same_pixels)
    positions = np.array([_position(frame) for frame in ordered])
    step, told = _step(ordered, positions, orientation, spacing, thickness, series)
    warnings += told

    affine = np.eye(4)
    affine[:3, 0] = orientation[0] * spacing[1]
    affine[:3, 1] = orientation[1] * spacing[0]
    affine[:3, 2] = normal * step
    # The middle of the stack is kept in place, so that rounding is shared by both ends.
    middle = positions.mean(axis=0) - affine[:3, 2] * (len(ordered) - 1) / 2
    affine[:3, 3] = positions[0] if np.allclose(middle, positions[0], atol=_SAME_PLACE_MM) else middle
    rows, columns = ordered[0].instance.size
    geometry = Geometry((len(ordered), rows, columns), affine)
    if geometry.orientation[2] in "SLA":
        return Stack(tuple(ordered), geometry, False, tuple(warnings))
    return Stack(tuple(ordered[::-1]), flipped_k(geometry), True, tuple(warnings))


def flipped_k(geometry: Geometry) -> Geometry:
    """The same grid counted from its other end along k."""
    affine = geometry.affine.copy()
    affine[:3, 3] = geometry.to_lps((geometry.shape[0] - 1, 0, 0))
    affine[:3, 2] = -affine[:3, 2]
    return Geometry(geometry.shape, affine)


def _position(frame: Frame) -> npt.NDArray[np.float64]:
    assert frame.position is not None
    return frame.position


def _common_orientation(frames: Sequence[Frame], series: str) -> npt.NDArray[np.float64]:
    groups: list[tuple[npt.NDArray[np.float64], list[Frame]]] = []
    for frame in frames:
        assert frame.orientation is not None
        for orientation, members in groups:
            if np.max(np.abs(orientation - frame.orientation)) <= _SAME_ORIENTATION:
                members.append(frame)
                break
        else:
            groups.append((frame.orientation, [frame]))
    if len(groups) > 1:
        parts = "; ".join(f"{len(members)} like {members[0].label}" for _, members in groups[:5])
        raise ImageError(
            f"{series} mixes slices of {len(groups)} orientations ({parts}), so it is not one volume. "
            "Give the files of one orientation only."
        )
    # The mean of many rounded copies of one value is nearer the truth than the first.
    row, column = np.mean([f.orientation for f in frames if f.orientation is not None], axis=0)
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    return np.stack([row, column / np.linalg.norm(column)])


def _common_spacing(frames: Sequence[Frame], series: str) -> tuple[float, float]:
    missing = [frame for frame in frames if frame.spacing is None]
    if missing:
        raise ImageError(
            f"{series} has no PixelSpacing in {names(missing)}, so nothing in it can be measured or placed. "
            "Export the series again from the scanner or PACS."
        )
    first = frames[0].spacing
    assert first is not None
    for frame in frames:
        assert frame.spacing is not None
        if not np.allclose(frame.spacing, first, rtol=1e-3, atol=0):
            raise ImageError(
                f"{series} mixes pixel sizes: {frames[0].label} has {first[0]:g} x {first[1]:g} mm, {frame.label} has "
                f"{frame.spacing[0]:g} x {frame.spacing[1]:g} mm. Give the files of one pixel size only."
            )
    return first


def _without_copies(
    ordered: list[Frame],
    along: npt.NDArray[np.float64],
    series: str,
    same_pixels: Callable[[Frame, Frame], bool],
) -> tuple[list[Frame], list[str]]:
    """Drop exact copies of a slice; refuse different images at one place."""
    kept, copies = [ordered[0]], []
    for frame, place, before in zip(ordered[1:], along[1:], along[:-1], strict=True):
        if place - before > _SAME_PLACE_MM:
            kept.append(frame)
        elif same_pixels(kept[-1], frame):
            copies.append(frame)
        else:
            raise ImageError(
                f"{series} has different images at one place: {kept[-1].label} and {frame.label}, both at "
                f"{_place(frame)}{_difference(kept[-1], frame)}. A volume has one image per place: give the files of "
                "one phase, echo or time point only."
            )
    if not copies:
        return kept, []
    return kept, [f"{len(copies)} exact copies of slices were left out: {names(copies)}."]


def _difference(a: Frame, b: Frame) -> str:
    """Which attribute tells the two apart, for the user who must choose."""
    for keyword in (
        "AcquisitionNumber", "TemporalPositionIdentifier", "EchoTime", "DiffusionBValue", "TriggerTime",
        "AcquisitionTime", "ContrastBolusAgent", "ImageType", "ConvolutionKernel",
    ):  # fmt: skip
        left, right = a.instance.text(keyword), b.instance.text(keyword)
        if left != right:
            return f" (they differ in {keyword}: '{left[:40]}' and '{right[:40]}')"
    return ""


def _step(
    ordered: list[Frame],
    positions: npt.NDArray[np.float64],
    orientation: npt.NDArray[np.float64],
    spacing: tuple[float, float],
    thickness: float | None,
    series: str,
) -> tuple[float, list[str]]:
    """Millimetres between neighbours along the normal, proven the same for all."""
    normal = np.cross(orientation[0], orientation[1])
    if len(ordered) == 1:
        if thickness:
            return thickness, [f"The series has one slice; its thickness of {thickness:g} mm is used as spacing."]
        return 1.0, ["The series has one slice and states no thickness; 1 mm is used."]
    along = (positions - positions[0]) @ normal
    gaps = np.diff(along)
    step = float(along[-1] / (len(ordered) - 1))
    off = np.abs(along - step * np.arange(len(ordered)))
    warnings = []
    if off.max() > _SPACING_LIMIT * step or np.abs(gaps - step).max() > 2 * _SPACING_LIMIT * step:
        raise ImageError(_irregular(ordered, gaps, series))
    if off.max() > _SPACING_QUIET * step:
        warnings.append(
            f"Slice positions are off a regular {step:.4g} mm spacing by up to {off.max():.2g} mm; "
            "they are taken as rounded."
        )
    drift = positions - positions[0] - np.outer(along, normal)
    sideways = np.linalg.norm(drift, axis=1)
    limit = _DRIFT_LIMIT * min(spacing)
    if sideways.max() > limit:
        angle = np.degrees(np.arctan2(np.linalg.norm(drift[-1]), along[-1]))
        raise ImageError(
            f"{series} is tilted: its slices are stacked {angle:.1f} degrees off their normal (gantry tilt; from "
            f"{ordered[0].label} to {ordered[-1].label} they shift sideways by {sideways.max():.1f} mm). Straightening "
            "it would invent voxels, so it is refused. Resample it first, e.g. in 3D Slicer by loading it with "
            "acquisition geometry regularization and hardening the transform, and give the resampled volume."
        )
    return step, warnings


def _irregular(ordered: list[Frame], gaps: npt.NDArray[np.float64], series: str) -> str:
    usual = float(np.median(gaps))
    odd = [n for n, gap in enumerate(gaps) if abs(gap - usual) > _SPACING_LIMIT * usual] or [int(np.argmax(gaps))]
    whole = all(abs(gaps[n] / usual - round(gaps[n] / usual)) < 0.05 and gaps[n] > 1.5 * usual for n in odd)
    places = "; ".join(f"{gaps[n]:.4g} mm between {ordered[n].label} and {ordered[n + 1].label}" for n in odd[:3]) + (
        f"; and {len(odd) - 3} more" if len(odd) > 3 else ""
    )
    if whole:
        lost = sum(round(gaps[n] / usual) - 1 for n in odd)
        return (
            f"{series} lacks {lost} slice{'s' if lost > 1 else ''}: neighbours lie {usual:.4g} mm apart, but {places}. "
            "Fetch the missing slices, or give the files of one unbroken part."
        )
    return (
        f"{series} has irregular slice spacing: mostly {usual:.4g} mm, but {places}. RadFind does not invent voxels "
        "between them: give the files of one evenly spaced part, or a resampled volume."
    )


def _place(frame: Frame) -> str:
    return "(" + ", ".join(f"{c:.2f}" for c in _position(frame)) + ") mm"


def names(frames: Sequence[Frame]) -> str:
    """Up to three slices by name, and how many more."""
    shown = ", ".join(frame.label for frame in frames[:3])
    return shown + (f" and {len(frames) - 3} more" if len(frames) > 3 else "")
