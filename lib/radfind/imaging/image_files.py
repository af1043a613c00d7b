"""NIfTI, NRRD, MHA, PNG and JPEG files to a `Volume`, through SimpleITK."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError
from radfind.imaging.detached import check_detached
from radfind.imaging.dicom_pixels import MAX_IMAGE_BYTES
from radfind.imaging.nifti import GZIP_MARK, UNPLACED, check_place, read_place
from radfind.imaging.photometric import INT16
from radfind.imaging.sources import SourceFile
from radfind.imaging.stacking import flipped_k
from radfind.volume import Geometry, Volume

# The one reader of ITK for each: left to choose, ITK asks all it has, and some of those follow links to other files.
_VOLUME_READERS = {
    ".nii": "NiftiImageIO", ".nii.gz": "NiftiImageIO", ".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO",
    ".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".hdr": "NiftiImageIO", ".img": "NiftiImageIO",
}  # fmt: skip
_PICTURE_READERS = {
    ".png": "PNGImageIO", ".jpg": "JPEGImageIO", ".jpeg": "JPEGImageIO", ".bmp": "BMPImageIO", ".tif": "TIFFImageIO",
    ".tiff": "TIFFImageIO",
}  # fmt: skip
_OF_PICTURES = (
    "A picture states no place in the patient and no pixel size: left and right are unknown, and one pixel counts as "
    "1 mm, so sizes in mm are meaningless."
)
VOLUME_SUFFIXES = tuple(_VOLUME_READERS)
PICTURE_SUFFIXES = tuple(_PICTURE_READERS)


def suffix_of(path: Path) -> str:
    """The suffix that decides the format: ``.nii.gz`` and ``.seg.nrrd`` count as one."""
    name = path.name.lower()
    for double in (".nii.gz", ".seg.nrrd"):
        if name.endswith(double):
            return double
    return path.suffix.lower()


def is_image_file(path: Path) -> bool:
    return suffix_of(path) in (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES, ".seg.nrrd")


def read_image_file(source: SourceFile, modality: str | None) -> Volume:
    """Raises ImageError when the file is damaged, too large, keeps its voxels elsewhere, or holds no finite value."""
    import SimpleITK as sitk

    try:
        source.path.open("rb").close()
    except PermissionError as error:
        raise ImageError(f"'{source.shown}' cannot be opened: RadFind has no right to read it.") from error
    check_detached(source)
    kind_of_file = suffix_of(source.path).replace(".seg.nrrd", ".nrrd")
    is_nifti = _VOLUME_READERS.get(kind_of_file) == "NiftiImageIO"
    place = read_place(source.path, source.shown) if is_nifti else None
    with _alone(source.path) as path:
        reader = sitk.ImageFileReader()
        reader.SetImageIO((_VOLUME_READERS | _PICTURE_READERS)[kind_of_file])
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
            _check_size(reader, source)
            image = reader.Execute()
        except RuntimeError as error:  # SimpleITK's only exception
            raise ImageError(_explain(source, error)) from error
    array, geometry = _to_3d(image, source)
    # The NIfTI library reads NaN as 0, so a file of NaN arrives as a constant one.
    if array.ndim == 3 and array.dtype.kind == "f" and array.size > 1 and _is_blank(array):
        raise ImageError(f"'{source.shown}' holds no image: every voxel is NaN or the same. Export it again.")
    of_place: tuple[str, ...] = check_place(place, geometry, source.shown) if place and image.GetDimension() > 2 else ()
    placed = place is None or place.qform_code > 0 or place.sform_code > 0
    if kind_of_file in (".nrrd", ".nhdr") and not image.HasMetaDataKey("NRRD_space"):
        of_place, placed = (UNPLACED,), False
    is_picture = kind_of_file in _PICTURE_READERS
    if is_picture:  # what it may say of its size is for printing it
        geometry = Geometry.from_parts(geometry.shape)
    backwards = geometry.orientation[2] not in "SLA"
    if backwards:
        array, geometry = array[::-1], flipped_k(geometry)
    kind, told = (modality, ()) if modality else _modality(array, image)
    return Volume(
        array=np.ascontiguousarray(array),
        geometry=geometry,
        modality=kind,
        name=source.shown.name,
        reversed_k=backwards,
        placed=placed and not is_picture,
        warnings=(*((_OF_PICTURES,) if is_picture else of_place), *told),
    )


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """A name for the file that has no neighbours.

    The NIfTI library inside ITK reads the voxels of ``ct.nii`` when asked for ``ct.nii.gz`` and both are there, and
    unpacks no file called ``.nii``.
    """
    if suffix_of(path) != ".nii.gz" and not (suffix_of(path) == ".nii" and _begins(path) == GZIP_MARK):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="radfind-") as folder:
        link = Path(folder) / "image.nii.gz"
        link.symlink_to(path.resolve())
        yield link


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)


def _explain(source: SourceFile, error: Exception) -> str:
    text = str(error)
    if "orthonormal" in text or "Non-orthogonal" in text:
        return (
            f"'{source.shown}' is sheared: its axes are not at right angles (a tilted scan converted as it is). "
            "RadFind does not straighten it, since that would invent voxels. Resample it first, e.g. in 3D Slicer."
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (
        f"'{source.shown}' cannot be read ({(lines[-1] if lines else 'no detail')[:160]}). It is damaged, cut short, "
        "or not what its name says. RadFind reads DICOM, NIfTI, NRRD, MHA, PNG and JPEG."
    )


def _is_blank(array: npt.NDArray) -> bool:
    finite = array[np.isfinite(array)]
    return finite.size == 0 or bool(finite.min() == finite.max())


def _check_size(reader: object, source: SourceFile) -> None:
    size = reader.GetSize()  # type: ignore[attr-defined]
    count = int(np.prod([float(n) for n in size])) * reader.GetNumberOfComponents()  # type: ignore[attr-defined]
    if count * 8 > 4 * MAX_IMAGE_BYTES:
        raise ImageError(
            f"'{source.shown}' declares {' x '.join(map(str, size))} voxels, more than RadFind reads. If that is "
            "right, give a part of it."
        )


def _to_3d(image: object, source: SourceFile) -> tuple[npt.NDArray, Geometry]:
    import SimpleITK as sitk

    assert isinstance(image, sitk.Image)
    dimension, channels = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    size = image.GetSize()
    if dimension > 3 and max(size[3:]) > 1:
        raise ImageError(
            f"'{source.shown}' has {dimension} dimensions ({' x '.join(map(str, size))}): several volumes in one file. "
            "Save the one that is meant as a file of its own."
        )
    if image.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise ImageError(f"'{source.shown}' holds complex numbers. Save their magnitude as a file of its own.")
    if channels not in (1, 3, 4) or (channels > 1 and image.GetPixelID() != sitk.sitkVectorUInt8):
        raise ImageError(
            f"'{source.shown}' has {channels} values per voxel; one (greyscale) or 8-bit colour is needed. "
            "Save one channel as a file of its own."
        )
    array = sitk.GetArrayFromImage(image)
    color = channels > 1
    array = array.reshape(*array.shape[-3 - color :]) if dimension > 3 else array
    if dimension == 2:
        array = array[None]
    if color:
        array = array[..., :3]
    direction, spacing, origin = np.eye(3), np.ones(3), np.zeros(3)
    inside = min(dimension, 3)
    matrix = np.array(image.GetDirection()).reshape(dimension, dimension)[:inside, :inside]
    direction[:inside, :inside] = matrix
    spacing[:inside], origin[:inside] = image.GetSpacing()[:inside], image.GetOrigin()[:inside]
    k, j, i = array.shape[:3]
    geometry = Geometry.from_parts(
        (k, j, i), spacing=tuple(spacing[::-1].tolist()), origin=tuple(origin.tolist()), direction=direction
    )
    return (array if color else _plain_type(array)), geometry


def _plain_type(array: npt.NDArray) -> npt.NDArray:
    """int16, int32 or float32: the three scalar types a `Volume` has."""
    if array.dtype.kind == "f":
        return array.astype(np.float32, copy=False)
    if array.dtype.itemsize <= 2 and array.dtype != np.uint16:
        return array.astype(np.int16, copy=False)
    if array.dtype.itemsize > 4 or array.dtype == np.uint32:
        low, high = int(array.min()), int(array.max())
        if low < -(2**31) or high >= 2**31:
            return array.astype(np.float32)
    if array.min() < INT16.min or array.max() > INT16.max:
        return array.astype(np.int32)
    return array.astype(np.int16)


def _modality(array: npt.NDArray, image: object) -> tuple[str, tuple[str, ...]]:
    """CT when the values can be nothing but Hounsfield units, else "OT".

    Signed values with air (below -500), a sizeable share of soft tissue and fat (-150 to 150 HU), and little above
    bone and metal. MR and PET are not negative; phase images are, but spread evenly far beyond.
    """
    if array.ndim == 4 or array.shape[0] < 2:
        return "OT", ()
    sample = array[:: max(1, array.shape[0] // 32), ::4, ::4]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0 or sample.min() > -500:
        return "OT", ()
    inside = sample[sample > -1000]
    tissue = np.mean((inside >= -150) & (inside <= 150)) if inside.size else 0.0
    if tissue < 0.15 or np.percentile(sample, 99) > 3100 or sample.min() < -10_000:
        return "OT", ()
    return "CT", ("The file does not state its modality; its values are Hounsfield units, so it is taken as CT.",)
