"""Lesions put into evidence a person can open."""

from __future__ import annotations

from radfind.engines.builtin.matching import Match
from radfind.engines.builtin.wording import Wording
from radfind.language.findings import Finding
from radfind.results import Evidence
from radfind.volume import Volume


def lesion_evidence(words: Wording, volume: Volume, finding: Finding, found: Match) -> Evidence:
    """The evidence that a lesion is for a finding: voxels on the volume's own grid, words, measures."""
    lesion, analysis, lexicon = found.lesion, words.analysis, words.lexicon
    mask = analysis.own_mask(lesion, volume)
    present = mask.any(axis=(1, 2)).nonzero()[0]
    return Evidence(
        text=words.sentence(lesion),
        span=finding.span,
        concept=lexicon.get(lesion.concept) if lesion.concept in lexicon else finding.concept,
        mask=mask,
        slices=(int(present[0]), int(present[-1])),
        center_kji=analysis.own_position(lesion.centre, volume),
        place=words.where(lesion),
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
