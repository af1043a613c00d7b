"""Hand objects with large arrays to another process of this machine through shared memory.

Pickle protocol 5 (PEP 574) leaves large buffers out of the pickle; they are laid one after the other in
one shared memory block, so a 150 MB volume crosses the process border with one copy and no pipe.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import shutil
from collections.abc import Iterator
from multiprocessing import resource_tracker, shared_memory
from pathlib import Path
from typing import Any

SMALLEST_SHARED = 1 << 16
"""Buffers below this many bytes stay inside the pickle: a block of their own would cost more."""

_ALIGNMENT = 64
_SHM_FOLDER = Path("/dev/shm")


@dataclasses.dataclass(frozen=True)
class Parcel:
    """A packed object.

    Arguments:
        body: the pickle, without its large buffers.
        block: name of the shared memory block with the large buffers, or None when there is none.
        layout: (offset, size) in bytes of each buffer in the block.
        inline: the buffers themselves where shared memory is too small for them.
    """

    body: bytes
    block: str | None = None
    layout: tuple[tuple[int, int], ...] = ()
    inline: tuple[bytes, ...] = ()


def pack(value: object, block: str) -> Parcel:
    """Pack `value`; its large buffers go into a new shared memory block called `block`.

    The block outlives this process: whoever called for it removes it with `discard`.
    """
    buffers: list[memoryview] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < SMALLEST_SHARED:
            return True
        buffers.append(raw)
        return False

    body = pickle.dumps(value, protocol=5, buffer_callback=keep_in_band)
    if not buffers:
        return Parcel(body)
    layout = []
    size = 0
    for raw in buffers:
        layout.append((size, raw.nbytes))
        size += -(-raw.nbytes // _ALIGNMENT) * _ALIGNMENT
    # A container often gets 64 MB of /dev/shm; writing past it kills the process (SIGBUS), so look first.
    if _SHM_FOLDER.is_dir() and shutil.disk_usage(_SHM_FOLDER).free < size + (1 << 20):
        return Parcel(body, inline=tuple(raw.tobytes() for raw in buffers))
    memory = shared_memory.SharedMemory(block, create=True, size=size)
    _untrack(memory)
    target = _view(memory)
    for raw, (offset, length) in zip(buffers, layout, strict=True):
        target[offset : offset + length] = raw
    memory.close()
    return Parcel(body, block, tuple(layout))


def unpack(parcel: Parcel) -> Any:
    """The object, with its own copy of every buffer."""
    if parcel.block is None:
        return pickle.loads(parcel.body, buffers=[bytearray(raw) for raw in parcel.inline])
    memory = shared_memory.SharedMemory(parcel.block)
    _untrack(memory)
    try:
        buffers = [bytearray(_view(memory)[offset : offset + length]) for offset, length in parcel.layout]
    finally:
        memory.close()
    return pickle.loads(parcel.body, buffers=buffers)


class Opener:
    """Opens parcels without copying: arrays are read-only views of the shared memory.

    A block is closed as soon as nothing refers to its arrays any more; blocks an engine still holds on to
    (a cache) are tried again at the next call.
    """

    def __init__(self) -> None:
        self._open: list[shared_memory.SharedMemory] = []

    def open(self, parcel: Parcel) -> Any:
        if parcel.block is None:
            return unpack(parcel)
        memory = shared_memory.SharedMemory(parcel.block)
        _untrack(memory)
        self._open.append(memory)
        view = _view(memory).toreadonly()
        return pickle.loads(parcel.body, buffers=[view[offset : offset + length] for offset, length in parcel.layout])

    def tidy(self) -> int:
        """Close the blocks nobody uses any more; how many are still open."""
        still = []
        for memory in self._open:
            try:
                memory.close()
            except BufferError:
                still.append(memory)
        self._open = still
        return len(still)


def discard(block: str) -> None:
    """Remove a block if it exists; processes that have it open keep their view until they let go."""
    with contextlib.suppress(FileNotFoundError):
        memory = shared_memory.SharedMemory(block)
        memory.close()
        memory.unlink()  # also takes it off this process's resource tracker, where opening it put it


def block_names(prefix: str) -> Iterator[str]:
    """Names of the existing blocks that begin with `prefix` (for tests and for leak checks; Linux)."""
    for path in _SHM_FOLDER.glob(f"{prefix}*"):
        yield path.name


def _view(memory: shared_memory.SharedMemory) -> memoryview:
    assert memory.buf is not None, "the block is open"
    return memory.buf


def _untrack(memory: shared_memory.SharedMemory) -> None:
    # Until Python 3.13 every process that opens a block also promises to remove it, which would pull it
    # from under the others when one ends (python/cpython issue 82300). The host removes it instead.
    resource_tracker.unregister(memory._name, "shared_memory")  # type: ignore[attr-defined]
