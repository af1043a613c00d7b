"""A request for an inference: checked, turned into a job, and run on one of MONAI Label's tasks."""

from __future__ import annotations

import dataclasses
import mimetypes
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel_app.gateway import checks
from monailabel_app.gateway.backend import Backend
from monailabel_app.gateway.dicom_seg import labelmap_as_seg
from monailabel_app.gateway.errors import Refusal
from monailabel_app.gateway.forms import Form, Upload
from monailabel_app.gateway.jobs import Result
from monailabel_app.gateway.lanes import lane
from radfind.engines.api import Context
from radfind.protocol import MAX_EXAMPLES

IMAGE_EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".jpg", ".jpeg", ".dcm", ".zip")
LABEL_EXTENSIONS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha", ".bin", ".json", ".png", ".jpg")
mimetypes.add_type("application/octet-stream", ".nrrd")


@dataclasses.dataclass(frozen=True)
class Inference:
    """A checked request.

    Arguments:
        model: the task's name.
        task: the task.
        request: what the task is called with, without its context.
        image: the image id, or "" for an upload or a session.
        save_as: the tag to save the result under, if asked.
        uploads: (kind, file) of what came with the request; still to be decoded in the sandbox.
        engine, device: what it will occupy.
        as_seg: turn the labelmap into a DICOM SEG.
    """

    model: str
    task: Any
    request: dict[str, Any]
    image: str
    save_as: str | None = None
    uploads: tuple[tuple[str, Path], ...] = ()
    engine: str = ""
    device: str = "cpu"
    as_seg: bool = False


def prepare(backend: Backend, model: str, query: Mapping[str, str], form: Form) -> Inference:
    """Check a request and find what it names. May read the datastore: call it off the event loop.

    Arguments:
        query: `image`, `session_id`.
        form: field `params`, files `file` (an image), `label`, `example_image` and `example_label` (several).

    Raises:
        Refusal: 4xx.
        NotSupportedError: no such engine, or it cannot do this.
    """
    task = backend.task(model)
    params = checks.checked_params(checks.parsed_params(form.fields.get("params")), task.config())
    request: dict[str, Any] = {"model": model, "description": task.description, **params}
    image, session, upload = query.get("image", ""), query.get("session_id", ""), form.file("file")
    if not (image or session or upload):
        raise Refusal(400, "Name an image: give image=ID, session_id=ID, or upload it as 'file'.")
    save_as = None
    uploads: list[tuple[str, Path]] = []
    if session:
        request.update(_session(backend, session))
        image = ""
    elif upload is not None:
        file = named(upload, IMAGE_EXTENSIONS, "image")
        request["image"] = str(file)
        uploads.append(("image", file))
        image = ""
    else:
        checks.checked_image_id(image, backend.datastore.list_images())
        if params.get("save_label"):
            save_as = checks.checked_id(str(params.get("label_tag", "original")), "label tag")
    request["save_label"] = False
    label = form.file("label")
    if label is not None:
        file = named(label, LABEL_EXTENSIONS, "label")
        if file.suffix == ".bin" and not image:
            raise Refusal(400, "A label of bare voxels (.bin) needs the image it belongs to: give image=ID.")
        request["label"] = str(file)
        uploads.append(("label", file))
    given, files = _examples(backend, params, form)
    request.update(given)
    uploads += files
    engine, device = lane(model, task, params)
    as_seg = query.get("output") == "dicom_seg"
    return Inference(model, task, request, image, save_as, tuple(uploads), engine, device, as_seg)


def run(backend: Backend, inference: Inference, context: Context, keep_in: Path | None) -> Result:
    """Call the task. Blocks: call it on a job's thread.

    Arguments:
        keep_in: folder the result's file is moved to, or None: it is sent at once and not kept.

    Raises:
        whatever the task raises.
    """
    context.step(0.0, "starting")
    request = dict(inference.request)
    if inference.image:
        request["image"] = backend.datastore.get_image_uri(inference.image)  # may fetch it from an archive
    if str(request.get("label", "")).endswith(".bin"):
        request["label"] = _voxels_as_image(request["image"], Path(request["label"]))
    file, params = inference.task({**request, "context": context})
    result = Result(dict(params or {}))
    if file and Path(file).is_file():
        result.file, result.name = Path(file), Path(file).name
        try:
            if inference.save_as is not None:
                info = {"model": inference.model, "params": result.params}
                backend.datastore.save_label(inference.image, str(file), inference.save_as, info)
            if inference.as_seg:
                _replace(result, labelmap_as_seg(result.file, Path(request["image"]), result.params))
            if keep_in is None:
                result.take_in()
            else:
                kept = keep_in / f"{uuid.uuid4().hex}{''.join(result.file.suffixes)}"
                result.file = Path(shutil.move(result.file, kept))
        except BaseException:
            result.discard()
            raise
    return result


def _replace(result: Result, file: Path) -> None:
    result.discard()
    result.file, result.name = file, "segmentation.dcm"


def _voxels_as_image(image: str, voxels: Path) -> str:
    """OHIF sends scribbles as bare voxels in the image's own grid."""
    from monailabel.datastore.utils.convert import binary_to_image

    converted = Path(binary_to_image(image, str(voxels)))
    return str(converted.rename(voxels.with_name("label.nii.gz")))


def named(upload: Upload, extensions: tuple[str, ...], what: str, *, anonymous: bool = False) -> Path:
    """Give an upload the extension its reader goes by, and nothing else of the client's name.

    Arguments:
        anonymous: the name before the extension may be anything (files of one series).

    Raises:
        Refusal: 400, the name is not allowed.
    """
    name = upload.name or "image.nii.gz"
    if anonymous:
        extension = next((e for e in extensions if name.lower().endswith(e)), "")
    else:
        _, extension = checks.checked_file_name(name, extensions, what)
    return upload.path.rename(upload.path.with_name(f"{upload.path.name}{extension}"))


def _examples(backend: Backend, params: Mapping[str, Any], form: Form) -> tuple[dict[str, Any], list[tuple[str, Path]]]:
    """What example prompts name besides images of the datastore, for the task's request: uploads and sessions."""
    request: dict[str, Any] = {}
    uploads: list[tuple[str, Path]] = []
    for kind, extensions in (("image", IMAGE_EXTENSIONS), ("label", LABEL_EXTENSIONS)):
        found = [upload for upload in form.files if upload.field == f"example_{kind}"]
        if len(found) > MAX_EXAMPLES:
            raise Refusal(400, f"The form field 'example_{kind}' may hold {MAX_EXAMPLES} files only.")
        paths = [named(upload, extensions, f"example {kind}") for upload in found]
        request[f"example_{kind}s"] = [str(path) for path in paths]
        uploads += [(kind, path) for path in paths]
    prompts = params.get("prompts")
    items = prompts.get("prompts") if isinstance(prompts, dict) else None
    names = {
        item["session"]
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict) and item.get("type") == "example" and isinstance(item.get("session"), str)
    }
    if len(names) > MAX_EXAMPLES:
        raise Refusal(400, f"At most {MAX_EXAMPLES} examples are taken in one request.")
    request["example_sessions"] = {name: _session(backend, name)["image"] for name in names}
    return request, uploads


def _session(backend: Backend, session_id: str) -> dict[str, Any]:
    checks.checked_id(session_id, "session id")
    sessions = backend.instance.sessions()
    session = sessions.get_session(session_id) if sessions is not None else None
    if session is None:
        raise Refusal(404, "There is no such session. Create one with PUT /session/.")
    return {"image": session.image, "session": session.to_json()}
