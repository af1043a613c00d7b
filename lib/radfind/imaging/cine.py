"""How fast a cine loop was taken."""

from __future__ import annotations

import math

from radfind.volume import Volume


def frame_rate(volume: Volume) -> float | None:
    """Frames a second of a cine loop, from its header (PS3.3 C.7.6.5); None when it states none, or is no loop.

    Frame Time (milliseconds) is how the frames were taken; Cine Rate and Recommended Display Frame Rate are how they
    are meant to be shown.
    """
    if volume.geometry.shape[0] < 2:
        return None
    for keyword in ("FrameTime", "CineRate", "RecommendedDisplayFrameRate"):
        try:
            value = float(volume.header.get(keyword, ""))
        except ValueError:
            continue
        if math.isfinite(value) and value > 0:
            return 1000 / value if keyword == "FrameTime" else value
    return None
