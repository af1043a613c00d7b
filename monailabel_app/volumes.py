"""A small cache of loaded volumes, so that the second question about a scan costs no reading."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import radfind
from radfind.errors import ImageError
from radfind.volume import Volume


class VolumeCache:
    """Keeps the most recently used volumes, at most `capacity_bytes` of voxels in all (and always the newest one).

    A file or folder that changed on disk is read again. Safe to use from several threads: one reads, others wait.
    """

    def __init__(self, capacity_bytes: int = 2 << 30) -> None:
        self._capacity = capacity_bytes
        self._lock = threading.Lock()
        self._volumes: OrderedDict[tuple[str, str], Volume] = OrderedDict()
        self._reading: dict[tuple[str, str], threading.Lock] = {}

    def get(self, path: str | Path) -> Volume:
        """The volume at `path` (a file, or a folder of one DICOM series).

        Raises:
            ImageError: there is nothing there, or it cannot be read.
        """
        source = Path(path)
        if not str(path) or not source.exists():
            raise ImageError("There is no such image on the server. List the images with GET /datastore/?output=all.")
        key = (str(source.resolve()), _state(source))
        with self._lock:
            if key in self._volumes:
                self._volumes.move_to_end(key)
                return self._volumes[key]
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            with self._lock:
                if key in self._volumes:
                    return self._volumes[key]
            volume = radfind.load(source)
            with self._lock:
                self._volumes[key] = volume
                self._reading.pop(key, None)
                self._shrink()
            return volume

    def _shrink(self) -> None:
        while len(self._volumes) > 1 and sum(v.array.nbytes for v in self._volumes.values()) > self._capacity:
            self._volumes.popitem(last=False)


def _state(source: Path) -> str:
    """Changes whenever the file, or any file directly in the folder, is replaced."""
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    return str(hash(tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)))
