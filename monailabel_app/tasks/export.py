"""Export: the files of `radfind export`, by the same code, as one zip."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore

import radfind
from monailabel_app.label_names import label_names
from monailabel_app.tasks.base import RadFindTask, context, option, result_file
from monailabel_app.volumes import VolumeCache
from radfind.errors import InputError
from radfind.exports.package import asked_formats, linked_answers, write_package
from radfind.imaging.labelmap_reading import read_segmentation
from radfind.results import Segmentation
from radfind.volume import Volume


class ExportTask(RadFindTask):
    """Writes DICOM objects, meshes, labelmaps, tables or FHIR of one scan's segments.

    The segments are, in this order: an uploaded label (the form's file ``label``, with ``label_names``), the saved
    label ``label_tag`` of the image, or what ``text`` names. ``formats`` as in `radfind.exports.package.FORMATS`, with
    commas between; "ko" and "fhir" also need ``text``. With ``anonymous_key`` no identity is written.
    """

    asks = "segment"

    def __init__(self, volumes: VolumeCache, store: Datastore) -> None:
        config = {"text": "", "formats": "seg,sr", "label_tag": "", "anonymous_key": ""}
        super().__init__(volumes, type="others", description="Write DICOM objects, meshes and tables", config=config)
        self._store = store

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        formats = asked_formats(option(request, "formats", "seg,sr"))
        text, engine, asked = option(request, "text", ""), option(request, "engine", "auto"), context(request)
        volume = self.volume(request)
        found = self._segments(volume, request, text, engine)
        ranking, verdicts = linked_answers(volume, text, formats, engine=engine, context=asked.part(0.5, 0.8))
        key = option(request, "anonymous_key", "")
        with tempfile.TemporaryDirectory(prefix="radfind-export-") as folder:
            files = write_package(
                volume, found, folder, formats,
                ranking=ranking, verdicts=verdicts, text=text, anonymous_key=key.encode() if key else None,
            )  # fmt: skip
            asked.step(0.95, "packing")
            with (
                result_file(".zip") as target,
                zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            ):
                for file in files:
                    archive.write(file, file.name)
        return str(target), {
            "files": [file.name for file in files],
            "segments": [segment.name for segment in found.segments],
            "not_found": list(found.not_found),
            "not_supported": list(found.not_supported),
            "notes": list(found.notes),
        }

    def _segments(self, volume: Volume, request: dict[str, Any], text: str, engine: str) -> Segmentation:
        if request.get("label"):
            return read_segmentation(request["label"], volume, names=label_names(request))
        tag = option(request, "label_tag", "")
        if tag:
            label, names = self._saved(str(request.get("image", "")), tag)
            return read_segmentation(label, volume, names=names)
        if not text.strip():
            raise InputError(
                "Say what to export: a text, a saved label (label_tag, e.g. 'final'), or an uploaded label."
            )
        return radfind.segment(volume, text, engine=engine, context=context(request).part(0.0, 0.5))

    def _saved(self, path: str, tag: str) -> tuple[Path, dict[int, str]]:
        for image in self._store.list_images():
            if tag in self._store.get_labels_by_image_id(image) and self._store.get_image_uri(image) == path:
                info = self._store.get_label_info(image, tag) or {}
                return Path(self._store.get_label_uri(image, tag)), label_names(info)
        raise InputError(f"No label '{tag[:40]}' is saved for this image. Save one, or give a text to outline.")
