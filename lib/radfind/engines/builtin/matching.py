"""How well a lesion of the scan fits a finding of the text."""

from __future__ import annotations

import dataclasses

import numpy as np

from radfind.engines.builtin.anatomy import Anatomy
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.vocabulary import (
    always_small,
    calcified_asked,
    density_agreement,
    density_asked,
    may_be_lump,
    may_merge,
    same_kind,
)
from radfind.engines.builtin.whereabouts import place_agreement
from radfind.language.findings import Finding
from radfind.language.lexicon import default_lexicon

SIZE_SAME = (2.0, 0.20)
"""A measured and a reported diameter agree within 2 mm or 20 %, whichever is more: 95 % limits of agreement between
readers of small nodules are 1.7 mm (Revel et al., Radiology 2004), variability below 20-25 % is not a change
(RECIST 1.1; Bankier et al., Radiology 2017)."""

SIZE_OTHER = (3.5, 0.35)
"""They contradict each other beyond 3.5 mm and 35 %: two readings that are each within the above of the truth in 95 of
100 cases differ by more in 1 or 2 of 100."""

MAYBE_CALCIFIED_HU = 164.0
"""What has no voxels denser than this is not calcified (Siegelman et al., Radiology 1986)."""

SMALLEST_SURE_MM = 6.0
"""Densities of smaller nodules are averaged with the lung around (Fleischner Society, Bankier et al., 2017)."""

MERGED = 0.6
"""How far consolidation answers to "mass": one that merges with mediastinum or chest wall looks the same."""

MERGED_NODULE = 0.5
"""The same for a nodule or lesion: enough to be told of, too little to be ranked or outlined as one."""

LARGEST_LUMP_MM = 100.0
"""Dense lung longer than this is no lump that a text would call a nodule."""

GOOD = 0.5
"""A component at or above this agrees; below it contradicts."""

SAME = 0.9
"""A size at or above this is the same as far as two readings can tell; of several that are, the nearest comes first."""

ENOUGH = 0.25
"""A total at or above this is a match: shown, ranked and outlined."""


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """Agreement of one lesion with one finding, each component 0..1.

    Arguments:
        lesion: the lesion.
        kind: nodule or mass, density class, and what else the lesion is called.
        side: 1 when the side agrees or the text names none.
        place: lobe, segment, zone (see `regions.place_score`), without the side.
        size: 1 when no size is given, or for a consolidation, which has no diameter.
        attributes: calcification; what cannot be measured does not count.
    """

    lesion: Lesion
    kind: float = 1.0
    side: float = 1.0
    place: float = 1.0
    size: float = 1.0
    attributes: float = 1.0

    @property
    def agreement(self) -> float:
        """Agreement with the words alone, whatever the detector's own doubt."""
        return self.kind * self.side * self.place * self.size * self.attributes

    @property
    def total(self) -> float:
        """Agreement with the words times the detector's certainty."""
        return self.agreement * self.lesion.score

    @property
    def contradiction(self) -> str | None:
        """The verdict code of the gravest disagreement, or None: a wrong side first, then whatever agrees least."""
        parts = self.components
        if parts["wrong_side"] < GOOD:
            return "wrong_side"
        code = min(parts, key=lambda name: parts[name])
        return code if parts[code] < GOOD else None

    @property
    def components(self) -> dict[str, float]:
        """Agreement by the verdict code that its lack leads to."""
        return {
            "wrong_side": self.side,
            "wrong_place": self.place,
            "wrong_kind": min(self.kind, self.attributes),
            "wrong_size": self.size,
        }


def match(finding: Finding, lesion: Lesion, anatomy: Anatomy) -> Match:
    """Compare a finding with a lesion."""
    return Match(
        lesion=lesion,
        kind=_kind(finding, lesion),
        side=_side(finding, lesion),
        place=place_agreement(anatomy, finding.place, lesion),
        size=1.0 if lesion.concept == "consolidation" else size_agreement(finding, lesion),
        attributes=_attributes(finding, lesion),
    )


def best_matches(finding: Finding, lesions: tuple[Lesion, ...], anatomy: Anatomy) -> list[Match]:
    """All lesions compared with a finding, best first; of equals the larger one comes first."""
    matches = [match(finding, lesion, anatomy) for lesion in lesions]
    return sorted(matches, key=lambda m: (-round(m.total, 2), -m.lesion.volume_mm3))


def size_agreement(finding: Finding, lesion: Lesion) -> float:
    """0..1: 1 for the very size, `SAME` at `SIZE_SAME`, 0.5 at `SIZE_OTHER`, 0 well beyond. 1 without a size."""
    if finding.sizes_mm:
        return _one_size(finding.sizes_mm[0], lesion.longest_mm)
    if finding.size_range_mm is not None:
        low, high = finding.size_range_mm
        return _one_size(float(np.clip(lesion.longest_mm, low, high)), lesion.longest_mm)
    return 1.0


def _one_size(reported: float, measured: float) -> float:
    mean = (measured + reported) / 2.0  # neither reading is the truth (Bland and Altman, Lancet 1986)
    same = max(SIZE_SAME[0], SIZE_SAME[1] * mean)
    other = max(SIZE_OTHER[0], SIZE_OTHER[1] * mean)
    return float(np.interp(abs(measured - reported), (0.0, same, other, 2 * other - same), (1.0, SAME, GOOD, 0.0)))


def _kind(finding: Finding, lesion: Lesion) -> float:
    found = lesion.attributes[0] if lesion.attributes else ""
    density = density_agreement(density_asked(finding), found, lesion.longest_mm)
    if lesion.concept == "consolidation" and may_merge(finding):
        return MERGED
    if lesion.concept == "consolidation" and may_be_lump(finding):
        told = finding.sizes_mm[0] if finding.sizes_mm else (finding.size_range_mm or (0.0, np.inf))[1]
        fits = lesion.longest_mm <= LARGEST_LUMP_MM and told >= 0.5 * lesion.longest_mm
        return MERGED_NODULE if fits else 0.1
    if "nodule" not in lesion.concept and lesion.concept != "pulmonary_mass":
        return density if same_kind(finding.concept.id, lesion.concept, default_lexicon()) else 0.4
    if finding.concept.id in ("pulmonary_mass", "mass"):
        # 30 mm separates mass from nodule; readers are not that strict, and sizes differ by 20 %.
        return density * float(np.clip((lesion.longest_mm - 12.0) / 12.0, 0.1, 1.0))
    if finding.concept.id == "lesion":
        return density
    if always_small(finding):
        return float(np.clip((15.0 - lesion.longest_mm) / 5.0, 0.1, 1.0))
    return density * float(np.clip((60.0 - lesion.longest_mm) / 20.0, 0.4, 1.0))


def _side(finding: Finding, lesion: Lesion) -> float:
    asked = finding.place.side
    if asked in (None, "both") or lesion.side == "both" or lesion.side == asked:
        return 1.0
    return 0.05


def _attributes(finding: Finding, lesion: Lesion) -> float:
    """Calcification: what is nowhere dense enough has none, unless so small that its calcium may be averaged out."""
    if not calcified_asked(finding) or "calcified" in lesion.attributes:
        return 1.0
    hidden = lesion.longest_mm < SMALLEST_SURE_MM or lesion.values.get("brightest_hu", np.inf) > MAYBE_CALCIFIED_HU
    return 0.4 if hidden else 0.1
