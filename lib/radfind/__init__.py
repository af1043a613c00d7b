"""RadFind: connects what a radiologist says to what the scan shows.

    import radfind

    volume = radfind.load("ct-folder")
    ranking = radfind.rank(volume, "part-solid nodule in the right apex")
    verdicts = radfind.verify(volume, "Large right pneumothorax.")
    segmentation = radfind.segment(volume, "both lungs")

Research software, not a medical device.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["load", "rank", "read", "segment", "verify"]

if TYPE_CHECKING:
    from radfind.engines.api import Context
    from radfind.language.findings import Reading
    from radfind.prompts import Prompt
    from radfind.results import Ranking, Segmentation, Verdict
    from radfind.volume import Volume


def load(path: str | Path | Sequence[str | Path], *, series: str | None = None) -> Volume:
    """Read a DICOM folder, file list or zip, or a NIfTI, NRRD, MHA, PNG or JPEG file. See `radfind.imaging.load`."""
    from radfind.imaging import load as _load

    return _load(path, series=series)


def read(text: str) -> Reading:
    """Turn a phrase or a report into findings. See `radfind.language.reader.read`."""
    from radfind.language.reader import read as _read
    from radfind.prompts import TextPrompt

    return _read(TextPrompt(text).text)


def rank(
    volume: Volume,
    text: str,
    *,
    engine: str = "auto",
    top_k: int = 10,
    threshold: float = 0.0,
    spread: bool = True,
    context: Context | None = None,
) -> Ranking:
    """Slices that show what `text` says, best first; scores in [0, 1]. `spread` keeps neighbours apart."""
    import dataclasses

    from radfind.engines.api import Context
    from radfind.engines.registry import choose
    from radfind.prompts import TextPrompt

    prompt = TextPrompt(text)
    ranker, chosen = choose(engine, "rank")
    result = ranker.rank(volume, prompt, top_k=top_k, threshold=threshold, spread=spread, context=context or Context())
    return dataclasses.replace(result, engine=chosen)


def verify(volume: Volume, text: str, *, engine: str = "auto", context: Context | None = None) -> tuple[Verdict, ...]:
    """Yes, no or maybe for each statement of `text`, in reading order, with the reason."""
    import dataclasses

    from radfind.engines.api import Context
    from radfind.engines.registry import choose
    from radfind.prompts import TextPrompt

    prompt = TextPrompt(text)
    verifier, chosen = choose(engine, "verify")
    verdicts = verifier.verify(volume, prompt, context=context or Context())
    return tuple(dataclasses.replace(verdict, engine=chosen) for verdict in verdicts)


def segment(
    volume: Volume, prompts: str | Prompt | Sequence[Prompt], *, engine: str = "auto", context: Context | None = None
) -> Segmentation:
    """Outline what the prompts ask for; a plain string is a text prompt."""
    import dataclasses

    from radfind.engines.api import Context
    from radfind.engines.registry import choose
    from radfind.prompts import TextPrompt

    if isinstance(prompts, str):
        prompts = [TextPrompt(prompts)]
    elif not isinstance(prompts, Sequence):
        prompts = [prompts]
    segmenter, chosen = choose(engine, "segment")
    result = segmenter.segment(volume, list(prompts), context=context or Context())
    return dataclasses.replace(result, engine=chosen)
