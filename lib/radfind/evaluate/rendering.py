"""An evaluation as text, JSON, or one self-contained HTML page."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radfind.evaluate.runner import Answers, Evaluation, Summary
from radfind.evaluate.statistics import Figure


def as_text(evaluation: Evaluation) -> str:
    """A table for a terminal: a row for each figure, a column for each engine."""
    lines = []
    for task in dict.fromkeys(one.task for one in evaluation.summaries):
        group = [one for one in evaluation.summaries if one.task == task]
        lines.append(f"{task}: {', '.join(f'{one.engine} {one.cases} cases, {one.failed} failed' for one in group)}")
        width = max(len(name) for one in group for name in _figures(one))
        lines.append(" " * (width + 2) + "  ".join(f"{one.engine:>22s}" for one in group))
        for name in dict.fromkeys(name for one in group for name in _figures(one)):
            cells = [_cell(_figures(one).get(name)) for one in group]
            lines.append(f"{name:{width}s}  " + "  ".join(f"{cell:>22s}" for cell in cells))
        lines.append("")
    lines += [f"Note: {note}." for note in evaluation.notes]
    return "\n".join(lines).rstrip()


def as_json(evaluation: Evaluation) -> str:
    """All of it; NaN is null."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {str(key): plain(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(one) for one in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return str(value) if isinstance(value, Path) else value

    return json.dumps(plain(evaluation), indent=1, ensure_ascii=False)


def as_html(evaluation: Evaluation) -> str:
    """A page without outside parts: for each task the engines side by side, with a bar and its interval for each
    figure that is a share, and for verdicts a confusion table and a calibration plot for each engine and modality."""
    parts = [f"<p>Note: {html.escape(note)}.</p>" for note in evaluation.notes]
    for task in dict.fromkeys(one.task for one in evaluation.summaries):
        group = [one for one in evaluation.summaries if one.task == task]
        heads = "".join(
            f"<th>{html.escape(one.engine)}<br><small>{one.cases} cases, {one.failed} failed</small></th>"
            for one in group
        )
        parts.append(f"<h2>{html.escape(task)}</h2><table><tr><th></th>{heads}</tr>")
        for name in dict.fromkeys(name for one in group for name in _figures(one)):
            cells = "".join(f"<td>{_bar_cell(name, _figures(one).get(name))}</td>" for one in group)
            parts.append(f"<tr><td>{html.escape(name)}</td>{cells}</tr>")
        parts.append("</table>")
        parts += [_verdicts(one) for one in group if one.answers]
    errors = [one for one in evaluation.outcomes if one.error]
    if errors:
        parts.append("<h2>Failed</h2><ul>")
        parts += [f"<li>{html.escape(f'{one.engine}, {one.case.text}: {one.error}')}</li>" for one in errors]
        parts.append("</ul>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>RadFind evaluation</title><style>'
        "body{font:15px sans-serif;margin:2em auto;max-width:60em;color:#222}td,th{padding:.3em .8em;text-align:left}"
        "table{border-collapse:collapse;margin:.5em 0}tr{border-bottom:1px solid #ddd}small{font-weight:normal}"
        "svg{display:block}.row{display:flex;flex-wrap:wrap;gap:1em 3em}h4{margin:0}</style>"
        "<h1>RadFind evaluation</h1><p>Means over cases with 95 % intervals. "
        "A failed case counts as missed.</p>" + "".join(parts) + "</html>"
    )


def _verdicts(one: Summary) -> str:
    made = "".join(_answers(modality, answers) for modality, answers in one.answers.items())
    return f"<h3>{html.escape(one.engine)}</h3><div class=row>{made}</div>"


def _answers(modality: str, one: Answers) -> str:
    answers = list(one.confusion)
    rows = "".join(
        f"<tr><th>{expected}</th>{''.join(f'<td>{given[answer]}</td>' for answer in answers)}</tr>"
        for expected, given in one.confusion.items()
    )
    heads = "".join(f"<th>{answer}</th>" for answer in answers)
    table = f"<table><tr><td>expected \\ answered</td>{heads}</tr>{rows}</table>"
    plot = _calibration(one) if one.calibration else ""
    return f"<section><h4>{html.escape(modality)}</h4>{table}{plot}</section>"


def _figures(one: Summary) -> dict[str, Figure]:
    made: dict[str, Figure] = {}
    for modality, answers in one.answers.items():
        where = "" if modality == "all" else f", {modality}"
        made |= {f"{name}{where}": figure for name, figure in answers.figures.items()}
    made |= one.figures
    made |= {f"lesions found, {size}": figure for size, figure in one.recall_by_size.items()}
    return made


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    if math.isnan(figure.low):
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _bar_cell(name: str, figure: Figure | None) -> str:
    share = figure is not None and not name.endswith((" s", " mm"))
    return _cell(figure) + (_bar(figure) if figure is not None and share else "")


def _bar(figure: Figure) -> str:
    interval = ""
    if not math.isnan(figure.low):
        interval = f'<path d="M{200 * figure.low:.1f} 7H{200 * figure.high:.1f}" stroke="#222" stroke-width="2"/>'
    width = f"{200 * figure.value:.1f}"
    return f'<svg width="200" height="14"><rect width="{width}" height="14" fill="#7aa6c2"/>{interval}</svg>'


def _calibration(one: Answers) -> str:
    """Confidence to the right, share of correct answers upwards; larger dots stand for more answers."""

    def x(share: float) -> float:
        return 50 + 160 * share

    def y(share: float) -> float:
        return 175 - 160 * share

    most = max(count for _, _, count in one.calibration)
    dots = "".join(
        f'<circle cx="{x(sure):.1f}" cy="{y(right):.1f}" r="{3 + 6 * count / most:.1f}" fill="#7aa6c2">'
        f"<title>{count} answers: confidence {sure:.2f}, {right:.2f} correct</title></circle>"
        for sure, right, count in one.calibration
    )
    ticks = "".join(
        f'<text x="{x(share)}" y="190" text-anchor="middle">{share:g}</text>'
        f'<text x="44" y="{y(share) + 4}" text-anchor="end">{share:g}</text>'
        for share in (0, 0.5, 1)
    )
    return (
        '<svg width="230" height="215" font-size="11" role="img" aria-label="Calibration: confidence and share '
        f'correct"><path d="M{x(0)} {y(1)}V{y(0)}H{x(1)}M{x(0)} {y(0)}L{x(1)} {y(1)}" fill="none" stroke="#999"/>'
        f'{dots}{ticks}<text x="{x(0.5)}" y="207" text-anchor="middle">confidence</text>'
        f'<text transform="translate(14 {y(0.5)}) rotate(-90)" text-anchor="middle">share correct</text></svg>'
    )
