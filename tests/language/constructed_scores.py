"""Scores the reader against sentences made up and labelled for the tests (labels/constructed_*.json).

A claim of a label reads ``presence concept[|concept] side sizes @series/image``:

- side: left, right, both, - (none) or * (not scored);
- sizes: one lesion's dimensions in mm ("12x8"), "0-12" for a bound or range, - (none) or * (not scored);
- a leading ? marks a claim that may be read or left out.

A finding is compared with the claims of its presence whose concept is the same, above or below; of those, the one with
the same side and size is taken first. Unlike the score of whole reports, two lesions of one kind stay two claims, so a
size at the wrong lesion counts as an error of side or size.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import report_scores

from radfind.language.findings import Finding
from radfind.language.lexicon import Lexicon, default_lexicon
from radfind.language.reader import read

LABELS = Path(__file__).parent / "labels"
SETS = (
    "en",
    "zh",
    "en2",
    "zh2",
    "en3",
    "zh3",
    "en4",
    "zh4",
    "en5",
    "en6",
    "en7",
    "zh5",
    "en8",
    "zh6",
    "en9",
    "zh7",
    "en10",
    "zh8",
    "en11",
    "zh9",
    "en12",
    "zh10",
)
WHAT = ("presence", "side", "size", "reference")


@dataclasses.dataclass(frozen=True)
class Claim:
    """One labelled claim."""

    presence: str
    concepts: tuple[str, ...]
    side: str
    size: str
    reference: str = ""
    optional: bool = False

    @classmethod
    def parse(cls, words: str) -> Claim:
        head, _, reference = words.partition(" @")
        presence, concepts, side, size = head.split(" ")
        if "x" in size:
            size = "x".join(sorted(size.split("x"), key=float, reverse=True))
        return cls(
            presence.removeprefix("?"), tuple(concepts.split("|")), side, size, reference, presence.startswith("?")
        )


def score(name: str) -> dict[str, report_scores.Score]:
    """Scores of one of `SETS`."""
    content = json.loads((LABELS / f"constructed_{name}.json").read_text("utf-8"))
    scores = {what: report_scores.Score() for what in WHAT}
    for entry in content["texts"]:
        _score_text(entry["text"], [Claim.parse(words) for words in entry["claims"]], scores)
    return scores


def _score_text(text: str, claims: list[Claim], scores: dict[str, report_scores.Score]) -> None:
    lexicon = default_lexicon()
    found = [
        finding
        for finding in read(text).findings
        if finding.concept.kind == "finding" and finding.section not in ("history", "technique")
    ]
    pairs = []
    for i, finding in enumerate(found):
        for j, claim in enumerate(claims):
            if finding.presence == claim.presence and _same_thing(finding, claim, lexicon):
                fit = 2 * (claim.side in ("*", _side(finding))) + (claim.size in ("*", _size(finding)))
                pairs.append((claim.optional, -fit, i, j))
    taken: dict[int, int] = {}
    for _, _, i, j in sorted(pairs):
        if i not in taken and j not in taken.values():
            taken[i] = j
    for i, finding in enumerate(found):
        if i in taken:
            _compare(text, finding, claims[taken[i]], scores)
        else:
            scores["presence"].false += 1
            scores["presence"].errors.append(
                f"false {finding.presence} {finding.concept.id} {_side(finding)} {_size(finding)}: {text}"
            )
    for j, claim in enumerate(claims):
        if j not in taken.values() and not claim.optional:
            scores["presence"].missed += 1
            scores["presence"].errors.append(f"missed {claim}: {text}")


def _same_thing(finding: Finding, claim: Claim, lexicon: Lexicon) -> bool:
    id = finding.concept.id
    return any(lexicon.is_a(id, other) or lexicon.is_a(other, id) for other in claim.concepts)


def _side(finding: Finding) -> str:
    return finding.place.side or "-"


def _size(finding: Finding) -> str:
    if finding.sizes_mm:
        return "x".join(f"{mm:g}" for mm in finding.sizes_mm)
    return "-".join(f"{mm:g}" for mm in finding.size_range_mm) if finding.size_range_mm else "-"


def _compare(text: str, finding: Finding, claim: Claim, scores: dict[str, report_scores.Score]) -> None:
    scores["presence"].hits += 1
    reference = ",".join(f"{r.series}/{r.image}" if r.series else str(r.image) for r in finding.references) or "-"
    for what, said, read_as in (
        ("side", claim.side, _side(finding)),
        ("size", claim.size, _size(finding)),
        ("reference", claim.reference or "-", reference),
    ):
        if said in ("*", read_as):
            scores[what].hits += said == read_as != "-"
            continue
        scores[what].missed += said != "-"
        scores[what].false += read_as != "-"
        scores[what].errors.append(f"{what} of {finding.concept.id} is {said}, read {read_as}: {text}")
