"""OFA against numbers from ModelScope's port on the same weights, and the engine around it."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_ofa

from radfind.engines import ofa
from radfind.engines.api import Context
from radfind.errors import EngineError, ImageError
from radfind.prompts import TextPrompt
from radfind.volume import Geometry, Volume

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from radfind.engines.ofa import checkpoint, text  # noqa: E402
from radfind.engines.ofa.engine import OfaEngine  # noqa: E402
from radfind.engines.ofa.judge import Judge  # noqa: E402
from radfind.engines.ofa.model import OFA, Config  # noqa: E402


@pytest.fixture(scope="module")
def model() -> OFA:
    model = OFA(Config.from_json(tiny_ofa.SETTINGS)).eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if "tracked" not in name}
    values = tiny_ofa.weights(shapes)
    values["decoder.embed_tokens.weight"] = values["encoder.embed_tokens.weight"]
    model.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()}, strict=False)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ofa.write_checkpoint(tmp_path_factory.mktemp("ofa"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures, for speed."""
    monkeypatch.setattr(text, "SIZE", 96)
    monkeypatch.setattr(text, "LONG_EDGE", 96)


@pytest.mark.parametrize("name", list(tiny_ofa.REFERENCE))
def test_logits_are_those_of_the_modelscope_port(model: OFA, name: str) -> None:
    case = tiny_ofa.inputs()[name]
    tokens, images, prompt = (torch.from_numpy(case[key]) for key in ("tokens", "images", "prompt"))
    with torch.no_grad():
        logits = model.logits(model.states(tokens, *model.see(images), prompt))
    shown = logits[torch.arange(2), tiny_ofa.last(case["prompt"])][:, tiny_ofa.SHOWN]
    np.testing.assert_allclose(shown, tiny_ofa.REFERENCE[name], atol=1e-5)


@pytest.mark.slow
def test_the_large_model_has_its_published_size_and_runs() -> None:
    model = OFA(Config()).eval()
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count / 1e6 == pytest.approx(473.0, abs=0.5)
    tokens = torch.tensor([[0, 117, 4420, 2085, 2]])
    with torch.no_grad():
        states = model.states(tokens, *model.see(torch.zeros(1, 3, 480, 480)), tokens[:, :-1])
        logits = model.logits(states[:, -1], torch.tensor([117, 4420, 2085]))
    assert logits.shape == (1, 3)
    assert torch.isfinite(logits).all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8e6  # KiB


@pytest.mark.usefixtures("small")
def test_a_fairseq_file_gives_the_same_answers(folder: Path, tmp_path: Path) -> None:
    """Nothing beside it says how large the model is, and arguments and scores of the training lie in it."""
    other = tiny_ofa.write_checkpoint(tmp_path, fairseq=True)
    assert not (other / "config.json").exists()
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    answers = []
    for place in (folder, other):
        judge = Judge(place)
        answers.append(judge.answer(judge.see([picture]), ["There is a nodule."]))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


@pytest.mark.parametrize("prompt_type", ["none", "prev_output"])
@pytest.mark.usefixtures("small")
def test_batches_give_what_pairs_give_alone(folder: Path, prompt_type: str) -> None:
    judge = Judge(folder, prompt_type=prompt_type)
    pictures = list(np.random.default_rng(1).integers(0, 256, (3, 50, 70, 3)).astype(np.uint8))
    words = ["nodule", "there is a pleural effusion on the left", "air"]
    together = judge.answer(judge.see(pictures), words, "a ct slice")
    alone = [
        judge.answer(judge.see([picture]), [word], "a ct slice")[0]
        for picture, word in zip(pictures, words, strict=True)
    ]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-6)


def test_the_prompt_type_is_read_from_the_checkpoint(tmp_path: Path) -> None:
    assert Judge(tiny_ofa.write_checkpoint(tmp_path, prompt_type="none")).prompt_type == "none"


def test_words_are_put_as_in_training() -> None:
    assert text.question("  ,.Part-solid nodule/mass") == ' does the image describe " ,.part solid nodule mass "?'
    assert text.question("...A  Nodule\n") == ' does the image describe " a nodule "?'
    assert text.question("nodule", "A CT-slice") == ' can image and text1 " a ct slice " imply text2 " nodule "?'
    assert len(text.cleaned("w " * 200).split()) == 80


@pytest.mark.parametrize(
    ("size", "keep", "expected"),
    [((512, 512), False, (480, 480)), ((512, 512), True, (384, 384)), ((300, 600), True, (192, 384))],
)
def test_pictures_are_squashed_or_keep_their_shape(
    size: tuple[int, int], keep: bool, expected: tuple[int, int]
) -> None:
    pixels = np.full((*size, 3), 255, np.uint8)
    made = text.picture(pixels, keep_aspect=keep)
    assert made.shape == (3, *expected)
    assert made.max() == made.min() == 1


def test_tokens_are_those_of_the_same_vocabulary_elsewhere(folder: Path) -> None:
    from transformers import GPT2Tokenizer

    sentence = ' does the image describe " 12 mm nodule, no ä yes "?'
    theirs = GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), unk_token="<unk>")
    assert text.Tokenizer(folder).encode(sentence) == theirs(sentence)["input_ids"]


def _volume(slices: int = 6) -> Volume:
    array = np.random.default_rng(2).integers(-1000, 400, (slices, 48, 48)).astype(np.int16)
    return Volume(array, Geometry.from_parts(array.shape, spacing=(5, 1, 1)), "CT")


@pytest.mark.usefixtures("small")
def test_verdicts_on_a_volume(folder: Path) -> None:
    engine = OfaEngine(folder, keep_aspect=True)
    prompt = TextPrompt("右肺上叶结节。未见胸腔积液。A nodule in the right upper lobe.")
    chinese, denied, english = engine.verify(_volume(), prompt, context=Context())
    assert chinese.statement.text == "右肺上叶结节"
    assert "There is a pulmonary nodule in the right upper lobe." in chinese.reason
    assert chinese.evidence[0].values["yes"] == pytest.approx(english.evidence[0].values["yes"], abs=1e-6)
    for verdict in (chinese, denied):
        values = verdict.evidence[0].values
        assert sum(values.values()) == pytest.approx(1, abs=1e-6)
        shown = max(values, key=lambda key: values[key])
        flipped = {"yes": "no", "no": "yes", "maybe": "maybe"}[shown]
        assert verdict.answer == (flipped if verdict is denied else shown)
        assert verdict.confidence == pytest.approx(max(values.values()))


def test_chinese_that_cannot_be_put_into_english_is_not_judged(folder: Path) -> None:
    (verdict,) = OfaEngine(folder).verify(_volume(1), TextPrompt("紫色的大象"), context=Context())
    assert (verdict.answer, verdict.code, verdict.confidence) == ("maybe", "not_supported", 0.0)
    assert "OFA reads English only, and nothing in '紫色的大象'" in verdict.reason


@pytest.mark.usefixtures("small")
def test_a_series_longer_than_wanted_is_sampled_evenly(folder: Path) -> None:
    engine = OfaEngine(folder, keep_aspect=True, most_slices=4)
    (verdict,) = engine.verify(_volume(40), TextPrompt("purple elephant"), context=Context())
    assert "Asked of 4 slices" in verdict.reason
    assert verdict.statement.text == "purple elephant"


def test_a_missing_image_is_an_error(folder: Path) -> None:
    array = np.full((2, 32, 32), np.nan, np.float32)
    with pytest.raises(ImageError, match="holds no image"):
        OfaEngine(folder).verify(
            Volume(array, Geometry.from_parts(array.shape), "CT"), TextPrompt("nodule"), context=Context()
        )


def test_through_the_host(folder: Path) -> None:
    engine = ofa.create(str(folder), keep_aspect=True)
    try:
        (hosted,) = engine.verify(_volume(1), TextPrompt("nodule"), context=Context())
        (direct,) = OfaEngine(folder, keep_aspect=True).verify(_volume(1), TextPrompt("nodule"), context=Context())
        assert hosted.answer == direct.answer
        assert hosted.confidence == pytest.approx(direct.confidence, abs=1e-6)
    finally:
        engine.close()


def test_sizes_are_read_from_the_weights() -> None:
    """OFA-base (published: 180 million parameters) comes as a fairseq file only."""
    base = {"d_model": 768, "resnet_type": "resnet101"} | {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", 6), ("attention_heads", 12), ("ffn_dim", 3072))
    }
    with torch.device("meta"):
        model = OFA(Config.from_json(base))
    assert 1.75e8 < sum(parameter.numel() for parameter in model.parameters()) < 1.85e8
    found = Config.from_json(checkpoint.sizes(model.state_dict()))
    assert found == Config.from_json(base)


def test_a_pickle_that_could_run_code_is_refused(tmp_path: Path) -> None:
    folder = tiny_ofa.write_checkpoint(tmp_path, fairseq=True)
    torch.save({"model": {"a": torch.zeros(1)}, "cfg": _Evil()}, folder / "best.pt")
    with pytest.raises(EngineError, match=r"best\.pt was not loaded.*system, which could run code"):
        checkpoint.load(folder)
    (folder / "best.pt").write_bytes(b"cut short")
    with pytest.raises(EngineError, match=r"best\.pt cannot be read as a checkpoint"):
        checkpoint.load(folder)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo owned",)


def test_wrong_folders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="does not hold an OFA checkpoint"):
        checkpoint.load(tmp_path)
    tiny_ofa.write_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text('{"use_ofasys": true}')
    with pytest.raises(EngineError, match=r"not supported: \{'use_ofasys': True\}"):
        checkpoint.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EngineError, match="does not fit OFA's architecture"):
        checkpoint.load(tmp_path)
    monkeypatch.setenv("RADFIND_MODELS", str(tmp_path / "none"))
    info = ofa.describe()
    assert not info.available and "ofa-snli-ve-large" in info.unavailable_reason
