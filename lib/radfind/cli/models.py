"""Commands for the weights of neural engines: list, pull, verify, path. Nothing is fetched unless asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from radfind.cli.output import print_json, progress

Name = Annotated[str, typer.Argument(help="Model name, as 'radfind models list' shows it.", metavar="MODEL")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit.")]


def register(app: typer.Typer) -> None:
    """Add the group ``radfind models`` to `app`."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Weights of the neural engines.",
        epilog="Example: radfind models pull qwen3-vl-reranker-2b",
    )
    group.command("list", epilog="Example: radfind models list --json")(list_models)
    group.command(epilog="Example: radfind models pull yoloe-11s --from /media/usb/yoloe-11s --yes")(pull)
    group.command(epilog="Example: radfind models verify qwen3-vl-reranker-2b")(verify)
    group.command(epilog="Example: radfind models path qwen3-vl-reranker-2b")(path)
    app.add_typer(group, name="models")


def list_models(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """What weights are known, and which are here."""
    from radfind.engines.weights import listing

    lines = listing()
    if json:
        print_json(
            {
                "models": [
                    {
                        "name": line.model.name,
                        "engine": line.model.engine,
                        "licence": line.model.licence,
                        "about": line.model.about,
                        "folder": str(line.folder) if line.folder else None,
                        "size_bytes": line.size,
                        "commit": line.commit,
                    }
                    for line in lines
                ]
            }
        )
        return
    for line in lines:
        state = f"here, {line.size / 1e9:.1f} GB" if line.folder else "not here"
        print(f"{line.model.name:<22} {line.model.engine:<8} {line.model.licence:<12} {state:<14} {line.model.about}")


def pull(
    name: Name,
    source: Annotated[Path | None, typer.Option("--from", help="Copy from this folder instead of the hub.")] = None,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit on the hub.")] = "main",
    endpoint: Annotated[str | None, typer.Option(help="Address of a hub mirror in your network.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="The licence is accepted; do not ask.")] = False,
) -> None:
    """Bring weights here, from the model hub or a folder."""
    from radfind.engines.weights import known
    from radfind.engines.weights import pull as fetch

    model = known(name)
    print(f"{model.name}: {model.about}. Licence of the weights: {model.licence}.")
    if not yes:
        typer.confirm("Fetch them under this licence?", abort=True)
    with progress("Fetching") as context:
        folder = fetch(name, source=source, revision=revision, endpoint=endpoint, context=context)
    print(folder)


def verify(name: Name, revision: Revision = None) -> None:
    """Check the weights against the hashes recorded when they were pulled."""
    from radfind.engines.weights import verify as check
    from radfind.errors import InputError

    with progress("Checking") as context:
        problems = check(name, revision, context=context)
    if problems:
        raise InputError(f"The weights '{name}' are not as they were pulled. {' '.join(problems)} Pull them again.")
    print(f"{name}: every file is as it was pulled.")


def path(name: Name, revision: Revision = None) -> None:
    """Print the folder the weights lie in."""
    from radfind.engines.weights import path as folder_of

    print(folder_of(name, revision))
