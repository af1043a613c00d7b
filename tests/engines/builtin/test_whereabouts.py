"""Where a lesion lies, in words: no more is said than the shares of the places support."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from radfind.engines.builtin import whereabouts
from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.whereabouts import locate, without_side
from radfind.language.findings import Place
from radfind.language.reader import read

LEFT = Lesion(
    concept="solid_nodule",
    box=(slice(0, 2), slice(0, 2), slice(0, 2)),
    mask=np.ones((2, 2, 2), bool),
    centre=(0.0, 0.0, 0.0),
    side="left",
    score=1.0,
    longest_mm=2.0,
    perpendicular_mm=2.0,
    volume_mm3=8.0,
    mean_hu=0.0,
)


def scan(*, apex_seen: bool = True, base_seen: bool = True) -> Anatomy:
    frame = SimpleNamespace(apex_seen=apex_seen, base_seen=base_seen)
    return cast(Anatomy, SimpleNamespace(frames={1: frame, 2: frame}))


@pytest.fixture()
def shares(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Share of the lesion in each lobe and zone, as the test sets it; 0 for the others."""
    values: dict[str, float] = {}

    def score(anatomy: Anatomy, place: Place, points: np.ndarray) -> np.ndarray:
        return np.full(len(points), values.get((place.lobes + place.zones)[0], 0.0))

    monkeypatch.setattr(whereabouts, "place_score", score)
    return values


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"upper": 0.95}, Place(side="left", lobes=("upper",))),
        ({"upper": 0.95, "apical": 0.97}, Place(side="left", lobes=("upper",), zones=("apical",))),
        ({"upper": 0.6, "lower": 0.4, "middle": 0.9}, Place(side="left", zones=("middle",))),  # near the fissure
        ({"upper": 0.4, "lower": 0.6, "basal": 0.95}, Place(side="left", zones=("basal",))),
    ],
)
def test_a_lobe_is_named_only_where_certain(shares: dict[str, float], given: dict[str, float], place: Place) -> None:
    shares.update(given)
    assert locate(scan(), LEFT) == place


def test_one_seen_end_is_enough_and_none_leaves_the_side(shares: dict[str, float]) -> None:
    shares["lower"] = 0.99
    assert locate(scan(apex_seen=False), LEFT) == Place(side="left", lobes=("lower",))
    assert locate(scan(base_seen=False), LEFT) == Place(side="left", lobes=("lower",))
    assert locate(scan(apex_seen=False, base_seen=False), LEFT) == Place(side="left")


def test_lobes_and_ends_of_the_lung_are_the_same_said_as_sites_or_words() -> None:
    for one, other in (
        ("nodule in the apex of the right lung", "右肺尖结节"),
        ("nodule in the right upper lobe", "RUL nodule"),
    ):
        first, second = (without_side(read(text).findings[0].place) for text in (one, other))
        assert (first.lobes, first.zones) == (second.lobes, second.zones)
