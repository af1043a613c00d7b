"""Lesions put into words and into evidence a person can open."""

from __future__ import annotations

from radfind.engines.builtin.analysis import Analysis
from radfind.engines.builtin.lesion import Lesion
from radfind.engines.builtin.matching import Match
from radfind.engines.builtin.whereabouts import describe
from radfind.language.findings import Finding
from radfind.language.lexicon import Lexicon
from radfind.results import Evidence
from radfind.volume import Volume

_MEASURED_IN_ML = (
    "consolidation",
    "ground_glass_opacity",
    "atelectasis",
    "emphysema",
    "pleural_effusion",
    "pneumothorax",
)
_DENSITY_WORDS = {"solid": "solid", "part_solid": "part-solid", "ground_glass": "ground-glass"}


def name(lesion: Lesion, lexicon: Lexicon) -> str:
    """What a lesion is called: "part-solid nodule", "solid mass", "consolidation"."""
    density = _DENSITY_WORDS.get(lesion.attributes[0], "") if lesion.attributes else ""
    calcified = "calcified " if "calcified" in lesion.attributes else ""
    if lesion.concept == "pulmonary_mass":
        return f"{calcified}{density} mass".strip()
    if lesion.concept.endswith("_nodule"):
        return f"{calcified}{density} nodule".strip()
    return lexicon.get(lesion.concept).english if lesion.concept in lexicon else lesion.concept.replace("_", " ")


def size(lesion: Lesion) -> str:
    """ "14 x 11 mm" for nodules, "120 ml" for what is not round."""
    if lesion.concept in _MEASURED_IN_ML:
        millilitres = lesion.volume_mm3 / 1000.0
        return f"{millilitres:.0f} ml" if millilitres >= 10 else f"{millilitres:.1f} ml"
    return f"{lesion.longest_mm:.0f} x {lesion.perpendicular_mm:.0f} mm"


def sentence(analysis: Analysis, lesion: Lesion, lexicon: Lexicon) -> str:
    """ "solid nodule, right lung, apex, 14 x 11 mm, mean 22 HU"."""
    place = describe(analysis.anatomy, lesion)
    return f"{name(lesion, lexicon)}, {place}, {size(lesion)}, mean {lesion.mean_hu:.0f} HU"


def place(finding: Finding) -> str:
    """The place of a text as the engine understood it: "right upper lobe, S1, apical"; empty when it names none."""
    where = finding.place
    first = where.sites[0].english if where.sites else f"{where.lobes[0]} lobe" if where.lobes else ""
    if where.side == "both":
        first = f"both {first or 'side'}s"
    elif where.side is not None and where.side not in first:
        first = f"{where.side} {first or 'side'}"
    parts = [first] * bool(first)
    if not where.sites:
        parts += [f"{lobe} lobe" for lobe in where.lobes[1:]]
    return ", ".join([*parts, *where.segments, *where.zones, *where.levels])


def lesion_evidence(analysis: Analysis, volume: Volume, finding: Finding, found: Match, lexicon: Lexicon) -> Evidence:
    """The evidence that a lesion is for a finding: voxels on the volume's own grid, words, measures."""
    lesion = found.lesion
    mask = analysis.own_mask(lesion, volume)
    present = mask.any(axis=(1, 2)).nonzero()[0]
    return Evidence(
        text=sentence(analysis, lesion, lexicon),
        span=finding.span,
        concept=lexicon.get(lesion.concept) if lesion.concept in lexicon else finding.concept,
        mask=mask,
        slices=(int(present[0]), int(present[-1])),
        center_kji=analysis.own_position(lesion.centre, volume),
        values={
            "match": found.total,
            "detector_score": lesion.score,
            "kind_agreement": found.kind,
            "side_agreement": found.side,
            "place_agreement": found.place,
            "size_agreement": found.size,
            "longest_diameter_mm": lesion.longest_mm,
            "perpendicular_diameter_mm": lesion.perpendicular_mm,
            "volume_mm3": lesion.volume_mm3,
            "mean_hu": lesion.mean_hu,
            **lesion.values,
        },
    )
