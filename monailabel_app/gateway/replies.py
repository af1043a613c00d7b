"""How results leave: JSON, the file, or both as one multipart body; files go when they are sent."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import os
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.jobs import Result

OUTPUTS = ("json", "image", "all", "dicom_seg")
_CHUNK = 1 << 20


class PlainJSON(JSONResponse):
    """JSON as MONAI Label's clients read it; numpy scalars and arrays become numbers and lists."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=_plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def checked_output(value: str | None) -> str:
    """The `output` of a request.

    Raises:
        Refusal: 422, it is not one of `OUTPUTS`.
    """
    if value is None or value == "":
        return "all"
    if value not in OUTPUTS:
        raise Refusal(422, f"The output must be one of: {', '.join(OUTPUTS)}.")
    return value


def reply(result: Result, output: str, *, keep: bool = False) -> Response:
    """The answer for a finished inference; `keep` leaves the file for another time.

    Raises:
        Refusal: 404, the file was asked for and there is none.
    """
    if output in ("image", "dicom_seg"):
        if not result.name:
            raise Refusal(404, "This model returns no file; ask for output=json.")
        if output == "dicom_seg" and not result.name.endswith(".dcm"):
            raise Refusal(409, "The job was not asked for a DICOM SEG; submit it with output=dicom_seg.")
        response = _file(result)
    elif output == "json" or not result.name:
        response = PlainJSON(result.params)
    else:
        response = _multipart(result)
    return response if keep or result.file is None else _Discarding(response, result)


def _file(result: Result) -> Response:
    if result.file is not None:
        return FileResponse(result.file, media_type=_mime(result.name), filename=result.name)
    quoted = quote(result.name)  # as FileResponse names it
    name = f'filename="{quoted}"' if quoted == result.name else f"filename*=utf-8''{quoted}"
    headers = {"Content-Disposition": f"attachment; {name}"}
    return Response(result.content, media_type=_mime(result.name), headers=headers)


def _mime(name: str) -> str:
    return "application/dicom" if name.endswith(".dcm") else mimetypes.guess_type(name)[0] or "application/octet-stream"


def _multipart(result: Result) -> Response:
    """`params` and `image`, in the order and form MONAI Label's client parses."""
    boundary = uuid.uuid4().hex

    def part(name: str, kind: str) -> bytes:
        head = f"--{boundary}\r\nContent-Disposition: form-data; name={name}\r\nContent-Type: {kind}\r\n\r\n"
        return head.encode()

    params = part('"params"', "application/json") + PlainJSON(result.params).body + b"\r\n"
    head = params + part(f'"image"; filename="{quote(result.name)}"', _mime(result.name))
    tail = f"\r\n--{boundary}--\r\n".encode()
    media_type = f"multipart/form-data; boundary={boundary}"
    if result.file is None:
        return Response(head + (result.content or b"") + tail, media_type=media_type)
    handle = result.file.open("rb")  # kept open: the file may expire while it is sent
    size = os.fstat(handle.fileno()).st_size

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield head
            while chunk := await asyncio.to_thread(handle.read, _CHUNK):
                yield chunk
            yield tail
        finally:
            handle.close()

    headers = {"Content-Length": str(len(head) + size + len(tail))}
    return StreamingResponse(chunks(), media_type=media_type, headers=headers)


class _Discarding(Response):
    """Sends another response, then removes the result, whether or not the client was still there."""

    def __init__(self, response: Response, result: Result) -> None:
        super().__init__()
        self._response, self._result = response, result
        self.status_code = response.status_code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._response(scope, receive, send)
        finally:
            self._result.discard()
