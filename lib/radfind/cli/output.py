"""How commands speak: progress to stderr, results to stdout, errors as one paragraph and an exit code."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from radfind.engines.api import Context

EXIT_FAILED = 1
"""The software failed although the input was sound."""
EXIT_INPUT = 2
"""The input or the arguments are unusable."""
EXIT_CONTRADICTED = 3
"""The images contradict the report: for scripts that stop a report before it is signed."""
EXIT_CANCELLED = 130
"""Interrupted by the user (Ctrl+C), as shells report it."""


def exit_code(error: BaseException) -> int:
    """Print what went wrong, for a person, and return the exit code."""
    import typer

    from radfind.errors import CancelledError, InputError, RadFindError

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_FAILED
    if isinstance(error, KeyboardInterrupt | CancelledError | typer.Abort):
        _say("Cancelled; nothing was written.")
        return EXIT_CANCELLED
    if isinstance(error, typer.Exit):
        return error.exit_code
    # Newer typer carries click inside itself: take the base of its usage errors instead of importing click.
    if isinstance(error, typer.BadParameter.__mro__[2]):
        error.show()  # type: ignore[attr-defined]
        return EXIT_INPUT
    if isinstance(error, InputError):
        _say(f"Error: {error}")
        return EXIT_INPUT
    if isinstance(error, RadFindError):
        _say(f"Failed: {error}")
        return EXIT_FAILED
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_with(error)):
        _say(f"Error: the package '{error.name}' is not installed. Run: pip install 'radfind[{extra}]'")
        return EXIT_INPUT
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away; stay silent
        return EXIT_FAILED
    if os.environ.get("RADFIND_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    _say(
        f"Failed: an unexpected {type(error).__name__} ({error}). This is a fault of RadFind, not of your input. "
        "Set RADFIND_TRACEBACK=1 and run the command again for the details to report."
    )
    return EXIT_FAILED


def _extra_with(error: ModuleNotFoundError) -> str | None:
    from radfind.engines.extras import extra_with

    return extra_with(error.name) if error.name else None


def _say(message: str) -> None:
    width = max(40, min(100, _columns()))
    print("\n".join(textwrap.wrap(message, width, break_long_words=False)), file=sys.stderr)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def print_json(data: Any) -> None:
    """One JSON document on stdout, UTF-8, stable key order as given."""
    print(json.dumps(data, ensure_ascii=False, indent=2))


@contextlib.contextmanager
def progress(title: str) -> Iterator[Context]:
    """A `Context` that draws a progress bar on stderr when that is a terminal."""
    from radfind.engines.api import Context

    if not sys.stderr.isatty():
        yield Context()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)

        def report(fraction: float, message: str) -> None:
            bar.update(task, completed=fraction, description=f"{title}: {message}" if message else title)

        yield Context(report)


def query_text(text: str | None, file: Path | None) -> str:
    """The text of a command: given in words or in a file ('-' is standard input).

    Raises:
        InputError: both were given or neither, or the file is no UTF-8 text.
    """
    from radfind.errors import InputError

    if text is not None and file is not None:
        raise InputError("Give either --text or --text-file, not both.")
    if file is not None:
        if str(file) == "-":
            return sys.stdin.read()
        try:
            return file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The text file {file} cannot be read as UTF-8 text: {error}.") from error
    if text is None:
        raise InputError("No text was given. Add --text 'what to look for', or --text-file FILE.")
    return text
