"""A tiny random checkpoint of Qwen3-VL-Reranker's true architecture, and the published formula written straight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip


def write_checkpoint(
    folder: Path, *, seed: int = 0, text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None
) -> Path:
    """Save config, weights, tokenizer and preprocessing settings; sizes can be changed with `text`, `vision`."""
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokenizer = _tokenizer()
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    text_config = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 16384,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6,
                            "mrope_section": [2, 1, 1], "mrope_interleaved": True},
        **(text or {}),
    }  # fmt: skip
    vision_config = {
        "depth": 4, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "patch_size": 16,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": text_config["hidden_size"],
        "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1, 2], **(vision or {}),
    }  # fmt: skip
    config = Qwen3VLConfig(
        text_config=text_config,
        vision_config=vision_config,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config)
    with torch.no_grad():  # larger than the usual start, so that scores differ clearly
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                width = 32 / text_config["hidden_size"]  # wider models add up more terms
                parameter.normal_(0, (0.3 if "lm_head" in name else 0.12) * width**0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({
            "image_processor_type": "Qwen2VLImageProcessor", "patch_size": 16, "temporal_patch_size": 2,
            "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
            "size": {"shortest_edge": 4096, "longest_edge": 1 << 24},
        })
    )  # fmt: skip
    return folder


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[]
    )
    bpe.train_from_iterator(["yes no lung nodule :< Document Query Instruct 结节 右肺"] * 4, trainer)
    bpe.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    bpe.add_tokens(["yes", "no"])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<|endoftext|>", eos_token="<|im_end|>")


def straight_score(
    folder: Path,
    instruct: str,
    query: str,
    images: list[np.ndarray],
    text: str = "",
    clip: tuple[np.ndarray, list[float]] | None = None,
) -> float:
    """The published formula: one document, whole prompt, library preprocessing and forward, softmax over yes / no."""
    import torch
    from transformers import AutoTokenizer, Qwen2VLImageProcessorPil, Qwen3VLForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = Qwen3VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    processor = Qwen2VLImageProcessorPil(
        patch_size=16, merge_size=2, temporal_patch_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3, do_resize=False
    )
    document = ""
    inputs: dict[str, Any] = {}
    if clip is not None:
        frames, seconds = clip
        # A frame pair is one temporal patch: build it from the single-frame patches of the library.
        single = [processor(images=[frame], return_tensors="pt") for frame in frames]
        pixels = [one["pixel_values"].reshape(-1, 3, 2, 16, 16) for one in single]
        pairs = [
            torch.stack([a[:, :, 0], b[:, :, 0]], 2).flatten(1) for a, b in zip(pixels[::2], pixels[1::2], strict=True)
        ]
        grid = single[0]["image_grid_thw"][0].clone()
        grid[0] = len(pairs)
        inputs |= {"pixel_values_videos": torch.cat(pairs), "video_grid_thw": grid[None]}
        each = int(grid[1] * grid[2]) // 4
        for a, b in zip(seconds[::2], seconds[1::2], strict=True):
            document += f"<{(a + b) / 2:.1f} seconds><|vision_start|>{'<|video_pad|>' * each}<|vision_end|>"
    if images:
        batch = processor(images=images, return_tensors="pt")
        inputs |= {"pixel_values": batch["pixel_values"], "image_grid_thw": batch["image_grid_thw"]}
        for _, h, w in batch["image_grid_thw"].tolist():
            document += f"<|vision_start|>{'<|image_pad|>' * (h * w // 4)}<|vision_end|>"
    document += text
    prompt = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: '
        f"{instruct}<Query>:{query}\n<Document>:{document}<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    kinds = (ids == model.config.image_token_id).int() + 2 * (ids == model.config.video_token_id).int()
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=kinds, **inputs).logits
    pair = logits[0, -1, [tokenizer.convert_tokens_to_ids("no"), tokenizer.convert_tokens_to_ids("yes")]]
    return float(torch.softmax(pair, 0)[1])
