"""Loads OFA checkpoints: Hugging Face / ModelScope layout, and fairseq files through a rename."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radfind.engines.ofa.model import OFA, Config
from radfind.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

_FAIRSEQ_RENAMES = (
    ("encoder_attn_layer_norm.", "cross_attn_layer_norm."),
    ("encoder_attn.", "cross_attn."),
    ("self_attn_ln.", "self_attn_mid_layer_norm."),
    (".attn_ln.", ".self_attn_mid_layer_norm."),
    ("cross_attn_ln.", "cross_attn_mid_layer_norm."),
    ("ffn_layernorm.", "ffn_layer_norm."),
)
"""fairseq's names on the left. From the two published sources side by side; no published fairseq file could be
tried here."""

_NOT_WEIGHTS = ("version", "_bucket", "image_position_idx", "output_projection.weight", "num_batches_tracked")
"""Endings of entries that are recomputed, or are the token table again."""


def load(folder: Path) -> tuple[OFA, dict[str, Any]]:
    """The model in eval mode on the CPU, and the settings found beside it (config.json, configuration.json).

    Raises:
        EngineError: files are missing, or do not fit the architecture.
    """
    settings: dict[str, Any] = {}
    if (folder / "config.json").is_file():
        settings = json.loads((folder / "config.json").read_text())
    if (folder / "configuration.json").is_file():  # ModelScope's, beside the other
        about = json.loads((folder / "configuration.json").read_text()).get("model", {})
        settings.setdefault("prompt_type", about.get("prompt_type"))
    weights = next(
        (file for pattern in ("*.safetensors", "*.bin", "*.pt") for file in sorted(folder.glob(pattern))), None
    )
    if weights is None or not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        raise EngineError(
            f"{folder} does not hold an OFA checkpoint: expected config.json, vocab.json, merges.txt and a file of "
            "weights (*.safetensors, pytorch_model.bin, or fairseq's *.pt)."
        )
    try:
        model = OFA(Config.from_json(settings))
        state = renamed(_read(weights))
        state.setdefault("decoder.embed_tokens.weight", state["encoder.embed_tokens.weight"])
        wrong = model.load_state_dict(state, strict=False)
        missing = [name for name in wrong.missing_keys if not name.endswith("num_batches_tracked")]
        if missing or wrong.unexpected_keys:
            raise ValueError(f"missing {missing[:3]}, unexpected {wrong.unexpected_keys[:3]}")
    except (ValueError, KeyError, RuntimeError) as error:
        raise EngineError(f"{weights} does not fit OFA's architecture: {error}") from error
    return model.eval().requires_grad_(False), settings


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under our names: a ``model.`` prefix dropped, fairseq's names translated."""
    made = {}
    for name, value in state.items():
        name = name.removeprefix("model.")
        if name.endswith(_NOT_WEIGHTS):
            continue
        for old, new in _FAIRSEQ_RENAMES:
            name = name.replace(old, new)
        made[name] = value
    return made


def _read(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    import torch

    state = torch.load(file, map_location="cpu", weights_only=True)  # never a pickle that could run code
    return state.get("model", state)
