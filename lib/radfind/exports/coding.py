"""What a segment is, in codes: category, type, side and site.

Codes are those of the lexicon (SNOMED CT) and of DICOM PS3.16. A concept without a checked code is written under the
private scheme 99RADFIND (PS3.16 chapter 8: designators that begin with 99 are private), never under an invented one.
"""

from __future__ import annotations

import dataclasses

from radfind.language.concepts import Concept, Side
from radfind.measure.quantity import Code
from radfind.results import Segment

PRIVATE_SCHEME = "99RADFIND"

# CID 7150 segmentation property categories.
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Altered Structure")
TISSUE = Code("85756007", "SCT", "Tissue")
# CID 244 laterality.
SIDES: dict[Side, Code] = {
    "right": Code("24028007", "SCT", "Right"),
    "left": Code("7771000", "SCT", "Left"),
    "both": Code("51440002", "SCT", "Right and left"),
}


@dataclasses.dataclass(frozen=True)
class SegmentCodes:
    """How one segment is coded.

    Arguments:
        category, type: DICOM's segmented property category and type.
        side: modifier of the type (of the region, for a finding), or None.
        region: for a finding, the anatomical site; None when none is known.
    """

    category: Code
    type: Code
    side: Code | None = None
    region: Code | None = None


def code_of(concept: Concept) -> Code:
    """The concept's SNOMED CT code, or its id under the private scheme when it has none."""
    if concept.code is not None:
        return Code(concept.code, "SCT", (concept.meaning or concept.english)[:64])
    # Code Value is a short string of 16 characters (VR SH): longer ids go to Long Code Value, see `dicom_code`.
    return Code(concept.id, PRIVATE_SCHEME, concept.english[:64])


def codes_of(segment: Segment) -> SegmentCodes:
    """The codes of a segment; one without a concept is tissue of unknown kind, named by its label alone."""
    concept = segment.concept
    if concept is None:
        return SegmentCodes(TISSUE, TISSUE)
    side = side_of(segment)
    modifier = SIDES[side] if side is not None else None
    if concept.kind == "anatomy":
        return SegmentCodes(ANATOMY, code_of(concept), modifier)
    sites = segment.finding.place.sites if segment.finding is not None else ()
    region = code_of(sites[0]) if sites else None
    return SegmentCodes(ABNORMAL, code_of(concept), modifier, region)


def side_of(segment: Segment) -> Side | None:
    """The side a segment names: by its concept ("right_upper_lobe", whose code is side-neutral), finding, or name."""
    concept = segment.concept
    names = [concept.id.replace("_", " ")] if concept is not None else []
    if segment.finding is not None and segment.finding.place.side is not None:
        if concept is not None and (concept.sided or concept.kind == "finding"):
            return segment.finding.place.side
        site = segment.finding.place.sites[:1]
        names += [s.id.replace("_", " ") for s in site]
    names.append(segment.name.lower())
    for name in names:
        if name.startswith(("right ", "右")):
            return "right"
        if name.startswith(("left ", "左")):
            return "left"
    return None
