"""`report.html`: one self-contained page that shows a report beside what the scan shows.

No script, no external resource: images are data URIs and a strict content security policy is part of the page.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from radfind.exports.slice_view import Box, Picture, body_box, close_up, picture
from radfind.exports.table import main_evidence
from radfind.language.findings import Finding
from radfind.results import Evidence, RankedSlice, Ranking, Segmentation, Verdict
from radfind.volume import Volume

ANSWERS = {
    "yes": ("✓", "Supported", "与影像相符"),
    "no": ("✗", "Contradicted", "与影像不符"),
    "maybe": ("?", "Undecided", "无法确定"),
}
_FACTS = (
    ("PatientName", "Patient"),
    ("PatientID", "Patient ID"),
    ("PatientSex", "Sex"),
    ("PatientAge", "Age"),
    ("StudyDate", "Study date"),
    ("StudyDescription", "Study"),
    ("SeriesDescription", "Series"),
    ("AccessionNumber", "Accession"),
)
_SIDES = {"left": "left 左", "right": "right 右", "both": "both sides 双侧"}
_AUTO = re.compile(r" \(chosen by auto: [^)]*\)\Z")  # one engine may be the choice for several tasks
_PER_FINDING = 6
_LARGE_MM3 = 100_000  # what is larger is told by its volume; a diameter says little about an effusion


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    picture: Picture
    caption: str
    alt: str
    score: float | None
    rank: int | None


@dataclasses.dataclass(frozen=True)
class _Card:
    """One statement as the template shows it."""

    number: int
    verdict: Verdict
    icon: str
    label: str
    label_zh: str
    title: str
    title_zh: str
    rows: tuple[tuple[str, str, str], ...]
    key: Thumbnail | None
    detail: Thumbnail | None
    thumbnails: tuple[Thumbnail, ...]
    where: tuple[tuple[float, float, bool], ...]
    notes: tuple[str, ...]


def write_gallery(
    path: Path | str,
    volume: Volume,
    text: str,
    verdicts: Sequence[Verdict],
    *,
    ranking: Ranking | None = None,
    rankings: Mapping[int, Ranking] | None = None,
    segmentation: Segmentation | None = None,
    created: datetime.datetime | None = None,
) -> None:
    """Write the page.

    Arguments:
        path: the HTML file.
        volume: the scan asked about.
        text: the report, whose characters the verdicts' spans index.
        verdicts: in reading order.
        ranking: slices ranked for the whole report; a statement gets the slices whose evidence names its words.
        rankings: slices ranked for single statements, by position in `verdicts`; they win over `ranking`.
        segmentation: gives outlines where a verdict brings no mask of its own, and the table of segments.
        created: time shown on the page; now when left out.

    Example:
        >>> write_gallery("report.html", volume, text, radfind.verify(volume, text), ranking=radfind.rank(volume, text))
    """
    crop = body_box(volume)
    cards = []
    for index, verdict in enumerate(verdicts):
        mask = _mask(verdict, segmentation)
        slices = _slices(verdict, mask, (rankings or {}).get(index), ranking)
        cards.append(_card(index + 1, volume, verdict, mask, slices, (rankings or {}).get(index, ranking), crop))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("radfind.exports"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    voxel = volume.geometry.voxel_volume / 1000
    segments = [
        (segment, np.count_nonzero(segment.mask) * voxel) for segment in (segmentation.segments if segmentation else ())
    ]
    engines = [v.engine for v in verdicts] + [r.engine for r in (ranking, segmentation) if r is not None]
    page = environment.get_template("gallery.html.j2").render(
        created=(created or datetime.datetime.now()).strftime("%Y-%m-%d %H:%M"),
        facts=_facts(volume),
        engines=sorted({_AUTO.sub(" (chosen by auto)", engine) for engine in engines if engine}),
        counts=[(answer, *ANSWERS[answer], sum(v.answer == answer for v in verdicts)) for answer in ANSWERS],
        runs=highlighted(text, verdicts),
        cards=cards,
        last=volume.geometry.shape[0] - 1,
        segments=segments,
        notes=_notes(volume, ranking, segmentation),
    )
    Path(path).write_text(page, encoding="utf-8")


def _facts(volume: Volume) -> list[tuple[str, str]]:
    geometry = volume.geometry
    facts = [(label, _readable(key, volume.header[key])) for key, label in _FACTS if volume.header.get(key)]
    if not volume.header and volume.name:
        facts.append(("Name", volume.name))
    k, j, i = geometry.shape
    dk, dj, di = geometry.spacing
    facts.append(("Image", f"{volume.modality}, {k} slices of {i} × {j}"))
    facts.append(("Voxel", f"{di:.2f} × {dj:.2f} × {dk:.2f} mm"))
    return facts


def _readable(keyword: str, value: str) -> str:
    """DICOM person names without carets, dates with dashes (PS3.5 6.2)."""
    if keyword == "PatientName":
        return " ".join(part for part in value.split("=")[0].split("^") if part) or value
    if keyword.endswith("Date") and len(value) == 8 and value.isdigit():
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value


def _notes(volume: Volume, ranking: Ranking | None, segmentation: Segmentation | None) -> list[str]:
    """Warnings about the scan, and what was asked but could not be answered, each once."""
    notes = list(volume.warnings)
    for result in (ranking, segmentation):
        if result is not None:
            notes += result.notes
            notes += [f"Not supported: {words}" for words in result.not_supported]
    return list(dict.fromkeys(notes))


def highlighted(text: str, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The text cut where highlighting changes: {text, number, answer, strong}; `number` is None for plain text.

    Where statements overlap the shorter one shows, since it says more precisely what was judged, and of equal ones
    the less reassuring; the words that name a finding always show that finding's own answer.
    """
    owner = np.full(len(text), -1)
    strong = np.zeros(len(text), bool)
    severity = ("yes", "maybe", "no")

    def weight(n: int) -> tuple[int, int]:
        return verdicts[n].statement.start - verdicts[n].statement.stop, severity.index(verdicts[n].answer)

    order = sorted(range(len(verdicts)), key=weight)  # what shows is painted last
    for index in order:
        owner[verdicts[index].statement.start : verdicts[index].statement.stop] = index
    for index in order:
        finding = verdicts[index].finding
        if finding is not None:
            owner[finding.span.start : finding.span.stop] = index
            strong[finding.span.start : finding.span.stop] = True
    runs: list[dict[str, Any]] = []
    cuts = np.flatnonzero((np.diff(owner) != 0) | (np.diff(strong.astype(int)) != 0)) + 1
    for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True):
        if start == stop:
            continue
        index = int(owner[start])
        runs.append(
            {
                "text": text[start:stop],
                "number": index + 1 if index >= 0 else None,
                "answer": verdicts[index].answer if index >= 0 else "",
                "strong": bool(strong[start]) and index >= 0,
            }
        )
    return runs


def _mask(verdict: Verdict, segmentation: Segmentation | None) -> npt.NDArray[np.bool_] | None:
    """The voxels a verdict rests on: its own evidence, else the segment made for the same words or concept."""
    own = [e.mask for e in verdict.evidence if e.mask is not None and e.mask.any()]
    if own:
        return np.logical_or.reduce(own)
    finding = verdict.finding
    if finding is None or segmentation is None or verdict.answer != "yes" or finding.presence == "absent":
        return None
    same = [s for s in segmentation.segments if s.finding is not None and s.finding.span == finding.span]
    same = same or [s for s in segmentation.segments if s.concept is not None and s.concept.id == finding.concept.id]
    return np.logical_or.reduce([s.mask for s in same]) if same else None


def _slices(
    verdict: Verdict,
    mask: npt.NDArray[np.bool_] | None,
    own: Ranking | None,
    whole: Ranking | None,
) -> list[RankedSlice]:
    """The slices to show for a statement, best first: ranked ones that meet what the verdict rests on."""
    if own is not None:
        found = list(own.slices)
    else:
        found = [s for s in (whole.slices if whole else ()) if any(_speaks_of(e, verdict) for e in s.evidence)]
    if mask is not None:
        found = [s for s in found if mask[s.index].any()]
    if found:
        return [dataclasses.replace(item, rank=n) for n, item in enumerate(found[:_PER_FINDING], start=1)]
    if mask is None or not mask.any():
        looked = [e for e in verdict.evidence if e.heat is not None and e.slices is not None]
        return [RankedSlice(1, e.slices[0], e.values.get("score", verdict.confidence)) for e in looked[:1] if e.slices]
    # No ranking: spread over the mask by its area.
    area = mask.sum(axis=(1, 2))
    used = np.flatnonzero(area)
    picks = {int(area.argmax()), *(int(used[int(q * (len(used) - 1))]) for q in (0.25, 0.75))}
    order = sorted(picks, key=lambda k: -area[k])
    return [RankedSlice(n, k, float(area[k] / area.max())) for n, k in enumerate(order, start=1)]


def _speaks_of(evidence: Evidence, verdict: Verdict) -> bool:
    span = evidence.span
    if span is None:
        return False
    return span.start < verdict.statement.stop and verdict.statement.start < span.stop


def _card(
    number: int,
    volume: Volume,
    verdict: Verdict,
    mask: npt.NDArray[np.bool_] | None,
    slices: Sequence[RankedSlice],
    ranking: Ranking | None,
    crop: Box,
) -> _Card:
    finding = verdict.finding
    icon, label, label_zh = ANSWERS[verdict.answer]
    window = finding.concept.window if finding else None
    title = finding.concept.english if finding else "Not understood"
    title_zh = finding.concept.chinese if finding else "无法理解"

    def thumbnail(item: RankedSlice, width: int, box: Box = crop) -> Thumbnail:
        shown = mask if mask is not None else _union(item.evidence)
        warm = heat_on((*item.evidence, *verdict.evidence), item.index)
        heat = warm.heat if warm else None
        view = picture(volume, item.index, window=window, mask=shown, heat=heat, crop=box, width=width)
        place = f"slice {item.index}"
        if volume.placed:
            position = volume.geometry.to_lps((item.index, 0, 0))
            axis = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}[volume.geometry.orientation[2]]
            place += f" · {'LPS'[axis]} {position[axis]:+.1f} mm"
        alt = f"{title}, slice {item.index}" + (", evidence outlined" if view.paths else "")
        if warm is not None:
            words = warm.span.text.strip() if warm.span else title
            alt += f", warm where the score for '{words}' comes from"
            place += f" · warm: \u201c{words}\u201d"
        return Thumbnail(view, place, alt, float(item.score), item.rank)

    key = detail = None
    rest: tuple[Thumbnail, ...] = ()
    if slices:
        first = slices[0]
        if mask is not None and mask.any() and not mask[first.index].any() and not first.evidence:
            first = dataclasses.replace(first, index=int(mask.sum(axis=(1, 2)).argmax()))
        key = thumbnail(first, 440)
        outline = mask if mask is not None else _union(first.evidence)
        box = close_up(volume, outline, first.index) if outline is not None else None
        detail = thumbnail(first, 280, box) if box else None
        rest = tuple(thumbnail(item, 220) for item in slices[1:_PER_FINDING])
    where: tuple[tuple[float, float, bool], ...] = ()
    if ranking is not None and slices:
        count = len(ranking.scores)
        where = tuple((s.index / max(count - 1, 1), float(s.score), s is slices[0]) for s in slices)
    notes = tuple(dict.fromkeys(e.text for e in verdict.evidence if e.text))
    return _Card(
        number,
        verdict,
        icon,
        label,
        label_zh,
        title,
        title_zh,
        _compare(finding, verdict),
        key,
        detail,
        rest,
        where,
        notes,
    )


def _union(evidence: Sequence[Evidence]) -> npt.NDArray[np.bool_] | None:
    masks = [e.mask for e in evidence if e.mask is not None]
    return np.logical_or.reduce(masks) if masks else None


def heat_on(evidence: Sequence[Evidence], k: int) -> Evidence | None:
    """The evidence with a heat map of slice k."""
    return next((e for e in evidence if e.heat is not None and e.slices == (k, k)), None)


def _compare(finding: Finding | None, verdict: Verdict) -> tuple[tuple[str, str, str], ...]:
    """(what, as reported, as measured), only lines with something in them."""
    if finding is None:
        return ()
    evidence = main_evidence(verdict)
    values = dict(evidence.values) if evidence else {}
    reported = " × ".join(f"{mm:g}" for mm in finding.sizes_mm)
    if not reported and finding.size_range_mm is not None:
        low, high = finding.size_range_mm
        reported = f"> {low:g}" if high == float("inf") else f"{low:g}–{high:g}"
    diameters = [values[name] for name in ("longest_diameter_mm", "perpendicular_diameter_mm") if name in values]
    measured = " × ".join(f"{mm:.1f}" for mm in diameters)
    place = finding.place
    words = [_SIDES[place.side]] if place.side else []
    words += [*(f"{lobe} lobe" for lobe in place.lobes), *place.segments, *place.zones, *place.levels]
    presence = {"present": "present 有", "absent": "absent 无", "uncertain": "uncertain 可疑"}[finding.presence]
    rows = [
        ("Presence 有无", presence, _seen(verdict)),
        ("Size 大小 (mm)", reported, measured if reported or values.get("volume_mm3", 0) < _LARGE_MM3 else ""),
        ("Place 部位", ", ".join(words), evidence.place if evidence else ""),
        ("Volume 体积 (ml)", "", f"{values['volume_mm3'] / 1000:.2f}" if "volume_mm3" in values else ""),
        ("Density 密度 (HU, mean)", "", str(round(values["mean_hu"])) if "mean_hu" in values else ""),
    ]
    return tuple(row for row in rows if row[1] or row[2])


def _seen(verdict: Verdict) -> str:
    """Whether the scan shows what was looked for; empty when the verdict does not rest on a search for it."""
    if any(e.mask is not None and e.mask.any() for e in verdict.evidence):
        return "unclear 不确定" if verdict.answer == "maybe" and verdict.code != "hedged" else "found 可见"
    denied = verdict.finding is not None and verdict.finding.presence == "absent" and verdict.code == "supported"
    return "not found 未见" if denied or verdict.code == "not_found" else ""
