"""Loads OFA checkpoints: Hugging Face / ModelScope layout, and fairseq files through a rename."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radfind.engines.ofa.model import OFA, TRUNKS, Config
from radfind.engines.pickled import load_pickled
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
    weights = next(
        (file for pattern in ("*.safetensors", "*.bin", "*.pt") for file in sorted(folder.glob(pattern))), None
    )
    if weights is None or not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        raise EngineError(
            f"{folder} does not hold an OFA checkpoint: expected vocab.json, merges.txt and a file of weights "
            "(*.safetensors or pytorch_model.bin with config.json, or fairseq's *.pt). Take the two first from "
            "another OFA model in the Hugging Face layout where they are missing: all share them."
        )
    try:
        settings = _settings(folder)
        state = renamed(_read(weights))
        model = OFA(Config.from_json({**sizes(state), **settings}))
        state.setdefault("decoder.embed_tokens.weight", state["encoder.embed_tokens.weight"])
        wrong = model.load_state_dict(state, strict=False)
        missing = [name for name in wrong.missing_keys if not name.endswith("num_batches_tracked")]
        if missing or wrong.unexpected_keys:
            raise ValueError(f"missing {missing[:3]}, unexpected {wrong.unexpected_keys[:3]}")
    except (ValueError, KeyError, RuntimeError) as error:
        raise EngineError(f"{weights} does not fit OFA's architecture: {error}") from error
    return model.eval().requires_grad_(False), settings


def _settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if (folder / "config.json").is_file():
        settings = json.loads((folder / "config.json").read_text())
    if (folder / "configuration.json").is_file():  # ModelScope's, beside the other
        about = json.loads((folder / "configuration.json").read_text()).get("model", {})
        settings.setdefault("prompt_type", about.get("prompt_type"))
    return settings


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
    held = load_pickled(file, ("argparse.Namespace",))  # fairseq keeps the arguments of the training beside
    if not isinstance(held, dict):
        raise EngineError(f"{file} is not an OFA checkpoint: it holds no weights by name.")
    return held.get("model", held)


def sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes of the model some weights are of, by the names of config.json; a fairseq file has no such file beside.

    Raises:
        KeyError: a part is missing.
    """

    def count(stem: str) -> int:
        begin = f"{stem}."
        return 1 + max(int(name[len(begin) :].split(".")[0]) for name in state if name.startswith(begin))

    made: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        made[f"{side}_layers"] = count(f"{side}.layers")
        made[f"{side}_attention_heads"] = len(state[f"{side}.layers.0.self_attn.c_attn"])
        made[f"{side}_ffn_dim"] = len(state[f"{side}.layers.0.fc1.weight"])
    blocks = tuple(count(f"encoder.embed_images.layer{stage}") for stage in (1, 2, 3))
    made["resnet_type"] = next((name for name, trunk in TRUNKS.items() if trunk == blocks), f"{blocks} blocks")
    vocabulary, width = state["encoder.embed_tokens.weight"].shape
    return {
        **made,
        "vocab_size": vocabulary,
        "d_model": width,
        "max_position_embeddings": len(state["encoder.embed_positions.weight"]) - 2,
        "token_bucket_size": (len(state["encoder.token_rel_pos_table_list.0.weight"]) + 1) // 2,
        "image_bucket_size": round((len(state["encoder.embed_image_positions.weight"]) - 1) ** 0.5),
    }
