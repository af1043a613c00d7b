"""Images as one file: stock clients can download no folder of DICOM."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
from pathlib import Path

from monailabel_app.gateway import checks
from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.errors import Refusal

MAX_CACHE_BYTES = 20 << 30
_converting = threading.Lock()


def image_file(backend: Backend, cache: Path, image: str) -> tuple[Path, str]:
    """The file of an image and the name to send it under; a DICOM series is converted to NRRD once and kept.

    Raises:
        Refusal: 400 or 404.
        ImageError: the series cannot be read.
    """
    checks.checked_image_id(image, backend.datastore.list_images())
    source = Path(backend.datastore.get_image_uri(image))
    if source.is_file():
        return source, source.name
    if not source.is_dir():
        raise Refusal(404, "The image is listed but its file is gone.")
    return folder_as_nrrd(source, cache), f"{image}.nrrd"


def folder_as_nrrd(source: Path, cache: Path) -> Path:
    """The DICOM series in `source` as one NRRD in `cache`: Hounsfield units for CT, the slices in the source's order.

    Raises:
        ImageError: the series cannot be read.
    """
    target = cache / f"{_state(source)}.nrrd"
    with _converting:  # two clients opening the same case convert it once; memory holds one volume
        if not target.is_file():
            _convert(source, target)
            _shrink(cache, keep=target)
        os.utime(target)
    return target


def _convert(source: Path, target: Path) -> None:
    import radfind
    from radfind.imaging.nrrd import write_nrrd
    from radfind.imaging.stacking import flipped_k

    volume = radfind.load(source)
    array = volume.array[..., 0] if volume.is_color else volume.array  # colour has no NRRD form that Slicer shows
    geometry = volume.geometry
    if volume.reversed_k:
        array, geometry = array[::-1], flipped_k(geometry)
    draft = target.with_name(f".{target.name}.part")
    try:
        write_nrrd(draft, array, geometry)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _shrink(cache: Path, keep: Path) -> None:
    files = sorted((file for file in cache.glob("*.nrrd") if file != keep), key=lambda file: file.stat().st_mtime)
    total = keep.stat().st_size + sum(file.stat().st_size for file in files)
    for file in files:
        if total <= MAX_CACHE_BYTES:
            return
        total -= file.stat().st_size
        file.unlink(missing_ok=True)


def _state(folder: Path) -> str:
    """Changes when a file of the series is replaced, and never with where the folder of links lies."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        stat = file.stat()
        digest.update(f"{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def checksum_fits(file: Path, checksum: str) -> bool:
    """Whether `file` has this ``ALGORITHM:hex`` (or bare SHA-256) checksum.

    Raises:
        Refusal: 400, the algorithm is not one of those.
    """
    algorithm, _, digest = checksum.rpartition(":")
    algorithm = (algorithm or "SHA256").lower().replace("-", "")
    if algorithm not in ("sha256", "sha512", "md5"):
        raise Refusal(400, "The checksum must be SHA256, SHA512 or MD5.")
    actual = hashlib.new(algorithm, usedforsecurity=False)
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            actual.update(chunk)
    return hmac.compare_digest(actual.hexdigest().encode(), digest.lower().encode())
