"""The report check as JSON: every statement against every image of a study."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import Datastore

from monailabel_app.tasks.base import RadFindTask, context, option
from monailabel_app.volumes import VolumeCache
from radfind.report_check import Figure, check_report, report_check_to_wire


class ReportTask(RadFindTask):
    """See `radfind.report_check.check_report`.

    The image of the request is the first figure; ``figures`` names further images of the datastore by id, as a list
    or with commas between, in the order in which the report counts them ("Figure 2" is the first of these).
    """

    asks = "verify"

    def __init__(self, volumes: VolumeCache, store: Datastore) -> None:
        description = "Check a report against all images of a study (JSON)"
        config = {"text": "", "figures": "", "masks": False}
        super().__init__(volumes, type="others", description=description, config=config)
        self._store = store

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        named = request.get("figures") or []
        ids = [part.strip() for part in (named.split(",") if isinstance(named, str) else map(str, named))]
        volumes = [self.volume(request), *(self._volumes.get(self._store.get_image_uri(one)) for one in ids if one)]
        figures = [Figure(f"Figure {number}", volume) for number, volume in enumerate(volumes, start=1)]
        check = check_report(
            option(request, "text", ""), figures, engine=option(request, "engine", "auto"), context=context(request)
        )
        return None, report_check_to_wire(check, masks=option(request, "masks", False))
