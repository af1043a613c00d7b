"""Qwen3-VL-Reranker as an engine: ranks the slices of a volume, and judges statements by the same score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from radfind.engines import selection
from radfind.engines.api import Context
from radfind.engines.qwen3vl import memory, search
from radfind.engines.qwen3vl.documents import CLIP_FPS, FACTOR, Clip, Image, Seen, smart_size
from radfind.engines.qwen3vl.scorer import Query, Scorer
from radfind.engines.qwen3vl.template import instruction_for
from radfind.engines.qwen3vl.vision_cache import VisionCache
from radfind.engines.slice_images import SlicePictures, presets_for
from radfind.engines.statements import Statement, statements, to_look_for
from radfind.imaging.cine import frame_rate
from radfind.language.concepts import Concept
from radfind.language.reader import read
from radfind.prompts import TextPrompt
from radfind.results import Answer, Evidence, Ranking, Verdict
from radfind.volume import Volume

NAME = "qwen3vl"

YES, NO = 0.6, 0.4
"""A statement's pooled score is "yes" from here up, "no" from there down, "maybe" between. The model was
trained to rank, not to give probabilities: these limits are a convention, not a calibration."""

PROMPT_TOKENS = 160
"""About what instruction, query and template take."""

Part: TypeAlias = tuple[int, ...]
"""Indices of slices seen together: one makes an image, several (a second apart) a clip."""

MOST_QUERIES = 16
"""A report with more statements than this is ranked by its first ones (and the result says so)."""


class QwenEngine:
    """Runs in a worker process (`radfind.engines.host`); loads its weights at the first job.

    Arguments:
        folder: the weights.
        device, dtype, attention: as for `Scorer`.
        instruction: for rankings, a preset of `template.INSTRUCTIONS` or a free instruction; by default the preset for
            the volume's modality.
        windows: CT display presets, one (grey) or three (red, green, blue); by default those the text's
            concepts are best seen in.
        neighbours: so many slices on either side are shown in the same document as further images.
        clip_seconds: of a cine loop that states its frame rate, so many seconds on either side of a frame are shown
            with it as one clip, at a frame a second; 0 shows frames alone.
        batch_size: documents at a time; by default as many as the device's free memory holds (`memory`). Halved
            when memory runs out all the same.
        cache_bytes, cache_on_host: of the vision cache, which takes `memory.CACHED` of the free memory at most.
        coarse: score a grid of slices first and then only around its best; by default on the CPU for more
            than 32 slices. Not exact, and said in the result.
        explain: for so many of the best slices, where on the slice the score comes from.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "cpu",
        dtype: str | None = None,
        attention: str = "sdpa",
        instruction: str | None = None,
        windows: tuple[str, ...] | None = None,
        neighbours: int = 0,
        clip_seconds: int = 0,
        batch_size: int | None = None,
        cache_bytes: int = 4 << 30,
        cache_on_host: bool = False,
        coarse: bool | None = None,
        explain: int = 3,
    ) -> None:
        self._folder = Path(folder)
        self._device, self._dtype, self._attention = device, dtype, attention
        self._instruction = instruction
        self._windows = windows
        self._neighbours = neighbours
        self._clip = clip_seconds
        self._sized = batch_size is None  # by the free memory, for each question anew
        self._most = batch_size or memory.MOST
        self._batch = 0  # of the question under way
        self._coarse = coarse
        self._explain = explain
        self._scorer: Scorer | None = None
        self.cache = VisionCache(cache_bytes, on_host=cache_on_host)

    def shrink(self) -> str | None:
        """After an out-of-memory: halve the batch; what to tell the user, or None at the smallest."""
        if self._batch <= 1:
            return None
        self._most = self._batch // 2
        self.cache.clear()
        return f"ran with batches of {self._most} slices: memory was not enough for more"

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
        """Slices by how well they show what the text claims.

        A text of several claims is asked claim by claim; a slice's score is that of the claim it shows best.
        What the text denies is not looked for.

        Raises:
            ImageError: a slice holds no image.
            PromptError: a claim is longer than the model reads.
        """
        reading = read(prompt.text)
        asked = to_look_for(reading)
        notes = []
        if len(asked) > MOST_QUERIES:
            notes.append(f"only the first {MOST_QUERIES} of {len(asked)} statements were looked for")
            asked = asked[:MOST_QUERIES]
        coarse = self._is_coarse(volume)
        if coarse:
            notes.append(
                f"one slice in {search.STRIDE} was scored first and then those around the best; a finding on few "
                "slices may be missed, and the scores of the other slices are interpolated"
            )
        instruction = self._instruction or instruction_for(volume.modality)
        rows, scored = [], set()
        for index, statement in enumerate(asked):
            share = context.part(0.9 * index / len(asked), 0.9 * (index + 1) / len(asked))
            query, pictures = self._ask(volume, statement, instruction, share)
            row, done = self._scores(query, pictures, coarse, share)
            rows.append(row)
            scored.update(done)
        table = np.stack(rows)
        scores = table.max(axis=0)

        def evidence(rank: int, k: int) -> tuple[Evidence, ...]:
            statement = asked[int(table[:, k].argmax())]
            if rank > self._explain:
                text = f"Score {scores[k]:.2f} for '{statement.span.text}'."
                return (Evidence(text, statement.span, _concept(statement), slices=(k, k)),)
            context.step(0.9 + 0.1 * (rank - 1) / max(self._explain, 1), "where the score comes from")
            return (self._look(volume, statement, k, float(scores[k]), instruction, context),)

        return Ranking(
            selection.bookmarks(
                volume, scores, top_k=top_k, threshold=threshold, spread=spread, candidates=scored, evidence=evidence
            ),
            scores,
            findings=reading.findings,
            engine=NAME,
            notes=tuple(notes),
        )

    def verify(self, volume: Volume, prompt: TextPrompt, *, context: Context) -> tuple[Verdict, ...]:
        """One verdict for each statement: the best slice's score decides.

        A thing is there if any slice shows it, so slices are pooled by their maximum; a denial is judged by
        asking for the thing denied.
        """
        asked = statements(read(prompt.text))
        verdicts = []
        for index, statement in enumerate(asked):
            share = context.part(index / len(asked), (index + 1) / len(asked))
            query, pictures = self._ask(volume, statement, "statement", share, statement.english)
            scores, done = self._scores(query, pictures, self._is_coarse(volume), share)
            best = max(done, key=lambda k: scores[k])
            looked = self._look(volume, statement, best, float(scores[best]), "statement", share, statement.english)
            verdicts.append(_verdict(statement, float(scores[best]), best, looked))
        return tuple(verdicts)

    def _batch_for(self, pictures: SlicePictures) -> int:
        assert self._scorer is not None
        if not self._sized:
            return self._most
        height, width = smart_size(*pictures.volume.geometry.shape[1:])
        patches = sum((len(part) + 1) // 2 for part in self._document(pictures, len(pictures) // 2))
        tokens = height * width // FACTOR**2 * patches + PROMPT_TOKENS
        free = memory.free_bytes(self._device)
        fits = memory.batch_size(self._scorer.model.config, tokens, self._scorer.dtype.itemsize, free)
        return min(fits, self._most)

    def _is_coarse(self, volume: Volume) -> bool:
        count = volume.geometry.shape[0]
        if self._coarse is None:
            return self._device == "cpu" and count > 32
        return self._coarse and count > 2 * search.STRIDE

    def _load(self, context: Context) -> Scorer:
        if self._scorer is None:
            context.step(0.0, "loading the model")
            self._scorer = Scorer(self._folder, device=self._device, dtype=self._dtype, attention=self._attention)
            kept_on = "cpu" if self.cache.on_host else self._device
            self.cache.bound(int(memory.CACHED * memory.free_bytes(kept_on)))
        return self._scorer

    def _ask(
        self, volume: Volume, statement: Statement, instruction: str, context: Context, text: str | None = None
    ) -> tuple[Query, SlicePictures]:
        scorer = self._load(context)
        presets = self._windows or presets_for([statement.window] if statement.window else [])
        pictures = SlicePictures(volume, presets)
        self._batch = self._batch_for(pictures)
        return scorer.query(text or statement.span.text.strip(), instruction), pictures

    def _scores(
        self, query: Query, pictures: SlicePictures, coarse: bool, context: Context
    ) -> tuple[npt.NDArray[np.float64], list[int]]:
        done = 0
        expected = len(pictures) // 2 if coarse else len(pictures)

        def score(indices: Sequence[int]) -> npt.NDArray[np.float64]:
            nonlocal done
            parts = [np.zeros(0)]
            for start in range(0, len(indices), self._batch):
                context.step(done / expected, f"slice {done} of {expected}")
                batch = indices[start : start + self._batch]
                parts.append(self._score_batch(query, pictures, batch))
                done += len(batch)
            return np.concatenate(parts)

        return (search.coarse_to_fine if coarse else search.exhaustive)(len(pictures), score)

    def _score_batch(self, query: Query, pictures: SlicePictures, batch: Sequence[int]) -> npt.NDArray[np.float64]:
        assert self._scorer is not None
        documents = [self._document(pictures, k) for k in batch]
        seen = self._see(pictures, sorted({part for document in documents for part in document}))
        return self._scorer.score(query, [[seen[part] for part in document] for document in documents])

    def _document(self, pictures: SlicePictures, k: int) -> list[Part]:
        """What is shown for slice k: it and its neighbours in order, or one clip around it."""
        count = len(pictures)
        rate = frame_rate(pictures.volume) if self._clip else None
        if rate is not None:
            times = (k + round(second * rate / CLIP_FPS) for second in range(-self._clip, self._clip + 1))
            return [tuple(n for n in times if 0 <= n < count)]
        return [(n,) for n in range(k - self._neighbours, k + self._neighbours + 1) if 0 <= n < count]

    def _see(self, pictures: SlicePictures, parts: Sequence[Part]) -> dict[Part, Seen]:
        assert self._scorer is not None
        keys = {part: b"".join(pictures.key(k) for k in part) for part in parts}
        seen = {part: found for part, key in keys.items() if (found := self.cache.get(key)) is not None}
        missing = [part for part in parts if part not in seen]
        for start in range(0, len(missing), self._batch):  # neighbours make it more than one batch
            group = missing[start : start + self._batch]
            for part, made in zip(group, self._scorer.see([_shown(pictures, part) for part in group]), strict=True):
                self.cache.put(keys[part], made)
                seen[part] = made
        return seen

    def _look(
        self,
        volume: Volume,
        statement: Statement,
        k: int,
        score: float,
        instruction: str,
        context: Context,
        text: str | None = None,
    ) -> Evidence:
        """Where on slice k the score comes from."""
        query, pictures = self._ask(volume, statement, instruction, context, text)
        assert self._scorer is not None
        heat = self._scorer.explain(query, Image(pictures.picture(k)))
        _, rows, columns = volume.geometry.shape
        center = None
        if heat.any():
            j, i = divmod(int(heat.argmax()), heat.shape[1])
            center = (float(k), (j + 0.5) * rows / heat.shape[0] - 0.5, (i + 0.5) * columns / heat.shape[1] - 0.5)
        return Evidence(
            f"Score {score:.2f} for '{statement.span.text}'; the marked place speaks most for it.",
            statement.span,
            _concept(statement),
            slices=(k, k),
            center_kji=center,
            values={"score": score},
            heat=heat,
        )


def _shown(pictures: SlicePictures, part: Part) -> Image | Clip:
    if len(part) == 1:
        return Image(pictures.picture(part[0]))
    return Clip(np.stack([pictures.picture(k) for k in part]), CLIP_FPS)


def _concept(statement: Statement) -> Concept | None:
    return statement.finding.concept if statement.finding else None


def _verdict(statement: Statement, score: float, k: int, looked: Evidence) -> Verdict:
    shown = f"slice {k} fits '{statement.english}' best, with a score of {score:.2f} of 1"
    limits = f"(from {YES} taken as shown, up to {NO} as not shown; a ranking score, not a probability)"
    answer: Answer = "maybe"
    confidence = 1 - 2 * abs(score - 0.5)
    code = "hedged" if statement.finding is not None and statement.finding.presence == "uncertain" else "vague"
    if score >= YES:
        answer, code = ("no", "found_though_denied") if statement.denied else ("yes", "supported")
        confidence = score
    elif score <= NO:
        answer, code = ("yes", "supported") if statement.denied else ("no", "not_found")
        confidence = 1 - score
    return Verdict(
        statement.span,
        answer,
        confidence,
        f"Of all slices looked at, {shown} {limits}.",
        code,
        statement.finding,
        (looked,),
        NAME,
    )
