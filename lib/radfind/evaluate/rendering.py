"""An evaluation as text, JSON, or one self-contained HTML page."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radfind.evaluate.runner import Evaluation, Summary
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
    figure in 0..1, and for verdicts a confusion table and a calibration plot for each engine."""
    parts = []
    for task in dict.fromkeys(one.task for one in evaluation.summaries):
        group = [one for one in evaluation.summaries if one.task == task]
        heads = "".join(
            f"<th>{html.escape(one.engine)}<br><small>{one.cases} cases, {one.failed} failed</small></th>"
            for one in group
        )
        parts.append(f"<h2>{html.escape(task)}</h2><table><tr><th></th>{heads}</tr>")
        for name in dict.fromkeys(name for one in group for name in _figures(one)):
            cells = "".join(f"<td>{_bar_cell(_figures(one).get(name))}</td>" for one in group)
            parts.append(f"<tr><td>{html.escape(name)}</td>{cells}</tr>")
        parts.append("</table>")
        parts += [_answers(one) for one in group if one.confusion or one.calibration]
    errors = [one for one in evaluation.outcomes if one.error]
    if errors:
        parts.append("<h2>Failed</h2><ul>")
        parts += [f"<li>{html.escape(f'{one.engine}, {one.case.text}: {one.error}')}</li>" for one in errors]
        parts.append("</ul>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>RadFind evaluation</title><style>'
        "body{font:15px sans-serif;margin:2em auto;max-width:60em;color:#222}td,th{padding:.3em .8em;text-align:left}"
        "table{border-collapse:collapse;margin:.5em 0}tr{border-bottom:1px solid #ddd}small{font-weight:normal}"
        "svg{display:block}</style><h1>RadFind evaluation</h1><p>Means over cases with 95 % bootstrap intervals. "
        "A failed case counts as missed.</p>" + "".join(parts) + "</html>"
    )


def _answers(one: Summary) -> str:
    answers = list(one.confusion)
    rows = "".join(
        f"<tr><th>{expected}</th>{''.join(f'<td>{given[answer]}</td>' for answer in answers)}</tr>"
        for expected, given in one.confusion.items()
    )
    table = f"<table><tr><th>expected</th>{''.join(f'<th>answered {a}</th>' for a in answers)}</tr>{rows}</table>"
    return f"<h3>{html.escape(one.engine)}</h3>" + table + (_calibration(one) if one.calibration else "")


def _figures(one: Summary) -> dict[str, Figure]:
    made = dict(one.figures)
    made |= {f"accuracy, {modality}": figure for modality, figure in one.by_modality.items()}
    made |= {f"lesions found, {size}": figure for size, figure in one.recall_by_size.items()}
    return made


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    if math.isnan(figure.low):
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def _bar_cell(figure: Figure | None) -> str:
    return _cell(figure) + (_bar(figure) if figure is not None and 0 <= figure.value <= 1 else "")


def _bar(figure: Figure) -> str:
    interval = ""
    if not math.isnan(figure.low):
        interval = f'<path d="M{200 * figure.low:.1f} 7H{200 * figure.high:.1f}" stroke="#222" stroke-width="2"/>'
    width = f"{200 * figure.value:.1f}"
    return f'<svg width="200" height="14"><rect width="{width}" height="14" fill="#7aa6c2"/>{interval}</svg>'


def _calibration(one: Summary) -> str:
    most = max(count for _, _, count in one.calibration)
    dots = "".join(
        f'<circle cx="{20 + 160 * sure:.1f}" cy="{180 - 160 * right:.1f}" r="{3 + 6 * count / most:.1f}" '
        'fill="#7aa6c2"/>'
        for sure, right, count in one.calibration
    )
    return (
        '<svg width="200" height="210"><path d="M20 20V180H180M20 180L180 20" fill="none" stroke="#999"/>'
        f'{dots}<text x="40" y="200" font-size="11">confidence; up: share correct</text></svg>'
    )
