"""`load` and `list_series`: the one way in for every source."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from radfind.errors import ImageError
from radfind.imaging.dicom_header import Instance, is_marked_dicom, read_instance
from radfind.imaging.dicom_series import SeriesInfo, choose, group
from radfind.imaging.dicom_volume import read_series
from radfind.imaging.image_files import PICTURE_SUFFIXES, is_image_file, read_image_file, suffix_of
from radfind.imaging.progress import NoProgress, Progress
from radfind.imaging.sources import SourceFile, open_source
from radfind.volume import Geometry, SliceSource, Volume

Source = str | Path | Sequence[str | Path]


def load(
    path: Source, *, series: str | None = None, modality: str | None = None, context: Progress | None = None
) -> Volume:
    """Read an image with its geometry.

    Arguments:
        path: a DICOM folder (subfolders too), a list of files, a zip of either, or one NIfTI, NRRD, MHA, PNG or JPEG.
        series: Series Instance UID, needed when a folder holds more than one volume.
        modality: DICOM Modality of a file that states none (NIfTI, NRRD, MHA, pictures).
        context: told how far reading is; may cancel it.

    Returns:
        A `Volume` whose k ascends towards the patient's head, left or front. Scalar voxels are int16, int32 or
        float32 (CT: Hounsfield units); colour is uint8 RGB.

    Raises:
        ImageError: nothing usable is there, or it is no regular volume. The message says what to do.
    """
    progress = context or NoProgress()
    where = _where(path)
    with open_source(path) as files:
        instances, others, told = _scan(files, progress)
        if instances:
            chosen = choose(group(instances, where), series, instances, where)
            chosen = dataclasses.replace(chosen, warnings=(*told, *chosen.warnings))
            try:
                return read_series(chosen, progress)
            except ImageError as error:  # a slice that "lacks" may be among them
                raise ImageError(" ".join((str(error), *told))) from error
        return _load_others(others, files, where, modality)


def list_series(path: Source) -> list[SeriesInfo]:
    """The DICOM image series at `path`, most slices first; [] when it holds other image files only.

    Raises:
        ImageError: nothing usable is there.
    """
    where = _where(path)
    with open_source(path) as files:
        instances, others, _ = _scan(files, NoProgress())
        if not instances and not others:
            raise ImageError(_nothing(files, where))
        return [series.info for series in group(instances, where)]


def _where(path: Source) -> Path:
    if isinstance(path, str | Path):
        return Path(path)
    paths = [Path(each) for each in path]
    return paths[0].parent if paths else Path()


def _scan(files: Sequence[SourceFile], progress: Progress) -> tuple[list[Instance], list[SourceFile], tuple[str, ...]]:
    """DICOM headers, other image files, and a word on files passed over."""
    instances: list[Instance] = []
    candidates: list[SourceFile] = []
    others: list[SourceFile] = []
    passed: list[SourceFile] = []
    for file in files:
        of_its_name = is_image_file(file.path) and not is_marked_dicom(file.path)  # "0001.png" may still be DICOM
        (others if of_its_name else candidates).append(file)
    with ThreadPoolExecutor(2) as pool:  # the disk is read while headers are parsed
        for done, (file, instance) in enumerate(zip(candidates, pool.map(read_instance, candidates), strict=True)):
            if instance is not None:
                instances.append(instance)
            elif file.named or file.path.suffix.lower() in (".dcm", ".dicom", ".ima") or not file.path.stat().st_size:
                passed.append(file)
            if done % 32 == 0:
                progress.step(0.0, "Reading headers")
    if passed and (not instances or any(file.named for file in passed)):
        raise ImageError(_nothing(passed, passed[0].shown))
    told: tuple[str, ...] = ()
    if passed:
        shown = ", ".join(file.shown.name for file in passed[:3]) + (
            f" and {len(passed) - 3} more" if passed[3:] else ""
        )
        told = (f"Files that are empty, or named like DICOM and are not, were left out: {shown}.",)
    return instances, others, told


def _nothing(files: Sequence[SourceFile], where: Path) -> str:
    if len(files) == 1:
        size = files[0].path.stat().st_size
        if zipfile.is_zipfile(files[0].path):
            return f"'{files[0].shown}' is an archive inside a folder or an archive. Unpack it, or give it by itself."
        what = "is empty" if size == 0 else "is not an image that RadFind reads, whatever its name says"
        return f"'{files[0].shown}' {what}. Give a DICOM file or folder, or a NIfTI, NRRD, MHA, PNG or JPEG file."
    return (
        f"None of the {len(files)} files in '{where}' is an image that RadFind reads. Give a folder of DICOM files, or "
        "a NIfTI, NRRD, MHA, PNG or JPEG file."
    )


def _load_others(others: list[SourceFile], files: list[SourceFile], where: Path, modality: str | None) -> Volume:
    if not others:
        raise ImageError(_nothing(files, where))
    headers = {file.path.with_suffix("") for file in others if file.path.suffix.lower() == ".hdr"}
    # a header and its voxels are one image
    others = [file for file in others if file.path.suffix.lower() != ".img" or file.path.with_suffix("") not in headers]
    if len(others) == 1:
        return read_image_file(others[0], modality)
    if all(file.named and suffix_of(file.path) in PICTURE_SUFFIXES for file in others):
        return _stack_pictures(others, modality)
    shown = ", ".join(file.shown.name for file in others[:10]) + (" ..." if len(others) > 10 else "")
    raise ImageError(f"'{where}' holds {len(others)} image files ({shown}). Name the one that is meant.")


def _stack_pictures(files: list[SourceFile], modality: str | None) -> Volume:
    """Pictures given as a list become the slices of one volume, in the order given."""
    volumes = [read_image_file(file, modality) for file in files]
    shapes = {volume.array.shape[1:] for volume in volumes}
    if len(shapes) > 1:
        raise ImageError(
            f"The {len(files)} pictures are of different size or colour "
            f"({', '.join(map(str, sorted(shapes, key=str)))}). Give pictures of one kind."
        )
    array = np.concatenate([volume.array for volume in volumes])
    rows, columns = array.shape[1:3]
    return Volume(
        array=array,
        geometry=Geometry.from_parts((len(files), rows, columns)),
        modality=modality or "OT",
        slices=tuple(SliceSource(path=file.shown) for file in files),
        name=files[0].shown.parent.name,
        placed=False,
        warnings=(*volumes[0].warnings, "The slice axis counts the pictures in the order given."),
    )
