"""The page of a report check: what disagrees first, then every statement with a picture of each figure it was held
against. Self-contained like the gallery: no script, no external resource."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import jinja2
import numpy as np

from radfind.exports.gallery import ANSWERS, Thumbnail, heat_on, highlighted
from radfind.exports.slice_view import Box, body_box, picture
from radfind.report_check import ReportCheck
from radfind.report_check.figures import Figure
from radfind.results import Verdict


@dataclasses.dataclass(frozen=True)
class _Cell:
    """One statement held against one figure."""

    figure: str
    verdict: Verdict
    icon: str
    thumbnail: Thumbnail | None


def write_report_page(path: Path | str, check: ReportCheck, *, created: datetime.datetime | None = None) -> None:
    """Write the HTML page; `created` is the time shown on it, now when left out."""
    crops = [body_box(figure.volume) for figure in check.figures]
    rows = [
        (
            one,
            [
                _Cell(
                    check.figures[index].title,
                    verdict,
                    ANSWERS[verdict.answer][0],
                    _thumbnail(check.figures[index], verdict, crops[index]),
                )
                for index, verdict in zip(one.figures, one.verdicts, strict=True)
            ],
        )
        for one in check.statements
    ]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("radfind.exports"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("report_page.html.j2").render(
        created=(created or datetime.datetime.now()).strftime("%Y-%m-%d %H:%M"),
        figures=[figure.title for figure in check.figures],
        counts=[(answer, *ANSWERS[answer], sum(o.answer == answer for o in check.statements)) for answer in ANSWERS],
        answers=ANSWERS,
        summary=[(number, one) for number, one in enumerate(check.statements, start=1) if one.message in check.summary],
        runs=highlighted(check.text, [one.verdict for one in check.statements]),
        rows=rows,
    )
    Path(path).write_text(page, encoding="utf-8")


def _thumbnail(figure: Figure, verdict: Verdict, crop: Box) -> Thumbnail | None:
    """The slice with most of the evidence; a picture of one slice is always shown."""
    volume = figure.volume
    masks = [e.mask for e in verdict.evidence if e.mask is not None and e.mask.any()]
    mask = np.logical_or.reduce(masks) if masks else None
    spans = [e.slices for e in verdict.evidence if e.slices is not None]
    if mask is not None:
        k = int(mask.sum(axis=(1, 2)).argmax())
    elif spans:
        k = sum(spans[0]) // 2
    elif volume.geometry.shape[0] == 1:
        k = 0
    else:
        return None
    window = verdict.finding.concept.window if verdict.finding else None
    warm = heat_on(verdict.evidence, k)
    view = picture(volume, k, window=window, mask=mask, heat=warm.heat if warm else None, crop=crop, width=300)
    caption = figure.name if volume.geometry.shape[0] == 1 else f"{figure.name}, slice {k}"
    told = caption + (", evidence outlined" if view.paths else "")
    if warm is not None:
        words = (warm.span or verdict.statement).text.strip()
        told += f", warm where the score for '{words}' comes from"
        caption += f" · warm: \u201c{words}\u201d"
    return Thumbnail(view, caption, told, None, None)
