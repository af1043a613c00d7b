"""What RadFind's tasks have in common: the volume, the text and the options of a request."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask

from monailabel_app.volumes import VolumeCache
from radfind.engines.api import Context
from radfind.engines.registry import ENGINES
from radfind.errors import InputError
from radfind.volume import Volume


class RadFindTask(InferTask):
    """A task over the shared volume cache.

    A request may carry a `radfind.engines.api.Context` under "context": whoever runs the task (the gateway's
    job queue) uses it to follow progress and to cancel.
    """

    asks: str | None = None
    """What its engine must be able to do ("segment", "rank", "verify"): so the gateway knows whose place a job takes.
    None: whatever the engine asked for can do."""

    def __init__(self, volumes: VolumeCache, *, type: str, description: str, config: dict[str, Any]) -> None:
        options = {"engine": ["auto", *ENGINES], **config}
        super().__init__(type=type, labels=[], dimension=3, description=description, config=options)
        self._volumes = volumes

    def is_valid(self) -> bool:
        return True

    def volume(self, request: Mapping[str, Any]) -> Volume:
        return self._volumes.get(str(request.get("image", "")))


def context(request: Mapping[str, Any]) -> Context:
    given = request.get("context")
    return given if isinstance(given, Context) else Context()


def option(request: Mapping[str, Any], name: str, default: Any) -> Any:
    """An option of the request, converted to the type of `default`.

    A list (stock Slicer sends a whole combo box when nobody chose) stands for its first entry.

    Raises:
        InputError: the value does not convert.
    """
    value = request.get(name, default)
    if isinstance(value, list | tuple):
        value = value[0] if value else default
    try:
        if isinstance(default, bool):
            if isinstance(value, str):
                if value.strip().lower() not in ("true", "false", "1", "0", "yes", "no"):
                    raise ValueError(value)
                return value.strip().lower() in ("true", "1", "yes")
            return bool(value)
        if isinstance(default, str) and not isinstance(value, str):
            raise ValueError(value)
        return type(default)(value)
    except (TypeError, ValueError) as error:
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[type(default)]
        raise InputError(f"The option '{name}' must be {kind}, not {str(value)[:80]!r}.") from error


@contextlib.contextmanager
def result_file(suffix: str) -> Iterator[Path]:
    """An empty temporary file for a result. The server deletes it after sending; it goes at once when there is no
    result because something failed."""
    handle, name = tempfile.mkstemp(prefix="radfind-", suffix=suffix)
    os.close(handle)
    try:
        yield Path(name)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
