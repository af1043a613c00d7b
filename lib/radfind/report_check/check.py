"""`check_report`: verdicts for every pair of a statement and a figure, and one for each statement."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import radfind
from radfind.engines.api import Context
from radfind.errors import EngineError, InputError, NotSupportedError
from radfind.language.findings import Span
from radfind.protocol import VERSION, span_to_wire, verdict_to_wire, volume_to_wire
from radfind.report_check.figures import Figure, named_figures
from radfind.results import Answer, Verdict


@dataclasses.dataclass(frozen=True, eq=False)
class StatementCheck:
    """One statement of the report.

    Arguments:
        paragraph: 1-based number of its line of the report; empty lines are not counted.
        statement: the words judged.
        figures: indices of the figures it was held against.
        verdicts: one for each of those.
        answer, confidence: of the statement as a whole (see `check_report`).
        named: the words name these figures themselves ("Figure 2 shows ...").
        message: one sentence for a person.
    """

    paragraph: int
    statement: Span
    figures: tuple[int, ...]
    verdicts: tuple[Verdict, ...]
    answer: Answer
    confidence: float
    named: bool
    message: str

    @property
    def verdict(self) -> Verdict:
        """The verdict that decided: the surest one with the statement's answer."""
        return max((v for v in self.verdicts if v.answer == self.answer), key=lambda v: v.confidence)


@dataclasses.dataclass(frozen=True, eq=False)
class ReportCheck:
    """What came of a report.

    Arguments:
        text: the report; spans index into it.
        figures: the images.
        statements: in reading order.
    """

    text: str
    figures: tuple[Figure, ...]
    statements: tuple[StatementCheck, ...]

    @property
    def summary(self) -> tuple[str, ...]:
        """What a reader should look at: contradictions, surest first, each with its paragraph and figure."""
        wrong = [one for one in self.statements if one.answer == "no"]
        return tuple(one.message for one in sorted(wrong, key=lambda one: -one.confidence))


def check_report(
    text: str, figures: Sequence[Figure], *, engine: str = "auto", context: Context | None = None
) -> ReportCheck:
    """Hold every statement of a report against every figure.

    A statement that names figures is held against those only; one that names none of those given is not decided. The
    answer to a statement is the surest "yes" or
    "no" that any figure gives: an image that does not show the place, or an engine that does not know the thing,
    says "maybe" and does not outvote one that does. With no "yes" and no "no", it is "maybe". A figure that the
    engine does not judge at all (its modality, say) answers "maybe" to everything.

    Raises:
        InputError: there is no figure.
        NotSupportedError: no figure can be judged, or the engine cannot verify.
    """
    if not figures:
        raise InputError("A report is checked against images: none was given.")
    context = context or Context()
    judged: dict[int, tuple[Verdict, ...]] = {}
    refused: dict[int, NotSupportedError] = {}
    for index, figure in enumerate(figures):
        share = context.part(index / len(figures), (index + 1) / len(figures))
        share.step(0.0, figure.name)
        try:
            judged[index] = radfind.verify(figure.volume, text, engine=engine, context=share)
        except NotSupportedError as error:
            refused[index] = error
    if not judged:
        raise next(iter(refused.values()))
    model = next(iter(judged.values()))
    if any([one.statement for one in made] != [one.statement for one in model] for made in judged.values()):
        raise EngineError(f"The engine '{model[0].engine}' read the report differently for different images.")
    for index, refusal in refused.items():
        reason = f"{figures[index].name} was not judged. {refusal}"
        judged[index] = tuple(
            Verdict(one.statement, "maybe", 0.0, reason, "not_supported", one.finding) for one in model
        )
    checks = [_statement(text, figures, {k: judged[k][n] for k in sorted(judged)}) for n in range(len(model))]
    return ReportCheck(text, tuple(figures), tuple(checks))


def _statement(text: str, figures: Sequence[Figure], verdicts: dict[int, Verdict]) -> StatementCheck:
    statement = next(iter(verdicts.values())).statement
    named, absent = named_figures(statement.text, figures)
    held = {index: verdicts[index] for index in (named or verdicts)}
    lacking = f"{' and '.join(absent)} {'was' if len(absent) == 1 else 'were'} not given." if absent else ""
    if absent and not named:
        held = {
            index: Verdict(one.statement, "maybe", 0.0, lacking, "not_supported", one.finding)
            for index, one in verdicts.items()
        }
    surest = max(held, key=lambda index: (held[index].answer != "maybe", held[index].confidence))
    chosen = held[surest]
    paragraph = _paragraph(text, statement.start)
    where = figures[surest].title
    message = {
        "yes": f"Paragraph {paragraph} agrees with {where}: {chosen.reason}",
        "no": f"Paragraph {paragraph} does not agree with {where}: {chosen.reason}",
        "maybe": f"Paragraph {paragraph} cannot be decided from the images: {chosen.reason}",
    }[chosen.answer]
    if absent and named:
        message += f" {lacking}"
    return StatementCheck(
        paragraph, statement, tuple(held), tuple(held.values()), chosen.answer, chosen.confidence, bool(named), message
    )


def _paragraph(text: str, position: int) -> int:
    begun = text.rfind("\n", 0, position) + 1
    before = sum(bool(line.strip()) for line in text[:begun].splitlines())
    return before + 1


def report_check_to_wire(check: ReportCheck, *, masks: bool = False) -> dict[str, Any]:
    """As JSON values: the summary first, then the figures, then the statements with a verdict for each figure."""
    return {
        "version": VERSION,
        "summary": list(check.summary),
        "counts": {answer: sum(one.answer == answer for one in check.statements) for answer in ("yes", "no", "maybe")},
        "figures": [{"name": figure.name, "volume": volume_to_wire(figure.volume)} for figure in check.figures],
        "statements": [
            {
                "paragraph": one.paragraph,
                "statement": span_to_wire(one.statement),
                "answer": one.answer,
                "confidence": round(float(one.confidence), 4),
                "message": one.message,
                "verdicts": [
                    {"figure": check.figures[index].name, **verdict_to_wire(verdict, masks=masks)}
                    for index, verdict in zip(one.figures, one.verdicts, strict=True)
                ],
            }
            for one in check.statements
        ],
    }
