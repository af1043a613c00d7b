"""Qwen3-VL-Reranker's scores beside its authors' own program, on the same tiny random checkpoint.

Runs where ``RADFIND_QWEN_REFERENCE`` names ``src/models/qwen3_vl_reranker.py`` of QwenLM/Qwen3-VL-Embedding and its
package ``qwen_vl_utils`` (which needs ``av``) can be imported: ``PYTHONPATH`` may name another folder for it. The
reference's own preprocessing, chat template, padding and score are used; only the checkpoint is made here.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_qwen

from radfind.engines.qwen3vl import template
from radfind.engines.qwen3vl.documents import Clip, Image
from radfind.engines.qwen3vl.scorer import Scorer

pytest.importorskip("transformers")

QUERY = "part-solid nodule, right apex 右肺结节"
INSTRUCT = template.INSTRUCTIONS["radiology"]
CHAT = (  # Qwen3-VL's published chat template, cut down to what a reranker's conversation holds
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    # 4.57 puts the frames in the place of start, pad and end; 5 leaves start and end standing around them.
    "{% elif part.type == 'video' %}<|video_pad|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer, Qwen2VLImageProcessorPil, Qwen3VLProcessor, Qwen3VLVideoProcessor

    folder = tiny_qwen.write_checkpoint(tmp_path_factory.mktemp("qwen"))
    sizes: dict[str, Any] = {
        "patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    Qwen3VLProcessor(
        Qwen2VLImageProcessorPil(**sizes),
        AutoTokenizer.from_pretrained(folder),
        Qwen3VLVideoProcessor(**sizes),
        chat_template=CHAT,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def published(folder: Path) -> Any:
    file = os.environ.get("RADFIND_QWEN_REFERENCE")
    if not file:
        pytest.skip("RADFIND_QWEN_REFERENCE does not name the authors' qwen3_vl_reranker.py")
    if importlib.util.find_spec("qwen_vl_utils") is None:
        pytest.skip("the authors' program needs qwen_vl_utils, which cannot be imported")
    spec = importlib.util.spec_from_file_location("published_reranker", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import torch

    class OnTransformers5(module.Qwen3VLReranker):  # type: ignore[misc, name-defined]
        """Written for 4.57, whose processor gave no token types; 5's gives them as lists that its model cannot take."""

        def tokenize(self, pairs: list[dict[str, Any]], **options: Any) -> Any:
            inputs = super().tokenize(pairs, **options)
            if "mm_token_type_ids" in inputs:
                inputs["mm_token_type_ids"] = torch.tensor(inputs["mm_token_type_ids"])
            return inputs

    return OnTransformers5(str(folder), dtype=torch.float32)


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scorer:
    return Scorer(folder)


def _images(count: int, size: tuple[int, int] = (64, 96), seed: int = 1) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, *size, 3)).astype(np.uint8))


def _published(published: Any, documents: list[dict[str, Any]]) -> list[float]:
    scores: list[float] = published.process({"instruction": INSTRUCT, "query": {"text": QUERY}, "documents": documents})
    return scores


def test_images_of_any_size_in_one_batch(published: Any, scorer: Scorer) -> None:
    from PIL import Image as Pillow

    # Also sizes that must be brought to multiples of 32, enlarged (below 4 tokens) and reduced.
    images = [
        *_images(2),
        *_images(1, (64, 64)),
        *_images(1, (100, 70)),
        *_images(1, (40, 30)),
        *_images(1, (512, 512)),
    ]
    expected = _published(published, [{"image": Pillow.fromarray(image)} for image in images])
    seen = scorer.see([Image(image) for image in images])
    query = scorer.query(QUERY, "radiology")
    together = scorer.score(query, [[one] for one in seen])
    alone = [scorer.score(query, [[one]])[0] for one in seen]
    print("largest difference:", np.abs(together - expected).max(), np.abs(np.array(alone) - expected).max())
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(together, expected, atol=1e-5)
    np.testing.assert_allclose(alone, expected, atol=1e-5)


def test_text_and_mixed_documents(published: Any, scorer: Scorer) -> None:
    from PIL import Image as Pillow

    images = _images(2)
    words = "axial CT, lung window"
    pictures = [Pillow.fromarray(image) for image in images]
    expected = _published(published, [{"text": words}, {"image": pictures}, {"image": pictures, "text": words}, {}])
    seen = scorer.see([Image(image) for image in images])
    scores = scorer.score(scorer.query(QUERY, "radiology"), [[words], seen, [words, *seen], []])
    print("largest difference:", np.abs(scores - expected).max())
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "tolerance"),
    [
        ((384, 448), 1e-5),
        ((128, 192), 5e-4),  # brought to 128 tokens: torchvision's bicubic there, Pillow's here, a grey level apart
    ],
)
def test_a_clip(published: Any, scorer: Scorer, size: tuple[int, int], tolerance: float) -> None:
    from PIL import Image as Pillow

    frames = np.stack(_images(4, size))
    # The authors' program takes a list of frames for a recording at 2 frames a second, and first brings each to
    # multiples of 64 (only in a list, not in a file), so sizes here are such multiples.
    expected = _published(published, [{"video": [Pillow.fromarray(frame) for frame in frames]}])
    score = scorer.score(scorer.query(QUERY, "radiology"), [scorer.see([Clip(frames, fps=2.0)])])
    print("difference:", abs(score[0] - expected[0]))
    assert score[0] == pytest.approx(expected[0], abs=tolerance)
