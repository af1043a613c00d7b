"""Form bodies, streamed to temporary files that are always removed."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import tempfile
from pathlib import Path

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from monailabel_app.gateway.errors import Refusal

MAX_FILES = 2000
"""Most files in one form: a DICOM series sent file by file."""
MAX_FIELDS = 8
MAX_FIELD_BYTES = 8 << 20
"""Fields are held in memory, unlike files; `params` is the only one that may need much."""


@dataclasses.dataclass(frozen=True)
class Upload:
    """One uploaded file, stored under a name of our own.

    Arguments:
        field: the form field it came in.
        name: what the client called it. Not to be trusted.
        path: where its bytes are.
        size: bytes.
    """

    field: str
    name: str
    path: Path
    size: int


@dataclasses.dataclass(frozen=True)
class Form:
    """A parsed form. `folder` holds its files, if any; who takes the form removes the folder (`discard`)."""

    fields: dict[str, str]
    files: tuple[Upload, ...] = ()
    folder: Path | None = None

    def file(self, field: str) -> Upload | None:
        """The one file of `field`.

        Raises:
            Refusal: 400, there are several.
        """
        found = [upload for upload in self.files if upload.field == field]
        if len(found) > 1:
            raise Refusal(400, f"The form field '{field}' may hold one file only.")
        return found[0] if found else None

    def discard(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


async def read_form(request: Request, uploads: Path) -> Form:
    """Read the body as a form; files go to a new folder under `uploads`.

    Raises:
        Refusal: 400 or 415, the body is not a form.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        async for chunk in request.stream():
            if chunk:
                raise Refusal(415, "The body must be a form (multipart/form-data).")
        return Form({})
    try:
        parsed = await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except (Refusal, OSError, asyncio.CancelledError):
        raise
    except Exception as error:  # the parsers raise many kinds for broken bodies
        if type(error).__name__ == "ClientDisconnect":
            raise
        raise Refusal(400, "The form is broken: it could not be parsed.") from error
    fields = {name: value for name, value in parsed.multi_items() if isinstance(value, str)}
    if len(fields) == len(parsed.multi_items()):
        return Form(fields)
    try:
        return await asyncio.to_thread(_store, fields, parsed, uploads)
    finally:
        await parsed.close()


def _store(fields: dict[str, str], parsed: FormData, uploads: Path) -> Form:
    files: list[Upload] = []
    folder = Path(tempfile.mkdtemp(prefix="request-", dir=uploads))
    try:
        for field, value in parsed.multi_items():
            if isinstance(value, UploadFile) and (value.filename or value.size):
                path = folder / f"{len(files):05d}"
                with path.open("wb") as target:
                    shutil.copyfileobj(value.file, target, 1 << 20)
                files.append(Upload(field, value.filename or "", path, path.stat().st_size))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Form(fields, tuple(files), folder)
