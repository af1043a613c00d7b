"""The exact score of Qwen3-VL-Reranker, several times faster than one document at a time.

score = sigmoid((W_yes - W_no) . h), h the last token's final hidden state, W the rows of the output
projection. The reference encodes instruction and query again for every document and every image again
for every query. Here the query's keys and values are computed once (prefix cache), the vision encoder's
output is kept by the caller (`Seen`), and documents run in batches; all three are exact.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from radfind.engines.qwen3vl import template
from radfind.engines.qwen3vl.documents import Clip, Image, Seen, document_text, frames_of, ordered, patches
from radfind.errors import EngineError, PromptError

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True, eq=False)
class Query:
    """A query with the keys and values of everything before the document.

    `ids` are the tokens of that prefix; `cache` holds (keys, values), each (1, heads, tokens, size), per layer.
    """

    instruct: str
    text: str
    ids: tuple[int, ...]
    cache: tuple[tuple[torch.Tensor, torch.Tensor], ...]


class Scorer:
    """Qwen3-VL-Reranker (2B, 8B) from a folder in the Hugging Face layout.

    Arguments:
        folder: config.json, tokenizer files, safetensors.
        device: "cpu", "cuda:0" ...
        dtype: "float32", "bfloat16" or "float16"; by default bfloat16 on a GPU that has it, float16 on one
            that has not, float32 on the CPU.
        attention: "sdpa", "flash_attention_2" (where installed) or "eager".

    Raises:
        EngineError: the folder does not hold such a model.
    """

    def __init__(self, folder: Path, *, device: str = "cpu", dtype: str | None = None, attention: str = "sdpa") -> None:
        import torch
        from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration

        self.device = torch.device(device)
        self.dtype = getattr(torch, dtype or best_dtype(device))
        try:
            whole = Qwen3VLForConditionalGeneration.from_pretrained(
                folder, dtype=self.dtype, attn_implementation=attention, local_files_only=True, use_safetensors=True
            )
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            vocabulary = self.tokenizer.get_vocab()
            yes, no = vocabulary["yes"], vocabulary["no"]
        except (OSError, ValueError, KeyError) as error:
            raise EngineError(f"{folder} does not hold a Qwen3-VL-Reranker: {error}") from error
        whole.requires_grad_(False)
        self.model = whole.model.eval().to(self.device)
        # In float32 whatever the model's type, so that near-equal scores keep their order; the reference
        # rounds score and weights to the model's type.
        weight = whole.lm_head.weight
        self.direction = (weight[yes].float() - weight[no].float()).to(self.device)
        mean, std = _normalisation(folder)
        self.mean = torch.tensor(mean, device=self.device)
        self.std = torch.tensor(std, device=self.device)

    def see(self, images: Sequence[Image | Clip]) -> list[Seen]:
        """Run the vision encoder over a batch of images and clips."""
        import torch

        framed = [frames_of(image) for image in images]
        grids = [_grid(frames) for frames, _ in framed]
        with torch.no_grad():
            made = self._encode([frames for frames, _ in framed], grids)
        return [Seen(features, grid, times) for features, grid, (_, times) in zip(made, grids, framed, strict=True)]

    def _encode(
        self, frames: Sequence[npt.NDArray[np.uint8]], grids: Sequence[tuple[int, int, int]]
    ) -> list[torch.Tensor]:
        import torch

        pixels = torch.cat(
            [patches(torch.from_numpy(np.array(part)).to(self.device), self.mean, self.std) for part in frames]
        )
        out = self.model.get_image_features(pixels.to(self.dtype), torch.tensor(grids, device=self.device))
        return [
            torch.stack([main, *deep]) for main, *deep in zip(out.pooler_output, *out.deepstack_features, strict=True)
        ]

    def query(self, text: str, instruct: str = "default") -> Query:
        """Read instruction and query once, for any number of documents.

        Raises:
            PromptError: they alone are longer than the model takes.
        """
        import torch
        from transformers import DynamicCache

        instruct = template.instruction(instruct)
        ids = self.tokenizer(template.prefix(instruct, text), add_special_tokens=False)["input_ids"]
        self._check_length(len(ids))
        cache: Any = DynamicCache(config=self.model.config.text_config)
        with torch.no_grad():
            self.model.language_model(
                input_ids=torch.tensor([ids], device=self.device), past_key_values=cache, use_cache=True
            )
        return Query(instruct, text, tuple(ids), tuple((layer.keys, layer.values) for layer in cache.layers))

    def score(self, query: Query, documents: Sequence[Sequence[Seen | str]]) -> npt.NDArray[np.float64]:
        """Scores in (0, 1) of a batch of documents, (n,)."""
        import torch

        with torch.no_grad():
            return torch.sigmoid(self.logits(query, documents)).cpu().numpy().astype(np.float64)

    def logits(
        self, query: Query, documents: Sequence[Sequence[Seen | str]], *, use_prefix: bool = True
    ) -> torch.Tensor:
        """Log-odds of "yes", (n,) float32; `use_prefix=False` runs the whole prompt, as a gradient needs it."""
        import torch
        from transformers import DynamicCache

        if not documents:
            return torch.zeros(0, device=self.device)
        documents = [ordered(parts) for parts in documents]
        rows = [self._tokens(query, parts) for parts in documents]
        # A document that begins with text may share a token with the prefix's end: keep what all agree on.
        shared = min(_common(query.ids, ids) for ids, _ in rows) if use_prefix else 0
        lengths = [len(ids) - shared for ids, _ in rows]
        # Padding stands on the right, where causal attention never looks from a real token.
        width = max(lengths)
        padded = torch.zeros((len(rows), width), dtype=torch.long)
        positions = torch.zeros((3, len(rows), width), dtype=torch.long)
        for row, (ids, places) in enumerate(rows):
            padded[row, : lengths[row]] = torch.tensor(ids[shared:])
            positions[:, row, : lengths[row]] = places[:, shared:]
        padded = padded.to(self.device)
        embedded = self.model.get_input_embeddings()(padded)
        config = self.model.config
        seen = [part.features for parts in documents for part in parts if not isinstance(part, str)]
        vision: dict[str, Any] = {}
        if seen:
            features = torch.cat([part.to(self.device) for part in seen], dim=1)
            at = (padded == config.image_token_id) | (padded == config.video_token_id)
            embedded = embedded.masked_scatter(at[..., None], features[0].to(embedded.dtype))
            vision = {"visual_pos_masks": at, "deepstack_visual_embeds": list(features[1:])}
        cache = None
        if shared:
            cache = DynamicCache(config=config.text_config)
            for layer, (keys, values) in enumerate(query.cache):
                cache.update(
                    keys[:, :, :shared].expand(len(rows), -1, -1, -1),
                    values[:, :, :shared].expand(len(rows), -1, -1, -1),
                    layer,
                )
        hidden = self.model.language_model(
            inputs_embeds=embedded,
            position_ids=positions.to(self.device),
            past_key_values=cache,
            use_cache=cache is not None,
            **vision,
        ).last_hidden_state
        last = hidden[torch.arange(len(rows)), torch.tensor(lengths) - 1]
        return last.float() @ self.direction

    def explain(self, query: Query, image: Image) -> npt.NDArray[np.float32]:
        """Which parts of an image speak for "yes": (patch rows, patch columns), non-negative, sum 1 (or all 0).

        Gradient x activation at the patch embedding, counted from the image's mean patch: to first order,
        by how much the log-odds would fall if a 16 x 16 patch were replaced by the image's average one.
        Taken there and not at the image tokens, because the encoder's attention has moved information
        between places by then; and one backward pass instead of hundreds of occluded images.
        """
        import torch

        frames, _ = frames_of(image)
        grid = _grid(frames)
        caught: list[torch.Tensor] = []

        def catch(module: Any, arguments: Any, output: torch.Tensor) -> torch.Tensor:
            caught.append(output.detach().requires_grad_())
            return caught[0]

        handle = self.model.visual.patch_embed.register_forward_hook(catch)
        try:
            with torch.enable_grad():
                seen = Seen(self._encode([frames], [grid])[0], grid)
                logit = self.logits(query, [[seen]], use_prefix=False)[0]
                (gradient,) = torch.autograd.grad(logit, caught[0])
        finally:
            handle.remove()
        activation = caught[0].detach().float()
        share = ((activation - activation.mean(0)) * gradient.float()).sum(-1).clamp(min=0)
        _, rows, columns = grid
        placed = share.reshape(rows // 2, columns // 2, 2, 2).permute(0, 2, 1, 3).reshape(rows, columns)
        total = placed.sum()
        return (placed / total if total > 0 else placed).cpu().numpy()

    def _tokens(self, query: Query, parts: Sequence[Seen | str]) -> tuple[list[int], torch.Tensor]:
        """Token ids of the whole prompt, and their (3, n) temporal, vertical, horizontal positions."""
        import torch

        text = template.prefix(query.instruct, query.text) + document_text(parts) + template.SUFFIX
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        self._check_length(len(ids))
        row = torch.tensor([ids])
        config = self.model.config
        kinds = (row == config.image_token_id).int() + 2 * (row == config.video_token_id).int()
        seen = [part for part in parts if not isinstance(part, str)]
        images = [part.grid for part in seen if part.times is None]
        clips = [part.grid for part in seen if part.times is not None]
        places, _ = self.model.get_rope_index(
            row,
            mm_token_type_ids=kinds,
            image_grid_thw=torch.tensor(images) if images else None,
            video_grid_thw=torch.tensor(clips) if clips else None,
        )
        return ids, places[:, 0]

    def _check_length(self, tokens: int) -> None:
        if tokens > template.MAX_LENGTH:
            raise PromptError(
                f"The text and images make {tokens:,} tokens; Qwen3-VL-Reranker reads at most {template.MAX_LENGTH:,}. "
                "Ask with one sentence instead of the whole report, or with fewer or smaller images."
            )


def best_dtype(device: str) -> str:
    """The model's number type for a device: see `Scorer`."""
    if not device.startswith("cuda"):
        return "float32"
    import torch

    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def _grid(frames: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    count, rows, columns, _ = frames.shape
    return max(1, count // 2), rows // 16, columns // 16


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning, short of the second's last token (which must be computed)."""
    length = 0
    for a, b in zip(first, second[:-1], strict=False):
        if a != b:
            break
        length += 1
    return length


def _normalisation(folder: Path) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the checkpoint's image preprocessing (published: 0.5, 0.5)."""
    path = folder / "preprocessor_config.json"
    settings = json.loads(path.read_text()) if path.is_file() else {}
    return settings.get("image_mean", [0.5] * 3), settings.get("image_std", [0.5] * 3)
