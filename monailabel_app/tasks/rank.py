"""Ranking as JSON, for clients that know RadFind."""

from __future__ import annotations

from typing import Any

import radfind
from monailabel_app.tasks.base import RadFindTask, context, option
from monailabel_app.volumes import VolumeCache
from radfind.protocol import ranking_to_wire, volume_to_wire
from radfind.results import Ranking
from radfind.volume import Volume

OPTIONS: dict[str, Any] = {"text": "", "top_k": 10, "threshold": 0.0, "spread": True}


def rank_request(volume: Volume, request: dict[str, Any]) -> Ranking:
    """Run the ranking a request asks for."""
    return radfind.rank(
        volume,
        option(request, "text", ""),
        engine=option(request, "engine", "auto"),
        top_k=max(1, option(request, "top_k", 10)),
        threshold=option(request, "threshold", 0.0),
        spread=option(request, "spread", True),
        context=context(request),
    )


class RankTask(RadFindTask):
    """Slices that show what ``text`` says, best first, with evidence (see `radfind.protocol.ranking_to_wire`)."""

    asks = "rank"

    def __init__(self, volumes: VolumeCache) -> None:
        description = "Rank slices by a phrase or a report (JSON)"
        super().__init__(volumes, type="others", description=description, config={**OPTIONS, "masks": False})

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        volume = self.volume(request)
        ranking = rank_request(volume, request)
        wire = ranking_to_wire(ranking, masks=option(request, "masks", False))
        return None, {**wire, "volume": volume_to_wire(volume)}
