"""The `drcap` command: one file a subcommand; a user's mistake is one line and exit 2.

An interrupt is exit code 130, as typer has it.
"""

import sys

import typer

from drcap.cli import assets, caption, data, datastore, doctor, evaluate, import_
from drcap.errors import DRCapError

app = typer.Typer(
    help="DRCap: zero-shot audio captioning, trained on captions alone.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("caption")(caption.caption)
app.command("evaluate")(evaluate.evaluate)
app.command("doctor")(doctor.doctor)
app.add_typer(assets.app, name="assets")
app.add_typer(data.app, name="data")
app.add_typer(datastore.app, name="datastore")
app.add_typer(import_.app, name="import")


def main() -> None:
    """Run the command line; see the module's docstring for its exit codes."""
    try:
        app()
    except DRCapError as error:
        print(f"drcap: {error}", file=sys.stderr)
        sys.exit(2)
