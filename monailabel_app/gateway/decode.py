"""The child that decodes an upload: limits itself first, answers with one line of JSON.

Run as ``python -m monailabel_app.gateway.decode KIND PATH MEMORY_BYTES``.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from pathlib import Path
from typing import Any

CPU_SECONDS = 120
DETACHED = (".nhdr", ".mhd", ".hdr", ".img")
"""Headers whose voxels lie in a file beside them, which the header names: on a server that could be any file."""
OTHER_IMAGES = (*DETACHED, ".nrrd", ".mha", ".nii", ".nii.gz", ".png", ".jpg", ".jpeg", ".zip")
_MAGIC = {
    ".nii.gz": (b"\x1f\x8b",),
    ".nii": (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c", b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c"),
    ".seg.nrrd": (b"NRRD000",),
    ".nrrd": (b"NRRD000",),
    ".mha": (b"ObjectType", b"NDims", b"Comment"),
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".zip": (b"PK\x03\x04", b"PK\x05\x06"),
}


def limit(memory: int) -> None:
    """Bound what decoding may take; the kernel ends the process beyond it."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 30, 16 << 30))
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def sniff(path: Path) -> str | None:
    """Why the file's first bytes do not fit its name, or what they must not say; None when all is well."""
    name = path.name.lower()
    with path.open("rb") as file:
        head = file.read(1 << 16)
    # Whatever the name: readers go by the content as well.
    header = head.startswith((*_MAGIC[".nrrd"], *_MAGIC[".mha"]))
    if name.endswith(DETACHED) or (header and _names_another_file(head)):
        return "its voxels lie in another file; send them in one."
    for suffix, magics in _MAGIC.items():
        if name.endswith(suffix):
            if not head.startswith(magics):
                return f"its content is not what '{suffix}' stands for."
            return _zip_without_headers(path) if suffix == ".zip" else None
    return None  # DICOM: the reader tells


def _names_another_file(head: bytes) -> bool:
    """Whether an NRRD or MetaImage header points to a file beside it."""
    for line in head.split(b"\n"):
        name, _, value = line.replace(b"=", b":", 1).partition(b":")
        key = name.strip().lower().replace(b" ", b"")
        if key == b"datafile" or (key == b"elementdatafile" and value.strip().upper() != b"LOCAL"):
            return True
        if not line.strip() or key == b"elementdatafile":
            return False  # the header ends here
    return True  # a header of 64 KiB without an end


def _zip_without_headers(path: Path) -> str | None:
    """Zips are for DICOM series: other images inside would not have been looked at here."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.lower() for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "it is not a whole zip archive."
    if any(name.endswith(OTHER_IMAGES) for name in names):
        return "a zip may hold DICOM only; send other images as one file each."
    return None


def check_image(path: Path) -> None:
    """Raises ImageError: it cannot be read."""
    import radfind
    from radfind.imaging.image_files import is_image_file

    if is_image_file(path):
        _header(path)
    radfind.load(path)


def _header(path: Path) -> Any:
    """A reader that has read the header of an image file.

    Raises:
        InputError: what it declares cannot fit into the memory allowed: known at once, before a decoder fills it.
        RuntimeError: it has none.
    """
    import SimpleITK as sitk

    from radfind.errors import InputError

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    # A byte a voxel is the least, and reading holds an image twice.
    least = 2 * math.prod(reader.GetSize()) * reader.GetNumberOfComponents()
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY and least > allowed:
        size = " x ".join(map(str, reader.GetSize()))
        raise InputError(f"it declares {size} voxels, which needs more memory to decode than is allowed.")
    return reader


def check_session(path: Path) -> None:
    """Raises ImageError: neither one image nor several can be read there."""
    from radfind.imaging.image_files import is_image_file

    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if path.is_dir() and all(is_image_file(file) for file in files):
        for file in files:
            check_image(file)
    else:
        check_image(path)


def check_label(path: Path) -> None:
    """Raises ValueError, RuntimeError or InputError: it cannot be read."""
    name = path.name.lower()
    if name.endswith(".bin"):
        return  # bare voxels; whoever uses them compares their size with the image's
    if name.endswith(".json"):
        json.loads(path.read_text(encoding="utf-8"))
        return
    _header(path).Execute()


def main(kind: str, path: Path) -> str | None:
    """Why the upload is refused, or None."""
    from radfind.errors import InputError

    checks = {"image": check_image, "label": check_label, "session": check_session}
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if (reason := sniff(file)) is not None:
            return reason
    try:
        checks[kind](path)
    except MemoryError:
        return "it needs more memory to decode than is allowed."
    except InputError as error:
        return str(error).replace(str(path), "upload")  # where it lies here is nobody's business
    except Exception:  # whatever a decoder makes of broken bytes: the upload is refused
        return "it is damaged, or not what its name says."
    return None


if __name__ == "__main__":
    limit(int(sys.argv[3]))
    refused = main(sys.argv[1], Path(sys.argv[2]))
    print(json.dumps({"ok": refused is None, "reason": refused}), flush=True)
