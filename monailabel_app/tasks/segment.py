"""Segmentation: any mix of prompts in, a labelmap in the image's own geometry out."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import Datastore

import radfind
from monailabel_app.tasks.base import RadFindTask, context, option, result_file
from monailabel_app.tasks.examples import ExampleFinder
from monailabel_app.taught import Taught
from monailabel_app.taught_answers import with_taught
from monailabel_app.volumes import VolumeCache
from radfind.engines.registry import choose
from radfind.errors import InputError, NotSupportedError
from radfind.imaging.writing import write_labelmap
from radfind.language.findings import Finding
from radfind.prompts import EverythingPrompt, Prompt, TextPrompt
from radfind.protocol import ExampleReader, prompts_from_wire, segmentation_to_wire, volume_to_wire
from radfind.results import Segmentation
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

    Where ``auto`` may choose, structures that a text names and the engine does not know are answered from the
    annotators' saved labels (`monailabel_app.taught`), and "everything" has all that these labels show; ``engine`` and
    the notes say so and name the cases.

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
        segmentation = self._answered(volume, prompts, request)
        with result_file(extension) as file:
            write_labelmap(segmentation, file, volume, compress=option(request, "result_compress", True))
            sent = {name: option(request, name, False) for name in ("masks", "polygons")}
            wire = segmentation_to_wire(segmentation, **sent)
            names = {entry["name"]: entry["label"] for entry in wire["segments"]}
            return str(file), {**wire, "label_names": names, "volume": volume_to_wire(volume)}

    def _answered(self, volume: Volume, prompts: list[Prompt], request: dict[str, Any]) -> Segmentation:
        engine, running, here = option(request, "engine", "auto"), context(request), str(request.get("image", ""))
        everything = any(isinstance(prompt, EverythingPrompt) for prompt in prompts)
        lessons = self._taught.lessons(not_from=here) if engine == "auto" else []
        asked = _asked(prompts) if lessons else []
        lessons = [one for one in lessons if everything or any(one.answers(finding) for finding in asked)]
        if not lessons:
            return radfind.segment(volume, prompts, engine=engine, context=running)
        known: set[str] = set()
        try:
            own = radfind.segment(volume, prompts, engine=engine, context=running.part(0.0, 0.3))
            known = {s.concept.id for s in own.segments if s.concept} if everything else _looked_for()
        except NotSupportedError:
            left = [f for f in asked if not any(one.answers(f) for one in lessons)]
            missing = [f"'{f.span.text}': neither an engine nor a saved label shows it on such a scan." for f in left]
            own = Segmentation(volume.geometry, not_supported=tuple(missing), engine="auto")
        cases = {one: self._taught.examples(one, not_from=here) for one in lessons if one.concept not in known}
        examples = [example for found in cases.values() for example in found.values()]
        if not examples:
            return own
        shown = radfind.segment(volume, examples, engine=engine, context=running.part(0.3, 1.0))
        words = [f.span.text for f in asked if any(one.answers(f) for one in cases)]
        sources = {one.name: list(found) for one, found in cases.items() if found}
        return with_taught(own, shown, sources, words, apart=everything)


def _asked(prompts: list[Prompt]) -> list[Finding]:
    """What the texts among the prompts claim to be there."""
    texts = [prompt.text for prompt in prompts if isinstance(prompt, TextPrompt)]
    return [finding for text in texts for finding in radfind.read(text).findings if finding.presence != "absent"]


def _looked_for() -> set[str]:
    """What the engine that ``auto`` chooses looks for itself."""
    return set(choose("auto", "segment")[0].info().concepts or ())
