"""The remote reranker as an engine: pictures of slices go to the server named, nowhere else."""

from __future__ import annotations

import numpy as np

from radfind.engines import selection
from radfind.engines.api import Context, EngineInfo
from radfind.engines.remote_rerank.client import Form, RerankClient
from radfind.engines.slice_images import MODALITIES, SlicePictures, presets_for
from radfind.engines.statements import to_look_for
from radfind.errors import NotSupportedError
from radfind.language.reader import read
from radfind.prompts import TextPrompt
from radfind.results import Evidence, Ranking
from radfind.volume import Volume

NAME = "remote_rerank"


class RemoteReranker:
    """Ranks the slices of a volume by a reranking model on another machine.

    Arguments:
        address: of the server; empty when none is set up.
        model, form, token: see `RerankClient`.
        windows: CT display presets; by default those the text's concepts are best seen in.
        batch_size: pictures in one request.
    """

    def __init__(
        self,
        address: str,
        *,
        model: str | None = None,
        form: Form = "vllm",
        token: str | None = None,
        windows: tuple[str, ...] | None = None,
        batch_size: int = 16,
    ) -> None:
        self._client = RerankClient(address, model=model, form=form, token=token) if address else None
        self._windows, self._batch = windows, batch_size

    def info(self) -> EngineInfo:
        return EngineInfo(
            name=NAME,
            tasks=("rank",),
            modalities=MODALITIES,
            prompts=("TextPrompt",),
            concepts=None,
            licence="Apache-2.0",
            device=self._client.host if self._client else "none",
            available=self._client is not None,
            unavailable_reason="" if self._client else "no server is set up: put its address into RADFIND_RERANK_URL.",
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
        """Slices by how well they show what the text claims, claim by claim; a slice scores as its best claim.

        Raises:
            NotSupportedError: no server is set up.
            EngineError: the server failed.
            ImageError: a slice holds no image.
        """
        if self._client is None:
            raise NotSupportedError(f"The engine '{NAME}' cannot answer here: {self.info().unavailable_reason}")
        reading = read(prompt.text)
        asked = to_look_for(reading)
        count = volume.geometry.shape[0]
        table = np.zeros((len(asked), count))
        for row, statement in enumerate(asked):
            presets = self._windows or presets_for([statement.window] if statement.window else [])
            pictures = SlicePictures(volume, presets)
            for start in range(0, count, self._batch):
                context.step((row + start / count) / len(asked), f"slice {start} of {count}")
                group = range(start, min(start + self._batch, count))
                sent = [pictures.picture(k) for k in group]
                table[row, start : group.stop] = self._client.scores(statement.span.text.strip(), sent)
        scores = table.max(axis=0)

        def evidence(rank: int, k: int) -> tuple[Evidence, ...]:
            statement = asked[int(table[:, k].argmax())]
            concept = statement.finding.concept if statement.finding else None
            text = f"Score {scores[k]:.2f} for '{statement.span.text}' by {self._client.host}."  # type: ignore[union-attr]
            return (Evidence(text, statement.span, concept, slices=(k, k), values={"score": float(scores[k])}),)

        return Ranking(
            selection.bookmarks(volume, scores, top_k=top_k, threshold=threshold, spread=spread, evidence=evidence),
            scores,
            findings=reading.findings,
            engine=NAME,
            notes=(f"pictures of {count} slices were sent to {self._client.host}",),
        )
