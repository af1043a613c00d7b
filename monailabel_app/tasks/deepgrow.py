"""Clicks from stock clients: Slicer's SmartEdit and OHIF send IJK points of the stored image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from monailabel_app.tasks.base import RadFindTask, context, option, result_file
from monailabel_app.volumes import VolumeCache
from radfind.engines.registry import choose
from radfind.errors import PromptError
from radfind.imaging.writing import write_labelmap
from radfind.prompts import BoxPrompt, PointPrompt, Prompt, TextPrompt
from radfind.protocol import prompts_from_wire, segmentation_to_wire, volume_to_wire
from radfind.results import Segmentation
from radfind.volume import Volume

MAX_POINTS = 10_000


class ClickTask(RadFindTask):
    """One segment from ``foreground`` and ``background`` (lists of [i, j, k]), ``roi`` ([i0, i1, j0, j1, k0, k1]), and
    ``prompts`` (`radfind.protocol.WirePrompts`, any mix of visual prompts).

    Arguments:
        type: "deepgrow" or "deepedit": where stock clients show it. Both answer alike.
    """

    asks = "segment"

    def __init__(self, volumes: VolumeCache, *, type: str) -> None:
        description = "Outline what is clicked (3-D, any modality, no training)"
        super().__init__(volumes, type=type, description=description, config={"result_compress": True})

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        volume = self.volume(request)
        prompts = click_prompts(request, volume)
        return answer(volume, prompts, request)


def answer(
    volume: Volume, prompts: list[Prompt], request: Mapping[str, Any], *, name: str | None = None
) -> tuple[str, dict[str, Any]]:
    """Segment and write the labelmap: one label, named as the client named its segment."""
    segmenter, chosen = choose(option(request, "engine", "auto"), "segment")
    segmentation: Segmentation = segmenter.segment(volume, prompts, context=context(request))
    with result_file(".nrrd") as file:
        write_labelmap(segmentation, file, volume, compress=option(request, "result_compress", True))
        wire = segmentation_to_wire(segmentation)
        label = name or option(request, "label_name", "object") or "object"
        names = {label if n == 0 else entry["name"]: entry["label"] for n, entry in enumerate(wire["segments"])}
        return str(file), {**wire, "engine": chosen, "label_names": names, "volume": volume_to_wire(volume)}


def click_prompts(request: Mapping[str, Any], volume: Volume) -> list[Prompt]:
    """The prompts of a stock request.

    Raises:
        PromptError: naming the field and the entry that is wrong, or saying that there is none.
    """
    prompts: list[Prompt] = []
    if request.get("roi"):
        prompts.append(roi_box(request["roi"], volume))
    prompts += points(request, "foreground", volume, positive=True)
    prompts += points(request, "background", volume, positive=False)
    if request.get("prompts") is not None:
        prompts += [p for p in prompts_from_wire(request["prompts"], volume.geometry) if not isinstance(p, TextPrompt)]
    if not prompts:
        raise PromptError("There is no click: send 'foreground' as a list of [i, j, k] voxel indices, or a 'roi'.")
    return prompts


def points(request: Mapping[str, Any], field: str, volume: Volume, *, positive: bool) -> list[Prompt]:
    """The clicks under `field`; stored slice order becomes the volume's."""
    given = request.get(field) or []
    if not isinstance(given, list | tuple):
        raise PromptError(f"The field '{field}' must be a list of [i, j, k] voxel indices.")
    if len(given) > MAX_POINTS:
        raise PromptError(f"The field '{field}' has {len(given):,} points; at most {MAX_POINTS:,} are read.")
    prompts: list[Prompt] = []
    for number, point in enumerate(given):
        i, j, k = _numbers(point, 3, f"{field}[{number}]")
        place = (_stored_k(k, volume), j, i)
        if not bool(volume.geometry.contains(place)):
            size = " x ".join(str(n) for n in volume.geometry.shape[::-1])
            raise PromptError(f"The point {field}[{number}] at {[i, j, k]} lies outside the image of {size} voxels.")
        prompts.append(PointPrompt(place, positive))
    return prompts


def roi_box(roi: Any, volume: Volume) -> BoxPrompt:
    """A stock region, [i0, i1, j0, j1, k0, k1], either end first."""
    a, b, c, d, e, f = _numbers(roi, 6, "roi")
    ends = [sorted(pair) for pair in ((_stored_k(e, volume), _stored_k(f, volume)), (c, d), (a, b))]
    (k0, k1), (j0, j1), (i0, i1) = ends
    return BoxPrompt((k0, j0, i0), (k1, j1, i1))


def _stored_k(k: float, volume: Volume) -> float:
    return volume.geometry.shape[0] - 1 - k if volume.reversed_k else k


def _numbers(values: Any, count: int, field: str) -> list[float]:
    sound = isinstance(values, list | tuple) and len(values) == count
    if not sound or not all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    ):
        raise PromptError(f"The prompt {field} must be {count} numbers, not {str(values)[:80]}.")
    return [float(v) for v in values]
