"""Qwen3-VL-Reranker: ranks slices by how well they show what a text says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radfind.engines import weights
from radfind.engines.api import EngineInfo
from radfind.engines.devices import gpus_or_cpu
from radfind.engines.extras import missing_packages
from radfind.engines.host import HostedEngine

MODELS = ("qwen3-vl-reranker-2b", "qwen3-vl-reranker-8b")


def create(model: str | None = None, **options: Any) -> HostedEngine:
    """The engine in worker processes of its own.

    Arguments:
        model: a name of `MODELS`, by default the first whose weights are here; or a folder.
        options: of `radfind.engines.qwen3vl.engine.QwenEngine` (without `folder` and `device`).
    """
    return HostedEngine(
        "radfind.engines.qwen3vl.engine:QwenEngine",
        lambda: {"folder": _folder(model), **options},
        describe=lambda: describe(model),
        devices=gpus_or_cpu(),
        environment={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    )


def describe(model: str | None = None) -> EngineInfo:
    """What the engine covers, and what is missing; imports nothing heavy."""
    reason = missing_packages("qwen", ("torch", "transformers"))
    if not reason and _folder(model) is None:
        reason = weights.missing(model or MODELS[0])
    return EngineInfo(
        name="qwen3vl",
        tasks=("rank", "verify"),
        modalities=("CT", "MR", "PT", "CR", "DX", "MG", "US", "ES", "SM", "OT"),
        prompts=("TextPrompt",),
        concepts=None,
        licence="Apache-2.0/Apache-2.0",
        device=gpus_or_cpu()[0],
        available=not reason,
        unavailable_reason=reason,
    )


def _folder(model: str | None) -> Path | None:
    if model is not None and model not in weights.MODELS:
        return Path(model) if Path(model).is_dir() else None
    found = (weights.find(name) for name in ((model,) if model else MODELS))
    return next((folder for folder in found if folder is not None), None)
