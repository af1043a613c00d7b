"""What the values of a saved label mean, as the different clients send it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def label_names(info: Mapping[str, Any]) -> dict[int, str]:
    """Label value to name, from ``label_info`` ([{"name", "idx" or "id"}]), ``label_names`` or ``params.label_names``
    ({name: value}, as RadFind's tasks answer, or {value: name}). What cannot be read is left out."""
    names: dict[int, str] = {}
    params = info.get("params")
    for given in (params.get("label_names") if isinstance(params, Mapping) else None, info.get("label_names")):
        for key, value in given.items() if isinstance(given, Mapping) else ():
            if isinstance(value, int):
                names[value] = str(key)
            elif str(key).isdecimal():
                names[int(key)] = str(value)
    entries = info.get("label_info")
    for number, entry in enumerate(entries if isinstance(entries, list) else (), start=1):
        if isinstance(entry, Mapping) and entry.get("name"):
            value = entry.get("idx", entry.get("id", number))
            names[value if isinstance(value, int) else number] = str(entry["name"])
    return names
