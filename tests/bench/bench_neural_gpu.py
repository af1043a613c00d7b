"""Speed of the three networks at their true sizes with random weights, on a GPU.

``python tests/bench/bench_neural_gpu.py [--models 2b 8b yoloe ofa] [--slices 300] [--json FILE]``. Qwen3-VL-Reranker
2B and 8B: slices per second for the first and the second question and peak memory, beside the published way (one
document at a time, everything again) on 32 slices of the same run. YOLOE 11s and 11l: slices per second at 512 x 512.
OFA-large: pairs per second. `--tiny` runs everything at toy size on the CPU, to see that the script works.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "engines"))

# From the published config.json of Qwen3-VL-2B and -8B.
QWEN = {
    "2b": (
        {"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
         "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128},
        {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "out_hidden_size": 2048,
         "num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17]},
    ),
    "8b": (
        {"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
         "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128},
        {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "out_hidden_size": 4096,
         "num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24]},
    ),
}  # fmt: skip
ROPE = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True}
QUESTIONS = ("part-solid nodule in the right upper lobe, 12 mm", "ground-glass opacity in the left lower lobe")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["2b", "8b", "yoloe", "ofa"])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tiny", action="store_true")
    chosen = parser.parse_args()

    import torch

    device = "cpu" if chosen.tiny else "cuda:0"
    figures: dict[str, Any] = {"device": device if chosen.tiny else torch.cuda.get_device_name(0)}
    with tempfile.TemporaryDirectory() as temporary:
        for model in chosen.models:
            if model in QWEN:
                figures[f"qwen {model}"] = _qwen(model, Path(temporary), device, chosen.slices, chosen.tiny)
            elif model == "ofa":
                figures["ofa large"] = _ofa(device, chosen.tiny)
            elif model == "yoloe":
                for size in ("11n",) if chosen.tiny else ("11s", "11l"):
                    figures[f"yoloe {size}"] = _yoloe(size, Path(temporary), device, chosen.tiny)
            print(json.dumps(figures, indent=1), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1))


def _qwen(model: str, base: Path, device: str, slices: int, tiny: bool) -> dict[str, float]:
    import tiny_qwen
    import torch

    from radfind.engines.api import Context
    from radfind.engines.qwen3vl import template
    from radfind.engines.qwen3vl.documents import Image
    from radfind.engines.qwen3vl.engine import QwenEngine
    from radfind.engines.qwen3vl.scorer import Query
    from radfind.engines.slice_images import SlicePictures
    from radfind.prompts import TextPrompt
    from radfind.volume import Geometry, Volume

    text, vision = QWEN[model]
    if tiny:
        folder = tiny_qwen.write_checkpoint(base / model)
    else:
        torch.set_default_dtype(torch.bfloat16)
        with torch.device(device):
            folder = tiny_qwen.write_checkpoint(base / model, text={**text, "rope_parameters": ROPE}, vision=vision)
        torch.set_default_dtype(torch.float32)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    size = 64 if tiny else 512
    array = np.random.default_rng(0).integers(-1000, 400, (slices, size, size)).astype(np.int16)
    volume = Volume(array, Geometry.from_parts(array.shape, spacing=(1.25, 0.7, 0.7)), "CT")
    engine = QwenEngine(folder, device=device, coarse=False, explain=0, cache_bytes=16 << 30)
    scorer = engine._load(Context())
    engine.rank(Volume(array[:4], Geometry.from_parts((4, size, size)), "CT"), TextPrompt("warm up"), context=Context())
    engine.cache.clear()

    def timed(question: str) -> float:
        return _seconds(lambda: engine.rank(volume, TextPrompt(question), context=Context()), device)

    first, second = timed(QUESTIONS[0]), timed(QUESTIONS[1])
    pictures = SlicePictures(volume, ("lung",))
    whole = Query(template.INSTRUCTIONS["radiology"], QUESTIONS[0], (), ())
    count = min(32, slices)

    def one_by_one() -> None:
        with torch.no_grad():
            for k in range(count):
                scorer.logits(whole, [scorer.see([Image(pictures.picture(k))])], use_prefix=False).item()

    reference = _seconds(one_by_one, device) / count
    made = {
        "slices": slices,
        "first question, slices/s": slices / first,
        "second question, slices/s": slices / second,
        "one by one, slices/s": 1 / reference,
        "first question, times as fast": reference * slices / first,
        "second question, times as fast": reference * slices / second,
    }
    if not tiny:
        made["peak memory, GiB"] = torch.cuda.max_memory_allocated() / 2**30
    return made


def _ofa(device: str, tiny: bool) -> dict[str, float]:
    import tiny_ofa
    import torch

    from radfind.engines.ofa.model import OFA, Config

    config = Config.from_json({**tiny_ofa.SETTINGS, "vocab_size": 59457, "image_bucket_size": 42} if tiny else {})
    model = OFA(config).eval().to(device, torch.float32 if tiny else torch.float16)
    batch = 2 if tiny else 16
    images = torch.zeros(batch, 3, 480, 480, device=device, dtype=next(model.parameters()).dtype)
    tokens = torch.randint(3, 50000, (batch, 30), device=device)

    def answer() -> None:
        with torch.no_grad():
            patches, places = model.see(images)
            model.logits(model.states(tokens, patches, places, tokens[:, :-1])[:, -1], tokens[0, :3])

    answer()
    rounds = 1 if tiny else 10
    return {"batch": batch, "pairs/s": batch * rounds / _seconds(lambda: [answer() for _ in range(rounds)], device)}


def _yoloe(size: str, base: Path, device: str, tiny: bool) -> dict[str, float]:
    os.environ |= {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(base)}
    import make_yoloe
    import yoloe_words

    from radfind.engines.yoloe.detector import Detector

    file = base / f"yoloe-{size}-seg.safetensors"
    make_yoloe.main(file)
    detector = Detector(file, device=device)
    vectors = detector.text_embeddings(yoloe_words.encode(["nodule", "effusion", "consolidation"]))
    side, count = (64, 4) if tiny else (512, 16)
    images = list(np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.uint8))
    detector.detect(images, vectors, 0.5, side)
    rounds = 1 if tiny else 10
    seconds = _seconds(lambda: [detector.detect(images, vectors, 0.5, side) for _ in range(rounds)], device)
    return {"batch": count, "slices/s": count * rounds / seconds}


def _seconds(work: Callable[[], Any], device: str) -> float:
    import torch

    if device != "cpu":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
