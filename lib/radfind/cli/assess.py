"""``radfind evaluate``: engines side by side over a manifest of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radfind.cli.output import progress


def register(app: typer.Typer) -> None:
    """Add this file's command to `app`."""
    app.command(epilog="Example: radfind evaluate cases.csv --engine builtin --html result.html")(evaluate)


def evaluate(
    manifest: Annotated[
        Path,
        typer.Argument(
            help="CSV or JSON list of cases, or ReXGroundingCT's dataset.json beside its segmentations.",
            metavar="MANIFEST",
        ),
    ],
    engine: Annotated[list[str] | None, typer.Option(help="Engine to ask; repeatable. Default: builtin.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="ReXGroundingCT: folder of the CTs, if not that of MANIFEST.")
    ] = None,
    split: Annotated[str, typer.Option(help="ReXGroundingCT: which list.")] = "val",
    html: Annotated[Path | None, typer.Option(help="Also write a page with plots.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score engines on known cases: ranking, verdicts and masks, with confidence intervals."""
    from radfind.evaluate.manifest import read_manifest
    from radfind.evaluate.rendering import as_html, as_json, as_text
    from radfind.evaluate.runner import evaluate as run

    listed = read_manifest(manifest, images=images, split=split)
    with progress("Evaluating") as context:
        evaluation = run(listed.cases, engine or ["builtin"], notes=listed.notes, context=context)
    if html is not None:
        html.write_text(as_html(evaluation), encoding="utf-8")
    print(as_json(evaluation) if json else as_text(evaluation))
