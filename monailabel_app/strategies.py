"""Which case an annotator is offered next."""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

import radfind
from radfind.engines.builtin.by_example.grids import COARSE_MM, best_likeness, working_image
from radfind.errors import RadFindError

logger = logging.getLogger(__name__)


class First(Strategy):
    """The first case, in name order, that has no final label yet."""

    def __init__(self) -> None:
        super().__init__("First unlabeled case, in name order")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        images = sorted(datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels")))
        return {"id": images[0], "weight": 1.0} if images else None


class AtRandom(Strategy):
    """A case without a final label, by chance; one that was offered lately comes less often.

    MONAI Label's own fails when every open case was offered within this second.
    """

    def __init__(self) -> None:
        super().__init__("Unlabeled case by chance")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        images = sorted(datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels")))
        if not images:
            return None
        offered = [_offered(datastore.get_image_info(image), str(request.get("strategy"))) for image in images]
        weights = [max(1.0, time.time() - moment) for moment in offered]
        image = random.choices(images, weights=weights)[0]
        return {"id": image, "weight": weights[images.index(image)]}


def _offered(info: dict[str, Any], strategy: str) -> float:
    """When an image was last offered by a strategy (MONAI Label notes it), in seconds; 0: never."""
    return float(info.get("strategy", {}).get(strategy, {}).get("ts", 0))


class LeastExplained(Strategy):
    """The case without a final label that the labelled cases resemble least: the one that teaches most.

    Scans are compared as thumbnails of 9 mm, shifted along the body to where they agree best. Without labelled cases
    it is the first in name order.
    """

    def __init__(self) -> None:
        super().__init__("Case that the current examples explain worst")
        self._lock = threading.Lock()
        self._thumbnails: dict[str, Any] = {}
        self._likeness: dict[tuple[str, str], float] = {}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        with self._lock:
            labelled = sorted(datastore.get_labeled_images(request.get("label_tag"), request.get("labels")))
            open_ = sorted(datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels")))
            if not open_:
                return None
            explained = {image: self._explained(image, labelled, datastore) for image in open_}
            image = min(explained, key=lambda name: explained[name])
            return {"id": image, "weight": 1.0 - explained[image]}

    def _explained(self, image: str, labelled: list[str], datastore: Datastore) -> float:
        """0..1, by the example that is most alike; a scan that cannot be read is left for last."""
        own = self._thumbnail(image, datastore)
        if own is None:
            return 1.0
        best = 0.0
        for example in labelled:
            other = self._thumbnail(example, datastore)
            if other is None:
                continue
            if (image, example) not in self._likeness:
                self._likeness[image, example] = best_likeness(own, other)
            best = max(best, self._likeness[image, example])
        return best

    def _thumbnail(self, image: str, datastore: Datastore) -> Any:
        if image not in self._thumbnails:
            try:
                volume = radfind.load(datastore.get_image_uri(image))
                self._thumbnails[image] = working_image(volume, COARSE_MM)
            except RadFindError as error:
                logger.warning("Image %s is not compared with the examples: %s", image, error)
                self._thumbnails[image] = None
        return self._thumbnails[image]
