"""DICOM headers without their pixels: one `Instance` per file, one `Frame` per slice.

Attribute and sequence names are those of DICOM PS3.3 and PS3.6.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import math
import warnings
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from radfind.errors import ImageError
from radfind.imaging.sources import SourceFile

MAX_HEADER_BYTES = 64 * 2**20
"""A header longer than this is no image header."""

# Kept as text in Volume.header: what naming and export (SEG, SR, RTSTRUCT, key objects) need of patient, study and
# series. No private attributes.
KEPT = (
    "SpecificCharacterSet", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "StudyTime", "SeriesTime",
    "AcquisitionTime", "ContentTime", "AccessionNumber", "Modality", "Manufacturer", "InstitutionName",
    "ReferringPhysicianName", "StudyDescription", "SeriesDescription", "ManufacturerModelName", "PatientName",
    "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize", "PatientWeight",
    "BodyPartExamined", "ProtocolName", "PatientPosition", "ConvolutionKernel", "ContrastBolusAgent", "SliceThickness",
    "KVP", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PositionReferenceIndicator", "StudyID",
    "SeriesNumber", "Laterality", "ImageLaterality", "ViewPosition", "SOPClassUID", "ImageType", "Units",
    "DecayCorrection", "WindowCenter", "WindowWidth", "PhotometricInterpretation", "GantryDetectorTilt",
    "FrameTime", "CineRate", "RecommendedDisplayFrameRate",
)  # fmt: skip

# What reading itself needs.
_NEEDED = (
    "SOPInstanceUID", "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "EchoTime", "TriggerTime",
    "DiffusionBValue", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
    "NominalScannedPixelSpacing", "SpacingBetweenSlices", "SequenceOfUltrasoundRegions", "Rows", "Columns",
    "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "PresentationLUTShape", "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "TotalPixelMatrixColumns", "TotalPixelMatrixRows",
)  # fmt: skip

_TAGS = [BaseTag(tag) for keyword in (*KEPT, *_NEEDED) if (tag := tag_for_keyword(keyword)) is not None]


@dataclasses.dataclass(eq=False)
class Instance:
    """One DICOM file.

    Arguments:
        source: the file.
        dataset: its header, only the attributes reading needs.
        syntax: transfer syntax UID.
        pixel_head: first 12 bytes of the pixel data element: its tag, how it is written, its length.
        pixel_offset: file position of the pixel data element, or None when it has none.
        end: size of the file in bytes (deflated: of the data set).
        inflated: the whole data set after the file meta, for the deflated transfer syntax only.
    """

    source: SourceFile
    dataset: Dataset
    syntax: str
    pixel_head: bytes
    pixel_offset: int | None
    end: int
    inflated: bytes | None = None

    @property
    def name(self) -> str:
        return self.source.shown.name

    def text(self, keyword: str) -> str:
        """The value as text, "" when absent or unreadable."""
        return as_text(value_of(self.dataset, keyword))

    def integer(self, keyword: str, default: int = 0) -> int:
        numbers = floats(value_of(self.dataset, keyword))
        return int(numbers[0]) if numbers else default

    @functools.cached_property
    def frame_count(self) -> int:
        return max(self.integer("NumberOfFrames", 1), 1)

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        return self.integer("Rows"), self.integer("Columns")

    def open(self) -> IO[bytes]:
        """The bytes that `pixel_offset` counts in."""
        return io.BytesIO(self.inflated) if self.inflated is not None else self.source.path.open("rb")


@dataclasses.dataclass(eq=False)
class Frame:
    """One slice: a single-frame file, or one frame of a multi-frame file.

    Arguments:
        instance: the file it lies in.
        index: 0-based frame within it.
        position: LPS mm of the centre of its first voxel, or None.
        orientation: 2x3, unit vectors along a row and down a column, or None.
        spacing: mm between (rows, columns), or None.
        slope, intercept: of its Modality transform; 1 and 0 when it has none.
    """

    instance: Instance
    index: int
    position: npt.NDArray[np.float64] | None
    orientation: npt.NDArray[np.float64] | None
    spacing: tuple[float, float] | None
    slope: float
    intercept: float

    @property
    def label(self) -> str:
        """How to name it to a user."""
        if self.instance.frame_count > 1:
            return f"{self.instance.name} frame {self.index + 1}"
        return self.instance.name


def read_instance(source: SourceFile) -> Instance | None:
    """The header of a DICOM file, or None when the file is not DICOM.

    Raises:
        ImageError: it is DICOM but its header cannot be read.
    """
    try:
        with source.path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of every odd value; what matters is checked here
            return _read(file, source)
    except ImageError:
        raise
    except PermissionError as error:
        raise ImageError(f"'{source.shown}' cannot be opened: RadFind has no right to read it.") from error
    # pydicom raises whatever its parsing ran into on a malformed file.
    except (Exception, RecursionError) as error:
        raise ImageError(
            f"'{source.shown}' is DICOM but its header is damaged ({_brief(error)}). Export the series again, "
            "or take this file out of the folder."
        ) from error


def _read(file: Any, source: SourceFile) -> Instance | None:
    if not _looks_like_dicom(file):
        return None
    read_preamble(file, force=True)
    meta = pydicom.filereader._read_file_meta_info(file)
    syntax = str(meta.get("TransferSyntaxUID", "") or "")
    if syntax == DeflatedExplicitVRLittleEndian:
        inflated = _inflated(file, source)
        dataset = read_dataset(inflated, False, True, stop_when=_at_pixels, specific_tags=_TAGS)
        return Instance(source, dataset, syntax, *_pixel_element(inflated), inflated.getvalue())
    if syntax and syntax != ExplicitVRBigEndian:
        implicit = syntax == ImplicitVRLittleEndian
        dataset = read_dataset(file, implicit, True, stop_when=_at_pixels, specific_tags=_TAGS)
    else:  # pydicom finds out how the data set is written
        file.seek(0)
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
    if len(dataset) == 0:
        _refuse_cut_header(meta, source)
        return None
    if not syntax:
        syntax = str(ImplicitVRLittleEndian if dataset.is_implicit_VR else ExplicitVRLittleEndian)
        if not dataset.is_little_endian:
            syntax = str(ExplicitVRBigEndian)
    return Instance(source, dataset, syntax, *_pixel_element(file))


def _refuse_cut_header(meta: Dataset, source: SourceFile) -> None:
    """A file marked as DICOM that describes nothing is what is left of a slice; only a directory of files may."""
    if is_marked_dicom(source.path) and meta.get("MediaStorageSOPClassUID") != MediaStorageDirectoryStorage:
        raise ImageError(f"'{source.shown}' is cut short: it ends within its header. Copy or export the series again.")


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int.__ge__(tag, _FIRST_PIXEL_TAG)  # asked for every element: BaseTag's own comparison is much slower


def _pixel_element(file: IO[bytes]) -> tuple[bytes, int | None, int]:
    """The head of the pixel data element `file` stands at, where it lies (None: there is none), and the file's end."""
    offset = file.tell()
    head = file.read(12)
    return head, offset if head[:4] in _PIXEL_TAGS else None, file.seek(0, io.SEEK_END)


# (7FE0,0010) Pixel Data, (7FE0,0008) Float Pixel Data, (7FE0,0009) Double Float Pixel Data, little and big endian.
_PIXEL_TAGS = (
    b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10", b"\xe0\x7f\x08\x00", b"\x7f\xe0\x00\x08", b"\xe0\x7f\x09\x00",
    b"\x7f\xe0\x00\x09",
)  # fmt: skip
_FIRST_PIXEL_TAG = 0x7FE00008


def is_marked_dicom(path: Path) -> bool:
    """Whether the "DICM" mark stands after 128 bytes, whatever the file is called."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:  # told when it is read
        return False


def _looks_like_dicom(file: Any) -> bool:
    """A "DICM" mark after 128 bytes, or a data set that begins as one does (old files have no preamble)."""
    head = file.read(132)
    file.seek(0)
    if head[128:132] == b"DICM":
        return True
    # Group 0002 or 0008, little endian, an element number in use there, and for explicit VR two capitals.
    if len(head) < 16 or head[0:2] not in (b"\x02\x00", b"\x08\x00"):
        return False
    element = int.from_bytes(head[2:4], "little")
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return element < 0x3000 and (explicit or int.from_bytes(head[4:8], "little") < 256)


def _inflated(file: IO[bytes], source: SourceFile) -> io.BytesIO:
    """PS3.5 A.5: everything after the file meta is one raw deflate stream. Inflated under a bound."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = file.read()
    bound = max(MAX_HEADER_BYTES, len(packed) * 200)
    data = engine.decompress(packed, bound)
    if engine.unconsumed_tail:
        raise ImageError(
            f"'{source.shown}' inflates to more than {bound / 2**20:.0f} MB: it looks like a bomb. Leave it out."
        )
    return io.BytesIO(data)


def frames_of(instance: Instance) -> list[Frame]:
    """The slices of one file; enhanced multi-frame attributes come from the functional groups (PS3.3 C.7.6.16).

    Raises:
        ImageError: the per-frame groups do not fit the number of frames, or the rescale is no number.
    """
    _refuse_odd_rescale(instance)
    dataset = instance.dataset
    shared = next(iter(_items(dataset, "SharedFunctionalGroupsSequence")), None)
    per_frame = _items(dataset, "PerFrameFunctionalGroupsSequence")
    count = instance.frame_count
    if per_frame and len(per_frame) != count:
        raise ImageError(
            f"'{instance.source.shown}' declares {count} frames but describes {len(per_frame)}: the file is damaged "
            "or truncated. Export the series again."
        )
    if count > 1_000_000:
        raise ImageError(f"'{instance.source.shown}' declares {count:,} frames, more than any image has. Leave it out.")
    result = []
    for index in range(count):
        groups = [group for group in (per_frame[index] if per_frame else None, shared) if group is not None]
        result.append(_frame(instance, index, groups))
    return result


def _frame(instance: Instance, index: int, groups: list[Dataset]) -> Frame:
    def find(sequence: str, keyword: str, count: int) -> npt.NDArray[np.float64] | None:
        for group in groups:
            for item in _items(group, sequence):
                if (found := _vector(value_of(item, keyword), count)) is not None:
                    return found
        return _vector(value_of(instance.dataset, keyword), count)

    position = find("PlanePositionSequence", "ImagePositionPatient", 3)
    cosines = find("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = find("PixelMeasuresSequence", "PixelSpacing", 2)
    slope = find("PixelValueTransformationSequence", "RescaleSlope", 1)
    intercept = find("PixelValueTransformationSequence", "RescaleIntercept", 1)
    return Frame(
        instance=instance,
        index=index,
        position=position,
        orientation=None if cosines is None else _orthonormal(cosines, instance),
        spacing=None if spacing is None or min(spacing) <= 0 else (float(spacing[0]), float(spacing[1])),
        # A slope of zero would erase the image; some writers leave 0 where they mean "none".
        slope=1.0 if slope is None or slope[0] == 0 else float(slope[0]),
        intercept=0.0 if intercept is None else float(intercept[0]),
    )


def _refuse_odd_rescale(instance: Instance) -> None:
    """A rescale that is there but is no number must not be read as none: stored values are no Hounsfield units."""
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        written = instance.dataset.get_item(keyword) if keyword in instance.dataset else None
        if written is not None and written.value and not floats(value_of(instance.dataset, keyword)):
            raise ImageError(f"'{instance.source.shown}' has a {keyword} that is no number. Export the series again.")


def _orthonormal(cosines: npt.NDArray[np.float64], instance: Instance) -> npt.NDArray[np.float64]:
    row, column = cosines[:3], cosines[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(row @ column) > 1e-2:
        raise ImageError(
            f"'{instance.source.shown}' has an impossible ImageOrientationPatient "
            f"({', '.join(f'{c:g}' for c in cosines)}): its two vectors must be of unit length and at right angles. "
            "Export the series again."
        )
    row = row / lengths[0]
    column = column - (column @ row) * row  # header values are rounded; the remainder is removed
    return np.stack([row, column / np.linalg.norm(column)])


def value_of(dataset: Dataset, keyword: str) -> Any:
    """The raw value, or None when absent, empty or not parseable as its VR."""
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:  # most attributes of most files: spare them the guarded conversion
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = dataset.get(keyword)
    except Exception:  # pydicom converts lazily and raises whatever the bytes provoke
        return None
    return None if value is None or value == "" else value


def floats(value: Any) -> list[float]:
    """Finite numbers of a value of any multiplicity; [] when one of them is none."""
    if value is None:
        return []
    items = (
        value
        if isinstance(value, list | tuple) or (hasattr(value, "__iter__") and not isinstance(value, str))
        else [value]
    )
    try:
        numbers = [float(item) for item in items]
    except (TypeError, ValueError, OverflowError):
        return []
    return numbers if all(math.isfinite(number) for number in numbers) else []


def as_text(value: Any) -> str:
    if value is None or isinstance(value, bytes):
        return ""
    try:
        joined = "\\".join(str(v) for v in value) if not isinstance(value, str) and _is_multi(value) else str(value)
    except Exception:  # a person name in a character set nobody can decode
        return ""
    return joined.replace("\0", "").strip()[:1024]


def _is_multi(value: Any) -> bool:
    return isinstance(value, list | tuple | pydicom.multival.MultiValue)


def _vector(value: Any, count: int) -> npt.NDArray[np.float64] | None:
    numbers = floats(value)
    return np.array(numbers[:count]) if len(numbers) >= count else None


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = value_of(dataset, keyword)
    return list(value) if isinstance(value, pydicom.sequence.Sequence) else []


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else 'no detail'}"


def kept_header(dataset: Dataset) -> dict[str, str]:
    """Keyword to text, of the attributes in `KEPT` that have a value."""
    return {keyword: text for keyword in KEPT if (text := as_text(value_of(dataset, keyword)))}
