"""Commands that ask a scan something: segment, rank, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radfind.cli.output import print_json, progress, query_text

if TYPE_CHECKING:
    from radfind.prompts import Prompt
    from radfind.results import Verdict

Scan = Annotated[
    Path, typer.Argument(help="DICOM folder, zip or file; or NIfTI, NRRD, MHA, PNG, JPEG.", metavar="PATH")
]
Text = Annotated[str | None, typer.Option("--text", "-t", help="A phrase, a sentence or a report, English or Chinese.")]
TextFile = Annotated[
    Path | None, typer.Option("--text-file", help="Read the text from this UTF-8 file ('-' for stdin).")
]
Series = Annotated[str | None, typer.Option("--series", help="SeriesInstanceUID, when the folder holds several.")]
Engine = Annotated[str, typer.Option("--engine", help="Engine name; 'radfind engines' lists them.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command(epilog="Example: radfind rank ct-folder --text 'nodule in the right apex' --top-k 3")(rank)
    app.command(epilog="Example: radfind verify ct-folder --text 'No pleural effusion.' --json")(verify)
    app.command(epilog="Example: radfind segment ct-folder --text '右肺上叶结节' --output nodule.seg.nrrd")(segment)


def rank(
    path: Scan,
    text: Text = None,
    text_file: TextFile = None,
    series: Series = None,
    engine: Engine = "auto",
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="At most this many slices.")] = 10,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Leave out slices that score less.")] = 0.0,
    neighbours: Annotated[bool, typer.Option("--neighbours", help="Allow neighbouring slices of one lesion.")] = False,
    json: Json = False,
) -> None:
    """Find the slices that show what the text says, best first."""
    import radfind
    from radfind.protocol import ranking_to_wire, volume_to_wire

    query = query_text(text, text_file)
    with progress("Ranking") as context:
        context.step(0.0, "reading the scan")
        volume = radfind.load(path, series=series)
        ranking = radfind.rank(
            volume,
            query,
            engine=engine,
            top_k=top_k,
            threshold=threshold,
            spread=not neighbours,
            context=context.part(0.2, 1.0),
        )
    if json:
        print_json({**ranking_to_wire(ranking), "volume": volume_to_wire(volume)})
        return
    for item in ranking.slices:
        reason = item.evidence[0].text if item.evidence else ""
        print(f"#{item.rank:<3} slice {item.index:<4} score {item.score:.2f}  {reason}")
    _notes(volume.warnings, ranking.notes, ranking.not_found, ranking.not_supported)


def verify(
    path: Scan,
    text: Text = None,
    text_file: TextFile = None,
    series: Series = None,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Check each statement of the text against the scan: yes, no or maybe, and why."""
    import radfind
    from radfind.protocol import verdicts_to_wire, volume_to_wire

    query = query_text(text, text_file)
    with progress("Verifying") as context:
        context.step(0.0, "reading the scan")
        volume = radfind.load(path, series=series)
        verdicts = radfind.verify(volume, query, engine=engine, context=context.part(0.2, 1.0))
    if json:
        print_json({**verdicts_to_wire(verdicts), "volume": volume_to_wire(volume)})
        return
    for verdict in verdicts:
        _print_verdict(verdict)
    _notes(volume.warnings, (), (), ())


def segment(
    path: Scan,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Labelmap to write: .seg.nrrd, .nrrd, .nii.gz, .nii or .mha.")
    ],
    text: Text = None,
    text_file: TextFile = None,
    point: Annotated[list[str] | None, typer.Option(help="Click inside the object, voxel k,j,i. Repeatable.")] = None,
    not_point: Annotated[list[str] | None, typer.Option(help="Click outside the object, voxel k,j,i.")] = None,
    box: Annotated[list[str] | None, typer.Option(help="Box k0,j0,i0,k1,j1,i1, inclusive. Repeatable.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All the engine can find.")] = False,
    series: Series = None,
    engine: Engine = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT when it exists.")] = False,
    json: Json = False,
    polygons: Annotated[bool, typer.Option("--polygons", help="With --json: the outlines on every slice too.")] = False,
) -> None:
    """Outline what the text, clicks or boxes ask for. Writes nothing when nothing is found."""
    import radfind
    from radfind.errors import InputError
    from radfind.imaging.writing import checked_suffix, write_labelmap
    from radfind.prompts import EverythingPrompt, TextPrompt
    from radfind.protocol import segmentation_to_wire, volume_to_wire

    if polygons and not json:
        raise InputError("--polygons adds to the JSON document: give --json with it.")
    checked_suffix(output)
    if output.exists() and not overwrite:
        raise InputError(f"{output} exists already. Choose another --output, or add --overwrite to replace it.")
    if not output.parent.is_dir():
        raise InputError(f"The folder {output.parent} for the output does not exist. Make it first.")
    prompts: list[Prompt] = [*_points(point, True), *_points(not_point, False), *_boxes(box)]
    if everything:
        prompts.append(EverythingPrompt())
    if text is not None or text_file is not None or not prompts:
        prompts.insert(0, TextPrompt(query_text(text, text_file)))
    with progress("Segmenting") as context:
        context.step(0.0, "reading the scan")
        volume = radfind.load(path, series=series)
        segmentation = radfind.segment(volume, prompts, engine=engine, context=context.part(0.2, 0.95))
        written = None
        if any(item.mask.any() for item in segmentation.segments):
            context.step(0.95, "writing")
            write_labelmap(segmentation, output, volume)
            written = str(output)
    if json:
        outlined = segmentation_to_wire(segmentation, polygons=polygons)
        wire = {**outlined, "output": written, "volume": volume_to_wire(volume)}
        print_json(wire)
        return
    for entry in segmentation_to_wire(segmentation)["segments"]:
        print(f"{entry['label']:<3} {entry['name']}  {entry['volume_ml']:.2f} mL")
    print(f"Wrote {written}" if written else "Nothing was found, so nothing was written.")
    _notes(volume.warnings, segmentation.notes, segmentation.not_found, segmentation.not_supported)


def _numbers(value: str, count: int, form: str) -> list[float]:
    from radfind.errors import PromptError

    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise PromptError(f"'{value}' is not {count} numbers separated by commas; expected {form}.")
    return numbers


def _points(values: list[str] | None, positive: bool) -> list[Prompt]:
    from radfind.prompts import PointPrompt

    points: list[Prompt] = []
    for value in values or []:
        k, j, i = _numbers(value, 3, "k,j,i")
        points.append(PointPrompt((k, j, i), positive))
    return points


def _boxes(values: list[str] | None) -> list[Prompt]:
    from radfind.prompts import BoxPrompt

    boxes: list[Prompt] = []
    for value in values or []:
        a, b, c, d, e, f = _numbers(value, 6, "k0,j0,i0,k1,j1,i1")
        boxes.append(BoxPrompt((a, b, c), (d, e, f)))
    return boxes


def _print_verdict(verdict: Verdict) -> None:
    print(f"{verdict.answer.upper():<6} {verdict.confidence:.2f}  {verdict.statement.text.strip()}")
    print(f"       {verdict.reason}")


def _notes(*groups: tuple[str, ...]) -> None:
    warnings, notes, not_found, not_supported = groups
    for line in warnings:
        print(f"Scan: {line}")
    for line in notes:
        if line not in warnings:
            print(f"Note: {line}")
    for line in not_found:
        print(f"Not found: {line}")
    for line in not_supported:
        print(f"Not supported: {line}")
