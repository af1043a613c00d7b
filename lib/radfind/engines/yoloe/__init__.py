"""YOLOE: open-vocabulary instance segmentation from text, from examples, or of everything it has a word for.

Its library (ultralytics) is AGPL-3.0: it is an optional extra and is imported only in the worker process,
behind our own protocol. Nothing in this module imports it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radfind.engines import weights
from radfind.engines.api import EngineInfo
from radfind.engines.devices import gpus_or_cpu
from radfind.engines.extras import missing_packages
from radfind.engines.host import HostedEngine
from radfind.engines.settings import check_options
from radfind.engines.slice_images import MODALITIES

_FACTORY = "radfind.engines.yoloe.engine:YoloeEngine"
MODELS = tuple(f"yoloe-{size}" for size in ("11l", "11m", "11s", "26l", "26m", "26s", "v8l", "v8m", "v8s"))


def create(model: str | None = None, **options: Any) -> HostedEngine:
    """The engine in worker processes of its own.

    Arguments:
        model: a name of `MODELS`, by default the first whose weights are here; or a file of weights
            (``yoloe-*-seg.pt`` or ``.safetensors``).
        options: of `radfind.engines.yoloe.engine.YoloeEngine` (without `weights`, `bank`, `cache` and `device`).

    Raises:
        InputError: an option the class does not have.
    """
    check_options("yoloe", _FACTORY, options, taken=("weights", "bank", "cache", "device"))
    home = _home()

    def settings() -> dict[str, Any]:
        home.mkdir(parents=True, exist_ok=True)
        return {"weights": _file(model), "bank": home / "concepts", "cache": home / "text", **options}

    return HostedEngine(
        _FACTORY,
        settings,
        describe=lambda: describe(model),
        devices=gpus_or_cpu(),
        # Otherwise the library looks for updates, reports use, and installs packages while being imported.
        environment={
            "YOLO_OFFLINE": "1",
            "YOLO_AUTOINSTALL": "false",
            "YOLO_CONFIG_DIR": str(home),
            "YOLO_VERBOSE": "false",
        },
    )


def describe(model: str | None = None) -> EngineInfo:
    """What the engine covers, and what is missing; imports nothing heavy."""
    reason = missing_packages("yoloe", ("torch", "ultralytics"))
    if not reason and _file(model) is None:
        reason = (
            weights.missing(model or "yoloe-11s") if model is None or model in weights.MODELS else f"no file {model}."
        )
    return EngineInfo(
        name="yoloe",
        tasks=("segment",),
        modalities=MODALITIES,
        prompts=("TextPrompt", "BoxPrompt", "MaskPrompt", "ExemplarPrompt", "EverythingPrompt"),
        concepts=None,
        licence="AGPL-3.0/AGPL-3.0",
        device=gpus_or_cpu()[0],
        available=not reason,
        unavailable_reason=reason,
    )


def _home() -> Path:
    """Where taught concepts and text embeddings are kept: beside the models."""
    return weights.models_folder().parent / "yoloe"


def _file(model: str | None) -> Path | None:
    if model is not None and model not in weights.MODELS:
        return Path(model) if Path(model).is_file() else None
    for name in (model,) if model else MODELS:
        folder = weights.find(name)
        if folder is not None:
            return next(
                (file for file in sorted(folder.glob("yoloe-*")) if file.suffix in (".pt", ".safetensors")), None
            )
    return None
