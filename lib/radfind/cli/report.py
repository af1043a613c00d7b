"""``radfind report``: how a report is read, and whether a study agrees with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radfind.cli.output import EXIT_CONTRADICTED, print_json, progress, query_text

Images = Annotated[
    list[str] | None,
    typer.Argument(help="Images to hold it against: study folder, files, or NAME=path.", metavar="[IMAGE]..."),
]


def register(app: typer.Typer) -> None:
    """Add this file's command to `app`."""
    app.command(epilog="Example: radfind report report.txt study-folder 'Figure 2=knee.png' --html check.html")(report)


def report(
    file: Annotated[Path, typer.Argument(help="Report as UTF-8 text; '-' for stdin.", metavar="FILE")],
    images: Images = None,
    engine: Annotated[str, typer.Option("--engine", help="Engine name; 'radfind engines' lists them.")] = "auto",
    html: Annotated[Path | None, typer.Option(help="Also write the check as a page with pictures.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Hold every statement of a report against every image; without images, show how the report is read.

    Ends with code 3 when a statement is contradicted, so that a script can stop a report before it is signed.
    """
    from radfind.errors import InputError

    text = query_text(None, file)
    if images:
        _check(text, images, engine, html, json)
    elif html is not None:
        raise InputError("--html shows a check against images: name the images after the report.")
    else:
        _read(text, json)


def _check(text: str, images: list[str], engine: str, html: Path | None, json: bool) -> None:
    from radfind.report_check import check_report, load_figures, report_check_to_wire

    with progress("Checking") as context:
        figures = load_figures(images, context.part(0.0, 0.3))
        check = check_report(text, figures, engine=engine, context=context.part(0.3, 0.95))
        if html is not None:
            from radfind.exports.report_page import write_report_page

            context.step(0.95, "writing the page")
            write_report_page(html, check)
    if json:
        print_json(report_check_to_wire(check))
    else:
        for line in check.summary or ("No statement is contradicted.",):
            print(line)
        print()
        for one in check.statements:
            print(f"{one.answer.upper():<6} {one.confidence:.2f}  {one.statement.text.strip()}")
            for index, verdict in zip(one.figures, one.verdicts, strict=True):
                print(f"       {check.figures[index].title}: {verdict.answer}. {verdict.reason}")
    if check.summary:
        raise typer.Exit(EXIT_CONTRADICTED)


def _read(text: str, json: bool) -> None:
    import radfind
    from radfind.protocol import finding_to_wire, span_to_wire

    reading = radfind.read(text)
    if json:
        print_json(
            {
                "findings": [finding_to_wire(finding) for finding in reading.findings],
                "unread": [span_to_wire(span) for span in reading.unread],
                "suggestions": [
                    {"word": span_to_wire(span), "did_you_mean": list(terms)} for span, terms in reading.suggestions
                ],
                "languages": list(reading.languages),
            }
        )
        return
    for finding in reading.findings:
        place = finding.place
        where = " ".join(filter(None, [place.side, *place.lobes, *place.segments, *place.zones, *place.levels]))
        size = " x ".join(f"{x:g}" for x in finding.sizes_mm)
        parts = [finding.presence, finding.concept.english, where, f"{size} mm" if size else "", *finding.attributes]
        print(f"{' | '.join(p for p in parts if p)}   <- '{finding.sentence.text.strip()}'")
    for span, terms in reading.suggestions:
        print(f"'{span.text}' is not known. Did you mean: {', '.join(terms)}?")
    if not reading.findings:
        print("Nothing in this text names a known finding or structure.")
