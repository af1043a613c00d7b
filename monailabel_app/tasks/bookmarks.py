"""The ranking's twin for stock Slicer: the same slices as a Markups file."""

from __future__ import annotations

from typing import Any

from monailabel_app.tasks.base import RadFindTask, option, result_file
from monailabel_app.tasks.rank import OPTIONS, rank_request
from monailabel_app.volumes import VolumeCache
from radfind.exports.bookmarks import write_bookmarks
from radfind.protocol import ranking_to_wire


class BookmarksTask(RadFindTask):
    """Type "detection" with a ``.json`` file: stock Slicer loads it as a Markups point list."""

    asks = "rank"

    def __init__(self, volumes: VolumeCache) -> None:
        super().__init__(
            volumes, type="detection", description="Bookmark the slices that show what a text says", config=OPTIONS
        )

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        volume = self.volume(request)
        ranking = rank_request(volume, request)
        with result_file(".json") as file:
            write_bookmarks(file, ranking, volume, option(request, "text", ""))
            return str(file), ranking_to_wire(ranking)
