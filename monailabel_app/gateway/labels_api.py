"""``/radfind/labels``: earlier versions of a label, and back to one of them."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from monailabel_app.gateway import checks
from monailabel_app.gateway.access import who
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.server import Server
from monailabel_app.labels import LabelStore


def _store(request: Request) -> tuple[LabelStore, str, str]:
    datastore = Server.of(request).backend.datastore
    if not hasattr(datastore, "labels"):
        raise Refusal(404, "The labels of this datastore have no versions.")
    image = checks.checked_image_id(request.query_params.get("image", ""), datastore.list_images())
    return datastore.labels(), image, checks.checked_id(request.query_params.get("tag") or "final", "label tag")


async def history(request: Request) -> Response:
    """All versions of a label, oldest first, and which is current."""
    store, image, tag = await asyncio.to_thread(_store, request)

    def read() -> dict[str, object]:
        current = store.current(image, tag)
        versions = [
            {"version": v.number, "ts": v.info.get("ts"), "user": v.info.get("user"), "size": v.file.stat().st_size}
            for v in store.history(image, tag)
        ]
        return {"image": image, "tag": tag, "current": current.number if current else None, "versions": versions}

    return JSONResponse(await asyncio.to_thread(read))


async def restore(request: Request) -> Response:
    """Make an earlier version current again; nothing is deleted."""
    server = Server.of(request)
    number = request.query_params.get("version", "")
    if not number.isdecimal() or len(number) > 9:
        raise Refusal(422, "Give version=N, one of those that the history lists.")
    store, image, tag = await asyncio.to_thread(_store, request)
    version = await asyncio.to_thread(store.restore, image, tag, int(number))
    server.audit.record("label_restored", who=who(request).name, series=image, tag=tag, version=version.number)
    return JSONResponse({"image": image, "tag": tag, "current": version.number})
