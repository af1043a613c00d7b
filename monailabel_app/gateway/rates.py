"""Token buckets: how often one caller may ask, and how often one address may fail to log in."""

from __future__ import annotations

import time
from collections import OrderedDict


class Rates:
    """A bucket per key, refilled steadily; the least recently used keys are forgotten.

    Arguments:
        per_second: refill.
        burst: size.
    """

    def __init__(self, per_second: float, burst: float, keys: int = 10_000) -> None:
        self._per_second, self._burst, self._keys = per_second, burst, keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def level(self, key: str) -> float:
        """What is in the bucket of `key` now."""
        level, then = self._buckets.get(key, (self._burst, 0.0))
        return min(self._burst, level + (time.monotonic() - then) * self._per_second)

    def wait(self, key: str) -> float:
        """Take one from the bucket of `key`; 0 when there was one, else the seconds until there will be."""
        level = self.level(key)
        enough = level >= 1.0
        self._buckets.pop(key, None)
        self._buckets[key] = (level - 1.0 if enough else level, time.monotonic())
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        return 0.0 if enough else (1.0 - level) / self._per_second
