"""OFA's questions in words and tokens, and its pictures: as in its training for visual entailment (SNLI-VE)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAX_WORDS = 80
SIZE = 480
"""Pictures are squashed to SIZE x SIZE, as in training."""
LONG_EDGE = 384
"""The alternative for medical pictures: aspect kept, long edge so many pixels."""

ANSWERS = {"no": " no", "yes": " yes", "maybe": " maybe"}
"""Each answer is a single token, so one look at the decoder's next token decides; the same as a search
constrained to the three answers."""


def cleaned(text: str) -> str:
    """Lower case, leading punctuation off, hyphens and slashes as spaces, at most 80 words."""
    text = text.lower().lstrip(",.!?*#:;~").replace("-", " ").replace("/", " ").replace("<person>", "person")
    text = re.sub(r"\s{2,}", " ", text).rstrip("\n").strip(" ")
    words = text.split(" ")
    return " ".join(words[:MAX_WORDS])


def question(hypothesis: str, premise: str | None = None) -> str:
    """The published wording, without or with a text that goes with the picture."""
    if premise is None:
        return f' does the image describe " {cleaned(hypothesis)} "?'
    return f' can image and text1 " {cleaned(premise)} " imply text2 " {cleaned(hypothesis)} "?'


class Tokenizer:
    """Byte-level byte-pair encoding from vocab.json and merges.txt (GPT-2's, as BART uses it)."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer as Library
        from tokenizers.models import BPE
        from tokenizers.pre_tokenizers import ByteLevel

        self._library = Library(BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
        self._library.pre_tokenizer = ByteLevel(add_prefix_space=False)

    def encode(self, text: str) -> list[int]:
        """Token ids, without begin and end."""
        return self._library.encode(text, add_special_tokens=False).ids


def picture(pixels: npt.NDArray[np.uint8], *, keep_aspect: bool = False) -> npt.NDArray[np.float32]:
    """(3, rows, columns) in [-1, 1] of an RGB picture (rows, columns, 3), bicubic.

    With `keep_aspect` the long edge becomes `LONG_EDGE` and the other the nearest multiple of 16 that keeps
    the shape; else the picture is squashed to `SIZE` x `SIZE`.
    """
    from PIL import Image

    rows, columns = pixels.shape[:2]
    height = width = SIZE
    if keep_aspect:
        height, width = (max(16, round(n * LONG_EDGE / max(rows, columns) / 16) * 16) for n in (rows, columns))
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
    values = np.asarray(resized, dtype=np.float32) / 255
    return np.ascontiguousarray(((values - 0.5) / 0.5).transpose(2, 0, 1))
