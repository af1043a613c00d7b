"""Keeps what the vision encoder made of slices, so that the next question about a series costs only language."""

from __future__ import annotations

import collections

from radfind.engines.qwen3vl.documents import Seen


class VisionCache:
    """Least recently used first out, bounded in bytes.

    Arguments:
        limit: most bytes kept. A 512 x 512 slice takes 256 tokens x 4 layers x 2048 x 2 bytes = 4 MB with the
            2B model in bfloat16, 8 MB with the 8B model.
        on_host: keep the features in host memory instead of on the device.
    """

    def __init__(self, limit: int, *, on_host: bool = False) -> None:
        self._limit, self.on_host = limit, on_host
        self._kept: collections.OrderedDict[bytes, Seen] = collections.OrderedDict()
        self.size = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: bytes) -> Seen | None:
        seen = self._kept.get(key)
        if seen is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return seen

    def put(self, key: bytes, seen: Seen) -> None:
        features = seen.features.cpu() if self.on_host else seen.features
        if features is not seen.features:
            seen = Seen(features, seen.grid, seen.times)
        size = features.numel() * features.element_size()
        if size > self._limit or key in self._kept:
            return
        self._kept[key] = seen
        self.size += size
        self.bound(self._limit)

    def bound(self, limit: int) -> None:
        """Keep no more than `limit` bytes from now on, nor more than before."""
        self._limit = min(limit, self._limit)
        while self.size > self._limit:
            _, old = self._kept.popitem(last=False)
            self.size -= old.features.numel() * old.features.element_size()

    def clear(self) -> None:
        self._kept.clear()
        self.size = 0
