"""How fast a cine loop was taken, as its header says."""

from __future__ import annotations

import numpy as np
import pytest

from radfind.imaging.cine import frame_rate
from radfind.volume import Geometry, Volume


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"FrameTime": "40"}, 25.0),
        ({"CineRate": "30", "RecommendedDisplayFrameRate": "15"}, 30.0),
        ({"RecommendedDisplayFrameRate": "15"}, 15.0),
        ({"FrameTime": "40", "CineRate": "10"}, 25.0),
        ({"FrameTime": "0", "CineRate": "10"}, 10.0),
        ({"FrameTime": "fast"}, None),
        ({"FrameTime": "nan"}, None),
        ({}, None),
    ],
)
def test_frame_rate(header: dict[str, str], expected: float | None) -> None:
    volume = Volume(np.zeros((3, 4, 4), np.uint8), Geometry.from_parts((3, 4, 4)), "US", header=header)
    assert frame_rate(volume) == expected


def test_a_single_image_is_no_loop() -> None:
    volume = Volume(np.zeros((1, 4, 4), np.uint8), Geometry.from_parts((1, 4, 4)), "US", header={"FrameTime": "40"})
    assert frame_rate(volume) is None
