"""Handing segments on: one file per segment, named with the segment and the coordinate system."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import slicer
import vtk

from .Errors import RadFindError

FORMATS = ("STL", "OBJ", "NIfTI", "seg.nrrd")
SPACES = ("LPS", "RAS")


def export(
    segmentation: Any, segments: Sequence[str], folder: Path, form: str, space: str = "LPS", volume: Any = None
) -> Generator[tuple[float, str], None, list[Path]]:
    """Write segments into `folder`, one at each step; never over a file that is there.

    Yields (fraction, message) before each segment and returns the files.

    Arguments:
        form: one of `FORMATS`. NIfTI holds RAS and seg.nrrd LPS by their own definition.
        space: for STL and OBJ, one of `SPACES`; part of the file's name.
        volume: its grid is used for NIfTI.

    Raises:
        RadFindError: nothing is chosen, a segment is empty, or a file could not be written.
    """
    if not segments:
        raise RadFindError("Choose the segments to export.")
    if form not in FORMATS or space not in SPACES:
        raise RadFindError(f"There is no export as {form} in {space}.")
    folder.mkdir(parents=True, exist_ok=True)
    if form == "seg.nrrd":
        yield 0.0, "writing"
        return [_segNrrd(segmentation, segments, folder)]
    written: list[Path] = []
    for number, segment in enumerate(segments):
        found = segmentation.GetSegmentation().GetSegment(segment)
        if found is None:
            raise RadFindError(f"A segment was removed meanwhile; {len(written)} of {len(segments)} were written.")
        name = found.GetName()
        yield number / len(segments), f"writing {name}"
        with tempfile.TemporaryDirectory(dir=folder) as staging:
            if form == "NIfTI":
                _labelmap(segmentation, segment, staging, volume)
                target = _free(folder, f"{_safe(name)}-RAS", ".nii.gz")
            else:
                _surface(segmentation, segment, staging, form, space)
                target = _free(folder, f"{_safe(name)}-{space}", f".{form.lower()}")
            made = sorted(path for path in Path(staging).iterdir() if path.name.lower().endswith(target.suffix))
            if not made:
                raise RadFindError(f"The segment '{name}' could not be exported: it is empty, or the disk is full.")
            for extra in Path(staging).glob("*.mtl"):
                extra.rename(target.with_suffix(".mtl"))
                text = made[0].read_text(errors="replace").replace(extra.name, target.with_suffix(".mtl").name)
                made[0].write_text(text)
            made[0].rename(target)
        written.append(target)
    return written


def _surface(segmentation: Any, segment: str, folder: str, form: str, space: str) -> None:
    segmentation.CreateClosedSurfaceRepresentation()
    slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsClosedSurfaceRepresentationToFiles(
        folder, segmentation, _strings([segment]), form, space == "LPS"
    )


def _labelmap(segmentation: Any, segment: str, folder: str, volume: Any) -> None:
    slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsBinaryLabelmapRepresentationToFiles(
        folder, segmentation, _strings([segment]), "nii.gz", True, volume
    )


def _segNrrd(segmentation: Any, segments: Sequence[str], folder: Path) -> Path:
    scene = segmentation.GetScene()
    copy = slicer.vtkMRMLSegmentationNode()
    scene.AddNode(copy)
    try:
        copy.GetSegmentation().SetSourceRepresentationName("Binary labelmap")
        for segment in segments:
            copy.GetSegmentation().CopySegmentFromSegmentation(segmentation.GetSegmentation(), segment)
        copy.SetAndObserveTransformNodeID(segmentation.GetTransformNodeID())
        copy.HardenTransform()
        target = _free(folder, _safe(segmentation.GetName()), ".seg.nrrd")
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(target))
        if not storage.WriteData(copy):
            raise RadFindError(f"'{target.name}' could not be written. Is the folder writable, and the disk not full?")
        return target
    finally:
        scene.RemoveNode(copy)


def _strings(values: Sequence[str]) -> Any:
    array = vtk.vtkStringArray()
    for value in values:
        array.InsertNextValue(value)
    return array


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:80] or "segment"


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """A name that is not taken."""
    number = 1
    target = folder / f"{stem}{suffix}"
    while target.exists():
        number += 1
        target = folder / f"{stem}-{number}{suffix}"
    return target
