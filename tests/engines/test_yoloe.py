"""YOLOE through the host with random weights: every kind of prompt; text vectors and taught concepts that last."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radfind.engines import yoloe
from radfind.engines.api import Context
from radfind.engines.host import HostedEngine
from radfind.engines.yoloe import engine as engine_module
from radfind.engines.yoloe.detector import Detection, visible
from radfind.engines.yoloe.embeddings import ConceptBank, TextEmbeddings, ensemble
from radfind.engines.yoloe.engine import MOST_INSTANCES, YoloeEngine
from radfind.engines.yoloe.tiling import tiles
from radfind.errors import EngineError, InputError, NotSupportedError, PromptError
from radfind.prompts import BoxPrompt, EverythingPrompt, ExemplarPrompt, MaskPrompt, PointPrompt, TextPrompt
from radfind.results import Segmentation
from radfind.volume import Geometry, Volume

pytest.importorskip("torch")
HERE = Path(__file__).parent
Make = Callable[..., HostedEngine]


def _write(file: Path, home: Path) -> Path:
    environment = {**os.environ, "YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(home)}
    subprocess.run(
        [sys.executable, str(HERE / "make_yoloe.py"), str(file)], env=environment, check=True, capture_output=True
    )
    return file


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if yoloe.describe(__file__).unavailable_reason:
        pytest.skip("ultralytics is not installed")
    folder = tmp_path_factory.mktemp("yoloe")
    return _write(folder / "yoloe-11n-seg.safetensors", folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where vectors and concepts are kept, by all the engines of this file."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def make(weights: Path, home: Path) -> Iterator[Make]:
    made = []

    def build(file: Path = weights, **options: Any) -> HostedEngine:
        options = {"text_encoder": "yoloe_words:encode", "size": 64, **options}
        made.append(yoloe.create(str(file), **options))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RADFIND_MODELS", str(home / "models"))
        yield build
    for engine in made:
        engine.close()


@pytest.fixture(scope="module")
def engine(make: Make) -> HostedEngine:
    return make()


@pytest.fixture(scope="module")
def volume() -> Volume:
    array = np.random.default_rng(0).integers(-1000, 400, (3, 64, 64)).astype(np.int16)
    return Volume(array, Geometry.from_parts(array.shape, spacing=(3, 1, 1)), "CT")


@pytest.fixture(scope="module")
def mask(volume: Volume) -> np.ndarray:
    mask = np.zeros(volume.array.shape, bool)
    mask[1, 20:40, 20:40] = True
    return mask


def _same(first: Segmentation, second: Segmentation) -> None:
    assert first.segments
    assert [s.score for s in first.segments] == pytest.approx([s.score for s in second.segments], abs=1e-6)
    for a, b in zip(first.segments, second.segments, strict=True):
        np.testing.assert_array_equal(a.mask, b.mask)


def test_every_kind_of_prompt_runs_through_the_host(engine: HostedEngine, volume: Volume, mask: np.ndarray) -> None:
    before = "ultralytics" in sys.modules
    for prompt in (
        TextPrompt("lung nodule"),
        TextPrompt("something no lexicon knows"),
        BoxPrompt((1, 20, 20), (1, 40, 40)),
        MaskPrompt(mask),
        EverythingPrompt(),
    ):
        result = engine.segment(volume, [prompt], context=Context())
        assert result.engine == "yoloe"
        assert result.geometry.same_grid(volume.geometry)
        assert result.segments or result.not_found
        for segment in result.segments:
            assert segment.mask.shape == volume.array.shape
            assert segment.mask.any()
            assert 0.25 <= segment.score <= 1
    assert ("ultralytics" in sys.modules) == before, "ultralytics stays out of our process"


def test_prompts_it_cannot_take_are_refused(engine: HostedEngine, volume: Volume, mask: np.ndarray) -> None:
    with pytest.raises(NotSupportedError, match="does not take a PointPrompt"):
        engine.segment(volume, [PointPrompt((1, 2, 3))], context=Context())
    with pytest.raises(PromptError, match="mask is empty"):
        engine.segment(volume, [MaskPrompt(np.zeros_like(mask))], context=Context())
    with pytest.raises(PromptError, match="asked for alone"):
        engine.segment(volume, [EverythingPrompt(), TextPrompt("nodule")], context=Context())


def test_synonyms_and_languages_agree_and_other_words_do_not(engine: HostedEngine, volume: Volume) -> None:
    first, *others, different = (
        engine.segment(volume, [TextPrompt(text)], context=Context())
        for text in ("atelectasis", "lung collapse", "肺不张", "kidney")
    )
    for other in others:
        _same(first, other)
    assert [s.score for s in first.segments] != [s.score for s in different.segments]


def test_what_was_learnt_survives_a_restart(
    engine: HostedEngine, make: Make, volume: Volume, mask: np.ndarray, home: Path
) -> None:
    words = engine.segment(volume, [TextPrompt("atelectasis")], context=Context())
    taught = engine.segment(volume, [ExemplarPrompt(volume, mask, "My Lesion")], context=Context())
    # Another process, with an encoder that must not be called: everything comes from what was kept.
    fresh = make(text_encoder="yoloe_words:refuse")
    _same(words, fresh.segment(volume, [TextPrompt("atelectasis")], context=Context()))
    _same(taught, fresh.segment(volume, [TextPrompt("my lesion")], context=Context()))
    bank = ConceptBank(home / "yoloe" / "concepts", "yoloe-11n-seg")
    assert bank.names() == ("my lesion",)
    assert bank.add("my lesion", np.ones((1, 512), np.float32)) == 2


def test_examples_smaller_than_a_cell_of_the_prompt_are_seen(engine: HostedEngine, volume: Volume, home: Path) -> None:
    """Random weights tell any two places apart, unless neither is shown to them."""
    for name, row in (("here", 3), ("there", 49)):
        dot = np.zeros(volume.array.shape, bool)
        dot[1, row : row + 2, row : row + 2] = True
        engine.segment(volume, [ExemplarPrompt(volume, dot, name)], context=Context())
    bank = ConceptBank(home / "yoloe" / "concepts", "yoloe-11n-seg")
    here, there = bank.get("here"), bank.get("there")
    assert here is not None and there is not None
    assert np.abs(here - there).max() > 1e-3


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 10, 30, 40), (10, 10, 30, 40)),
        ((20, 30, 22, 31), (13, 22.5, 29, 38.5)),
        ((0, 30, 2, 60), (0, 30, 16, 60)),
        ((62, 98, 64, 100), (48, 84, 64, 100)),
    ],
)
def test_boxes_are_grown_inside_the_image(box: tuple[float, ...], expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(visible(np.array([box], np.float32), 16, (100, 64)), [expected])


def test_chinese_that_no_word_is_known_of_is_not_guessed_at(
    stand_in: Callable[..., YoloeEngine], volume: Volume
) -> None:
    engine, unknown = stand_in(), TextPrompt("紫色的大象")
    with pytest.raises(NotSupportedError, match=r"'紫色的大象': YOLOE reads English only"):
        engine.segment(volume, [unknown], context=Context())
    mixed = engine.segment(volume, [unknown, TextPrompt("purple elephant")], context=Context())
    assert mixed.not_found == ("purple elephant",)
    assert "紫色的大象" in mixed.not_supported[0]


class _Detector:
    """Stands in for the network: says what it is asked, and finds `found` on the first image."""

    found: tuple[Detection, ...] = ()
    asked: list[tuple[int, int]]

    def __init__(self, *arguments: Any, **options: Any) -> None: ...

    def text_embeddings(self, features: np.ndarray) -> np.ndarray:
        return features

    def detect(self, images: list[np.ndarray], vectors: Any, threshold: float, size: int) -> list[list[Detection]]:
        self.asked.extend((image.shape[0], size) for image in images)
        return [list(self.found) if n == 0 else [] for n in range(len(images))]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., YoloeEngine]:
    monkeypatch.setattr(engine_module, "Detector", _Detector)
    monkeypatch.setattr(_Detector, "asked", [], raising=False)

    def build(**options: Any) -> YoloeEngine:
        places = {"bank": tmp_path, "cache": tmp_path, "text_encoder": "yoloe_words:encode"}
        return YoloeEngine(Path("yoloe-11n-seg.pt"), **places, **options)

    return build


@pytest.mark.parametrize(("tiling", "expected"), [(1, (64, 64)), (2, (36, 64))])
def test_tiles_are_seen_enlarged(
    stand_in: Callable[..., YoloeEngine], volume: Volume, tiling: int, expected: tuple[int, int]
) -> None:
    stand_in(tiling=tiling).segment(volume, [TextPrompt("x")], context=Context())
    assert _Detector.asked == [expected] * (3 * tiling**2)


def test_the_surest_objects_are_returned_when_there_are_many(
    stand_in: Callable[..., YoloeEngine], volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for n in range(100):
        mask = np.zeros((64, 64), bool)
        mask[6 * (n // 10) : 6 * (n // 10) + 2, 6 * (n % 10) : 6 * (n % 10) + 2] = True
        found.append(Detection(mask, 0, 0.3 + n / 200))
    monkeypatch.setattr(_Detector, "found", tuple(found))
    result = stand_in().segment(volume, [TextPrompt("x")], context=Context())
    assert [one.score for one in result.segments] == [0.3 + n / 200 for n in range(99, 99 - MOST_INSTANCES, -1)]
    assert result.segments[0].mask[0, 54:56, 54:56].all() and result.segments[0].mask.sum() == 4
    assert result.notes[1] == f"only the {MOST_INSTANCES} surest of 100 objects are returned"


def test_tiles_and_thresholds(engine: HostedEngine, make: Make, volume: Volume) -> None:
    tiled = make(tiling=2, thresholds={"pulmonary_nodule": 0.9999})
    whole = engine.segment(volume, [TextPrompt("atelectasis")], context=Context())
    parts = tiled.segment(volume, [TextPrompt("atelectasis")], context=Context())
    assert [s.score for s in whole.segments] != [s.score for s in parts.segments]
    none = tiled.segment(volume, [TextPrompt("lung nodule")], context=Context())
    assert none.segments == ()
    assert none.not_found == ("lung nodule",)


def test_a_vocabulary_file_says_what_everything_is(make: Make, volume: Volume, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("first thing\n\nsecond thing\n")
    found = make(vocabulary=words).segment(volume, [EverythingPrompt()], context=Context()).segments
    assert found
    assert {segment.name.rstrip("0123456789 ") for segment in found} <= {"first thing", "second thing"}


def test_a_vocabulary_that_is_none_is_named(make: Make, volume: Volume, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    for file, words in ((tmp_path / "none.txt", "There is no vocabulary"), (empty, "holds no word")):
        with pytest.raises(InputError, match=words):
            make(vocabulary=file).segment(volume, [EverythingPrompt()], context=Context())


def test_without_the_text_encoder_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"text encoder is not here.*or show an example"):
        TextEmbeddings(tmp_path, "m", None, tmp_path).get(["nodule"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", ["v8s", "26n"])
def test_other_families_on_real_slices(
    make: Make, tmp_path: Path, shared_data: Callable[[str], Path], family: str
) -> None:
    from radfind.imaging import load

    whole = load(shared_data("chest-ct"))
    array = np.ascontiguousarray(whole.array[60:64])
    real = Volume(array, whole.geometry.crop((60, 0, 0), array.shape), "CT")
    engine = make(_write(tmp_path / f"yoloe-{family}-seg.safetensors", tmp_path), size=256)
    for prompt in (TextPrompt("nodule"), BoxPrompt((1, 200, 200), (1, 260, 260)), EverythingPrompt()):
        result = engine.segment(real, [prompt], context=Context())
        assert all(segment.mask.shape == array.shape for segment in result.segments)
        assert result.segments or result.not_found or isinstance(prompt, EverythingPrompt)


@pytest.mark.slow
def test_a_published_pickle_loads_without_running_anything(make: Make, volume: Volume, tmp_path: Path) -> None:
    import torch

    pickled = make(_write(tmp_path / "yoloe-11n-seg.pt", tmp_path))
    assert pickled.segment(volume, [TextPrompt("atelectasis")], context=Context()).segments
    evil = tmp_path / "yoloe-11n-seg-evil.pt"
    torch.save({"model": _Evil()}, evil)
    with pytest.raises(EngineError, match=r"was not loaded.*system.*could run code"):
        make(evil).segment(volume, [TextPrompt("nodule")], context=Context())


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo owned",)


def test_absent_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RADFIND_MODELS", str(tmp_path))
    info = yoloe.describe()
    assert not info.available
    assert "yoloe-11s" in info.unavailable_reason or "not installed" in info.unavailable_reason


def test_the_ensemble_is_the_mean_direction() -> None:
    vectors = np.array([[2, 0, 0], [0, 5, 0]], np.float32)
    np.testing.assert_allclose(ensemble(vectors), [0.5**0.5, 0.5**0.5, 0], atol=1e-6)


def test_text_vectors_are_kept_for_each_model(tmp_path: Path) -> None:
    first = TextEmbeddings(tmp_path, "a", "yoloe_words:encode", tmp_path).get(["x", "y", "x"])
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(TextEmbeddings(tmp_path, "a", "yoloe_words:refuse", tmp_path).get(["y"])[0], first[1])
    with pytest.raises(AssertionError, match="encoder was asked"):
        TextEmbeddings(tmp_path, "b", "yoloe_words:refuse", tmp_path).get(["y"])


@pytest.mark.parametrize(("rows", "columns", "count"), [(512, 512, 1), (512, 300, 2), (97, 101, 3), (5, 5, 4)])
def test_tiles_cover_everything_and_overlap(rows: int, columns: int, count: int) -> None:
    seen = np.zeros((rows, columns), int)
    cut = tiles(rows, columns, count)
    for part in cut:
        seen[part] += 1
    assert seen.min() >= 1
    assert len({(r.stop - r.start, c.stop - c.start) for r, c in cut}) == 1
    assert count == 1 or seen.max() > 1
