"""Tells when a visual prompt was changed by the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from .Signal import Signal


class PromptWatch:
    """Observes markups and segmentations; `changed` is emitted for each finished change."""

    def __init__(self) -> None:
        self.changed = Signal()
        self._observed: list[tuple[Any, int]] = []

    def watch(self, nodes: Sequence[Any]) -> None:
        """Observe exactly these nodes from now on."""
        self.stop()
        markups = slicer.vtkMRMLMarkupsNode
        for node in nodes:
            if node is None:
                continue
            if node.IsA("vtkMRMLMarkupsNode"):
                events: Sequence[int] = (
                    markups.PointPositionDefinedEvent,
                    markups.PointEndInteractionEvent,
                    markups.PointRemovedEvent,
                )
            else:
                events = (slicer.vtkSegmentation.SourceRepresentationModified,)
            for event in events:
                self._observed.append((node, node.AddObserver(event, lambda *_: self.changed.emit())))

    def stop(self) -> None:
        for node, observer in self._observed:
            node.RemoveObserver(observer)
        self._observed = []
