"""One way out for all results: a segmentation and what was measured, in every format asked for."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from radfind.engines.api import Context
from radfind.errors import InputError
from radfind.measure.placement import placed
from radfind.measure.quantities import measure_segments, require_segments
from radfind.results import Ranking, Segmentation, Verdict
from radfind.volume import Volume

DICOM = ("seg", "seg-labelmap", "sr", "ko", "rtstruct")
LABELMAPS = ("seg.nrrd", "nrrd", "nii.gz", "mha")
MESHES = ("stl", "ply", "obj", "vtk", "3mf", "glb", "gltf")
TABLES = ("csv", "fhir")
FORMATS = (*DICOM, *LABELMAPS, *MESHES, *TABLES)


def asked_formats(text: str) -> list[str]:
    """Formats as a person writes them: "seg, .STL" is seg and stl."""
    return [part.strip().lower().lstrip(".") for part in text.split(",") if part.strip()]


def write_package(
    volume: Volume,
    segmentation: Segmentation,
    folder: str | Path,
    formats: Sequence[str],
    *,
    ranking: Ranking | None = None,
    verdicts: Sequence[Verdict] = (),
    text: str = "",
    anonymous_key: bytes | None = None,
) -> list[Path]:
    """Write `segmentation` to `folder` in each of `formats`; the names of the files say what they are.

    Arguments:
        formats: of `FORMATS`. "ko" needs `ranking`. STL, PLY, OBJ and VTK give one file for each segment.
        anonymous_key: write no identity, and UIDs made with this key (`dicom_common.deidentified`). What was typed
            may name the patient: `text` and the prompts of segments are left out. Names of segments stay.

    Returns:
        The files written.

    Raises:
        InputError: a format is unknown, there is nothing to write, or the folder is not writable.
        NotSupportedError: DICOM or FHIR is asked for and the volume does not come from DICOM.
    """
    wanted = list(dict.fromkeys(formats))
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        raise InputError(f"{', '.join(unknown) or 'No format'} cannot be written. Formats: {', '.join(FORMATS)}.")
    if "ko" in wanted and ranking is None:
        raise InputError("Key objects ('ko') are made of ranked slices: say what to rank (--text), or leave 'ko' out.")
    require_segments(segmentation.segments)
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder '{target}' cannot be made ({error.strerror or error}). Name another.") from error
    if anonymous_key is not None:
        from radfind.exports.dicom_common import deidentified

        volume, text = deidentified(volume, anonymous_key), ""
        segmentation = dataclasses.replace(
            segmentation, segments=tuple(dataclasses.replace(s, prompt="") for s in segmentation.segments)
        )
    files = _dicom(volume, segmentation, target, wanted, ranking, text)
    files += _labelmaps(volume, segmentation, target, wanted)
    files += _meshes(segmentation, target, wanted)
    return files + _tables(volume, segmentation, target, wanted, ranking, verdicts, text)


def linked_answers(
    volume: Volume, text: str, formats: Sequence[str], *, engine: str = "auto", context: Context | None = None
) -> tuple[Ranking | None, Sequence[Verdict]]:
    """What "ko" and "fhir" say beside the segments: the slices that show `text`, and the verdicts on its statements.

    Raises:
        as `radfind.rank` and `radfind.verify`.
    """
    import radfind

    if not text.strip() or not {"ko", "fhir"} & set(formats):
        return None, ()
    ranking = radfind.rank(volume, text, engine=engine, context=context)
    verdicts = radfind.verify(volume, text, engine=engine, context=context) if "fhir" in formats else ()
    return ranking, verdicts


def _dicom(
    volume: Volume, segmentation: Segmentation, target: Path, wanted: list[str], ranking: Ranking | None, text: str
) -> list[Path]:
    files = []
    if "seg" in wanted or "sr" in wanted:
        from radfind.exports.dicom_common import save
        from radfind.exports.dicom_seg import segmentation_object

        seg = segmentation_object(segmentation, volume)  # the SR refers to it, so it is written with it
        files.append(save(seg, target / "segmentation.dcm"))
        if "sr" in wanted:
            from radfind.exports.dicom_sr import write_measurement_report

            measured = measure_segments(volume, segmentation)
            files.append(write_measurement_report(measured, seg, volume, target / "measurements.dcm"))
    if "seg-labelmap" in wanted:
        from radfind.exports.dicom_seg_labelmap import write_labelmap_seg

        files.append(write_labelmap_seg(segmentation, volume, target / "segmentation_labelmap.dcm"))
    if "ko" in wanted and ranking is not None:
        from radfind.exports.dicom_sr import write_key_objects

        files.append(write_key_objects(ranking, volume, text, target / "key_images.dcm"))
    if "rtstruct" in wanted:
        from radfind.exports.dicom_rtstruct import write_rtstruct

        files.append(write_rtstruct(segmentation, volume, target / "contours.dcm"))
    return files


def _labelmaps(volume: Volume, segmentation: Segmentation, target: Path, wanted: list[str]) -> list[Path]:
    from radfind.imaging.writing import write_labelmap

    return [
        write_labelmap(segmentation, target / f"segmentation.{suffix}", volume)
        for suffix in LABELMAPS
        if suffix in wanted
    ]


def _meshes(segmentation: Segmentation, target: Path, wanted: list[str]) -> list[Path]:
    asked = [suffix for suffix in MESHES if suffix in wanted]
    if not asked:
        return []
    from radfind.exports.meshes import SINGLE, models_of, write_models

    models = models_of(segmentation)
    files = []
    for suffix in asked:
        if f".{suffix}" in SINGLE:
            for number, model in enumerate(models, start=1):
                name = f"{number:02d}_{re.sub(r'[^0-9A-Za-z一-鿿]+', '_', model.name)[:60]}.{suffix}"
                files.append(write_models([model], target / name))
        else:
            files.append(write_models(models, target / f"models.{suffix}"))
    return files


def _tables(
    volume: Volume,
    segmentation: Segmentation,
    target: Path,
    wanted: list[str],
    ranking: Ranking | None,
    verdicts: Sequence[Verdict],
    text: str,
) -> list[Path]:
    if not {"csv", "fhir"} & set(wanted):
        return []
    measured = placed(measure_segments(volume, segmentation), volume)
    files = []
    if "csv" in wanted:
        from radfind.exports.measurement_table import measured_rows
        from radfind.exports.table import write_measurements

        write_measurements(target / "measurements.csv", measured_rows(measured, volume))
        files.append(target / "measurements.csv")
    if "fhir" in wanted:
        from radfind.exports.fhir import bundle, write_fhir

        content = bundle(volume, text=text, verdicts=verdicts, ranking=ranking, measured=measured)
        files.append(write_fhir(target / "results.fhir.json", content))
    return files
