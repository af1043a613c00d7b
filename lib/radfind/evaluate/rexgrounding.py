"""ReXGroundingCT (free-text findings of chest CT, each with a 3-D mask) as cases to rank and to segment.

Its layout, from the dataset's card: a JSON object of splits ("train", "val", "test"), each a list of
``{"name": "train_1_a_1.nii.gz", "findings": {"0": "words", ...}, ...}``; beside it ``segmentations/<name>``, a NIfTI
file of shape (F, H, W, D). Its first axis is the finding, the others are the CT's own voxels in the CT's own order;
values above 0 are the finding's parts. Such a file says nothing of millimetres: its first axis is none in space. The
CTs themselves come from CT-RATE.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from radfind.errors import ImageError, InputError
from radfind.evaluate.cases import Case, Manifest
from radfind.volume import Volume

SPLITS = ("train", "val", "test")
MASKS = "segmentations"


def is_rexgrounding(data: Any) -> bool:
    """Whether a JSON document is a list of ReXGroundingCT."""
    return isinstance(data, dict) and any(isinstance(data.get(split), list) for split in SPLITS)


def read_rexgrounding(path: Path, data: Mapping[str, Any], *, images: Path | None, split: str) -> Manifest:
    """For every finding whose CT and mask are here: a case to rank and one to segment.

    Arguments:
        path, data: the JSON file and what it holds.
        images: folder with the CTs (searched through its subfolders); that of `path` when None.
        split: which list.

    Raises:
        InputError: no such split, an entry without name or findings, or no scan of the list is here.
    """
    entries = data.get(split)
    if not isinstance(entries, list):
        raise InputError(f"{path} has no split '{split}'; it has {', '.join(map(str, data))}. Choose with --split.")
    folder = images or path.parent
    masks = path.parent / MASKS
    found = {file.name: file for file in folder.rglob("*.nii.gz") if masks not in file.parents}
    cases: list[Case] = []
    missing = []
    for number, entry in enumerate(entries, start=1):
        name, findings = _entry(entry, f"{path}, split '{split}', entry {number}")
        if name not in found or not (masks / name).is_file():
            missing.append(name)
            continue
        for channel, text in findings.items():
            for task in ("rank", "segment"):
                cases.append(Case(task, found[name], text, truth=masks / name, channel=channel, modality="CT"))
    if not cases:
        raise InputError(
            f"None of the {len(entries)} scans of the split '{split}' is here: looked for CTs (such as "
            f"{missing[0] if missing else 'train_1_a_1.nii.gz'}) in {folder} and for masks in {masks}. Name the "
            "folder of the CTs with --images."
        )
    notes = []
    if missing:
        notes.append(f"{len(entries) - len(missing)} of the {len(entries)} scans of the split '{split}' are here")
    if split == "train":
        notes.append("masks of the split 'train' mark at most three parts of a finding: those of 'val' mark all")
    return Manifest(tuple(cases), tuple(notes))


def read_finding(path: Path, channel: int, volume: Volume) -> npt.NDArray[np.bool_]:
    """Mask (k, j, i) of one finding on the grid of its CT.

    Raises:
        ImageError: the file cannot be read, or does not fit the CT.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        if tuple(size[1:]) != volume.geometry.shape[::-1] or channel >= size[0]:
            raise ImageError(
                f"The masks {path} are of {' x '.join(map(str, size))}; expected findings (more than {channel}) x "
                f"{' x '.join(map(str, volume.geometry.shape[::-1]))}, as {volume.name}."
            )
        reader.SetExtractIndex([channel, 0, 0, 0])
        reader.SetExtractSize([1, *size[1:]])
        mask = sitk.GetArrayFromImage(reader.Execute())[..., 0] > 0
    except RuntimeError as error:  # SimpleITK's only exception
        raise ImageError(f"The masks {path} cannot be read: {str(error).splitlines()[-1]}") from error
    return np.ascontiguousarray(mask[::-1] if volume.reversed_k else mask)


def _entry(entry: Any, where: str) -> tuple[str, dict[int, str]]:
    name = entry.get("name") if isinstance(entry, dict) else None
    findings = entry.get("findings") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not isinstance(findings, dict) or not all(str(key).isdigit() for key in findings):
        raise InputError(f'{where}: expected "name" and "findings" ({{"0": "words", ...}}).')
    return name, {int(key): str(text) for key, text in findings.items()}
