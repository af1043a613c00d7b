"""Segmentation: any mix of prompts in, a labelmap in the image's own geometry out."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import Datastore

import radfind
from monailabel_app.tasks.base import RadFindTask, context, option, result_file
from monailabel_app.tasks.examples import ExampleFinder
from monailabel_app.taught import Taught
from monailabel_app.volumes import VolumeCache
from radfind.errors import InputError, NotSupportedError
from radfind.imaging.writing import write_labelmap
from radfind.prompts import Prompt, TextPrompt
from radfind.protocol import ExampleReader, prompts_from_wire, segmentation_to_wire, volume_to_wire
from radfind.volume import Volume

EXTENSIONS = (".nrrd", ".seg.nrrd", ".nii.gz", ".nii", ".mha")


def prompts_of(volume: Volume, request: dict[str, Any], example: ExampleReader | None = None) -> list[Prompt]:
    """The prompts of a request: "prompts" (`radfind.protocol.WirePrompts`) and / or "text"."""
    prompts: list[Prompt] = []
    if request.get("prompts") is not None:
        prompts.extend(prompts_from_wire(request["prompts"], volume.geometry, example))
    text = option(request, "text", "")
    if text.strip() or not prompts:
        prompts.append(TextPrompt(text))
    return prompts


class SegmentTask(RadFindTask):
    """What stock Slicer and OHIF run: ``text`` as an option, a labelmap with values 1..N and their names back.

    A text that no engine can answer is answered from the annotators' saved labels where they show what it names; the
    notes then say from which cases.

    When nothing is found the labelmap is empty and ``not_found`` says so: stock clients need a file.
    """

    asks = "segment"

    def __init__(self, volumes: VolumeCache, store: Datastore) -> None:
        self._taught = Taught(store, volumes)
        self._finder = ExampleFinder(store, volumes)
        super().__init__(
            volumes,
            type="segmentation",
            description="Outline what a phrase or report names",
            config={"text": "both lungs", "result_extension": ".nrrd", "result_compress": True, "masks": False},
        )

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        extension = option(request, "result_extension", ".nrrd")
        if extension not in EXTENSIONS:
            raise InputError(f"The option 'result_extension' must be one of {', '.join(EXTENSIONS)}.")
        volume = self.volume(request)
        prompts = prompts_of(volume, request, lambda wire: self._finder.find(wire, request))
        try:
            segmentation = radfind.segment(
                volume, prompts, engine=option(request, "engine", "auto"), context=context(request)
            )
        except NotSupportedError:
            examples = self._examples(prompts, request)
            if not examples:
                raise
            segmentation = radfind.segment(volume, examples, engine="auto", context=context(request))
        file = result_file(extension)
        write_labelmap(segmentation, file, volume, compress=option(request, "result_compress", True))
        wire = segmentation_to_wire(segmentation, masks=option(request, "masks", False))
        names = {entry["name"]: entry["label"] for entry in wire["segments"]}
        return str(file), {**wire, "label_names": names, "volume": volume_to_wire(volume)}

    def _examples(self, prompts: list[Prompt], request: dict[str, Any]) -> list[Prompt]:
        """What annotators taught about the concepts of the text, where ``auto`` is free to use it."""
        if option(request, "engine", "auto") != "auto":
            return []
        texts = [prompt.text for prompt in prompts if isinstance(prompt, TextPrompt)]
        asked = {f.concept.id for text in texts for f in radfind.read(text).findings if f.presence != "absent"}
        here = str(request.get("image", ""))
        known = sorted(asked & self._taught.concepts())
        return [example for concept in known for example in self._taught.examples(concept, not_from=here)]
