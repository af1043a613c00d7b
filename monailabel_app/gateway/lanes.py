"""Which engine and device a request will occupy."""

from __future__ import annotations

from typing import Any


def lane(model: str, task: Any, params: dict[str, Any]) -> tuple[str, str]:
    """(engine, device). A task that is not RadFind's own is an engine of its own on the CPU, or on the device asked.

    Raises:
        NotSupportedError: the engine asked for does not exist, cannot do this, or is not available.
    """
    if not hasattr(task, "asks"):
        device = params.get("device")
        return model, device if isinstance(device, str) and device.startswith("cuda") else "cpu"
    from radfind.engines.registry import choose, engine

    asked = params.get("engine", "auto")
    if isinstance(asked, list):  # stock Slicer sends the whole list when nobody chose
        asked = asked[0] if asked else "auto"
    name = str(asked)
    need = task.asks or ("segment" if name == "auto" else engine(name).info().tasks[0])
    info = choose(name, need)[0].info()
    return info.name, info.device
