"""Small objects: the image is cut into overlapping tiles that the network sees enlarged."""

from __future__ import annotations

import numpy as np

OVERLAP = 0.2
"""Neighbouring tiles share this part of a tile, so that an object on a border is whole in one of them."""


def tiles(rows: int, columns: int, count: int) -> list[tuple[slice, slice]]:
    """`count` x `count` overlapping tiles of one size that cover the image; one tile is the whole image."""

    def cuts(length: int) -> list[slice]:
        size = min(length, int(np.ceil(length / (1 + (count - 1) * (1 - OVERLAP)))))
        starts = np.linspace(0, length - size, count).round().astype(int).tolist()
        return [slice(start, start + size) for start in dict.fromkeys(starts)]

    return [(row, column) for row in cuts(rows) for column in cuts(columns)]
