"""Scribbles from stock clients: a labelmap in the image's grid with painted object and background voxels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from monailabel_app.tasks.base import RadFindTask
from monailabel_app.tasks.deepgrow import answer, roi_box
from monailabel_app.volumes import VolumeCache
from radfind.errors import PromptError
from radfind.imaging import load
from radfind.prompts import MaskPrompt, Prompt, ScribblePrompt
from radfind.volume import Volume

FOREGROUND, BACKGROUND = 3, 2
"""Label values of the two scribbles where ``label_info`` does not say (MONAI Label's own defaults)."""


class ScribblesTask(RadFindTask):
    """One segment from the labelmap uploaded as ``label``.

    ``label_info`` ([{"name", "id"}]) tells which value is "foreground_scribbles" and "background_scribbles"; the
    segment ``selected_label_name``, where it has voxels already, is the mask that the scribbles correct. Painted
    voxels outside ``roi`` are left out.
    """

    asks = "segment"

    def __init__(self, volumes: VolumeCache) -> None:
        description = "Outline what is painted (random walker with priors)"
        super().__init__(volumes, type="scribbles", description=description, config={"result_compress": True})

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        volume = self.volume(request)
        selected = str(request.get("selected_label_name") or "") or None
        return answer(volume, scribble_prompts(request, volume), request, name=selected)


def scribble_prompts(request: Mapping[str, Any], volume: Volume) -> list[Prompt]:
    """The prompts of a stock scribbles request.

    Raises:
        PromptError: there is no label file, it lies on another grid, or nothing is painted in it.
    """
    if not request.get("label"):
        raise PromptError("There are no scribbles: upload the painted labelmap as the file 'label'.")
    painted = load(str(request["label"]))
    if not painted.geometry.same_grid(volume.geometry, tolerance_mm=0.1):
        raise PromptError(
            f"The scribbles in 'label' have {painted.geometry.shape} voxels (k, j, i), the image has "
            f"{volume.geometry.shape}, or they lie elsewhere. Paint on the image's own grid."
        )
    ids = _label_ids(request.get("label_info"))
    array = np.asarray(painted.array)
    region = _region(request, volume)
    prompts: list[Prompt] = []
    selected = ids.get(str(request.get("selected_label_name")))
    if selected is not None:
        mask = array == selected
        if mask.any():
            prompts.append(MaskPrompt(mask))
    for name, value, positive in (
        ("foreground_scribbles", FOREGROUND, True),
        ("background_scribbles", BACKGROUND, False),
    ):
        index = np.argwhere((array == ids.get(name, value)) & region)
        if len(index):
            prompts.append(ScribblePrompt(index.astype(np.int64), positive))
    if not any(isinstance(p, ScribblePrompt) for p in prompts):
        raise PromptError("The labelmap 'label' holds no scribbles: paint on 'foreground_scribbles' first.")
    return prompts


def _label_ids(info: Any) -> dict[str, int]:
    if info is None:
        return {}
    try:
        return {str(entry["name"]): int(entry.get("id", entry.get("idx"))) for entry in info}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise PromptError("The field 'label_info' must be a list of {name, id}.") from error


def _region(request: Mapping[str, Any], volume: Volume) -> npt.NDArray[np.bool_]:
    """True where scribbles count."""
    if not request.get("roi"):
        return np.ones((1, 1, 1), bool)
    box = roi_box(request["roi"], volume)
    region = np.zeros(volume.geometry.shape, bool)
    low = np.clip(np.ceil(box.start), 0, volume.geometry.shape).astype(int)
    high = np.clip(np.floor(box.stop) + 1, 0, volume.geometry.shape).astype(int)
    region[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return region
