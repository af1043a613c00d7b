"""What annotators taught: saved labels of anatomy as examples for what is asked about in words."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

import radfind
from monailabel_app.volumes import VolumeCache
from radfind.errors import RadFindError
from radfind.imaging import load
from radfind.language.findings import Finding
from radfind.language.lexicon import default_lexicon
from radfind.prompts import ExemplarPrompt

logger = logging.getLogger(__name__)

MOST = 4
"""Examples used for one answer: each costs a registration, and votes beyond a handful change little."""


@dataclasses.dataclass(frozen=True, order=True)
class Lesson:
    """A structure that labels show: id of its concept, and "left" or "right" where the label is of one side."""

    concept: str
    side: str = ""

    @property
    def name(self) -> str:
        return f"{self.side} {default_lexicon().get(self.concept).english}".strip()

    def answers(self, finding: Finding) -> bool:
        """Whether this is (a side of) what a text names; both sides together do not answer for one."""
        place = finding.place
        narrower = place.lobes or place.segments or place.zones or place.levels
        sided = place.side in (None, "both", self.side)
        return finding.concept.id == self.concept and sided and not narrower


class Taught:
    """The structures that the datastore's final labels show, and the cases that show them.

    A label's values get their names from what was saved with it: ``label_info`` ([{"name", "idx" or "id"}]) or
    ``params.label_names`` ({name: value}). Only anatomy is taught: a lesion of one patient says nothing about where
    another has one.
    """

    def __init__(self, store: Datastore, volumes: VolumeCache) -> None:
        self._store = store
        self._volumes = volumes

    def lessons(self, *, not_from: str = "") -> list[Lesson]:
        """What is taught by images other than the one at the path `not_from`, which is the question."""
        images = [image for image in self._store.get_labeled_images() if self._path(image) != not_from]
        return sorted({lesson for image in images for lesson in self._values(image)})

    def examples(self, lesson: Lesson, *, not_from: str = "") -> dict[str, ExemplarPrompt]:
        """Image ids of cases that show a structure, at most `MOST`, and the examples they make."""
        found: dict[str, ExemplarPrompt] = {}
        for image in self._store.get_labeled_images():
            value = self._values(image).get(lesson)
            if value is None or self._path(image) == not_from or len(found) == MOST:
                continue
            try:
                volume = self._volumes.get(self._path(image))
                label = load(self._store.get_label_uri(image, DefaultLabelTag.FINAL.value))
            except RadFindError as error:
                logger.warning("A saved label is left out as an example: %s", error)
                continue
            mask = np.asarray(label.array) == value
            if label.geometry.same_grid(volume.geometry, tolerance_mm=0.1) and mask.any():
                found[image] = ExemplarPrompt(volume, mask, lesson.name)
        return found

    def _path(self, image: str) -> str:
        return str(self._store.get_image_uri(image))

    def _values(self, image: str) -> dict[Lesson, int]:
        """Structure to label value."""
        info: Mapping[str, Any] = self._store.get_label_info(image, DefaultLabelTag.FINAL.value) or {}
        named: dict[str, Any] = dict((info.get("params") or {}).get("label_names") or {})
        for entry in info.get("label_info") or []:
            named[str(entry.get("name"))] = entry.get("idx", entry.get("id"))
        lessons = {_lesson(name): value for name, value in named.items() if isinstance(value, int)}
        return {lesson: value for lesson, value in lessons.items() if lesson is not None}


def _lesson(name: str) -> Lesson | None:
    """What a label of this name shows: one term of anatomy, with its side ("left kidney", "kidney_left"), or None."""
    words = name.replace("_", " ").strip()
    concept = default_lexicon().lookup(words)
    if concept is not None:
        return Lesson(concept.id) if concept.kind == "anatomy" else None
    findings = radfind.read(words).findings if words else ()
    if len(findings) != 1 or findings[0].concept.kind != "anatomy":
        return None
    side = findings[0].place.side
    return Lesson(findings[0].concept.id, side) if side in ("left", "right") else None
