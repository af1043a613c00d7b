"""Everything the built-in engine knows on one CT: structures that do not overlap, and findings on top of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from radfind.engines.api import Context
from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.anatomy import SUPPORTED
from radfind.engines.builtin.verifying import SURE
from radfind.engines.builtin.vocabulary import FAMILIES
from radfind.engines.builtin.wording import Wording
from radfind.language.lexicon import Lexicon
from radfind.results import Evidence, Segment, Segmentation
from radfind.volume import Volume

# Parts before wholes: what an earlier one holds, a later one does not get. All other structures come in between.
_FIRST = ("trachea", "main_bronchus", "lung")
TISSUES = ("bone", "bowel_gas", "calcification", "subcutaneous_fat", "visceral_fat", "muscle")
"""What whole organs are made of too: any structure with a name of its own comes before these."""

_WHOLES = frozenset(
    {"body", "lung_base", "lung_apex", "airway", "airways", "bones", "skeleton", "spine", "fat", "vessels"}
    | {"pulmonary_vessel"}
)
"""Names that only gather or cut up others."""

_ORDER = (*_FIRST, *sorted(SUPPORTED - _WHOLES - {*_FIRST, *TISSUES}), *TISSUES)
_SIDED = ("lung",)


def segment_everything(
    analysis: Analysis, volume: Volume, lexicon: Lexicon, context: Context, engine: str
) -> Segmentation:
    """Every structure and finding, and the names of those looked for and not there."""
    segments: list[Segment] = []
    missing: list[str] = []
    words = Wording(analysis, lexicon)
    taken = np.zeros(analysis.anatomy.volume.geometry.shape, bool)
    wanted = [concept for concept in _ORDER if concept in SUPPORTED and concept in lexicon]
    for number, name in enumerate(wanted):
        context.step(0.5 * number / len(wanted), name)
        for side in ("right", "left") if name in _SIDED else (None,):
            mask = analysis.anatomy.mask(name, side)
            concept = lexicon.get(name)
            title = f"{side} {concept.english}" if side else concept.english
            own = None if mask is None else mask & ~taken
            if own is None or not own.any():
                missing.append(f"{title}: not seen on this scan.")
                continue
            taken |= own
            placed = volume.restore(own)
            segments.append(_segment(title, placed, Evidence(text=title, concept=concept, mask=placed)))
    for number, family in enumerate(FAMILIES):
        share = context.part(0.5 + 0.5 * number / len(FAMILIES), 0.5 + 0.5 * (number + 1) / len(FAMILIES))
        sure = [lesion for lesion in analysis.lesions(family, share) if lesion.score >= SURE]
        if not sure:
            title = lexicon.get(FAMILIES[family][0]).english
            missing.append(f"{title}: not found." if analysis.field is not None else f"{title}: no lung on this scan.")
        for lesion in sure:
            placed = analysis.own_mask(lesion, volume)
            concept = lexicon.get(lesion.concept)
            found = Evidence(text=words.sentence(lesion), concept=concept, mask=placed, place=words.where(lesion))
            segments.append(dataclasses.replace(_segment(concept.english, placed, found), score=lesion.score))
    context.step(1.0, "done")
    return Segmentation(
        volume.geometry,
        tuple(segments),
        not_found=tuple(missing),
        engine=engine,
        notes=(*volume.warnings, "Structures do not overlap; findings lie on top of the structures they are in."),
    )


def _segment(name: str, mask: npt.NDArray[np.bool_], evidence: Evidence) -> Segment:
    concept = evidence.concept
    present = np.flatnonzero(mask.any(axis=(1, 2)))
    slices = (int(present[0]), int(present[-1])) if present.size else None
    return Segment(
        name=name,
        mask=mask,
        concept=concept,
        color=concept.color if concept else (230, 180, 60),
        prompt="everything",
        evidence=(dataclasses.replace(evidence, slices=slices),),
    )
