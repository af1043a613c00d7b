"""Commands for whoever runs a server: token, audit, labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radfind.cli.output import print_json

if TYPE_CHECKING:
    from monailabel_app.labels import LabelStore

Studies = Annotated[str | None, typer.Option(help="The studies folder or URL the server was started with.")]
State = Annotated[Path | None, typer.Option(help="The state folder, when the server was started with --state.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

token = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Tokens that let people and programs in.")
audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The audit log.")
labels = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Earlier versions of saved labels.")


def register(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.add_typer(token, name="token")
    app.add_typer(audit, name="audit")
    app.add_typer(labels, name="labels")


def _state(studies: str | None, state: Path | None) -> Path:
    from monailabel_app.gateway.settings import default_state, make_state
    from radfind.errors import InputError

    if state is None and studies is None:
        raise InputError("Name the server: give --studies as it was started with, or its --state folder.")
    return make_state(state or default_state(str(studies)))


@token.command(epilog="Example: radfind token create dr.li --role annotator --studies /data/ct")
def create(
    name: Annotated[str, typer.Argument(help="Whose it is; appears in the audit log.")],
    role: Annotated[str, typer.Option(help="reader, annotator, reviewer or admin.")] = "reader",
    days: Annotated[float | None, typer.Option(min=0.001, help="Days until it expires; never by default.")] = None,
    studies: Studies = None,
    state: State = None,
) -> None:
    """Make a token and print it. It is shown this once: only a hash is kept."""
    from monailabel_app.gateway.policy import Role
    from monailabel_app.gateway.tokens import TokenStore
    from radfind.errors import InputError

    try:
        chosen = Role.named(role)
    except KeyError:
        raise InputError(f"There is no role {role!r}. Roles: {', '.join(r.name.lower() for r in Role)}.") from None
    folder = _state(studies, state)
    text = TokenStore(folder).create(name, chosen, days=days)
    _record(folder, "token_made", name, chosen.name.lower())
    print(text)


@token.command("list", epilog="Example: radfind token list --studies /data/ct")
def list_tokens(studies: Studies = None, state: State = None, json: AsJson = False) -> None:
    """List tokens: id, name, role, and whether they still work."""
    import time

    from monailabel_app.gateway.tokens import TokenStore

    rows: list[dict[str, Any]] = []
    for item in TokenStore(_state(studies, state)).tokens():
        usable = "usable" if item.usable(time.time()) else "revoked" if item.revoked else "expired"
        rows.append({"id": item.id, "name": item.name, "role": item.role.name.lower(), "state": usable})
    if json:
        print_json({"tokens": rows})
        return
    for row in rows:
        print(f"{row['id']}  {row['name']:<24} {row['role']:<10} {row['state']}")


@token.command(epilog="Example: radfind token revoke 3f9a2c41d0be --studies /data/ct")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As 'radfind token list' shows it.")],
    studies: Studies = None,
    state: State = None,
) -> None:
    """Make a token useless at once, also on a running server."""
    from monailabel_app.gateway.tokens import TokenStore

    folder = _state(studies, state)
    revoked = TokenStore(folder).revoke(token_id)
    _record(folder, "token_revoked", revoked.name, revoked.role.name.lower())
    print(f"Revoked {revoked.id} ({revoked.name}).")


@audit.command(epilog="Example: radfind audit verify --studies /data/ct")
def verify(studies: Studies = None, state: State = None, json: AsJson = False) -> None:
    """Check that no entry was changed, removed or inserted. Keep the printed head somewhere else."""
    from monailabel_app.gateway.audit import verify as check
    from radfind.errors import RadFindError

    verdict = check(_state(studies, state))
    if json:
        print_json({"entries": verdict.entries, "head": verdict.head, "problem": verdict.problem})
    if verdict.problem is not None:
        raise RadFindError(f"The audit log was tampered with: {verdict.problem}.")
    if not json:
        print(f"The audit log is whole: {verdict.entries} entries, head {verdict.head}.")


@labels.command(epilog="Example: radfind labels history IMAGE --studies /data/ct")
def history(
    image: Annotated[str, typer.Argument(help="Image id.")],
    studies: Annotated[Path, typer.Option(help="The studies folder.")],
    tag: Annotated[str, typer.Option(help="Label tag.")] = "final",
    json: AsJson = False,
) -> None:
    """List all versions of a label, oldest first; the current one is marked."""
    from datetime import datetime

    store = _labels(studies)
    current = store.current(image, tag)
    rows = [
        {
            "version": version.number,
            "current": current is not None and version.number == current.number,
            "saved": datetime.fromtimestamp(version.info.get("ts", 0)).isoformat(sep=" "),
            "user": version.info.get("user"),
            "file": str(version.file),
        }
        for version in store.history(image, tag)
    ]
    if json:
        print_json({"image": image, "tag": tag, "versions": rows})
        return
    for row in rows:
        mark = "*" if row["current"] else " "
        print(f"{mark} {row['version']:>4}  {row['saved']}  {row['user'] or '':<20} {row['file']}")


@labels.command(epilog="Example: radfind labels restore IMAGE 3 --studies /data/ct")
def restore(
    image: Annotated[str, typer.Argument(help="Image id.")],
    version: Annotated[int, typer.Argument(min=1, help="As 'radfind labels history' shows it.")],
    studies: Annotated[Path, typer.Option(help="The studies folder.")],
    tag: Annotated[str, typer.Option(help="Label tag.")] = "final",
) -> None:
    """Make an earlier version current again. Nothing is deleted; a running server sees it at once."""
    restored = _labels(studies).restore(image, tag, version)
    print(f"Version {restored.number} of label '{tag}' is current again for {image}.")


def _labels(studies: Path) -> LabelStore:
    from monailabel_app.labels import LabelStore
    from radfind.errors import InputError

    if not (studies / "labels").is_dir():
        raise InputError(f"There are no labels in {studies}. Give the studies folder the server was started with.")
    return LabelStore(studies / "labels")


def _record(folder: Path, event: str, name: str, role: str) -> None:
    from monailabel_app.gateway.audit import AuditLog

    log = AuditLog(folder)
    log.record(event, target=name, role=role)
    log.close()
