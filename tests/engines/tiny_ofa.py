"""Tiny OFA with weights anyone can make again: each parameter drawn from a generator seeded by its name.

How `REFERENCE` was made: ModelScope's port (modelscope/models/multi_modal/ofa/modeling_ofa.py, repository
modelscope/modelscope; `vit` and `fairseq` imports, which this variant does not use, stubbed out) was built with
`SETTINGS`, given the weights of `weights()`, put in eval mode, and called with the inputs of `inputs()`:
``model(input_ids=tokens, patch_images=images, patch_masks=ones, decoder_input_ids=prompt).logits``.
Stored are the logits of the tokens `SHOWN` at each row's last prompt position. torch 2.15, float32, CPU.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

SETTINGS: dict[str, Any] = {
    "vocab_size": 120, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "resnet_type": "resnet50",
    "token_bucket_size": 8, "image_bucket_size": 8, "max_position_embeddings": 64,
}  # fmt: skip

SHOWN = [17, 42, 85]


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A value for every parameter: larger than a usual start, so that every part matters."""
    made = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        value = rng.standard_normal(shape)
        if name.endswith("running_var"):
            value = 0.5 + rng.random(shape)
        elif "embed_tokens" in name:
            value *= 0.5
        elif len(shape) == 4:
            value *= (2 / np.prod(shape[1:])) ** 0.5
        elif len(shape) == 2 and "table" not in name and "embed" not in name:
            value *= shape[1] ** -0.5
        elif len(shape) == 1:
            value = value * 0.1 + float(
                "norm.weight" in name
                or "_ln.weight" in name
                or "c_attn" in name
                or (".bn" in name and name.endswith("weight"))
                or "downsample.1.weight" in name
                or "layernorm_embedding.weight" in name
            )
        made[name] = value.astype(np.float32)
    return made


def inputs() -> dict[str, dict[str, np.ndarray]]:
    """Named cases: tokens (n, m) padded with 1, images (n, 3, rows, columns), prompt (n, p) padded with 1."""
    rng = np.random.default_rng(7)
    images = rng.standard_normal((2, 3, 96, 64)).astype(np.float32)
    tokens = rng.integers(3, 120, (2, 20))
    tokens[:, 0], tokens[:, -1] = 0, 2
    short = tokens.copy()
    short[1, 12], short[1, 13:] = 2, 1
    bos = np.zeros((2, 1), np.int64)
    prompt = short[:, :-1].copy()
    prompt[1, 12:] = 1
    return {
        "no padding, begin token": {"tokens": tokens, "images": images, "prompt": bos},
        "no padding, source as prompt": {"tokens": tokens, "images": images, "prompt": tokens[:, :-1]},
        "padded, begin token": {"tokens": short, "images": images, "prompt": bos},
        "padded, source as prompt": {"tokens": short, "images": images, "prompt": prompt},
    }


def last(prompt: np.ndarray) -> np.ndarray:
    """Each row's last real position in the prompt."""
    return (prompt != 1).sum(axis=1) - 1


REFERENCE: dict[str, list[list[float]]] = {
    "no padding, begin token": [
        [1.551817774772644, 2.064739227294922, -4.376703262329102],
        [1.5034905672073364, 1.9729026556015015, -4.306375503540039],
    ],
    "no padding, source as prompt": [
        [2.903376817703247, 1.6091620922088623, -1.2998991012573242],
        [1.6445530652999878, 6.39902925491333, 0.8788132071495056],
    ],
    "padded, begin token": [
        [1.551817774772644, 2.064739227294922, -4.376703262329102],
        [1.4281917810440063, 1.844098687171936, -4.550879955291748],
    ],
    "padded, source as prompt": [
        [2.903376817703247, 1.6091620922088623, -1.2998991012573242],
        [-2.151261806488037, 2.8297886848449707, -1.1140815019607544],
    ],
}


def write_checkpoint(folder: Any, *, prompt_type: str = "prev_output", fairseq: bool = False) -> Any:
    """A checkpoint folder with a tiny vocabulary in which the answers are single tokens.

    `fairseq` makes what its trainer saves: the arguments of the training and its best score beside the weights, and no
    config.json.
    """
    import argparse
    import json

    import torch
    from safetensors.torch import save_file
    from tokenizers.pre_tokenizers import ByteLevel

    from radfind.engines.ofa.model import OFA, Config

    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
    merges = []
    for word in ("Ġno", "Ġyes", "Ġmaybe"):
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append(f"{word[: end - 1]} {word[end - 1]}")
    settings = {**SETTINGS, "vocab_size": len(vocabulary), "max_position_embeddings": 256, "image_bucket_size": 42}
    model = OFA(Config.from_json(settings))
    state = {
        name: torch.from_numpy(value)
        for name, value in weights(
            {k: tuple(v.shape) for k, v in model.state_dict().items() if "tracked" not in k}
        ).items()
    }
    state.pop("decoder.embed_tokens.weight")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges))
    if fairseq:
        held = {
            "args": None,
            "cfg": {"model": argparse.Namespace(arch="ofa_base", encoder_layers=6)},
            "model": {_fairseq(name): value for name, value in state.items()} | {"encoder.version": torch.ones(1)},
            "extra_state": {"best": np.float64(0.89)},
        }
        torch.save(held, folder / "best.pt")
    else:
        (folder / "config.json").write_text(json.dumps(settings))
        (folder / "configuration.json").write_text(json.dumps({"model": {"prompt_type": prompt_type}}))
        save_file(state, folder / "model.safetensors")
    return folder


def _fairseq(name: str) -> str:
    """The name a parameter has in fairseq's OFA (models/ofa/unify_transformer_layer.py)."""
    side = name.split(".")[0]
    name = name.replace("cross_attn_mid_layer_norm", "cross_attn_ln").replace("ffn_layer_norm", "ffn_layernorm")
    name = name.replace("self_attn_mid_layer_norm", "attn_ln" if side == "encoder" else "self_attn_ln")
    return name.replace("cross_attn.", "encoder_attn.").replace("cross_attn_layer_norm", "encoder_attn_layer_norm")
