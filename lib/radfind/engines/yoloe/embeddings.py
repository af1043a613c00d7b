"""What YOLOE looks for, as vectors: words through a text encoder, and concepts taught by example. Both are kept."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radfind.errors import EngineError

Vectors = npt.NDArray[np.float32]


def ensemble(vectors: Vectors) -> Vectors:
    """One class vector (d,) of several (n, d): the mean of their directions, of length 1.

    Prompt ensembling as in CLIP (Radford et al., ICML 2021, section 3.1.4).
    """
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    mean = unit.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)


class TextEmbeddings:
    """Features of words, from disk if known there, else from the encoder.

    Arguments:
        folder: where they are kept, one small file for each word, so that a machine without the text encoder
            (and without its weights) can use what another computed.
        model: name of the weights; another model has another encoder.
        encoder: ``"module:callable"`` taking a list of words and giving (n, d) features; None for the
            published MobileCLIP, if its package and weights are here.
        weights: the folder with the published encoder's ``mobileclip*.ts``.
    """

    def __init__(self, folder: Path, model: str, encoder: str | None, weights: Path) -> None:
        self._folder = folder / urllib.parse.quote(model, safe="")
        self._encoder, self._weights = encoder, weights
        self._loaded: Callable[[list[str]], Vectors] | None = None

    def get(self, words: Sequence[str]) -> Vectors:
        """(n, d) features.

        Raises:
            EngineError: a word is not known here and there is no encoder.
        """
        missing = [word for word in dict.fromkeys(words) if not self._file(word).is_file()]
        if missing:
            made = self._load(missing)(missing)
            self._folder.mkdir(parents=True, exist_ok=True)
            for word, vector in zip(missing, made, strict=True):
                np.save(self._file(word), np.asarray(vector, dtype=np.float32))
        return np.stack([np.load(self._file(word), allow_pickle=False) for word in words])

    def _file(self, word: str) -> Path:
        return self._folder / f"{hashlib.sha256(word.encode()).hexdigest()[:32]}.npy"

    def _load(self, words: Sequence[str]) -> Callable[[list[str]], Vectors]:
        if self._loaded is not None:
            return self._loaded
        if self._encoder is not None:
            module, _, name = self._encoder.partition(":")
            self._loaded = getattr(importlib.import_module(module), name)
            return self._loaded
        found = sorted(self._weights.glob("mobileclip*.ts"))
        if not found or importlib.util.find_spec("clip") is None:
            raise EngineError(
                f"YOLOE has no vectors for {', '.join(map(repr, words[:3]))}: its text encoder is not here. "
                f"Put mobileclip_blt.ts (mobileclip2_b.ts for the 26 family) into {self._weights} and install the "
                f"package clip, or copy the vectors another machine computed into {self._folder}, or show an example "
                "instead of a word."
            )
        self._loaded = _mobileclip(found[0])
        return self._loaded


def _mobileclip(file: Path) -> Callable[[list[str]], Vectors]:
    import clip
    import torch

    model = torch.jit.load(str(file), map_location="cpu").eval()

    def encode(words: list[str]) -> Vectors:
        with torch.no_grad():
            features = model(clip.tokenize(words, truncate=True))
            return np.asarray(torch.nn.functional.normalize(features.float(), dim=-1), dtype=np.float32)

    return encode


class ConceptBank:
    """Concepts taught by example, kept on disk: every example's vector, averaged when used.

    Arguments:
        folder: where they are kept.
        model: name of the weights; another model has other vectors.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self._folder = folder / urllib.parse.quote(model, safe="")

    def add(self, name: str, vectors: Vectors) -> int:
        """Add examples (n, d) to a concept, new or known; how many it has now. Nothing is overwritten."""
        known = self._examples(name)
        together = vectors if known is None else np.concatenate([known, vectors])
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._file(name).with_suffix(".part.npy")
        np.save(partial, together.astype(np.float32))
        partial.replace(self._file(name))
        return len(together)

    def get(self, name: str) -> Vectors | None:
        """The concept's vector (d,), or None when it was never taught."""
        known = self._examples(name)
        return None if known is None else ensemble(known)

    def names(self) -> tuple[str, ...]:
        files = sorted(self._folder.glob("*.npy")) if self._folder.is_dir() else []
        return tuple(urllib.parse.unquote(file.stem) for file in files if not file.name.endswith(".part.npy"))

    def _file(self, name: str) -> Path:
        return self._folder / f"{urllib.parse.quote(name.strip().lower(), safe='')}.npy"

    def _examples(self, name: str) -> Vectors | None:
        file = self._file(name)
        return np.load(file, allow_pickle=False) if file.is_file() else None
