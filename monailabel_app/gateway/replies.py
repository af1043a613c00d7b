"""How results leave: JSON, the file, or both as one multipart body; files go when they are sent."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.jobs import Result

OUTPUTS = ("json", "image", "all", "dicom_seg")
SMALL = 1 << 20
"""Answers up to this many bytes are sent in one piece."""
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


async def reply(result: Result, output: str, *, keep: bool = False) -> Response:
    """The answer for a finished inference; `keep` leaves the file for another time.

    Raises:
        Refusal: 404, the file was asked for and there is none.
    """
    if output in ("image", "dicom_seg"):
        if result.file is None:
            raise Refusal(404, "This model returns no file; ask for output=json.")
        if output == "dicom_seg" and not result.name.endswith(".dcm"):
            raise Refusal(409, "The job was not asked for a DICOM SEG; submit it with output=dicom_seg.")
        response: Response = FileResponse(result.file, media_type=_mime(result.name), filename=result.name)
    elif output == "json" or result.file is None:
        response = PlainJSON(result.params)
    else:
        response = await anyio.to_thread.run_sync(_multipart, result, keep)
    return response if keep or result.file is None else _Discarding(response, result)


def _mime(name: str) -> str:
    return "application/dicom" if name.endswith(".dcm") else mimetypes.guess_type(name)[0] or "application/octet-stream"


def _multipart(result: Result, keep: bool) -> Response:
    """`params` and `image`, in the order and form MONAI Label's client parses. Reads the file: call it on a thread."""
    from requests_toolbelt import MultipartEncoder

    assert result.file is not None
    handle = result.file.open("rb")
    body = MultipartEncoder(
        fields={
            "params": (None, PlainJSON(result.params).body, "application/json"),
            "image": (result.name, handle, _mime(result.name)),
        }
    )
    if body.len <= SMALL:  # streaming it would cost more than reading it
        with handle:
            whole = body.to_string()
        if not keep:
            result.discard()
        return Response(whole, media_type=body.content_type)

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while chunk := await anyio.to_thread.run_sync(body.read, _CHUNK):
                yield chunk
        finally:
            handle.close()

    headers = {"Content-Length": str(body.len)}
    return StreamingResponse(chunks(), media_type=body.content_type, headers=headers)


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
