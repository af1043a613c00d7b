"""The built-in engine: text answered from CT voxels without weights."""

from __future__ import annotations

from collections.abc import Sequence

from radfind.engines.api import Context, EngineInfo
from radfind.engines.builtin.analysis import AnalysisCache
from radfind.engines.builtin.answering import Answerer
from radfind.engines.builtin.everything import segment_everything
from radfind.engines.builtin.prompted import Prompted
from radfind.engines.builtin.vocabulary import known_concepts
from radfind.engines.slice_images import MODALITIES
from radfind.language.lexicon import default_lexicon
from radfind.prompts import Prompt, TextPrompt
from radfind.results import Ranking, Segmentation, Verdict
from radfind.volume import Volume

NAME = "builtin"


class BuiltinEngine:
    """Segments, ranks and verifies from text on CT by looking for each finding in the voxels.

    Scans already analysed are kept (the last two), so that a second question about the same scan is quick.
    Safe to call from several threads.
    """

    def __init__(self) -> None:
        self._cache = AnalysisCache()
        self._prompted = Prompted(NAME)

    def info(self) -> EngineInfo:
        return EngineInfo(
            name=NAME,
            tasks=("segment", "rank", "verify"),
            modalities=MODALITIES,  # visual prompts and examples; text needs a CT, and a refusal says so
            prompts=(
                *("TextPrompt", "PointPrompt", "BoxPrompt", "LassoPrompt", "ScribblePrompt", "MaskPrompt"),
                *("ExemplarPrompt", "EverythingPrompt"),
            ),
            concepts=known_concepts(default_lexicon()),
            licence="Apache-2.0",
        )

    def segment(self, volume: Volume, prompts: Sequence[Prompt], *, context: Context) -> Segmentation:
        """Outline what the prompts name or mark. Clicks, boxes, scribbles and masks work on any modality, text on CT.

        Raises:
            NotSupportedError: no prompt can be answered at all, or the volume of a text prompt is not a CT.
            PromptError: nothing known could be read from the text, or a visual prompt is unusable.
            ImageError: the volume is too thin or empty.
        """
        texts = [prompt for prompt in prompts if isinstance(prompt, TextPrompt)]
        if texts and len(texts) == len(prompts):
            return self._answerer(volume, context).segment(texts)

        def everything() -> Segmentation:
            context.step(0.0, "reading the scan")
            return segment_everything(self._cache.get(volume), volume, default_lexicon(), context, NAME)

        return self._prompted.segment(
            volume, prompts, lambda t: self._answerer(volume, context).segment(t), everything, context
        )

    def rank(
        self,
        volume: Volume,
        prompt: TextPrompt,
        *,
        top_k: int = 10,
        threshold: float = 0.0,
        spread: bool = True,
        context: Context,
    ) -> Ranking:
        """The slices that show what the text claims, best first.

        A slice's score is the best, over findings and lesions, of: how sure the detector is of the lesion, times how
        well it fits the words (kind, side, place, size), times the share of its largest diameter seen on the slice.

        Raises:
            NotSupportedError, PromptError, ImageError: as `segment`.
        """
        return self._answerer(volume, context).rank(prompt, top_k=top_k, threshold=threshold, spread=spread)

    def verify(self, volume: Volume, prompt: TextPrompt, *, context: Context) -> tuple[Verdict, ...]:
        """One verdict for each statement read from the text, in reading order; one "vague" verdict when none is.

        Raises:
            NotSupportedError, ImageError: the volume is not a CT, too thin, or empty.
        """
        return self._answerer(volume, context).verify(prompt)

    def _answerer(self, volume: Volume, context: Context) -> Answerer:
        context.step(0.0, "reading the scan")
        return Answerer(self._cache.get(volume), volume, default_lexicon(), context, NAME)
