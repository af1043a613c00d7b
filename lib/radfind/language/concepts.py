"""A concept: one thing a radiologist can name, coded, with what engines need to know about it."""

from __future__ import annotations

import dataclasses
from typing import Literal

Kind = Literal["anatomy", "finding"]
Side = Literal["left", "right", "both"]


@dataclasses.dataclass(frozen=True)
class Concept:
    """One entry of the lexicon.

    Arguments:
        id: short stable name in snake case, e.g. ``"pulmonary_nodule"``.
        kind: an anatomical structure, or a finding (lesion, disease, device, change).
        english: preferred English term.
        chinese: preferred Chinese term.
        terms: every other wording in either language: synonyms, abbreviations, spelling variants.
        code: SNOMED CT code value (scheme SCT), or None where no checked code exists.
        meaning: SNOMED CT's own wording of that code.
        region: body regions in which it lives: "head", "neck", "chest", "abdomen", "pelvis", "spine", "limbs".
        sided: whether left and right instances exist.
        parent: id of the more general concept ("solid_nodule" -> "pulmonary_nodule"), or None.
        sites: for findings, ids of the anatomical concepts in which it is looked for.
        density: typical (low, high) Hounsfield units on CT, or None.
        window: display preset that shows it best (name in `radfind.imaging.windows`).
        color: display colour, RGB 0..255.
    """

    id: str
    kind: Kind
    english: str
    chinese: str
    terms: tuple[str, ...] = ()
    code: str | None = None
    meaning: str | None = None
    region: tuple[str, ...] = ()
    sided: bool = False
    parent: str | None = None
    sites: tuple[str, ...] = ()
    density: tuple[float, float] | None = None
    window: str = "abdomen"
    color: tuple[int, int, int] = (230, 180, 60)
