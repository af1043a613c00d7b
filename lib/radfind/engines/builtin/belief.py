"""How far a measure speaks for a finding: nothing below one limit, fully beyond another, evenly in between."""

from __future__ import annotations

import numpy as np


def rising(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on."""
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))


def falling(value: float, low: float, high: float) -> float:
    """1 up to `low`, 0 from `high` on."""
    return 1.0 - rising(value, low, high)
