"""Location words against the phantom's true lobes and plain geometry."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.regions import place_prior, place_score, segment_numbers, unresolved
from radfind.language.findings import Place
from radfind.language.lexicon import default_lexicon
from radfind.phantom import Phantom, make_phantom


@cache
def phantom(turned: bool = False) -> Phantom:
    angles = (12.0, 8.0, 15.0) if turned else (0.0, 0.0, 0.0)
    return make_phantom(seed=41, lesions=(), shape=(84, 132, 132), rotation_deg=angles)


@cache
def anatomy(turned: bool = False) -> Anatomy:
    return Anatomy(phantom(turned).volume)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("side, lobes", [("right", ("upper", "middle", "lower")), ("left", ("upper", "lower"))])
def test_most_of_each_lobe_prefers_its_own_name(side: str, lobes: tuple[str, ...], turned: bool) -> None:
    priors = [place_prior(anatomy(turned), Place(side=side, lobes=(lobe,))) for lobe in lobes]  # type: ignore[arg-type]
    best = np.argmax(priors, axis=0)
    for number, lobe in enumerate(lobes):
        assert (best[phantom(turned).truth[f"{side}_{lobe}_lobe"]] == number).mean() >= 0.55


def test_side_is_the_patients() -> None:
    truth = phantom().truth
    prior = place_prior(anatomy(), Place(side="left"))
    assert prior[truth["lung_left"]].mean() > 0.95 and prior[truth["lung_right"]].mean() < 0.05


@pytest.mark.parametrize(
    "zones, axis, towards",
    [(("apical",), 0, 1), (("basal",), 0, -1), (("anterior",), 1, -1), (("posterior",), 1, 1)],
)
def test_zones_pull_towards_their_end(zones: tuple[str, ...], axis: int, towards: int) -> None:
    lung = phantom().truth["lung_right"]
    where = np.argwhere(lung)
    weights = place_score(anatomy(), Place(side="right", zones=zones), where)
    shift = np.average(where[:, axis], weights=weights) - where[:, axis].mean()
    assert shift * towards > 0.1 * np.ptp(where[:, axis])


def test_subpleural_points_lie_near_the_pleura() -> None:
    lung = anatomy().lungs == 1
    prior = place_prior(anatomy(), Place(side="right", zones=("subpleural",)))
    near = anatomy().overview.up(anatomy().pleural_depth)
    assert near[lung & (prior > 0.5)].max() < 20 < near[lung].max()


def test_the_hilum_is_half_way_down_at_the_inner_edge_of_the_lung() -> None:
    lung = np.argwhere(phantom().truth["lung_right"])
    at_hilum = Place(side="right", sites=(default_lexicon().get("lung_hilum"),))
    assert unresolved(at_hilum) == ()
    weights = place_score(anatomy(), at_hilum, lung)
    height = (lung[:, 0] - lung[:, 0].min()) / np.ptp(lung[:, 0])
    inwards = (lung[:, 2] - lung[:, 2].min()) / np.ptp(lung[:, 2])
    middle = (height > 0.4) & (height < 0.6)
    backwards = (lung[:, 1] - lung[:, 1].min()) / np.ptp(lung[:, 1])
    inner = weights[middle & (inwards > 0.75) & (backwards > 0.3) & (backwards < 0.7)].mean()
    assert inner > 0.5
    for elsewhere in (middle & (inwards < 0.4), height > 0.85, height < 0.15):
        assert weights[elsewhere].mean() < 0.25 * inner


def test_segments_by_name() -> None:
    assert segment_numbers("S1+2") == (1, 2)
    assert segment_numbers("s10") == (10,)
    assert segment_numbers("VI") == () and segment_numbers("S11") == ()
    lung = np.argwhere(phantom().truth["lung_left"])
    apical = place_score(anatomy(), Place(side="left", segments=("S1+2",)), lung)
    basal = place_score(anatomy(), Place(side="left", segments=("S10",)), lung)
    assert np.average(lung[:, 0], weights=apical) > np.average(lung[:, 0], weights=basal) + 20


def test_words_that_cannot_be_placed_are_said() -> None:
    assert unresolved(Place(levels=("T12",), zones=("apical",))) == ("T12",)
    points = np.argwhere(phantom().truth["lung_right"])[:10]
    assert np.allclose(place_score(anatomy(), Place(levels=("T12",)), points), 1.0)
