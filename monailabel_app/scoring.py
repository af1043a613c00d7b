"""How far the label that was accepted for a case is from the one it began with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.scoring import ScoringMethod

import radfind
from monailabel_app.label_names import label_names
from monailabel_app.labels import extension
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.volume import Volume

NOT_DRAWN = (".json", ".xml")
"""Labels that are points or words."""


class LabelDice(ScoringMethod):
    """Mean Dice over the structures of two labels of each case that has both; a structure in one of them only counts 0.

    Structures are paired by name (MONAI Label's own method multiplies label values, which is a Dice for one structure
    only). The request's ``y`` and ``y_pred`` name the tags, by default "final" and "original". The score is kept in the
    info of the image as ``dice``.
    """

    def __init__(self) -> None:
        super().__init__("Dice of the final label and the original one, mean over the structures")

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, float]:
        """Image id to score.

        Raises:
            ImageError: a label lies on another grid than its image, or cannot be read.
        """
        tags = [
            str(request.get(key) or default.value)
            for key, default in (("y", DefaultLabelTag.FINAL), ("y_pred", DefaultLabelTag.ORIGINAL))
        ]
        scores = {}
        for image in datastore.list_images():
            if not set(tags) <= set(datastore.get_labels_by_image_id(image)):
                continue
            if any(extension(datastore.get_label_uri(image, tag)) in NOT_DRAWN for tag in tags):
                continue
            volume = radfind.load(datastore.get_image_uri(image))
            scores[image] = mean_dice(*(_masks(datastore, image, tag, volume) for tag in tags))
            datastore.update_image_info(image, {"dice": scores[image]})
        return scores


def mean_dice(one: Mapping[str, npt.NDArray[np.bool_]], other: Mapping[str, npt.NDArray[np.bool_]]) -> float:
    """Over the names of both, of boolean (k, j, i) masks that are not empty; 1 when neither has any."""
    scores = [_dice(one[name], other[name]) if name in one and name in other else 0.0 for name in {**one, **other}]
    return float(np.mean(scores)) if scores else 1.0


def _dice(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float(2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other)))


def _masks(datastore: Datastore, image: str, tag: str, volume: Volume) -> dict[str, npt.NDArray[np.bool_]]:
    file = Path(datastore.get_label_uri(image, tag))
    if not np.any(radfind.load(file).array):  # drawn empty
        return {}
    found = read_segmentation(file, volume, names=label_names(datastore.get_label_info(image, tag)))
    return {segment.name: segment.mask for segment in found.segments if segment.mask.any()}
