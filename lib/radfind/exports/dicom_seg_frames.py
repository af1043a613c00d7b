"""The frames of a SEG, encoded directly: a data set object for each of thousands of frames takes most of the time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from radfind.results import Segment
from radfind.volume import Geometry

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PER_FRAME = 0x52009230
_DERIVATION, _FRAME_CONTENT, _PLANE_POSITION, _IDENTIFICATION = 0x00089124, 0x00209111, 0x00209113, 0x0062000A


def fill(dataset: Dataset, segments: Sequence[Segment], geometry: Geometry) -> None:
    """Put the frames of `segments` into a SEG whose one segment fills each slice that any of them uses.

    Arguments:
        dataset: changed in place. What each slice's frame says of its place and source is kept for every segment.
        geometry: of the segments' masks.
    """
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.tag import Tag

    places = {}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        k, plane = 0, b""  # a radiograph is not placed in the patient, and is one
        if _PLANE_POSITION in group:
            k = round(float(geometry.to_index(group.PlanePositionSequence[0].ImagePositionPatient)[0]))
            plane = _encoded(group, _PLANE_POSITION)
        value = group.FrameContentSequence[0].DimensionIndexValues
        position = tuple(value[1:]) if _PLANE_POSITION in group else ()  # the first is the segment
        derivation = _encoded(group, _DERIVATION) if _DERIVATION in group else b""
        places[k] = position, derivation, plane
    items, masks = [], []
    for number, segment in enumerate(segments, start=1):
        identification = _sequence(_IDENTIFICATION, _element(0x0062000B, b"US", struct.pack("<H", number)))
        for k, (position, derivation, plane) in places.items():
            if segment.mask[k].any():
                index = _element(0x00209157, b"UL", struct.pack(f"<{1 + len(position)}L", number, *position))
                items.append(_item(derivation + _sequence(_FRAME_CONTENT, index) + plane + identification))
                masks.append(segment.mask[k])
    value = b"".join(items)
    tag = Tag(_PER_FRAME)
    dataset[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)
    dataset.NumberOfFrames = len(items)
    # PS3.5 8.1.1: bits are packed from the least significant on, over the borders of the frames.
    pixels = np.packbits(np.stack(masks), axis=None, bitorder="little").tobytes()
    dataset[0x7FE00010] = DataElement(0x7FE00010, "OB", pixels + b"\0" * (len(pixels) % 2))
    # Nothing is left for pydicom to resolve, so that it may write the encoded frames as they are.
    dataset.set_original_encoding(False, True, dataset._character_set)


def _encoded(group: Dataset, tag: int) -> bytes:
    from pydicom.dataset import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    part = Dataset()
    part[tag] = group[tag]
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, part)
    return bytes(buffer.getvalue())


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    """An element of a VR with a 16-bit length (PS3.5 7.1.2)."""
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def _sequence(tag: int, content: bytes) -> bytes:
    """A sequence of one item, lengths explicit (PS3.5 7.5)."""
    item = _item(content)
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(item)) + item


def _item(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content
