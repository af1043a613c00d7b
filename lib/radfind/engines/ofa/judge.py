"""Yes, no or maybe for pairs of a picture and a statement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from radfind.engines.ofa import text
from radfind.errors import EngineError

if TYPE_CHECKING:
    import torch


class Judge:
    """OFA, base or large, trained for visual entailment.

    Arguments:
        folder: the checkpoint.
        device: "cpu", "cuda:0" ...
        dtype: by default float32 on the CPU, float16 on a GPU (as published).
        prompt_type: "none" (the decoder begins empty) or "prev_output" (it is given the question again, as
            OFA-large was trained); by default what the checkpoint's configuration says, else "prev_output".
        keep_aspect: see `text.picture`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "cpu",
        dtype: str | None = None,
        prompt_type: str | None = None,
        keep_aspect: bool = False,
    ) -> None:
        import torch

        from radfind.engines.ofa import checkpoint

        model, settings = checkpoint.load(folder)
        self.device = torch.device(device)
        self.dtype = getattr(torch, dtype or ("float16" if device.startswith("cuda") else "float32"))
        self.model = model.to(self.device, self.dtype)
        self.prompt_type = prompt_type or settings.get("prompt_type") or "prev_output"
        if self.prompt_type not in ("none", "prev_output"):
            raise EngineError(f"OFA's prompt type is 'none' or 'prev_output', not {self.prompt_type!r}.")
        self.keep_aspect = keep_aspect
        self.tokenizer = text.Tokenizer(folder)
        answers = [self.tokenizer.encode(word) for word in text.ANSWERS.values()]
        if any(len(ids) != 1 for ids in answers):
            raise EngineError(f"{folder}: vocab.json and merges.txt are not OFA's: an answer is not a single token.")
        self.answers = torch.tensor([ids[0] for ids in answers], device=self.device)

    def see(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """What the image trunk makes of pictures (rows, columns, 3) of one size; reusable for any statement."""
        import torch

        batch = np.stack([text.picture(pixels, keep_aspect=self.keep_aspect) for pixels in pictures])
        with torch.no_grad():
            patches, places = self.model.see(torch.from_numpy(batch).to(self.device, self.dtype))
        return [(row, places) for row in patches]

    def answer(
        self, seen: Sequence[tuple[torch.Tensor, torch.Tensor]], hypotheses: Sequence[str], premise: str | None = None
    ) -> npt.NDArray[np.float64]:
        """Probabilities (n, 3) of no, yes, maybe for n pairs; the pictures have one size."""
        import torch

        config = self.model.config
        sources = [
            [config.bos_token_id, *self.tokenizer.encode(text.question(hypothesis, premise)), config.eos_token_id]
            for hypothesis in hypotheses
        ]
        prompts = [ids[:-1] if self.prompt_type == "prev_output" else [config.bos_token_id] for ids in sources]
        tokens, prompt = (self._padded(rows) for rows in (sources, prompts))
        with torch.no_grad():
            states = self.model.states(tokens, torch.stack([row for row, _ in seen]), seen[0][1], prompt)
            last = states[torch.arange(len(prompts)), torch.tensor([len(ids) - 1 for ids in prompts])]
            probabilities = self.model.logits(last, self.answers).float().softmax(dim=-1)
        return probabilities.cpu().numpy().astype(np.float64)

    def _padded(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        import torch

        width = max(len(row) for row in rows)
        padded = torch.full((len(rows), width), self.model.config.pad_token_id)
        for index, row in enumerate(rows):
            padded[index, : len(row)] = torch.tensor(row)
        return padded.to(self.device)
