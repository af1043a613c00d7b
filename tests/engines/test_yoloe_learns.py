"""Proof that the wiring learns: after a short overfit, words and examples find held-out objects where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import train_yoloe

from radfind.engines import yoloe
from radfind.engines.api import Context
from radfind.prompts import BoxPrompt, ExemplarPrompt, TextPrompt
from radfind.volume import Geometry, Volume

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
HERE = Path(__file__).parent


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_words_boxes_and_examples_find_held_out_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if yoloe.describe(__file__).unavailable_reason:
        pytest.skip("ultralytics is not installed")
    # A folder of weights made before by train_yoloe.py may be named, to look at the second half alone.
    file = Path(os.environ.get("RADFIND_TEST_YOLOE") or tmp_path / "yoloe-11n-seg.safetensors")
    if not file.is_file():
        environment = {**os.environ, "YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(tmp_path)}
        subprocess.run([sys.executable, str(HERE / "train_yoloe.py"), str(file)], env=environment, check=True)
    monkeypatch.setenv("RADFIND_MODELS", str(tmp_path / "models"))
    engine = yoloe.create(str(file), text_encoder="yoloe_words:encode", thresholds={"like the example": 0.2})
    try:
        right = {"words": 0, "box": 0, "example": 0}
        rounds = 6
        for seed in range(rounds):
            rng = np.random.default_rng(1000 + seed)
            array, objects = train_yoloe.plant(rng, slices=3)
            volume = Volume(array, Geometry.from_parts(array.shape, spacing=(2.0, 1.0, 1.0)), "CT")
            kind = seed % 2
            truth = next(mask for one, mask in objects if one == kind)
            example, taught = train_yoloe.plant(rng, slices=3)
            shown = Volume(example, volume.geometry, "CT")
            mask = next(mask for one, mask in taught if one == kind)
            _, rows, columns = np.nonzero(truth)
            box = BoxPrompt((1, rows.min(), columns.min()), (1, rows.max(), columns.max()))
            for name, prompt in {
                "words": TextPrompt(train_yoloe.WORDS[kind]),
                "box": box,
                "example": ExemplarPrompt(shown, mask, f"taught {seed}"),
            }.items():
                found = engine.segment(volume, [prompt], context=Context()).segments
                right[name] += bool(found) and _dice(found[0].mask, truth) >= 0.6
        print(right)
        assert right["words"] >= rounds - 1
        assert right["box"] >= rounds - 2
        assert right["example"] >= rounds - 2
    finally:
        engine.close()
