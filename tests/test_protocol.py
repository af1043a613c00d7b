"""The wire form: masks and prompts survive the trip, wrong ones are named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from radfind.errors import PromptError
from radfind.language.concepts import Concept
from radfind.prompts import BoxPrompt, ExemplarPrompt, LassoPrompt, MaskPrompt, PointPrompt, ScribblePrompt
from radfind.protocol import (
    WireExample,
    prompts_from_wire,
    ranking_to_wire,
    segmentation_to_wire,
    terminology,
    verdicts_to_wire,
)
from radfind.results import Evidence, RankedSlice, Ranking, Segment, Segmentation, Verdict
from radfind.volume import Geometry, Volume
from radfind.wire_masks import WireHeat, WireMask
from radfind.wire_results import ranking_from_wire, verdicts_from_wire

SHAPE = (5, 6, 7)
GEOMETRY = Geometry.from_parts(SHAPE, spacing=(2.0, 1.0, 1.0), origin=(10.0, -5.0, 3.0), direction=np.diag([-1, 1, 1]))


@given(arrays(np.bool_, st.tuples(*[st.integers(1, 9)] * 3)))
@settings(deadline=None)
def test_masks_survive_the_trip(mask: np.ndarray) -> None:
    wire = WireMask.model_validate_json(WireMask.pack(mask).model_dump_json())
    np.testing.assert_array_equal(wire.unpack(mask.shape), mask)


@pytest.mark.parametrize(
    "change",
    [
        {"start": (4, 0, 0)},
        {"shape": (-1, 1, 1)},
        {"bits": "not base64!"},
        {"bits": ""},
        {"shape": (5, 6, 7)},
    ],
)
def test_broken_masks_are_refused(change: dict[str, object]) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1:3, 2:4, 3:5] = True
    wire = WireMask.model_validate({**WireMask.pack(mask).model_dump(), **change})
    with pytest.raises(PromptError):
        wire.unpack(SHAPE)


@given(arrays(np.float32, st.tuples(*[st.integers(1, 9)] * 2), elements=st.floats(0, 1, width=32)))
@settings(deadline=None)
def test_heat_maps_survive_the_trip(heat: np.ndarray) -> None:
    total = float(heat.sum(dtype=np.float64))
    heat = (heat.astype(np.float64) / total).astype(np.float32) if total else heat
    back = WireHeat.model_validate_json(WireHeat.pack(heat).model_dump_json()).unpack()
    assert back.shape == heat.shape
    if heat.any():
        assert back.sum() == pytest.approx(1, abs=1e-5)
        # Half a level of 255 for the cell itself, and for each cell in the sum that brings it back to 1.
        np.testing.assert_allclose(back, heat, atol=float(heat.max()) * (1 + heat.size) / 2 / 255 + 1e-6)
    else:
        assert not back.any()


@pytest.mark.parametrize("change", [{"shape": (3, 2)}, {"levels": "not base64!"}, {"levels": ""}])
def test_broken_heat_maps_are_refused(change: dict[str, object]) -> None:
    wire = WireHeat.model_validate({**WireHeat.pack(np.full((2, 2), 0.25, np.float32)).model_dump(), **change})
    with pytest.raises(PromptError):
        wire.unpack()


def test_a_deflate_bomb_is_not_inflated() -> None:
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"\0" * 50_000_000)).decode()
    with pytest.raises(PromptError, match="should unpack to 1 bytes"):
        WireMask(start=(0, 0, 0), shape=(2, 2, 2), bits=bomb).unpack(SHAPE)


def test_lps_prompts_land_on_the_same_voxels() -> None:
    kji = (3.0, 2.0, 1.0)
    lps = GEOMETRY.to_lps(kji).tolist()
    corner = GEOMETRY.to_lps((4.0, 4.0, 5.0)).tolist()
    data = {
        "prompts": [
            {"type": "point", "space": "lps", "position": lps, "positive": False},
            {"type": "box", "space": "lps", "start": lps, "stop": corner},
            {"type": "scribble", "space": "lps", "positions": [lps, lps]},
            {"type": "lasso", "space": "lps", "positions": [lps, corner, lps]},
        ]
    }
    point, box, scribble, lasso = prompts_from_wire(json.loads(json.dumps(data)), GEOMETRY)
    assert isinstance(point, PointPrompt)
    assert not point.positive
    np.testing.assert_allclose(point.kji, kji)
    assert isinstance(box, BoxPrompt)
    np.testing.assert_allclose([box.start, box.stop], [(3, 2, 1), (4, 4, 5)], atol=1e-9)
    assert isinstance(scribble, ScribblePrompt)
    np.testing.assert_array_equal(scribble.kji, [[3, 2, 1]])
    assert isinstance(lasso, LassoPrompt)
    np.testing.assert_allclose(lasso.kji, [kji, (4, 4, 5), kji], atol=1e-9)


def test_mask_prompt() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[2, 3, 4] = True
    data = {"prompts": [{"type": "mask", "mask": WireMask.pack(mask).model_dump()}]}
    (prompt,) = prompts_from_wire(data, GEOMETRY)
    assert isinstance(prompt, MaskPrompt)
    np.testing.assert_array_equal(prompt.mask, mask)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ([], "prompts"),
        ({"prompts": []}, "prompts"),
        ({"version": 99, "prompts": [{"type": "everything"}]}, "version"),
        ({"prompts": [{"type": "telepathy"}]}, "prompts.0"),
        ({"prompts": [{"type": "point", "position": [1, 2]}]}, "position"),
        ({"prompts": [{"type": "point", "position": [1, 2, "x"]}]}, "position"),
        ({"prompts": [{"type": "text", "text": "a", "extra": 1}]}, "extra"),
        ({"prompts": [{"type": "example", "name": "a"}]}, "exactly one of image"),
        ({"prompts": [{"type": "example", "name": "", "image": "a", "label_tag": "b"}]}, "name"),
    ],
)
def test_wrong_prompts_name_the_field(data: object, names: str) -> None:
    with pytest.raises(PromptError, match=names):
        prompts_from_wire(data, GEOMETRY)


def test_examples_are_read_by_whoever_knows_the_images() -> None:
    volume = Volume(np.zeros(SHAPE, np.int16), GEOMETRY)
    mask = np.ones(SHAPE, bool)
    item = {"type": "example", "name": "liver", "image": "a", "mask": WireMask.pack(mask).model_dump()}
    asked = []

    def reader(wire: WireExample) -> ExemplarPrompt:
        asked.append(wire)
        return ExemplarPrompt(volume, mask, wire.name)

    (prompt,) = prompts_from_wire({"prompts": [item]}, GEOMETRY, reader)
    assert isinstance(prompt, ExemplarPrompt)
    assert (prompt.name, asked[0].image) == ("liver", "a")
    with pytest.raises(PromptError, match="radfind_segment"):
        prompts_from_wire({"prompts": [item]}, GEOMETRY)


def test_results_survive_the_trip() -> None:
    from radfind.language.reader import read

    text = "Part-solid nodule in the right upper lobe, 12 mm."
    finding = read(text).findings[0]
    mask = np.zeros(SHAPE, bool)
    mask[1:3, 1:3, 1:3] = True
    evidence = Evidence(
        "seen", finding.span, finding.concept, mask, (1, 2), (1.5, 1.5, 1.5), {"longest_diameter_mm": 12.0},
        heat=np.array([[0.0, 0.25], [0.75, 0.0]], np.float32),
    )  # fmt: skip
    ranking = Ranking(
        slices=(RankedSlice(1, 2, 0.75, "1.2.3", (1.0, 2.0, 3.0), (evidence,)),),
        scores=np.array([0, 0, 0.75, 0, 0]),
        findings=(finding,),
        not_found=("x",),
        engine="builtin",
    )
    back = ranking_from_wire(json.loads(json.dumps(ranking_to_wire(ranking, masks=True))), SHAPE)
    assert back.findings == ranking.findings
    assert back.not_found == ("x",)
    np.testing.assert_allclose(back.scores, ranking.scores)
    assert back.slices[0].sop_instance_uid == "1.2.3"
    np.testing.assert_array_equal(back.slices[0].evidence[0].mask, mask)
    assert back.slices[0].evidence[0].values == evidence.values
    np.testing.assert_allclose(back.slices[0].evidence[0].heat, evidence.heat, atol=1 / 255)
    verdict = Verdict(finding.sentence, "no", 0.9, "because", "wrong_side", finding, (evidence,), "builtin")
    (again,) = verdicts_from_wire(json.loads(json.dumps(verdicts_to_wire((verdict,)))), SHAPE)
    assert (again.answer, again.code, again.finding) == ("no", "wrong_side", finding)
    assert again.evidence[0].mask is None and again.evidence[0].heat is None


def test_segments_are_numbered_and_measured() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, :5] = True
    concept = Concept("x", "anatomy", "Lung", "肺", code="39607008", meaning="Lung structure")
    wire = segmentation_to_wire(Segmentation(GEOMETRY, (Segment("lung", mask, concept),)))
    (entry,) = wire["segments"]
    assert (entry["label"], entry["voxels"]) == (1, 5)
    assert entry["volume_ml"] == pytest.approx(5 * 2.0 / 1000)
    assert "SCT^39607008^Lung structure" in entry["terminology"]


def test_outlines_travel_when_asked_for() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[1, 1:3, 1:4] = True
    segmentation = Segmentation(GEOMETRY, (Segment("lung", mask),))
    assert "polygons" not in segmentation_to_wire(segmentation)["segments"][0]
    (entry,) = json.loads(json.dumps(segmentation_to_wire(segmentation, polygons=True)))["segments"]
    (outline,) = entry["polygons"]
    points = np.array(outline["points"])
    assert outline["k"] == 1
    # Half-way between the marked voxels and those around them.
    assert points.min(axis=0).tolist() == [0.5, 0.5] and points.max(axis=0).tolist() == [2.5, 3.5]


def test_uncoded_concepts_fall_back_to_slicers_tissue() -> None:
    assert terminology(None).count("SCT^85756007^Tissue") == 2
