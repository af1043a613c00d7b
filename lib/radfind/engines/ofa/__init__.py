"""OFA visual entailment: says yes, no or maybe to a statement about a picture."""

from __future__ import annotations

from typing import Any

from radfind.engines.api import EngineInfo
from radfind.engines.checkpoint_engine import CheckpointEngine
from radfind.engines.host import HostedEngine

_ENGINE = CheckpointEngine(
    name="ofa",
    tasks=("verify",),
    licence="Apache-2.0/Apache-2.0",
    extra="ofa",
    packages=("torch", "tokenizers"),
    models=("ofa-snli-ve-large", "ofa-snli-ve-base"),
    factory="radfind.engines.ofa.engine:OfaEngine",
    environment={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
)


def create(model: str | None = None, **options: Any) -> HostedEngine:
    """The engine in worker processes of its own: see `CheckpointEngine.hosted` and `OfaEngine`."""
    return _ENGINE.hosted(model, options)


def describe(model: str | None = None) -> EngineInfo:
    """What the engine covers, and what is missing; imports nothing heavy."""
    return _ENGINE.describe(model)
