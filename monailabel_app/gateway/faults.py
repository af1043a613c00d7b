"""Where a fault happened, without what it says: messages may hold patient data or paths."""

from __future__ import annotations

import traceback


def where(error: BaseException) -> str:
    """``KeyError at region.py:41 in grow, from engine.py:80 in segment``, innermost first, three frames."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} in {frame.name}" for frame in reversed(frames)]
    return f"{type(error).__name__} at {', from '.join(places) or 'an unknown place'}"
