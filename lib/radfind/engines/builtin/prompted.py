"""Sends every prompt to the part of the built-in engine that answers its kind, and joins the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from radfind.engines.api import Context
from radfind.engines.builtin.by_example.examples import ByExample
from radfind.engines.builtin.interactive.checks import VISUAL
from radfind.engines.builtin.interactive.segmenting import Interactive
from radfind.errors import PromptError
from radfind.prompts import EverythingPrompt, ExemplarPrompt, Prompt, TextPrompt
from radfind.results import Segmentation
from radfind.volume import Volume

TextAnswer = Callable[[list[TextPrompt]], Segmentation]
EverythingAnswer = Callable[[], Segmentation]


class Prompted:
    """Visual prompts make one segment together; each other kind adds its own.

    Arguments:
        engine: the name results carry.
    """

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._interactive = Interactive()
        self._by_example = ByExample()

    def segment(
        self,
        volume: Volume,
        prompts: Sequence[Prompt],
        text_answer: TextAnswer,
        everything_answer: EverythingAnswer,
        context: Context,
    ) -> Segmentation:
        """All answers in one segmentation.

        Raises:
            PromptError, NotSupportedError, ImageError: as the parts.
        """
        if not prompts:
            raise PromptError("There is no prompt: give text, a point, a box, a scribble, a mask, or an example.")
        parts: list[Segmentation] = []
        if any(isinstance(prompt, EverythingPrompt) for prompt in prompts):
            parts.append(everything_answer())
        examples = [prompt for prompt in prompts if isinstance(prompt, ExemplarPrompt)]
        visual = [prompt for prompt in prompts if isinstance(prompt, VISUAL)]
        texts = [prompt for prompt in prompts if isinstance(prompt, TextPrompt)]
        if texts:
            parts.append(text_answer(texts))
        if examples:
            parts.append(self._by_example.segment(volume, examples, context=context, engine=self._engine))
        if visual:
            parts.append(self._interactive.segment(volume, visual, context=context, engine=self._engine))
        return joined(parts, self._engine)


def joined(parts: Sequence[Segmentation], engine: str) -> Segmentation:
    """The segments, and all that was not found or not supported, of several answers about one volume."""
    segments = [segment for part in parts for segment in part.segments]
    names: dict[str, int] = {}
    for number, segment in enumerate(segments):
        names[segment.name] = names.get(segment.name, 0) + 1
        if names[segment.name] > 1:
            segments[number] = dataclasses.replace(segment, name=f"{segment.name} {names[segment.name]}")

    def both(field: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for part in parts for text in getattr(part, field)))

    return Segmentation(
        parts[0].geometry,
        tuple(segments),
        not_found=both("not_found"),
        not_supported=both("not_supported"),
        engine=engine,
        notes=both("notes"),
    )
