"""The `drcap` command: a user's mistake is one line on stderr and exit code 2.

An interrupt is exit code 130. Other exceptions are faults of the package and keep
their traceback.
"""

import os
import sys

import typer
from typer.core import TyperGroup

from drcap.cli import caption, classify, data, datastore, evaluate, machine, train
from drcap.environment import hush, set_thread_policy
from drcap.errors import DRCapError


class Commands(TyperGroup):
    """Adds to "No such option" what to do where a file's name begins with "-"."""

    def invoke(self, ctx):
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if type(error).__name__ == "NoSuchOption":  # typer's, or click's in older
                error.message += " (for a file of that name: ./-NAME, or -- -NAME)"
            raise


app = typer.Typer(
    cls=Commands,
    help="DRCap: zero-shot audio captioning, trained on captions alone.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("caption")(caption.caption)
app.command("classify")(classify.classify)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(train.app, name="train")
app.command("experiment")(train.experiment)
app.add_typer(datastore.app, name="datastore")
app.add_typer(data.app, name="data")
app.add_typer(data.importing, name="import")
app.add_typer(machine.app, name="assets")
app.command("doctor")(machine.doctor)


def main() -> None:
    """Run the command line; see the module's docstring for its exit codes."""
    set_thread_policy()
    hush()
    for stream in (sys.stdout, sys.stderr):  # a name that the console cannot print
        stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except DRCapError as error:
        _stop(str(error))
    except OSError as error:
        _stop(_one_line(error))
    except RuntimeError as error:  # of one that waits for a process that has failed
        if os.environ.get("RANK", "0") == "0" or " by peer" not in str(error):
            raise
        _stop("another process failed: its message says why")


def _one_line(error: OSError) -> str:
    if error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return (str(error) or type(error).__name__).splitlines()[0]


def _stop(message: str) -> None:
    print(f"drcap: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
