"""What annotators taught: saved labels as examples for a concept asked about in words."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

from monailabel_app.volumes import VolumeCache
from radfind.errors import RadFindError
from radfind.imaging import load
from radfind.language.lexicon import default_lexicon
from radfind.prompts import ExemplarPrompt

logger = logging.getLogger(__name__)

MOST = 4
"""Examples used for one answer: each costs a registration, and votes beyond a handful change little."""


class Taught:
    """The concepts that the datastore's final labels show, and the cases that show them.

    A label's values get their names from what was saved with it: ``label_info`` ([{"name", "idx" or "id"}]) or
    ``params.label_names`` ({name: value}).
    """

    def __init__(self, store: Datastore, volumes: VolumeCache) -> None:
        self._store = store
        self._volumes = volumes

    def concepts(self) -> frozenset[str]:
        """Ids of the concepts that are taught."""
        return frozenset(concept for image in self._labelled() for concept in self._values(image))

    def examples(self, concept: str, *, not_from: str = "") -> list[ExemplarPrompt]:
        """Cases that show a concept, at most `MOST`; `not_from` (path of an image) is left out: it is the question."""
        english = default_lexicon().get(concept).english
        found: list[ExemplarPrompt] = []
        for image in self._labelled():
            value = self._values(image).get(concept)
            path = self._store.get_image_uri(image)
            if value is None or path == not_from or len(found) == MOST:
                continue
            try:
                volume = self._volumes.get(path)
                label = load(self._store.get_label_uri(image, DefaultLabelTag.FINAL.value))
            except RadFindError as error:
                logger.warning("A saved label is left out as an example: %s", error)
                continue
            mask = np.asarray(label.array) == value
            if label.geometry.same_grid(volume.geometry, tolerance_mm=0.1) and mask.any():
                found.append(ExemplarPrompt(volume, mask, english))
        return found

    def _labelled(self) -> list[str]:
        return list(self._store.get_labeled_images())

    def _values(self, image: str) -> dict[str, int]:
        """Concept id to label value."""
        info: Mapping[str, Any] = self._store.get_label_info(image, DefaultLabelTag.FINAL.value) or {}
        named: dict[str, Any] = dict((info.get("params") or {}).get("label_names") or {})
        for entry in info.get("label_info") or []:
            named[str(entry.get("name"))] = entry.get("idx", entry.get("id"))
        lexicon = default_lexicon()
        values: dict[str, int] = {}
        for name, value in named.items():
            concept = lexicon.lookup(name)
            if concept is not None and isinstance(value, int):
                values[concept.id] = value
        return values
