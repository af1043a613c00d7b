"""Which case an annotator is offered next."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy


class First(Strategy):
    """The first case, in name order, that has no final label yet."""

    def __init__(self) -> None:
        super().__init__("First unlabeled case, in name order")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        images = sorted(datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels")))
        return {"id": images[0], "weight": 1.0} if images else None
