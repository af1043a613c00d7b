"""What SEG and RTSTRUCT objects of any tool say of their origin: the series they were made on, and their codes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radfind.errors import ImageError
from radfind.language.concepts import Concept, Side
from radfind.volume import Volume

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SIDES: dict[str, Side] = {"24028007": "right", "7771000": "left", "51440002": "both"}
"""CID 244 laterality, SNOMED CT."""
_LEGACY_SIDES = {"G-A100": "24028007", "G-A101": "7771000", "G-A102": "51440002"}


def read_object(file: Path) -> Dataset | None:
    """The data set when `file` is DICOM (also without the 128-byte preamble, as old planning systems write), or None.

    Raises:
        ImageError: the file cannot be opened.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        with file.open("rb") as stream:
            head = stream.read(132)
        if head[128:] != b"DICM" and head[:2] not in (b"\x08\x00", b"\x02\x00"):
            return None
        dataset = pydicom.dcmread(file, force=True)
        return dataset if "SOPClassUID" in dataset else None
    except OSError as error:
        raise ImageError(f"'{file}' cannot be read ({error.strerror or error}). Give a file that exists.") from error
    except (InvalidDicomError, ValueError, EOFError, NotImplementedError) as error:
        raise ImageError(f"'{file}' begins like a DICOM file but is damaged ({error}). Export it again.") from error


def made_on(
    volume: Volume, file: Path, *, series: Iterable[str], instances: Iterable[str], frames_of_reference: Iterable[str]
) -> tuple[str, ...]:
    """Check that an object belongs to `volume`; what a user should know of it comes back as notes.

    It does when it names the series, one of its instances, or at least the same frame of reference (PS3.3 C.7.4.1:
    then positions mean the same place in the same patient).

    Raises:
        ImageError: it was made on something else, or on images that are not all here.
    """
    series, instances, frames = set(series), set(instances), set(frames_of_reference) - {""}
    own = {source.sop_instance_uid for source in volume.slices} - {None}
    if not own:
        return (f"The image has no DICOM UIDs, so that '{file.name}' was made on it could not be checked.",)
    if volume.series_uid in series or own & instances:
        if frames and volume.frame_of_reference_uid and volume.frame_of_reference_uid not in frames:
            return (
                f"'{file.name}' names this series but another frame of reference; positions were taken as they are.",
            )
        return ()
    if volume.frame_of_reference_uid in frames:
        return (f"'{file.name}' was made on another series of the same frame of reference.",)
    raise ImageError(
        f"'{file}' was made on series {', '.join(sorted(series)) or 'unknown'}, and this is series {volume.series_uid} "
        "in another frame of reference: its positions mean other places. Give the scan it was made on."
    )


def nested(dataset: Dataset, *keywords: str) -> Iterable[Dataset]:
    """The items of nested sequences; absent ones have no items."""
    items: list[Any] = [dataset]
    for keyword in keywords:
        items = [inner for item in items for inner in (item.get(keyword) or ())]
    return items


def side_of_codes(modifiers: Iterable[Dataset]) -> Side | None:
    """The laterality among modifier codes, also in the retired SRT scheme."""
    for code in modifiers:
        value = str(code.get("CodeValue", ""))
        if (side := SIDES.get(_LEGACY_SIDES.get(value, value))) is not None:
            return side
    return None


def concept_of_code(code: Dataset | None, name: str, kind: str) -> Concept | None:
    """The lexicon's concept of a coded type, told apart by `name` where several share a code.

    A SNOMED CT code that the lexicon does not have becomes a concept of its own, so that the code goes out again as it
    came in. None when neither code nor name is known.

    Arguments:
        kind: "anatomy" or "finding", for such a concept.
    """
    from pydicom.sr.coding import Code

    from radfind.imaging.labelmap_reading import concept_of
    from radfind.language.lexicon import default_lexicon

    named = concept_of(name.replace("_", " "))
    if code is None:
        return named
    lexicon = default_lexicon()
    scheme, meaning = str(code.get("CodingSchemeDesignator", "")), str(code.get("CodeMeaning", ""))
    value = str(code.get("CodeValue") or code.get("LongCodeValue") or "")
    if scheme == "99RADFIND":
        return lexicon.get(value) if value in lexicon else concept_of(meaning) or named
    if scheme not in ("SCT", "SRT", "99SDM", "SNM3") or not value:
        return named or concept_of(meaning)
    given = Code(value, "SRT" if scheme in ("99SDM", "SNM3") else scheme, meaning)  # names of one scheme in its time
    if named is not None and named.code is not None and Code(named.code, "SCT", "") == given:
        return named
    for concept in lexicon:
        if concept.code is not None and Code(concept.code, "SCT", "") == given:
            return concept
    if value in _UNSPECIFIC:
        return named
    if scheme != "SCT":
        return named or concept_of(meaning)
    return Concept(
        f"sct_{value}", "anatomy" if kind == "anatomy" else "finding", meaning, "", code=value, meaning=meaning
    )


def part_of(name: str) -> str:
    """The name of a segment of which only a part lies on the image, so that no table shows it as the whole."""
    return f"{name} (part)"


_UNSPECIFIC = {"85756007", "T-D0050", "123037004", "T-D000A", "49755003", "M-01000"}
"""Tissue, anatomical structure, morphologically altered structure: written where a tool knows no better."""
