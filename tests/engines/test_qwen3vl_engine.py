"""The Qwen engine on small volumes with a tiny random or briefly trained checkpoint."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tiny_qwen

from radfind.engines import qwen3vl, weights
from radfind.engines.api import Context
from radfind.engines.qwen3vl import memory, search, template
from radfind.engines.qwen3vl.documents import Clip, Image, Seen
from radfind.engines.qwen3vl.engine import PROMPT_TOKENS, QwenEngine
from radfind.engines.qwen3vl.scorer import Query, Scorer
from radfind.engines.qwen3vl.vision_cache import VisionCache
from radfind.engines.slice_images import SlicePictures
from radfind.errors import CancelledError, ImageError
from radfind.prompts import TextPrompt
from radfind.volume import Geometry, SliceSource, Volume

pytest.importorskip("transformers")

TEXT = TextPrompt("part-solid nodule, right apex, 12 mm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen.write_checkpoint(tmp_path_factory.mktemp("qwen"))


def _volume(slices: int = 12, size: int = 64, seed: int = 0) -> Volume:
    array = np.random.default_rng(seed).integers(-1000, 400, (slices, size, size)).astype(np.int16)
    sources = tuple(SliceSource(sop_instance_uid=f"1.2.{k}") for k in range(slices))
    return Volume(array, Geometry.from_parts(array.shape, spacing=(5.0, 0.7, 0.7)), "CT", slices=sources)


def test_ranking_is_that_of_single_straight_scores(folder: Path) -> None:
    from radfind.imaging import windows

    volume = _volume(5)
    ranking = QwenEngine(folder, batch_size=2).rank(volume, TEXT, top_k=3, spread=False, context=Context())
    expected = [
        tiny_qwen.straight_score(
            folder,
            template.INSTRUCTIONS["radiology"],
            TEXT.text,
            [np.repeat(windows.PRESETS["lung"].apply(volume.array[k])[..., None], 3, axis=-1)],
        )
        for k in range(5)
    ]
    np.testing.assert_allclose(ranking.scores, expected, atol=1e-5)
    order = np.argsort(expected)[::-1][:3]
    assert [found.index for found in ranking.slices] == list(order)
    assert [found.rank for found in ranking.slices] == [1, 2, 3]
    assert ranking.slices[0].sop_instance_uid == f"1.2.{order[0]}"
    assert ranking.engine == "qwen3vl"
    assert ranking.slices[0].evidence[0].span.text == TEXT.text


def test_the_second_question_sees_no_slice_again(folder: Path) -> None:
    engine = QwenEngine(folder, explain=0)
    volume = _volume()
    engine.rank(volume, TEXT, context=Context())
    seen = engine.cache.misses
    engine.rank(volume, TextPrompt("ground-glass nodule in the left upper lobe"), context=Context())
    assert engine.cache.misses == seen == 12
    changed = _volume()
    changed.array[3] += 1
    engine.rank(changed, TEXT, context=Context())
    assert engine.cache.misses == seen + 1


def test_options_change_what_is_shown_and_nothing_else(folder: Path) -> None:
    volume = _volume(6)
    plain = QwenEngine(folder, explain=0).rank(volume, TEXT, context=Context()).scores
    for options in ({"neighbours": 1}, {"windows": ("lung", "soft_tissue", "bone")}, {"instruction": "pathology"}):
        scores = QwenEngine(folder, explain=0, **options).rank(volume, TEXT, context=Context()).scores
        assert not np.allclose(scores, plain, atol=1e-4)
    small = QwenEngine(folder, explain=0, batch_size=1, cache_bytes=0).rank(volume, TEXT, context=Context()).scores
    np.testing.assert_allclose(small, plain, atol=1e-6)


@pytest.mark.parametrize(("free", "expected"), [(0, [1] * 12), (1 << 40, [12])])
def test_batches_follow_the_free_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, free: int, expected: list[int]
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    engine = QwenEngine(folder, explain=0)
    batches = _batches(engine, monkeypatch)
    scores = engine.rank(_volume(), TEXT, context=Context()).scores
    assert batches == expected
    assert engine.cache.size <= free * memory.CACHED
    fixed = QwenEngine(folder, explain=0, batch_size=5)
    batches = _batches(fixed, monkeypatch)
    np.testing.assert_allclose(scores, fixed.rank(_volume(), TEXT, context=Context()).scores, atol=1e-6)
    assert batches == [5, 5, 2]


def test_batches_follow_the_size_of_the_slices(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = QwenEngine(folder, explain=0)
    scorer = engine._load(Context())
    small = memory.bytes_per_token(scorer.model.config, 4) * (4 + PROMPT_TOKENS) / memory.USED
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(12.5 * small))  # twelve slices of 64 x 64
    batches = _batches(engine, monkeypatch)
    engine.rank(_volume(12), TEXT, context=Context())
    engine.rank(_volume(6, 512), TEXT, context=Context())  # 256 tokens a slice instead of 4
    engine.rank(_volume(12), TEXT, context=Context())
    assert batches == [12, 4, 2, 12]


def test_half_as_many_after_memory_ran_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1 << 40)
    engine = QwenEngine(folder, explain=0, coarse=False)
    batches = _batches(engine, monkeypatch)
    engine.rank(_volume(40), TEXT, context=Context())
    assert batches == [32, 8]
    assert engine.shrink() == "ran with batches of 16 slices: memory was not enough for more"
    assert engine.cache.size == 0
    engine.rank(_volume(40), TEXT, context=Context())
    assert batches == [32, 8, 16, 16, 8]


def test_the_estimate_covers_what_the_model_keeps_and_grows_with_it(folder: Path) -> None:
    scorer = Scorer(folder)
    query = scorer.query(TEXT.text)
    kept = sum(part.numel() * part.element_size() for layer in query.cache for part in layer) / len(query.ids)
    seen = scorer.see([Image(np.zeros((64, 64, 3), np.uint8))])[0].features
    features = seen.numel() * seen.element_size() / seen.shape[1]
    assert memory.bytes_per_token(scorer.model.config, 4) > kept + features
    assert memory.bytes_per_token(scorer.model.config, 2) < memory.bytes_per_token(scorer.model.config, 4)
    sizes = [memory.batch_size(scorer.model.config, 400, 4, free << 20) for free in (1, 10, 100, 1000)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] < memory.MOST
    assert memory.free_bytes("cpu") > 1 << 20


def _batches(engine: QwenEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of documents each time the engine scores some."""
    scorer = engine._load(Context())
    made: list[int] = []
    real = scorer.score

    def score(query: Query, documents: Sequence[Sequence[Seen | str]]) -> np.ndarray:
        made.append(len(documents))
        return real(query, documents)

    monkeypatch.setattr(scorer, "score", score)
    return made


@pytest.mark.parametrize(
    ("modality", "options", "instruction"),
    [
        ("US", {}, template.INSTRUCTIONS["ultrasound"]),
        ("SM", {}, template.INSTRUCTIONS["pathology"]),
        ("MR", {}, template.INSTRUCTIONS["radiology"]),
        ("ES", {"instruction": "radiology"}, template.INSTRUCTIONS["radiology"]),
        ("ES", {"instruction": "Find the polyp."}, "Find the polyp."),
    ],
)
def test_the_instruction_fits_the_modality(
    folder: Path, modality: str, options: dict[str, str], instruction: str
) -> None:
    volume = dataclasses.replace(_volume(2), modality=modality)
    scores = QwenEngine(folder, explain=0, **options).rank(volume, TEXT, context=Context()).scores
    pictures = SlicePictures(volume)
    expected = [tiny_qwen.straight_score(folder, instruction, TEXT.text, [pictures.picture(k)]) for k in range(2)]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_cine_loop_is_shown_as_clips(folder: Path) -> None:
    """Frame k with those one second before and after it, as the recording's frame time says."""
    loop = dataclasses.replace(_volume(12), modality="US", header={"FrameTime": "250"})
    scores = QwenEngine(folder, explain=0, clip_seconds=1).rank(loop, TEXT, context=Context()).scores
    scorer = Scorer(folder)
    query = scorer.query(TEXT.text, "ultrasound")
    pictures = SlicePictures(loop)
    for k, frames in ((0, (0, 4)), (5, (1, 5, 9)), (11, (7, 11))):
        clip = Clip(np.stack([pictures.picture(n) for n in frames]), 1.0)
        assert scores[k] == pytest.approx(scorer.score(query, [scorer.see([clip])])[0], abs=1e-5)
    still = dataclasses.replace(loop, header={})
    alone = QwenEngine(folder, explain=0).rank(still, TEXT, context=Context()).scores
    asked = QwenEngine(folder, explain=0, clip_seconds=1).rank(still, TEXT, context=Context()).scores
    np.testing.assert_allclose(asked, alone, atol=1e-6)


def test_a_report_is_asked_claim_by_claim(folder: Path) -> None:
    text = "Nodule in the right upper lobe. No pleural effusion. 左肺气胸。"
    ranking = QwenEngine(folder).rank(_volume(4), TextPrompt(text), top_k=4, spread=False, context=Context())
    spans = {found.evidence[0].span.text for found in ranking.slices}
    assert spans <= {"Nodule in the right upper lobe", "左肺气胸"}
    assert len(ranking.findings) == 3


def test_coarse_to_fine_says_so_and_returns_only_what_it_scored(folder: Path) -> None:
    volume = _volume(64, 64)
    engine = QwenEngine(folder, explain=0)
    ranking = engine.rank(volume, TEXT, top_k=64, spread=False, context=Context())
    exact = QwenEngine(folder, coarse=False, explain=0).rank(volume, TEXT, top_k=64, spread=False, context=Context())
    assert "may be missed" in ranking.notes[0]
    assert exact.notes == ()
    assert len(exact.slices) == 64
    assert len(ranking.slices) <= 32 == engine.cache.misses or engine.cache.misses < 32
    for found in ranking.slices:
        assert found.score == pytest.approx(exact.scores[found.index], abs=1e-5)


def test_coarse_to_fine_finds_a_peak_wherever_it_lies() -> None:
    for peak in range(64):
        score = np.exp(-((np.arange(64) - peak) ** 2) / 18)
        scores, scored = search.coarse_to_fine(64, lambda indices, score=score: score[list(indices)])
        assert int(scores.argmax()) == peak
        assert len(scored) <= 32


def test_a_missing_image_is_an_error_never_a_score(folder: Path) -> None:
    volume = _volume(4)
    array = volume.array.astype(np.float32)
    array[2] = np.nan
    broken = Volume(array, volume.geometry, "CT", slices=volume.slices)
    with pytest.raises(ImageError, match=r"Slice 2 \(1.2.2\) holds no image"):
        QwenEngine(folder).rank(broken, TEXT, context=Context())


def test_cancel_between_batches(folder: Path) -> None:
    context = Context(lambda fraction, text: context.cancel() if "slice" in text else None)
    with pytest.raises(CancelledError):
        QwenEngine(folder, batch_size=1).rank(_volume(), TEXT, context=context)


def test_verdicts_follow_the_pooled_score(folder: Path) -> None:
    text = TextPrompt("Nodule in the right upper lobe. No nodule in the right upper lobe. 肺气肿。")
    present, denied, _ = QwenEngine(folder).verify(_volume(4), text, context=Context())
    assert present.evidence[0].values["score"] == pytest.approx(denied.evidence[0].values["score"], abs=0.2)
    for verdict in (present, denied):
        score = verdict.evidence[0].values["score"]
        expected = "yes" if score >= 0.6 else "no" if score <= 0.4 else "maybe"
        if verdict is denied:
            expected = {"yes": "no", "no": "yes", "maybe": "maybe"}[expected]
        assert verdict.answer == expected
    assert "not a probability" in present.reason


def test_the_vision_cache_is_bounded() -> None:
    torch = pytest.importorskip("torch")
    cache = VisionCache(limit=2500)
    for name in (b"a", b"b", b"c"):
        cache.put(name, Seen(torch.zeros(1, 10, 25), (1, 2, 2)))
    assert cache.get(b"a") is None
    assert cache.get(b"c") is not None
    assert cache.size == 2000


def test_through_the_host(folder: Path) -> None:
    engine = qwen3vl.create(str(folder))
    try:
        assert engine.info().available
        volume = _volume(4)
        hosted = engine.rank(volume, TEXT, context=Context())
        np.testing.assert_allclose(
            hosted.scores, QwenEngine(folder).rank(volume, TEXT, context=Context()).scores, atol=1e-6
        )
    finally:
        engine.close()


def test_absent_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RADFIND_MODELS", str(tmp_path))
    info = qwen3vl.describe()
    assert not info.available
    assert str(tmp_path / weights.known("qwen3-vl-reranker-2b").name) in info.unavailable_reason


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_heat_lies_in_the_planted_patch_and_moves_with_it(folder: Path) -> None:
    """A model overfitted to find a bright square must be seen to look at the square."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    scorer = Scorer(folder)
    scorer.model.requires_grad_(True)
    query = scorer.query("bright square")

    def picture(row: int | None, column: int = 0) -> np.ndarray:
        pixels = rng.integers(60, 100, (128, 128, 1)).astype(np.uint8).repeat(3, axis=2)
        if row is not None:
            pixels[32 * row : 32 * row + 32, 32 * column : 32 * column + 32] += 120
        return pixels

    optimizer = torch.optim.Adam(scorer.model.parameters(), 1e-3)
    started = time.monotonic()
    for _ in range(400):
        cells = [(int(rng.integers(4)), int(rng.integers(4))) if n % 2 else (None, 0) for n in range(8)]
        seen = []
        for row, column in cells:
            features = scorer._encode([picture(row, column)[None]], [(1, 8, 8)])[0]
            seen.append([Seen(features, (1, 8, 8))])
        target = torch.tensor([float(row is not None) for row, _ in cells])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            scorer.logits(query, seen, use_prefix=False), target
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.01 or time.monotonic() - started > 200:
            break
    scorer.model.requires_grad_(False)
    for row, column in ((0, 0), (1, 2), (3, 3), (2, 0)):
        heat = scorer.explain(query, Image(picture(row, column)))
        inside = heat[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].sum()
        print(f"heat inside the square: {inside:.2f} (by chance 0.06)")
        assert inside > 0.5, (row, column, heat.round(2))
