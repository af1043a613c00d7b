"""Qwen3-VL-Reranker: ranks slices by how well they show what a text says."""

from __future__ import annotations

from typing import Any

from radfind.engines.api import EngineInfo
from radfind.engines.checkpoint_engine import CheckpointEngine
from radfind.engines.host import HostedEngine

_ENGINE = CheckpointEngine(
    name="qwen3vl",
    tasks=("rank", "verify"),
    licence="Apache-2.0/Apache-2.0",
    extra="qwen",
    packages=("torch", "transformers"),
    models=("qwen3-vl-reranker-2b", "qwen3-vl-reranker-8b"),
    factory="radfind.engines.qwen3vl.engine:QwenEngine",
    environment={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
)


def create(model: str | None = None, **options: Any) -> HostedEngine:
    """The engine in worker processes of its own: see `CheckpointEngine.hosted` and `QwenEngine`."""
    return _ENGINE.hosted(model, options)


def describe(model: str | None = None) -> EngineInfo:
    """What the engine covers, and what is missing; imports nothing heavy."""
    return _ENGINE.describe(model)
