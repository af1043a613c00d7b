"""How many documents fit into the device's free memory at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

MOST = 32
"""Larger batches are no faster: with hundreds of tokens a document the device is already full."""

USED = 0.5
"""Share of the free memory a batch may be expected to take. The estimate counts what is alive at once and knows
nothing of fragments and work space; where it is too high all the same, the batch is halved after the failure."""

CACHED = 0.4
"""Share of the free memory, beside that, for what the vision encoder made of slices."""


def batch_size(config: Any, tokens: int, itemsize: int, free: int) -> int:
    """Documents in one batch.

    Arguments:
        config: of the model (`Qwen3VLConfig`).
        tokens: of one document with its prompt.
        itemsize: bytes of a number.
        free: bytes, from `free_bytes`.
    """
    return int(min(max(USED * free // (tokens * bytes_per_token(config, itemsize)), 1), MOST))


def bytes_per_token(config: Any, itemsize: int) -> int:
    """What one token of a document takes at the most.

    While language runs: keys and values of every layer, the vision features, and inside one layer the residual
    stream, queries, keys, values and attention output (8 widths) and the two inner vectors of the feed-forward part
    and their product. While vision runs: the same inside one layer for the 4 patches of a token, and their pixels
    in float32 (twice: before and after they are put in order).
    """
    text, vision = config.text_config, config.vision_config
    kept = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim
    features = (1 + len(vision.deepstack_visual_indexes)) * text.hidden_size
    language = (kept + features + 8 * text.hidden_size + 3 * text.intermediate_size) * itemsize
    pixels = 4 * vision.patch_size**2 * 3 * vision.temporal_patch_size
    seeing = 4 * (8 * vision.hidden_size + 2 * vision.intermediate_size) * itemsize + 2 * pixels * 4
    return max(language, seeing)


def free_bytes(device: str) -> int:
    """Memory that can still be had on a device ("cpu", "cuda:0" ...), in bytes."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        # What torch holds in reserve can be used as well.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
