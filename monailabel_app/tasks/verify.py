"""Verification as JSON, for clients that know RadFind."""

from __future__ import annotations

from typing import Any

import radfind
from monailabel_app.tasks.base import RadFindTask, context, option
from monailabel_app.volumes import VolumeCache
from radfind.protocol import verdicts_to_wire, volume_to_wire


class VerifyTask(RadFindTask):
    """Yes, no or maybe for each statement of ``text`` (see `radfind.protocol.verdicts_to_wire`)."""

    asks = "verify"

    def __init__(self, volumes: VolumeCache) -> None:
        description = "Check the statements of a report against the scan (JSON)"
        super().__init__(volumes, type="others", description=description, config={"text": "", "masks": False})

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        volume = self.volume(request)
        verdicts = radfind.verify(
            volume,
            option(request, "text", ""),
            engine=option(request, "engine", "auto"),
            context=context(request),
        )
        wire = verdicts_to_wire(verdicts, masks=option(request, "masks", False))
        return None, {**wire, "volume": volume_to_wire(volume)}
