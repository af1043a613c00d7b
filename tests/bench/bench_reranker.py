"""How much faster than one document at a time: ``python tests/bench/bench_reranker.py [--json FILE]`` (CPU).

A random model of middle size with the true architecture; 512 x 512 slices are too slow for a CPU, so 256 x 256
(64 image tokens). The reference way is the published one: whole prompt and vision encoder again for every slice
and every question. Every round times all the ways one after the other, in seconds of CPU time, and the figures are
the medians of the rounds: other work on the machine (and in its caches) counts as little as it can. The scores are
compared too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "engines"))

TEXT = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 8, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 64,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [12, 10, 10],
                            "mrope_interleaved": True}}  # fmt: skip
VISION = {"depth": 8, "hidden_size": 256, "intermediate_size": 1024, "num_heads": 4, "out_hidden_size": 256,
          "num_position_embeddings": 2304, "deepstack_visual_indexes": [1, 3, 5]}  # fmt: skip
QUESTIONS = ("part-solid nodule in the right upper lobe, 12 mm", "ground-glass opacity in the left lower lobe")


def main() -> None:
    import tiny_qwen
    import torch

    from radfind.engines.api import Context
    from radfind.engines.qwen3vl.documents import Image
    from radfind.engines.qwen3vl.engine import QwenEngine
    from radfind.engines.qwen3vl.scorer import Query, Scorer
    from radfind.engines.qwen3vl.template import INSTRUCTIONS
    from radfind.engines.slice_images import SlicePictures
    from radfind.prompts import TextPrompt
    from radfind.volume import Geometry, Volume

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--long", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = tiny_qwen.write_checkpoint(Path(temporary), text=TEXT, vision=VISION)
        rng = np.random.default_rng(0)

        def volume(slices: int) -> Volume:
            array = rng.integers(-1000, 400, (slices, 256, 256)).astype(np.int16)
            return Volume(array, Geometry.from_parts(array.shape, spacing=(1.25, 0.7, 0.7)), "CT")

        scorer = Scorer(folder)
        short, long = volume(chosen.slices), volume(chosen.long)
        pictures = SlicePictures(short, ("lung",))

        def one_by_one(question: str) -> tuple[float, Any]:
            started = time.process_time()
            query = Query(INSTRUCTIONS["radiology"], question, (), ())  # the whole prompt is run for each slice
            scores = []
            with torch.no_grad():
                for k in range(len(pictures)):
                    logit = scorer.logits(query, [scorer.see([Image(pictures.picture(k))])], use_prefix=False)
                    scores.append(float(logit.sigmoid()[0]))
            return time.process_time() - started, np.array(scores)

        def ours(engine: QwenEngine, scan: Volume, question: str) -> tuple[float, Any]:
            started = time.process_time()
            result = engine.rank(scan, TextPrompt(question), context=Context())
            return time.process_time() - started, result.scores

        exact, quick = (QwenEngine(folder, coarse=coarse, explain=0) for coarse in (False, True))
        one_by_one(QUESTIONS[0])  # warm up
        ours(exact, short, QUESTIONS[0])
        ours(quick, short, QUESTIONS[0])
        rounds = []
        for _ in range(chosen.rounds):
            exact.cache.clear()
            quick.cache.clear()
            reference, expected = one_by_one(QUESTIONS[0])
            first, scores = ours(exact, short, QUESTIONS[0])
            reference_second, _ = one_by_one(QUESTIONS[1])
            second, _ = ours(exact, short, QUESTIONS[1])
            exhaustive, _ = ours(exact, long, QUESTIONS[0])
            coarse, _ = ours(quick, long, QUESTIONS[0])
            rounds.append(
                {
                    "one by one, first question, s": reference,
                    "ours, first question, s": first,
                    "first question, times as fast": reference / first,
                    "one by one, second question, s": reference_second,
                    "ours, second question, s": second,
                    "second question, times as fast": reference_second / second,
                    "exhaustive, s": exhaustive,
                    "coarse to fine, s": coarse,
                    "coarse to fine, times as fast": exhaustive / coarse,
                }
            )
            print(json.dumps(rounds[-1]), flush=True)

    figures: dict[str, Any] = {
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "rounds": chosen.rounds,
        "slices": chosen.slices,
        "long series": chosen.long,
        "spread of the scores": float(np.ptp(expected)),
        "largest score difference": float(np.abs(expected - scores).max()),
        **{name: statistics.median(one[name] for one in rounds) for name in rounds[0]},
    }
    for name, value in figures.items():
        print(f"{name:38s} {value:.4g}" if isinstance(value, float) else f"{name:38s} {value}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
