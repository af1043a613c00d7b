"""The allow-lists that everything a client names must pass: ids, tags, file names, parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from monailabel_app.gateway.errors import Refusal

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_ .-]{0,63}")
_PLAIN = re.compile(r"[\w .,:+()\[\]#%=-]{0,256}")  # no slash, backslash or tilde: cannot name a path

MAX_PARAMS_CHARS = 8 << 20
"""Longest `params` text: room for a million scribbled voxels."""
MAX_DEPTH = 8
MAX_STRUCTURE_DEPTH = 32
"""Of `params` as a whole, with prompts in them. What is far deeper cannot be handed to another process."""
LARGEST = 2**63
"""Numbers beyond it, and infinities, which JSON can spell as 1e999, are no voxel, millimetre or count."""

TEXT_KEYS = frozenset({"text"})
"""Free text: a phrase or a report. Never used as a path."""
STRUCTURED_KEYS = frozenset({"prompts", "label_info"})
"""Objects checked by whoever reads them."""
RESERVED_KEYS = frozenset(
    {
        "bundle_path", "checkpoint", "conf", "config", "context", "datastore", "description", "example_images",
        "example_labels", "example_sessions", "file",
        "filename", "files", "folder", "image", "image_path", "image_uri", "images", "label", "label_path",
        "local_rank", "method", "model", "model_dir", "model_path", "network", "output_dir", "path",
        "pretrained", "reference", "result_path", "session", "session_id", "strategy", "studies", "target",
        "temp_dir", "weights",
    }
)  # fmt: skip
"""Names the server itself fills in a request, or that tasks take for paths: refused from clients."""


def checked_id(value: str, what: str) -> str:
    """`value` when it may become part of a path or a key: letters, digits, '.', '_', '-'; at most 128.

    Raises:
        Refusal: 400.
    """
    if not _ID.fullmatch(value) or ".." in value:
        raise Refusal(400, f"The {what} is not allowed: use letters, digits, '.', '_' and '-', at most 128 characters.")
    return value


def checked_image_id(value: str, known: Collection[str]) -> str:
    """An image id the datastore lists. Ids are often file names of a clinic, so any printable text may be one,
    but never one that could walk a path.

    Raises:
        Refusal: 400 when it could not be an id, 404 when there is no such image.
    """
    bad = not value or len(value) > 255 or value.startswith((".", "~")) or not value.isprintable()
    if bad or ".." in value or "/" in value or "\\" in value:
        raise Refusal(400, "The image id is not allowed: it must be the id of an image in the datastore.")
    if value not in known:
        raise Refusal(404, "There is no such image on the server. List the images with GET /datastore/?output=all.")
    return value


def checked_file_name(value: str, extensions: tuple[str, ...], what: str) -> tuple[str, str]:
    """(stem, extension) of an uploaded file's name; the stem reduced to its last path component.

    Some clients send a whole local path as the name: the folder part says nothing and is dropped.

    Raises:
        Refusal: 400 when the name has no allowed extension or no usable stem.
    """
    name = re.split(r"[/\\]", value)[-1]
    for extension in extensions:
        if name.lower().endswith(extension):
            stem = name[: -len(extension)] if extension else name
            return checked_id(stem, f"name of the {what}"), extension
    raise Refusal(400, f"The {what} must be one of: {', '.join(e for e in extensions if e)}.")


def parsed_params(text: str | bytes | None) -> dict[str, Any]:
    """The `params` of a request: a JSON object.

    Raises:
        Refusal: 400 when it is not JSON, not an object, too deep, or holds text that is not Unicode; 413 when it is
            too long.
    """
    if text is None or not text:
        return {}
    if len(text) > MAX_PARAMS_CHARS:
        raise Refusal(413, f"The params are longer than {MAX_PARAMS_CHARS} characters.")
    try:
        value = json.loads(text, parse_constant=_no_constant)
        if "\\u" in (text if isinstance(text, str) else text.decode("latin-1")):
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # "\ud800": half a character, which nothing can store
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "The params are not valid JSON.") from error
    if not _no_deeper_than(value, MAX_STRUCTURE_DEPTH):
        raise Refusal(400, "The params are nested too deeply.")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(400, "The params must be a JSON object.")
    return value


def _no_deeper_than(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_no_deeper_than(item, depth - 1) for item in inside if isinstance(item, dict | list))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def checked_params(params: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`params` that cannot replace what the server decides nor name a path.

    Numbers, booleans and lists of them pass under any sound name (stock clients send points under label names).
    Text passes only when it cannot be a path, except free text under `TEXT_KEYS`.

    Arguments:
        params: from the client.
        config: the task's own options and their defaults; a choice list there limits the value.

    Raises:
        Refusal: 400, naming the parameter.
    """
    checked: dict[str, Any] = {}
    for key, value in params.items():
        _check_name(key)
        if key == "label" and isinstance(value, str):
            key = "label_name"  # stock SmartEdit names its segment so; the server keeps files under that name
        if key.lower() in RESERVED_KEYS:
            raise Refusal(400, f"The parameter '{key}' is not allowed: it is set by the server.")
        if key in TEXT_KEYS:
            texts = value if isinstance(value, list) else [value]
            if not all(isinstance(text, str | None) for text in texts):
                raise Refusal(400, f"The parameter '{key}' must be text.")
        elif key not in STRUCTURED_KEYS:
            _check_value(key, value, 0)
        choices = (config or {}).get(key)
        if isinstance(choices, list) and isinstance(value, str) and all(isinstance(c, str) for c in choices):
            _check_choice(key, value, choices)
        checked[key] = value
    return checked


def _check_name(name: str) -> None:
    if not _KEY.fullmatch(name) or name.startswith("__"):
        raise Refusal(400, "A parameter has a name that is not allowed.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and -LARGEST < value < LARGEST


def _check_choice(key: str, value: str, choices: list[str]) -> None:
    if choices and value not in choices:
        raise Refusal(422, f"The parameter '{key}' must be one of: {', '.join(choices)}.")


def _check_value(key: str, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Refusal(400, f"The parameter '{key}' is nested too deeply.")
    if value is None or _is_number(value):
        return
    if isinstance(value, int | float):
        raise Refusal(400, f"The parameter '{key}' has a number that is too large.")
    if isinstance(value, str):
        if not _PLAIN.fullmatch(value) or ".." in value:
            raise Refusal(400, f"The parameter '{key}' has a text that is not allowed: it must not look like a path.")
        return
    if isinstance(value, list):
        if len(value) > 3 and all(map(_is_number, value)):
            return
        for item in value:
            _check_value(key, item, depth + 1)
        return
    for name, item in value.items():
        _check_name(name)
        if name.lower() in RESERVED_KEYS:
            raise Refusal(400, f"The parameter '{key}.{name}' is not allowed: it is set by the server.")
        _check_value(f"{key}.{name}", item, depth + 1)
