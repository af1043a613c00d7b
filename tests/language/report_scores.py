"""Scores the reader against hand labels of real reports: presence, side and size, precision and recall.

Matching. Labels of one report are joined by (term, presence), as their guidelines say: union of sides, union of
sizes. A prediction belongs to the term whose concept is its own or the nearest above it, else to the term whose
concept lies below it; predictions outside the closed list of terms are not scored. Presence: a (report, term,
presence) that is predicted and labelled is a hit, predicted only is a false alarm (unless the label file says the
term is open in that report), labelled only is a miss. Labels marked "implied" (a normal heart size implies no
cardiomegaly) and predictions equal to them count neither way. Side and size are compared on presence hits, one
decision per side (left, right) and per measured lesion (all its dimensions within half a millimetre). Lesions of one
size are several where one section tells of each; findings and impression that give the same size tell of the same
lesion. A prediction whose own term is open in the report (a calcified nodule) gives its sizes and sides to the more
general term that is labelled. Sizes of denied findings are not compared, nor none against both for denied ones (the
guidelines ask for that).
"""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from radfind.language.findings import Finding
from radfind.language.lexicon import Lexicon, default_lexicon
from radfind.language.reader import read

# What the guidelines say a term covers beyond the concept of its own name.
COVERS = {
    "fibrosis": ("sequela",),
    "atherosclerosis": ("aortic calcification", "coronary artery calcification"),
}
LABELS = Path(__file__).parent / "labels"
# Set of reports -> its file, and the `half` taken of it (None: all). "kept_aside" alone served no rule.
SETS = {
    "dev": ("reports.json", "dev"),
    "held_out": ("reports.json", "held_out"),
    "blind": ("reports_blind.json", None),
    "blind2": ("reports_blind2.json", None),
    "blind3": ("reports_blind3.json", None),
    "kept_aside": ("reports_blind4.json", None),
}


@dataclasses.dataclass
class Score:
    """Hits, false alarms and misses; `errors` names them for the developer."""

    hits: int = 0
    false: int = 0
    missed: int = 0
    errors: list[str] = dataclasses.field(default_factory=list, repr=False)

    @property
    def precision(self) -> float:
        return self.hits / max(1, self.hits + self.false)

    @property
    def recall(self) -> float:
        return self.hits / max(1, self.hits + self.missed)

    def __str__(self) -> str:
        counts = f"{self.hits} hits, {self.false} false, {self.missed} missed"
        return f"precision {self.precision:.3f} recall {self.recall:.3f} ({counts})"


@dataclasses.dataclass
class Claims:
    """All claims of one report about one (term, presence)."""

    sides: set[str] = dataclasses.field(default_factory=set)
    sizes: list[tuple[float, ...]] = dataclasses.field(default_factory=list)
    implied: bool = True
    sizes_unscored: bool = False
    words: list[str] = dataclasses.field(default_factory=list)


def texts(folder: Path) -> dict[str, str]:
    """VolumeName -> text to read, built as the labels' recipe says."""
    with (folder / "chest_ct_reports.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["VolumeName"]: f"FINDINGS: {row['Findings_EN'].strip()}\nIMPRESSION: {row['Impressions_EN'].strip()}"
            for row in csv.DictReader(file)
        }


def score(folder: Path, name: str) -> dict[str, Score]:
    """Scores of one of `SETS`: {"presence", "side", "size"}.

    Never print the `errors` of "kept_aside": who has read them can no longer judge by it.

    Raises:
        FileNotFoundError: the labels of that set are not there.
    """
    file, half = SETS[name]
    content = json.loads((LABELS / file).read_text("utf-8"))
    lexicon = default_lexicon()
    ids = {term: concept.id if (concept := lexicon.lookup(term)) else term for term in content["universe"]}
    covered = {c.id: ids[term] for term, names in COVERS.items() for name in names if (c := lexicon.lookup(name))}
    scores = {"presence": Score(), "side": Score(), "size": Score()}
    written = texts(folder)
    for report in content["reports"]:
        if half in (None, report["half"]):
            _score_report(report, written[report["volume"]], ids, covered, lexicon, scores)
    return scores


def _score_report(
    report: dict[str, Any],
    text: str,
    ids: dict[str, str],
    covered: dict[str, str],
    lexicon: Lexicon,
    scores: dict[str, Score],
) -> None:
    labels = _labelled(report["labels"], ids)
    found = _predicted(read(text).findings, set(ids.values()), covered, lexicon)
    open_ids = {ids[term] for term in report.get("unscored", ())}
    found = _paired(labels, _generalised(labels, found, open_ids, lexicon), lexicon)
    for key in sorted(set(labels) | set(found)):
        name = f"{report['volume']} {key[0]} {key[1]}"
        if key in labels and labels[key].implied:
            continue
        if key not in labels:
            if key[0] not in open_ids:
                scores["presence"].false += 1
                scores["presence"].errors.append(f"false  {name}: {found[key].words}")
        elif key not in found:
            scores["presence"].missed += 1
            scores["presence"].errors.append(f"missed {name}")
        else:
            scores["presence"].hits += 1
            _score_sides(name, key[1], labels[key], found[key], scores["side"])
            if key[1] != "absent" and not labels[key].sizes_unscored:
                _score_sizes(name, labels[key], found[key], scores["size"])


def _labelled(labels: list[dict[str, Any]], ids: dict[str, str]) -> dict[tuple[str, str], Claims]:
    joined: dict[tuple[str, str], Claims] = defaultdict(Claims)
    for label in labels:
        claims = joined[ids[label["term"]], label["presence"]]
        claims.sides |= set(label["sides"])
        claims.sizes += [tuple(size) for size in label["sizes_mm"]]
        claims.implied &= label.get("implied", False)
        claims.sizes_unscored |= label.get("sizes_unscored", False)
    return joined


def _predicted(
    findings: tuple[Finding, ...], ids: set[str], covered: dict[str, str], lexicon: Lexicon
) -> dict[tuple[str, str], Claims]:
    joined: dict[tuple[str, str], Claims] = defaultdict(Claims)
    sizes: dict[tuple[str, str], list[_Told]] = defaultdict(list)
    for finding in findings:
        above = (covered.get(concept.id, concept.id) for concept in lexicon.ancestry(finding.concept))
        id = next((id for id in above if id in ids), None)
        if id == "pulmonary_opacity" and "infiltrat" not in finding.span.text.lower():
            continue  # labelled where the word "infiltration" is used
        if id is None or finding.section in ("history", "technique"):
            continue
        claims = joined[id, finding.presence]
        claims.sides |= {"left", "right"} if finding.place.side == "both" else {finding.place.side or ""} - {""}
        size = finding.sizes_mm
        bound = finding.size_range_mm
        # "up to 18 mm" is a labelled size; a word like "millimetric" is not
        worded = bound == (0.0, 10.0) and re.search("illimet|centimetr", finding.sentence.text) is not None
        if not size and bound and bound[1] < float("inf") and not worded:
            size = (bound[1],)
        if size:
            sizes[id, finding.presence].append((finding.section, size, finding.sentence.start, finding.concept.id))
        claims.words.append(finding.sentence.text)
    for key, told in sizes.items():
        joined[key].sizes = _lesions(told)
    return joined


# A size that was told: its section, dimensions, the start of its sentence, the concept it is a size of.
_Told = tuple[str | None, tuple[float, ...], int, str]


def _lesions(told: list[_Told]) -> list[tuple[float, ...]]:
    """One size for each lesion: as many of one size as the section that tells most of them tells.

    In one sentence the same size of two concepts is one lesion under two names (a nodule, taken for a cyst).
    """
    named: dict[tuple[str | None, tuple[float, ...]], dict[int, Counter[str]]] = defaultdict(
        lambda: defaultdict(Counter)
    )
    for section, size, sentence, concept in told:
        named[section, size][sentence][concept] += 1
    most: Counter[tuple[float, ...]] = Counter()
    for (_, size), sentences in named.items():
        most[size] = max(most[size], sum(max(concepts.values()) for concepts in sentences.values()))
    return list(most.elements())


def _generalised(
    labels: dict[tuple[str, str], Claims],
    found: dict[tuple[str, str], Claims],
    open_ids: set[str],
    lexicon: Lexicon,
) -> dict[tuple[str, str], Claims]:
    """Gives what was told of a term the report leaves open to the more general term that is labelled."""
    result = dict(found)
    for (id, presence), claims in found.items():
        above = [c.id for c in lexicon.ancestry(lexicon.get(id)) if (c.id, presence) in labels] if id in lexicon else []
        if id in open_ids and above and above[0] != id:
            general = result.get((above[0], presence), Claims())
            result[above[0], presence] = Claims(
                general.sides | claims.sides, general.sizes + claims.sizes, words=general.words + claims.words
            )
            del result[id, presence]
    return result


def _paired(
    labels: dict[tuple[str, str], Claims], found: dict[tuple[str, str], Claims], lexicon: Lexicon
) -> dict[tuple[str, str], Claims]:
    """Moves a prediction without a label of its own to the label of a more general or more special term, if free."""
    result = {key: claims for key, claims in found.items() if key in labels}
    for key, claims in found.items():
        if key in labels:
            continue
        id, presence = key
        near = [
            label
            for label in labels
            if label[1] == presence
            and label not in found
            and label not in result
            and (lexicon.is_a(id, label[0]) or lexicon.is_a(label[0], id))
        ]
        result[near[0] if near else key] = claims
    return result


def _score_sides(name: str, presence: str, label: Claims, found: Claims, score: Score) -> None:
    if presence == "absent" and (not label.sides or not found.sides):
        return
    score.hits += len(label.sides & found.sides)
    score.false += len(found.sides - label.sides)
    score.missed += len(label.sides - found.sides)
    if label.sides != found.sides:
        score.errors.append(f"{name}: labelled {sorted(label.sides)}, read {sorted(found.sides)}: {found.words}")


def _score_sizes(name: str, label: Claims, found: Claims, score: Score) -> None:
    left = list(label.sizes)
    for size in found.sizes:
        same = next(
            (s for s in left if len(s) == len(size) and all(abs(a - b) <= 0.5 for a, b in zip(s, size, strict=True))),
            None,
        )
        if same is None:
            score.false += 1
        else:
            score.hits += 1
            left.remove(same)
    score.missed += len(left)
    if left or len(found.sizes) != len(label.sizes):
        score.errors.append(f"{name}: labelled {label.sizes}, read {found.sizes}: {found.words}")
