"""OpenAPI of the gateway's own endpoints. MONAI Label describes its own at ``/openapi.json``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import radfind
from radfind.protocol import MAX_EXAMPLES

_ID = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}
_NULLABLE_NUMBER = {"anyOf": [{"type": "number"}, {"type": "null"}]}
_JOB = {
    "type": "object",
    "required": ["id", "model", "engine", "device", "state", "progress", "message", "created"],
    "properties": {
        "id": {"type": "string"},
        "model": {"type": "string"},
        "engine": {"type": "string"},
        "device": {"type": "string"},
        "state": {"enum": ["queued", "running", "done", "failed", "cancelled", "interrupted"]},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "message": {"type": "string"},
        "created": {"type": "number", "description": "seconds since 1970"},
        "started": _NULLABLE_NUMBER,
        "finished": _NULLABLE_NUMBER,
        "error": {"anyOf": [{"$ref": "#/components/schemas/Error"}, {"type": "null"}]},
    },
}
_EXAMPLE_FILES = {"type": "array", "maxItems": MAX_EXAMPLES, "items": {"type": "string", "format": "binary"}}
_SCHEMAS: dict[str, Any] = {
    "Job": _JOB,
    "Error": {"type": "object", "properties": {"status": {"type": "integer"}, "detail": {"type": "string"}}},
    "Detail": {"type": "object", "required": ["detail"], "properties": {"detail": {"type": "string"}}},
    "Question": {
        "type": "object",
        "properties": {
            "params": {
                "type": "string",
                "description": "JSON object: the task's options, e.g. text, prompts, engine.",
                "default": "{}",
            },
            "file": {"type": "string", "format": "binary", "description": "An image, instead of image or session_id."},
            "label": {"type": "string", "format": "binary", "description": "A labelmap the task starts from."},
            "example_image": _EXAMPLE_FILES | {"description": "Images that example prompts name by image_file."},
            "example_label": _EXAMPLE_FILES | {"description": "Labelmaps that example prompts name by label_file."},
        },
    },
}
_REFUSALS = {
    "400": "not allowed, or broken",
    "401": "a token is needed",
    "403": "a higher role is needed",
    "404": "not here",
    "405": "not with that method",
    "408": "the body came too slowly",
    "409": "not finished yet",
    "410": "cancelled",
    "413": "too large",
    "415": "the body must be a form",
    "421": "the server does not answer under that name",
    "422": "understood, but cannot be done",
    "429": "too many; see Retry-After",
    "503": "loading, or restarted",
}


def _responses(*answers: tuple[str, str, dict[str, Any] | None]) -> dict[str, Any]:
    detail = {"application/json": {"schema": {"$ref": "#/components/schemas/Detail"}}}
    responses: dict[str, Any] = {
        status: {"description": description, "content": detail} for status, description in _REFUSALS.items()
    }
    for status, description, content in answers:
        responses[status] = {"description": description, **({"content": content} if content else {})}
    return responses


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _query(name: str, schema: dict[str, Any], description: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": description}


_JOB_PATH = {"name": "job", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}
_OUTPUT = _query("output", {"enum": ["all", "json", "image", "dicom_seg"]}, "Form of the answer; default: all.")
_IMAGE = _query("image", {"type": "string"}, "Image id, as GET /datastore/?output=all lists it.")
_SESSION = _query("session_id", _ID, "Session id, as PUT /session/ returned it.")
_MODEL = _query("model", _ID, "The task, as GET /info/ lists it.", required=True)
_TAG = _query("tag", _ID, "Label tag; default: final.")
_FORM = {"content": {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/Question"}}}}
_JOB_JSON = _json({"$ref": "#/components/schemas/Job"})
_RESULT = {
    "application/json": {"schema": {"type": "object"}},
    "multipart/form-data": {"schema": {"type": "object"}},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}
_OBJECT = _json({"type": "object"})


def _operation(summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "responses": responses, **more}


_PATHS: dict[str, Any] = {
    "/health": {"get": _operation("The process answers.", _responses(("200", "it does", _OBJECT)), security=[])},
    "/ready": {"get": _operation("Loaded and ready.", _responses(("200", "it is", _OBJECT)), security=[])},
    "/metrics": {
        "get": _operation(
            "Counters and timings for Prometheus.",
            _responses(("200", "Prometheus text", {"text/plain": {"schema": {"type": "string"}}})),
        )
    },
    "/radfind/jobs": {
        "get": _operation(
            "The caller's jobs.",
            _responses(("200", "oldest first", _json({"type": "object", "required": ["jobs"]}))),
        ),
        "post": _operation(
            "Queue a question.",
            _responses(
                ("202", "queued; follow its events", _JOB_JSON),
                ("200", "queued before with the same Idempotency-Key", _JOB_JSON),
            ),
            parameters=[
                _MODEL,
                _IMAGE,
                _SESSION,
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
                    "description": "Repeating a submission with the same key finds the first one's job.",
                },
            ],
            requestBody=_FORM,
        ),
    },
    "/radfind/jobs/{job}": {
        "parameters": [_JOB_PATH],
        "get": _operation("State and progress of a job.", _responses(("200", "the job", _JOB_JSON))),
        "delete": _operation(
            "Cancel a job, or forget a finished one with its result.", _responses(("200", "the job", _JOB_JSON))
        ),
    },
    "/radfind/jobs/{job}/events": {
        "parameters": [_JOB_PATH],
        "get": _operation(
            "Server-sent events: 'progress' for each change, then 'end'.",
            _responses(("200", "each data line is a Job", {"text/event-stream": {"schema": {"type": "string"}}})),
        ),
    },
    "/radfind/jobs/{job}/result": {
        "parameters": [_JOB_PATH],
        "get": _operation(
            "The result, until it expires.",
            _responses(("200", "as POST /infer/{model} answers", _RESULT), ("500", "the engine failed", _OBJECT)),
            parameters=[_OUTPUT, _query("once", {"enum": ["true", "false"]}, "Forget the result when it is sent.")],
        ),
    },
    "/radfind/labels/history": {
        "get": _operation(
            "All versions of a label.",
            _responses(("200", "oldest first", _OBJECT)),
            parameters=[{**_IMAGE, "required": True}, _TAG],
        )
    },
    "/radfind/labels/restore": {
        "post": _operation(
            "Make an earlier version of a label current again.",
            _responses(("200", "it is", _OBJECT)),
            parameters=[
                {**_IMAGE, "required": True},
                _TAG,
                _query(
                    "version", {"type": "integer", "minimum": 1, "maximum": 10**9 - 1}, "Its number.", required=True
                ),
            ],
        )
    },
    "/radfind/status.json": {"get": _operation("Jobs, queues, engines and GPUs.", _responses(("200", "now", _OBJECT)))},
    "/infer/{model}": {
        "parameters": [{"name": "model", "in": "path", "required": True, "schema": _ID}],
        "post": _operation(
            "Ask and wait: MONAI Label's contract. Hanging up cancels.",
            _responses(("200", "in the form asked for", _RESULT), ("500", "the engine failed", _OBJECT)),
            parameters=[_IMAGE, _SESSION, _OUTPUT],
            requestBody=_FORM,
        ),
    },
}


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "RadFind gateway",
        "version": radfind.__version__,
        "description": "Jobs, labels and status beside MONAI Label's contract. Not a medical device.",
    },
    "paths": _PATHS,
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
    "security": [{"token": []}],
}


async def document(request: Request) -> Response:
    """The OpenAPI document."""
    return JSONResponse(DOCUMENT)
