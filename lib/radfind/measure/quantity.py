"""One measured number with its unit, its uncertainty and its codes."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Code:
    """A coded concept: scheme "SCT", "DCM", "UCUM", or "99RADFIND" where no standard code is known."""

    value: str
    scheme: str
    meaning: str


MM = Code("mm", "UCUM", "millimeter")
MM2 = Code("mm2", "UCUM", "square millimeter")
MM3 = Code("mm3", "UCUM", "cubic millimeter")
HU = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
ONE = Code("1", "UCUM", "no units")
PERCENT = Code("%", "UCUM", "Percent")


_IN_WORDS = {HU.value: "HU", ONE.value: "", MM2.value: "mm²", MM3.value: "mm³"}


def unit_in_words(ucum: str) -> str:
    """A UCUM code as a report writes it."""
    return _IN_WORDS.get(ucum, ucum)


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One measurement.

    Arguments:
        name: short stable name with the unit in it, e.g. "longest_diameter_mm".
        value: in `unit`.
        code: what was measured.
        unit: UCUM.
        uncertainty: half-width, in `unit`, of the range that the voxel size leaves open; None where the voxel size
            decides nothing. It says nothing of whether the outline is right.
        derivation: how it was derived from the values ("Mean", "Standard Deviation" ...), for density only.
    """

    name: str
    value: float
    code: Code
    unit: Code
    uncertainty: float | None = None
    derivation: Code | None = None


# DICOM PS3.16: CID 7469 / 7470 (size), CID 7471 / 7472 (area, volume), TID 1419; SNOMED CT and DCM values as there.
VOLUME = Code("118565006", "SCT", "Volume")
AREA = Code("42798000", "SCT", "Area")
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
DIAMETER = Code("81827009", "SCT", "Diameter")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
INTENSITY = Code("mean_value", "99RADFIND", "Voxel value")
MEAN = Code("373098007", "SCT", "Mean")
DEVIATION = Code("386136009", "SCT", "Standard Deviation")
MINIMUM = Code("255605001", "SCT", "Minimum")
MAXIMUM = Code("56851009", "SCT", "Maximum")
MEDIAN = Code("373099004", "SCT", "Median")


def own_code(name: str, meaning: str) -> Code:
    """A code of our private scheme, for what has no standard code known to us."""
    return Code(name, "99RADFIND", meaning)
