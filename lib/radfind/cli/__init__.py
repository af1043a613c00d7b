"""The command line: ``radfind …``. Kept light: everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import sys

import typer

from radfind.cli import admin, archive, ask, assess, hand_on, inspect, measure, models, plan, report, run

app = typer.Typer(
    name="radfind",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Connects what a radiologist says to what the scan shows. Research software, not a medical device.",
    epilog="Example: radfind rank ct-folder --text 'part-solid nodule in the right apex' --json",
)
ask.register(app)
report.register(app)
inspect.register(app)
measure.register(app)
hand_on.register(app)
archive.register(app)
plan.register(app)
assess.register(app)
models.register(app)
run.register(app)
admin.register(app)


def main() -> None:
    """Entry point of the ``radfind`` script."""
    from radfind.cli.output import exit_code

    try:
        code = app(standalone_mode=False)  # a command that ends with typer.Exit(3) returns 3
    except BaseException as error:  # the one place where errors become messages and exit codes
        code = exit_code(error)
    sys.exit(code)
