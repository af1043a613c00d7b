"""Images, labels and sessions in and out: the parts of MONAI Label's contract that carry files."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response

from monailabel_app.gateway import checks, sandbox
from monailabel_app.gateway.access import who
from monailabel_app.gateway.downloads import checksum_fits, folder_as_nrrd, image_file
from monailabel_app.gateway.errors import CLIENT_CLOSED, Refusal
from monailabel_app.gateway.forms import Form, read_form
from monailabel_app.gateway.inference import IMAGE_EXTENSIONS, LABEL_EXTENSIONS, named
from monailabel_app.gateway.server import Server


async def get_image(request: Request) -> Response:
    """``GET|HEAD /datastore/image``: the file; a DICOM series as NRRD with its exact geometry."""
    server = Server.of(request)
    image = request.query_params.get("image", "")
    file, name = await asyncio.to_thread(image_file, server.backend, server.settings.state / "cache", image)
    checksum = request.query_params.get("check_sum")
    if request.method == "HEAD":
        if checksum and not await asyncio.to_thread(checksum_fits, file, checksum):
            raise Refusal(404, "The image has another checksum.")
        return Response()
    return FileResponse(file, media_type="application/octet-stream", filename=name)


async def put_image(request: Request) -> Response:
    """``PUT /datastore/image``: one image file, a DICOM file, or a zip of a DICOM series."""
    server = Server.of(request)
    datastore = server.backend.datastore
    form = await _form(request)
    try:
        upload = form.file("file")
        if upload is None:
            raise Refusal(422, "Send the image as the form field 'file'.")
        stem, extension = checks.checked_file_name(upload.name or "image.nii.gz", IMAGE_EXTENSIONS, "image")
        asked = request.query_params.get("image")
        image = checks.checked_id(asked, "image id") if asked else stem
        info = {**_params(form), "user": who(request).name}
        path = named(upload, IMAGE_EXTENSIONS, "image")
        await sandbox.check("image", path, server.settings)
        if extension in (".zip", ".dcm") and hasattr(datastore, "add_series"):
            image = await asyncio.to_thread(datastore.add_series, path, info)
        else:
            image = await asyncio.to_thread(datastore.add_image, image, str(path), info)
    finally:
        await asyncio.to_thread(form.discard)
    server.audit.record("image_added", who=who(request).name, series=image)
    return JSONResponse({"image": image})


async def put_label(request: Request) -> Response:
    """``PUT /datastore/label``: a new version of a label; earlier ones stay."""
    server = Server.of(request)
    backend = server.backend
    image = request.query_params.get("image", "")
    tag = checks.checked_id(request.query_params.get("tag") or "final", "label tag")
    await asyncio.to_thread(lambda: checks.checked_image_id(image, backend.datastore.list_images()))
    form = await _form(request)
    try:
        upload = form.file("label")
        if upload is None:
            raise Refusal(422, "Send the label as the form field 'label'.")
        info = {**_params(form), "user": who(request).name}
        path = named(upload, LABEL_EXTENSIONS, "label")
        await sandbox.check("label", path, server.settings)

        def save() -> dict[str, Any]:
            label = backend.datastore.save_label(image, str(path), tag, info)
            reply = backend.instance.on_save_label(image, label) or {}
            return {**reply, "image": image, "label": label}

        answer = await asyncio.to_thread(save)
        server.audit.record("label_saved", who=who(request).name, series=image, tag=tag)
        return JSONResponse(answer)
    finally:
        await asyncio.to_thread(form.discard)


async def put_session(request: Request) -> Response:
    """``PUT /session/``: one image file, a zip, or the files of a DICOM series, kept until the session expires."""
    server = Server.of(request)
    sessions = server.backend.instance.sessions()
    if sessions is None:
        raise Refusal(406, "Sessions are switched off on this server.")
    expiry = request.query_params.get("expiry", "0")
    if not expiry.isdecimal() or len(expiry) > 9:
        raise Refusal(422, "The expiry must be a whole number of seconds.")
    form = await _form(request)
    try:
        source = await asyncio.to_thread(_session_source, form)
        await sandbox.check("session", source, server.settings)
        name = uuid.uuid4().hex  # MONAI Label's own ids count up from the clock: they can be guessed
        add = lambda: sessions.add_session(str(source), int(expiry), False, session_id=name)  # noqa: E731
        name, info = await asyncio.to_thread(add)
    finally:
        await asyncio.to_thread(form.discard)
    server.audit.record("session_made", who=who(request).name)
    return JSONResponse({"session_id": name, "session_info": info.to_json()})


async def get_session(request: Request) -> Response:
    """``GET /session/{id}``: what is known of it, or with ``image=true`` its image."""
    server = Server.of(request)
    name = checks.checked_id(request.path_params["session"], "session id")
    sessions = server.backend.instance.sessions()
    touch = request.query_params.get("update_ts", "").lower() in ("true", "1")
    info = await asyncio.to_thread(sessions.get_session, name, touch) if sessions is not None else None
    if info is None:
        raise Refusal(404, "There is no such session, or it has expired.")
    if request.query_params.get("image", "").lower() not in ("true", "1"):
        return JSONResponse(info.to_json())
    file = Path(info.image)
    if file.is_dir():
        file = await asyncio.to_thread(folder_as_nrrd, file, server.settings.state / "cache")
    return FileResponse(file, media_type="application/octet-stream", filename=file.name)


async def _form(request: Request) -> Form:
    try:
        return await read_form(request, Server.of(request).settings.state / "uploads")
    except ClientDisconnect as error:
        raise Refusal(CLIENT_CLOSED, "The client went away during its upload.") from error


def _params(form: Form) -> dict[str, Any]:
    return checks.checked_params(checks.parsed_params(form.fields.get("params")))


def _session_source(form: Form) -> Path:
    """The one file, or a folder of all files, under names of our own."""
    files = [upload for upload in form.files if upload.field == "files"]
    if not files:
        raise Refusal(422, "Send the image as the form field 'files'.")
    if len(files) == 1:
        return named(files[0], IMAGE_EXTENSIONS, "image")
    folder = files[0].path.parent / "images"
    folder.mkdir()
    for upload in files:
        path = named(upload, (*IMAGE_EXTENSIONS, ".ima", ""), "image", anonymous=True)
        path.rename(folder / path.name)
    return folder
