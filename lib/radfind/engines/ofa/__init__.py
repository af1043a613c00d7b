"""OFA visual entailment: says yes, no or maybe to a statement about a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radfind.engines import weights
from radfind.engines.api import EngineInfo
from radfind.engines.devices import gpus_or_cpu
from radfind.engines.extras import missing_packages
from radfind.engines.host import HostedEngine

MODEL = "ofa-snli-ve-large"


def create(folder: str | None = None, **options: Any) -> HostedEngine:
    """The engine in worker processes of its own.

    Arguments:
        folder: the checkpoint; by default the weights called `MODEL`.
        options: of `radfind.engines.ofa.engine.OfaEngine` (without `folder` and `device`).
    """
    return HostedEngine(
        "radfind.engines.ofa.engine:OfaEngine",
        lambda: {"folder": _folder(folder), **options},
        describe=lambda: describe(folder),
        devices=gpus_or_cpu(),
        environment={"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    )


def describe(folder: str | None = None) -> EngineInfo:
    """What the engine covers, and what is missing; imports nothing heavy."""
    reason = missing_packages("ofa", ("torch", "tokenizers"))
    if not reason and _folder(folder) is None:
        reason = weights.missing(MODEL) if folder is None else f"there is no folder {folder}."
    return EngineInfo(
        name="ofa",
        tasks=("verify",),
        modalities=("CT", "MR", "PT", "CR", "DX", "MG", "US", "ES", "SM", "OT"),
        prompts=("TextPrompt",),
        concepts=None,
        licence="Apache-2.0/Apache-2.0",
        device=gpus_or_cpu()[0],
        available=not reason,
        unavailable_reason=reason,
    )


def _folder(folder: str | None) -> Path | None:
    if folder is None:
        return weights.find(MODEL)
    return Path(folder) if Path(folder).is_dir() else None
