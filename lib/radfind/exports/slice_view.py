"""One slice as a radiologist expects to see it: patient's right on the left, upright, square pixels, lettered edges."""

from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours
from skimage.transform import resize

from radfind.imaging.windows import window_for
from radfind.volume import Geometry, Volume

# For the plane seen along each patient axis: where screen columns and rows should grow (x left, y back, z head).
# Axial and coronal are seen from the feet and from the front, sagittal from the left: the usual convention.
_SCREEN = {
    0: (np.array([0.0, 1, 0]), np.array([0.0, 0, -1])),
    1: (np.array([1.0, 0, 0]), np.array([0.0, 0, -1])),
    2: (np.array([1.0, 0, 0]), np.array([0.0, 1, 0])),
}
_NO_PATIENT_AXES = ("US", "ES", "SM", "XC", "CR", "DX", "MG", "GM", "OP")
_SECOND_LETTER = 0.35  # sine of about 20 degrees: from there on an edge gets two letters, as viewers do


@dataclasses.dataclass(frozen=True)
class Layout:
    """How slices of a volume are turned for display.

    Arguments:
        transpose: rows and columns change places first.
        flip_rows, flip_columns: then reversed.
        letters: patient directions at the (left, right, top, bottom) edges, or None for images without patient axes.
        pixel_mm: (row, column) size of a displayed pixel.
    """

    transpose: bool
    flip_rows: bool
    flip_columns: bool
    letters: tuple[str, str, str, str] | None
    pixel_mm: tuple[float, float]

    def apply(self, plane: npt.NDArray) -> npt.NDArray:
        """A (j, i[, 3]) plane as (row, column[, 3])."""
        if self.transpose:
            plane = plane.swapaxes(0, 1)
        if self.flip_rows:
            plane = plane[::-1]
        return plane[:, ::-1] if self.flip_columns else plane

    def place(self, j: float, i: float, shape: tuple[int, int]) -> tuple[float, float]:
        """(row, column) on the display of position (j, i) in a plane of `shape`."""
        rows, columns = shape
        if self.transpose:
            j, i, rows, columns = i, j, columns, rows
        return (rows - 1 - j if self.flip_rows else j), (columns - 1 - i if self.flip_columns else i)


def layout(geometry: Geometry, modality: str = "CT", *, placed: bool = True) -> Layout:
    """The layout for slices of constant k, also for flipped and oblique grids; `placed` as in `Volume`."""
    spacing_j, spacing_i = geometry.spacing[1:]
    if not placed or modality in _NO_PATIENT_AXES:
        return Layout(False, False, False, None, (spacing_j, spacing_i))
    across, down = _SCREEN[{"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}[geometry.orientation[2]]]
    direction = geometry.direction
    axis_i, axis_j = direction[:, 0], direction[:, 1]
    transpose = max(abs(axis_i @ across), abs(axis_j @ down)) < max(abs(axis_i @ down), abs(axis_j @ across))
    column, row = (axis_j, axis_i) if transpose else (axis_i, axis_j)
    flip_columns, flip_rows = bool(column @ across < 0), bool(row @ down < 0)
    column, row = (-column if flip_columns else column), (-row if flip_rows else row)
    letters = (letter_of(-column), letter_of(column), letter_of(-row), letter_of(row))
    pixel = (spacing_i, spacing_j) if transpose else (spacing_j, spacing_i)
    return Layout(bool(transpose), flip_rows, flip_columns, letters, pixel)


def letter_of(direction: npt.NDArray[np.float64]) -> str:
    """Patient letters (R L A P H F, DICOM PS3.3 C.7.6.1.1.1) of an LPS direction, the nearest axis first."""
    text = ""
    for axis in np.argsort(-np.abs(direction)):
        if not text or abs(direction[axis]) > _SECOND_LETTER:
            text += ("LPH" if direction[axis] > 0 else "RAF")[axis]
    return text


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle of displayed pixels, half open."""

    top: int
    bottom: int
    left: int
    right: int


@dataclasses.dataclass(frozen=True)
class Picture:
    """A slice ready for a page.

    Arguments:
        uri: the image as a data URI (JPEG).
        width, height: of the image in pixels; `paths` use the same units.
        paths: SVG path data of the outline of the evidence mask, empty when there is none on this slice.
        letters: as in `Layout`.
        scale_mm, scale_px: length of the scale bar; 0 where the size of a pixel is not known.
        heat: a see-through image to lay over it as a data URI (PNG), empty when there is none.
    """

    uri: str
    width: int
    height: int
    paths: str
    letters: tuple[str, str, str, str] | None
    scale_mm: int
    scale_px: float
    heat: str = ""


def picture(
    volume: Volume,
    k: int,
    *,
    window: str | None,
    mask: npt.NDArray[np.bool_] | None = None,
    heat: npt.NDArray[np.float32] | None = None,
    crop: Box | None = None,
    width: int = 300,
) -> Picture:
    """Slice k with the outline of `mask` (k, j, i) and with `heat` (see `Evidence`) over it, cropped, `width` wide.

    `window` names the display preset (CT only; other modalities are shown by their own spread of values).
    """
    view = layout(volume.geometry, volume.modality, placed=volume.placed)
    plane = volume.array[k]
    grey = np.asarray(plane) if volume.is_color else window_for(volume, window).apply(plane)
    shown = view.apply(grey)
    crop = crop or Box(0, shown.shape[0], 0, shown.shape[1])
    part = shown[crop.top : crop.bottom, crop.left : crop.right]
    row_mm, column_mm = view.pixel_mm
    height = max(1, round(width * part.shape[0] * row_mm / (part.shape[1] * column_mm)))
    image = Image.fromarray(np.ascontiguousarray(part.astype(np.uint8)))
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    paths = ""
    if mask is not None and mask[k].any():
        outline = view.apply(mask[k])[crop.top : crop.bottom, crop.left : crop.right]
        paths = _outline(outline, width / part.shape[1], height / part.shape[0])
    extent = part.shape[1] * column_mm
    scale = max((mm for mm in (1, 2, 5, 10, 20, 50, 100) if mm < 0.3 * extent), default=1)
    glow = ""
    if heat is not None and heat.any():
        laid = view.apply(resize(heat, plane.shape[:2], order=1))[crop.top : crop.bottom, crop.left : crop.right]
        glow = _glow(laid / heat.max(), width, height)
    if not volume.placed and view.pixel_mm == (1.0, 1.0):  # what stands for "not stated"
        scale, extent = 0, 1.0
    return Picture(_jpeg(image), width, height, paths, view.letters, scale, scale / extent * width, glow)


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=86, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _glow(heat: npt.NDArray[np.float64], width: int, height: int) -> str:
    """Warm colour, more of it where `heat` (0..1) is higher; nothing where it is below a tenth."""
    alpha = Image.fromarray((np.where(heat < 0.1, 0, heat) * 150).astype(np.uint8))
    layer = Image.new("RGBA", (width, height), (255, 120, 0, 0))
    layer.putalpha(alpha.resize((width, height), Image.Resampling.BILINEAR))
    buffer = io.BytesIO()
    layer.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _outline(mask: npt.NDArray[np.bool_], per_column: float, per_row: float) -> str:
    """SVG path data around a mask; pixel centres lie at half steps."""
    parts = []
    for line in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        line = approximate_polygon(line, 0.25)
        points = " L".join(f"{(c - 0.5) * per_column:.1f} {(r - 0.5) * per_row:.1f}" for r, c in line[:-1])
        parts.append(f"M{points}Z")
    return "".join(parts)


def body_box(volume: Volume, *, margin_mm: float = 8.0) -> Box:
    """The part of the display that holds the patient (CT: without most of the air and the table around them)."""
    view = layout(volume.geometry, volume.modality, placed=volume.placed)
    rows, columns = view.apply(volume.array[0]).shape[:2]
    if volume.is_color or volume.modality != "CT":
        return Box(0, rows, 0, columns)
    step = max(1, volume.geometry.shape[0] // 12)
    dense = np.mean([view.apply(plane > -300) for plane in volume.array[::step]], axis=0) > 0.15
    # Opening by 10 mm removes table tops and blankets, which are thin.
    size = [max(round(10 / mm), 1) for mm in view.pixel_mm]
    dense = ndimage.binary_opening(dense, np.ones(size, bool))
    used_rows, used_columns = (np.flatnonzero(dense.any(axis=axis)) for axis in (1, 0))
    if not len(used_rows):
        return Box(0, rows, 0, columns)
    pad_r, pad_c = (round(margin_mm / mm) for mm in view.pixel_mm)
    return Box(
        max(int(used_rows[0]) - pad_r, 0),
        min(int(used_rows[-1]) + pad_r + 1, rows),
        max(int(used_columns[0]) - pad_c, 0),
        min(int(used_columns[-1]) + pad_c + 1, columns),
    )


def close_up(volume: Volume, mask: npt.NDArray[np.bool_], k: int, *, margin_mm: float = 18.0) -> Box | None:
    """A square around the mask on slice k with room on every side, or None when it would be most of the slice."""
    view = layout(volume.geometry, volume.modality, placed=volume.placed)
    outline = view.apply(mask[k])
    if not outline.any():
        return None
    spans = [np.flatnonzero(outline.any(axis=axis)) for axis in (1, 0)]
    centre = [(span[0] + span[-1]) / 2 for span in spans]
    side = max((span[-1] - span[0] + 1) * mm for span, mm in zip(spans, view.pixel_mm, strict=True)) + 2 * margin_mm
    if side > 0.5 * min(n * mm for n, mm in zip(outline.shape, view.pixel_mm, strict=True)):
        return None
    edges = []
    for middle, mm, limit in zip(centre, view.pixel_mm, outline.shape, strict=True):
        n = min(max(round(side / mm), 8), limit)
        start = int(np.clip(round(middle - n / 2), 0, limit - n))
        edges += [start, start + n]
    return Box(*edges)
