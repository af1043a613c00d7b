"""Which engine and device a request will occupy."""

from __future__ import annotations

from typing import Any

_ASKS = {
    "radfind_segment": "segment",
    "radfind_deepgrow": "segment",
    "radfind_deepedit": "segment",
    "radfind_scribbles": "segment",
    "radfind_rank": "rank",
    "radfind_bookmarks": "rank",
    "radfind_verify": "verify",
}


def lane(model: str, params: dict[str, Any]) -> tuple[str, str]:
    """(engine, device). A task that is not RadFind's own is an engine of its own on the CPU, or on the device asked.

    Raises:
        NotSupportedError: the engine asked for does not exist, cannot do this, or is not available.
    """
    if model not in _ASKS:
        device = params.get("device")
        return model, device if isinstance(device, str) and device.startswith("cuda") else "cpu"
    from radfind.engines.registry import choose

    asked = params.get("engine", "auto")
    if isinstance(asked, list):  # stock Slicer sends the whole list when nobody chose
        asked = asked[0] if asked else "auto"
    engine, _ = choose(str(asked), _ASKS[model])
    info = engine.info()
    return info.name, info.device
