"""Stored pixel values of DICOM frames: raw frames straight from the file, compressed ones through a codec.

Sizes are checked against the file before anything is allocated, so a header that lies costs nothing.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydicom.pixel_data_handlers.util import convert_color_space
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from radfind.errors import ImageError
from radfind.imaging.codecs import CODED_SYNTAXES, by_gdcm, decode, decode_together
from radfind.imaging.dicom_header import Frame, Instance

MAX_IMAGE_BYTES = 8 * 2**30
"""Largest image read, decoded: a 4000-slice 1024 x 1024 CT. More is refused rather than left to fill the memory."""

_RAW_SYNTAXES = frozenset({
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
})  # fmt: skip

_ONE_SAMPLE = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})

WORKERS = min(8, os.cpu_count() or 1)
_BATCH, _BATCH_BYTES = 10, 2**24  # compressed frames decoded in one go, and how large they may be in all


@dataclasses.dataclass(frozen=True)
class PixelLayout:
    """How one file stores its pixels (PS3.3 C.7.6.3, PS3.5 section 8)."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    planar: bool
    photometric: str
    is_float: bool = False

    @property
    def frame_bytes(self) -> int:
        return (self.rows * self.columns * self.samples * self.bits_allocated + 7) // 8


@dataclasses.dataclass(frozen=True, eq=False)
class PixelStore:
    """Where the frames of one file lie.

    Arguments:
        instance: the file.
        layout: how its values are stored.
        offset, length: of the pixel bytes (raw), or of the encapsulated items (length is up to the file's end).
        fragments: byte ranges of each frame's fragments when encapsulated, else None.
    """

    instance: Instance
    layout: PixelLayout
    offset: int
    length: int
    fragments: tuple[tuple[tuple[int, int], ...], ...] | None


def layout_of(instance: Instance) -> PixelLayout:
    """Raises ImageError when an attribute the pixels need is missing or impossible."""
    rows, columns = instance.size
    samples = instance.integer("SamplesPerPixel", 1)
    allocated = instance.integer("BitsAllocated")
    stored = instance.integer("BitsStored") or allocated
    if rows < 1 or columns < 1:
        raise ImageError(
            f"'{instance.source.shown}' is DICOM ({instance.text('Modality') or 'no modality'}) but has no image: "
            "Rows and Columns are missing. Give the image series, not a report, plan or structure set."
        )
    if samples not in (1, 3, 4) or allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated:
        raise ImageError(
            f"'{instance.source.shown}' describes its pixels impossibly (SamplesPerPixel {samples}, BitsAllocated "
            f"{allocated}, BitsStored {stored}). The file is damaged; export the series again."
        )
    representation = instance.integer("PixelRepresentation")
    if representation not in (0, 1):
        raise ImageError(
            f"'{instance.source.shown}' does not say whether its values are signed (PixelRepresentation "
            f"{representation}). The file is damaged; export the series again."
        )
    high = instance.integer("HighBit", stored - 1)
    if high != stored - 1:
        raise ImageError(
            f"'{instance.source.shown}' keeps its values in unusual bits (HighBit {high} with BitsStored {stored}), "
            "which DICOM no longer allows and RadFind does not read. Export the series again."
        )
    photometric = instance.text("PhotometricInterpretation").upper() or ("RGB" if samples == 3 else "MONOCHROME2")
    if (photometric in _ONE_SAMPLE) != (samples == 1):
        raise ImageError(
            f"'{instance.source.shown}' calls its pixels {photometric[:16]} but gives them {samples} value"
            f"{'s' if samples > 1 else ''} each. The file is damaged; export the series again."
        )
    return PixelLayout(
        rows,
        columns,
        samples,
        allocated,
        stored,
        signed=representation == 1,
        planar=instance.integer("PlanarConfiguration") == 1,
        photometric=photometric,
    )


def locate(instance: Instance) -> PixelStore:
    """Find the pixels of a file and check that all that its header promises is there.

    Raises:
        ImageError: there are no pixels, the file is cut short, or it promises more than any image has.
    """
    layout = layout_of(instance)
    name = instance.source.shown
    promised = layout.frame_bytes * instance.frame_count
    if promised > MAX_IMAGE_BYTES:
        raise ImageError(
            f"'{name}' declares {instance.frame_count} frames of {layout.rows} x {layout.columns} pixels, "
            f"{promised / 2**30:.0f} GB; at most {MAX_IMAGE_BYTES / 2**30:.0f} GB are read. If that is right, give a "
            "part of it."
        )
    if instance.pixel_offset is None:
        raise ImageError(f"'{name}' has no pixel data. It is a header only or was cut short; export the series again.")
    head = instance.pixel_head
    order: Literal["big", "little"] = "big" if instance.syntax == ExplicitVRBigEndian else "little"
    if instance.syntax == ImplicitVRLittleEndian or not head[4:6].isalpha():
        offset, length = instance.pixel_offset + 8, int.from_bytes(head[4:8], order)
    else:
        offset, length = instance.pixel_offset + 12, int.from_bytes(head[8:12], order)
    layout = dataclasses.replace(layout, is_float=int.from_bytes(head[2:4], order) in (0x0008, 0x0009))
    if length == 0xFFFFFFFF and instance.syntax in CODED_SYNTAXES:
        return PixelStore(instance, layout, offset, instance.end - offset, _fragments(instance, offset))
    if instance.syntax not in _RAW_SYNTAXES:
        raise ImageError(
            f"'{name}' names a transfer syntax ({instance.syntax[:64]}) that RadFind cannot read or that does not fit "
            "its pixels. The file is damaged, a video, or of a private kind; export it again, uncompressed."
        )
    if layout.photometric == "YBR_FULL_422":
        promised = promised * 2 // 3
    available = min(length, instance.end - offset)
    if available < promised:
        raise ImageError(
            f"'{name}' is cut short: its header promises {promised:,} bytes of pixels, {max(available, 0):,} are "
            "there. Copy or export the series again."
        )
    return PixelStore(instance, layout, offset, available, None)


def _fragments(instance: Instance, offset: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Byte ranges of the items of encapsulated pixel data (PS3.5 A.4), grouped by frame."""
    items: list[tuple[int, int]] = []  # (start of data, length)
    position = offset
    table = b""
    complete = False
    with instance.open() as file:
        while position + 8 <= instance.end:
            file.seek(position)
            head = file.read(8)
            length = int.from_bytes(head[4:8], "little")
            if head[:4] == b"\xfe\xff\xdd\xe0":
                complete = True
                break
            if head[:4] != b"\xfe\xff\x00\xe0" or position + 8 + length > instance.end:
                break
            if position == offset:
                table = file.read(length)
            else:
                items.append((position + 8, length))
            position += 8 + length
    count = instance.frame_count
    if (not complete and len(items) < count) or not items:
        raise ImageError(
            f"'{instance.source.shown}' is cut short: {len(items)} of its {count} compressed frames are complete. "
            "Copy or export the series again."
        )
    if len(items) == count:
        return tuple((item,) for item in items)
    if count == 1:
        return (tuple(items),)
    starts = np.frombuffer(table[: len(table) // 4 * 4], "<u4")
    if len(starts) != count:
        raise ImageError(
            f"'{instance.source.shown}' has {len(items)} compressed pieces for {count} frames and no table that says "
            "which belong together. Export the series again, uncompressed."
        )
    first = items[0][0] - 8
    where = np.searchsorted(starts, [start - 8 - first for start, _ in items], side="right") - 1
    grouped = tuple(tuple(item for item, frame in zip(items, where, strict=True) if frame == n) for n in range(count))
    if not all(grouped):
        raise ImageError(f"'{instance.source.shown}' has a damaged frame table. Export the series again, uncompressed.")
    return grouped


def read_frame(store: PixelStore, index: int) -> npt.NDArray:
    """Stored values of one frame: (rows, columns) or (rows, columns, samples), native byte order.

    YBR colour is converted to RGB.
    """
    if store.fragments is not None:
        values = decode(_coded(store, index), store.layout, store.instance)
        # RLE packs the raw octets; the other codings know how many bits a value has.
        return _only_stored_bits(values, store.layout) if store.instance.syntax == RLELossless else values
    return _raw(store, index)


def _coded(store: PixelStore, index: int) -> bytes:
    """The compressed bytes of one frame."""
    assert store.fragments is not None
    with store.instance.open() as file:
        pieces = []
        for start, length in store.fragments[index]:
            file.seek(start)
            pieces.append(file.read(length))
    return b"".join(pieces)


def _raw(store: PixelStore, index: int) -> npt.NDArray:
    layout = store.layout
    if layout.bits_allocated == 1:
        return _single_bits(store, index)
    dtype = _dtype(layout, big=store.instance.syntax == ExplicitVRBigEndian)
    subsampled = layout.photometric == "YBR_FULL_422"
    count = layout.rows * layout.columns * (2 if subsampled else layout.samples)
    with store.instance.open() as file:
        file.seek(store.offset + index * count * dtype.itemsize)
        values = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    if subsampled:
        values = _upsampled_422(values, layout)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    if not layout.is_float:
        values = _only_stored_bits(values, layout)
    values = _shaped(values, layout)
    if layout.photometric in ("YBR_FULL", "YBR_FULL_422"):
        return convert_color_space(values, "YBR_FULL", "RGB")
    return values


def _shaped(values: npt.NDArray, layout: PixelLayout) -> npt.NDArray:
    """(rows, columns[, samples]) of the flat values of one frame, planes interleaved."""
    if layout.samples == 1:
        return values.reshape(layout.rows, layout.columns)
    if layout.planar and layout.photometric != "YBR_FULL_422":
        return values.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return values.reshape(layout.rows, layout.columns, layout.samples)


def _dtype(layout: PixelLayout, *, big: bool) -> np.dtype:
    kind = "f" if layout.is_float else "i" if layout.signed else "u"
    return np.dtype(f"{'>' if big else '<'}{kind}{layout.bits_allocated // 8}")


def _only_stored_bits(values: npt.NDArray, layout: PixelLayout) -> npt.NDArray:
    """Clear (unsigned) or sign-fill (signed) the bits above BitsStored; old files keep overlays there (PS3.5 8.1.1)."""
    spare = layout.bits_allocated - layout.bits_stored
    if not spare:
        return values
    if layout.signed:
        return (values << spare) >> spare
    return values & values.dtype.type((1 << layout.bits_stored) - 1)


def _single_bits(store: PixelStore, index: int) -> npt.NDArray:
    """Frames of one-bit pixels follow each other without padding, lowest bit first (PS3.5 8.1.1 and D)."""
    layout = store.layout
    count = layout.rows * layout.columns
    first = index * count
    with store.instance.open() as file:
        file.seek(store.offset + first // 8)
        packed = np.frombuffer(file.read((first % 8 + count + 7) // 8), np.uint8)
    return np.unpackbits(packed, bitorder="little")[first % 8 :][:count].reshape(layout.rows, layout.columns)


def _upsampled_422(values: npt.NDArray, layout: PixelLayout) -> npt.NDArray:
    """YBR_FULL_422 raw: Y Y Cb Cr for each pair of pixels (PS3.3 C.7.6.3.1.2)."""
    pairs = values.reshape(-1, 4)
    full = np.empty((len(pairs), 2, 3), values.dtype)
    full[:, :, 0] = pairs[:, :2]
    full[:, :, 1] = pairs[:, 2:3]
    full[:, :, 2] = pairs[:, 3:4]
    return full.reshape(-1)


def read_frames(
    frames: Sequence[Frame],
    stores: dict[int, PixelStore],
    take: Callable[[int, npt.NDArray], None],
    step: Callable[[float], None],
) -> None:
    """Read frames in parallel and hand each to `take(k, stored values)` (called from worker threads).

    `stores` maps ``id(instance)`` to where its pixels lie.
    """

    def work(batch: Sequence[int]) -> None:
        chosen = [(stores[id(frames[k].instance)], frames[k].index) for k in batch]
        together = None
        if len(batch) > 1:
            coded = [_coded(store, index) for store, index in chosen]
            together = decode_together(coded, chosen[0][0].layout, [store.instance for store, _ in chosen])
        for n, k in enumerate(batch):
            take(k, read_frame(*chosen[n]) if together is None else together[n])

    _keep_freed_memory()
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [pool.submit(work, batch) for batch in _batches(frames, stores)]
        try:
            for done, job in enumerate(jobs, start=1):
                job.result()
                step(done / len(jobs))
        except BaseException:
            for job in jobs:
                job.cancel()
            raise


def _batches(frames: Sequence[Frame], stores: dict[int, PixelStore]) -> list[list[int]]:
    """Frames that are decoded in one go: neighbours of one layout and syntax, few enough to keep all workers busy."""
    batches: list[list[int]] = []
    before = None
    for k, frame in enumerate(frames):
        store = stores[id(frame.instance)]
        layout, syntax = store.layout, store.instance.syntax
        kind = (layout, syntax) if store.fragments is not None and by_gdcm(layout, syntax) else None
        most = min(_BATCH, len(frames) // (4 * WORKERS), _BATCH_BYTES // layout.frame_bytes)
        if kind is None or kind != before or len(batches[-1]) >= most:
            batches.append([])
        batches[-1].append(k)
        before = kind
    return batches


def _keep_freed_memory() -> None:
    """Let the decoders reuse the memory of the frame before.

    glibc gives a buffer of a frame's size back to the system when it is freed, and fetches every page of the next one
    anew: half of the time of a fast codec. Once it has seen a larger one freed, up to 32 MB, it keeps those that are
    smaller (mallopt(3), M_MMAP_THRESHOLD). Nothing is written, so nothing is used; elsewhere it does nothing.
    """
    np.empty(2**25 - 2**16, np.uint8)
