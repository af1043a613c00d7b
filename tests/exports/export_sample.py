"""A phantom with hand-made verdicts and rankings, so that outputs are tested without any engine."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from radfind.language.concepts import Concept
from radfind.language.findings import Finding, Place, Span
from radfind.phantom import LesionSpec, Phantom, make_phantom
from radfind.results import Evidence, RankedSlice, Ranking, Segment, Segmentation, Verdict

NODULE = Concept("solid_nodule", "finding", "solid nodule", "实性结节", code="786838002", sided=True, window="lung")
EFFUSION = Concept("pleural_effusion", "finding", "pleural effusion", "胸腔积液", sided=True, window="mediastinum")
TEXT = "FINDINGS:\nSolid nodule in the left upper lobe, measuring 14 x 11 mm.\n左侧胸腔积液。\nNo pneumothorax.\n"


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    phantom: Phantom
    text: str
    verdicts: tuple[Verdict, ...]
    ranking: Ranking
    segmentation: Segmentation


def span(text: str, words: str) -> Span:
    start = text.index(words)
    return Span(start, start + len(words), words)


@functools.lru_cache(maxsize=4)
def sample(shape: tuple[int, int, int] = (60, 128, 128), axes: str = "LPS") -> Sample:
    specs = (
        LesionSpec("solid_nodule", "right", "upper", 16.0),
        LesionSpec("pleural_effusion", "left", diameter_mm=32.0),
    )
    phantom = make_phantom(seed=31, lesions=specs, shape=shape, axes=axes)
    geometry = phantom.volume.geometry
    evidence = []
    for lesion, concept, words in zip(phantom.lesions, (NODULE, EFFUSION), ("Solid nodule", "胸腔积液"), strict=True):
        mask = phantom.truth[lesion.name]
        k, j, i = (float(v) for v in geometry.to_index(lesion.centre_lps))
        evidence.append(
            Evidence(
                text=f"{concept.english}, {lesion.side}",
                span=span(TEXT, words),
                concept=concept,
                mask=mask,
                slices=lesion.slices,
                center_kji=(k, j, i),
                values={
                    "longest_diameter_mm": lesion.diameter_mm[0],
                    "perpendicular_diameter_mm": lesion.diameter_mm[1],
                    "volume_mm3": lesion.volume_mm3,
                    "mean_hu": lesion.mean_hu,
                },
            )
        )
    one, two, three = (
        span(TEXT, words) for words in (TEXT.splitlines()[1], TEXT.splitlines()[2], TEXT.splitlines()[3])
    )
    nodule = Finding(NODULE, "present", Place(side="left", lobes=("upper",)), evidence[0].span, one, (14.0, 11.0))  # type: ignore[arg-type]
    fluid = Finding(EFFUSION, "present", Place(side="left"), evidence[1].span, two)  # type: ignore[arg-type]
    air = Concept("pneumothorax", "finding", "pneumothorax", "气胸", window="lung")
    none = Finding(air, "absent", Place(), span(TEXT, "pneumothorax"), three)
    verdicts = (
        Verdict(
            one,
            "no",
            0.93,
            "A solid nodule is in the right lung; the report says left.",
            "wrong_side",
            nodule,
            (evidence[0],),
            "builtin",
        ),
        Verdict(two, "yes", 0.97, "Fluid in the left pleural space.", "supported", fluid, (evidence[1],), "builtin"),
        Verdict(three, "maybe", 0.55, "The apex is not covered.", "not_covered", none, (), "builtin"),
    )
    scores = np.zeros(shape[0])
    ranked = []
    areas = [e.mask.sum(axis=(1, 2)) for e in evidence if e.mask is not None]
    for number, area in enumerate(areas):
        for k in [k for k in np.argsort(-area)[:4] if area[k]]:
            scores[k] = area[k] / area.max()
            ranked.append((float(scores[k]), int(k), evidence[number]))
    slices = tuple(
        RankedSlice(rank, k, score, None, None, (found,))
        for rank, (score, k, found) in enumerate(sorted(ranked, key=lambda r: -r[0]), start=1)
    )
    ranking = Ranking(slices, scores, (nodule, fluid, none), engine="builtin")
    segments = tuple(Segment(e.concept.english, e.mask, e.concept) for e in evidence)  # type: ignore[union-attr, arg-type]
    return Sample(phantom, TEXT, verdicts, ranking, Segmentation(geometry, segments, engine="builtin"))
