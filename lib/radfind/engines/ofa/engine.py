"""OFA visual entailment as an engine: judges the statements of a text against the slices of a volume."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.engine import BuiltinEngine
from radfind.engines.ofa.judge import Judge
from radfind.engines.slice_images import SlicePictures, presets_for
from radfind.engines.statements import Statement, statements
from radfind.errors import ImageError, NotSupportedError, PromptError
from radfind.language.reader import read
from radfind.prompts import TextPrompt
from radfind.results import Answer, Evidence, Verdict
from radfind.volume import Volume

NAME = "ofa"

POOLED = 3
"""A statement is judged by the mean of its so many slices that say "yes" most clearly: what is there shows on
neighbouring slices, and one slice alone may be chance."""

_KINDS = {
    "CT": "a ct slice", "MR": "an mr slice", "PT": "a pet slice", "CR": "an x ray", "DX": "an x ray",
    "MG": "a mammogram", "US": "an ultrasound image", "ES": "an endoscopy image", "SM": "a pathology image",
}  # fmt: skip


class OfaEngine:
    """Runs in a worker process (`radfind.engines.host`); loads its weights at the first job.

    Arguments:
        folder: the weights.
        device, dtype, prompt_type, keep_aspect: as for `Judge`.
        premise: give the model the kind of image as the text that goes with the picture, as OFA-large was
            trained with a caption beside each picture.
        windows: CT display presets, one or three; by default those the statement's concept is best seen in.
        most_slices: so many slices are judged for each statement: the built-in engine's best for it where it
            knows the finding, filled up with evenly spaced ones.
        batch_size: pictures at a time; halved when memory runs out.
        cached: pictures whose features are kept (3.7 MB each for OFA-large in float32).
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "cpu",
        dtype: str | None = None,
        prompt_type: str | None = None,
        keep_aspect: bool = False,
        premise: bool = True,
        windows: tuple[str, ...] | None = None,
        most_slices: int = 24,
        batch_size: int = 8,
        cached: int = 400,
    ) -> None:
        self._folder = Path(folder)
        self._options = {"device": device, "dtype": dtype, "prompt_type": prompt_type, "keep_aspect": keep_aspect}
        self._premise = premise
        self._windows = windows
        self._most = most_slices
        self._batch = batch_size
        self._cached = cached
        self._judge: Judge | None = None
        self._seen: collections.OrderedDict = collections.OrderedDict()
        self._builtin = BuiltinEngine()

    def shrink(self) -> str | None:
        """After an out-of-memory: halve the batch; what to tell the user, or None at the smallest."""
        if self._batch == 1:
            return None
        self._batch //= 2
        self._seen.clear()
        return f"ran with batches of {self._batch} slices: memory was not enough for more"

    def verify(self, volume: Volume, prompt: TextPrompt, *, context: Context) -> tuple[Verdict, ...]:
        """One verdict for each statement, in reading order.

        Each statement is put as a canonical English sentence that the thing is present (the words as given
        are in the verdict), asked of each chosen slice, and pooled as `POOLED` says; the answer to a denial
        is the opposite of the answer to the thing denied. What cannot be put into English is not judged.

        Raises:
            ImageError: a slice holds no image.
        """
        asked = statements(read(prompt.text))
        if self._judge is None:
            context.step(0.0, "loading the model")
            self._judge = Judge(self._folder, **self._options)  # type: ignore[arg-type]
        verdicts = []
        for index, statement in enumerate(asked):
            if not statement.in_english:
                verdicts.append(_not_judged(statement))
                continue
            share = context.part(index / len(asked), (index + 1) / len(asked))
            slices = self._slices(volume, statement, share.part(0.0, 0.5))
            answers = self._answers(volume, statement, slices, share.part(0.5, 1.0))
            verdicts.append(_verdict(statement, slices, answers))
        return tuple(verdicts)

    def _slices(self, volume: Volume, statement: Statement, context: Context) -> list[int]:
        """Indices of the slices to judge, most promising first."""
        count = volume.geometry.shape[0]
        chosen: list[int] = []
        if statement.finding is not None and volume.modality == "CT" and count > self._most:
            try:
                ranking = self._builtin.rank(
                    volume, TextPrompt(statement.english), top_k=self._most // 2, spread=False, context=context
                )
                chosen = [found.index for found in ranking.slices]
            except (NotSupportedError, PromptError, ImageError):
                pass  # the built-in engine does not know it: evenly spaced slices only
        for k in np.linspace(0, count - 1, min(count, self._most)).round().astype(int).tolist():
            if len(chosen) < self._most and k not in chosen:
                chosen.append(k)
        return chosen

    def _answers(
        self, volume: Volume, statement: Statement, slices: list[int], context: Context
    ) -> npt.NDArray[np.float64]:
        """(slices, 3) probabilities of no, yes, maybe."""
        assert self._judge is not None
        presets = self._windows or presets_for([statement.window] if statement.window else [])
        pictures = SlicePictures(volume, presets)
        premise = f"this is {_KINDS.get(volume.modality, 'a medical image')}" if self._premise else None
        rows = []
        for start in range(0, len(slices), self._batch):
            context.step(start / len(slices), f"slice {start} of {len(slices)}")
            group = slices[start : start + self._batch]
            keys = {k: pictures.key(k) for k in group}
            missing = [k for k in group if keys[k] not in self._seen]
            if missing:
                for k, made in zip(missing, self._judge.see([pictures.picture(k) for k in missing]), strict=True):
                    self._seen[keys[k]] = made
            seen = [self._seen[keys[k]] for k in group]
            while len(self._seen) > self._cached:
                self._seen.popitem(last=False)
            rows.append(self._judge.answer(seen, [statement.english] * len(group), premise))
        return np.concatenate(rows)


def _not_judged(statement: Statement) -> Verdict:
    reason = (
        f"OFA reads English only, and nothing in '{statement.span.text.strip()}' is known here that would put it into "
        "English. Say it with a term RadFind knows, or in English."
    )
    return Verdict(statement.span, "maybe", 0.0, reason, "not_supported", engine=NAME)


def _verdict(statement: Statement, slices: list[int], answers: npt.NDArray[np.float64]) -> Verdict:
    best = np.argsort(-answers[:, 1], kind="stable")[:POOLED]
    no, yes, maybe = (float(p) for p in answers[best].mean(axis=0))
    shown: Answer = max((("no", no), ("yes", yes), ("maybe", maybe)), key=lambda pair: pair[1])[0]  # type: ignore[assignment]
    opposite: dict[Answer, Answer] = {"yes": "no", "no": "yes", "maybe": "maybe"}
    answer = opposite[shown] if statement.denied else shown
    code = {"yes": "supported", "no": "found_though_denied" if statement.denied else "not_found", "maybe": "vague"}
    k = slices[int(best[0])]
    listed = ", ".join(str(slices[int(n)]) for n in best)
    reason = (
        f"Asked of {len(slices)} slices whether the image shows '{statement.english}', OFA says yes most clearly on "
        f"slice{'s' if len(best) > 1 else ''} {listed}: on average yes {yes:.2f}, no {no:.2f}, maybe {maybe:.2f}."
    )
    finding = statement.finding
    evidence = Evidence(
        reason, statement.span, finding.concept if finding else None, slices=(k, k),
        values={"yes": yes, "no": no, "maybe": maybe},
    )  # fmt: skip
    return Verdict(statement.span, answer, max(no, yes, maybe), reason, code[answer], finding, (evidence,), NAME)
