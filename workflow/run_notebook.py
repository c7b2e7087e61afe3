"""Run a notebook with parameters and keep a cleaned copy, whole or not at all.

    python -m workflow.run_notebook notebooks/00_quickstart.ipynb copy.ipynb -p seed=1

Without a second path the notebook's own outputs are renewed. It runs in the repository
root, on the kernel of this very interpreter. Everything it prints goes to a log; of
that, the progress bars are also shown.
"""

import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import nbformat
import typer

from drcap import paths
from drcap.errors import DRCapError
from drcap.files import write_text
from workflow.clean_notebook import cleaned, problems

LOGS = paths.REPOSITORY / "logs"
KERNEL = "python3"
ENVIRONMENT = {
    "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not the user's
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # they would be widgets
    "TQDM_MININTERVAL": "10",  # seconds between two lines of a log
}


class NotebookError(DRCapError):
    """A notebook that failed, or that was asked for something impossible."""


def execute(
    source: Path | str,
    target: Path | str,
    parameters: Mapping[str, object] | None = None,
    log: Path | str | None = None,
) -> None:
    """Run `source` and place the cleaned result at `target`.

    parameters : replace the notebook's defaults; an unknown name is an error
    log : where all output goes; default: logs/<name of source>.log

    NotebookError names the cell, the error and the log; `target` is then untouched.
    """
    source, target = Path(source), Path(target).resolve()
    log = Path(log or LOGS / f"{source.stem}.log").resolve()
    _require_known(source, parameters or {})
    with _logging_to(log, source.stem), _environment(ENVIRONMENT):
        notebook = cleaned(_run(source, dict(parameters or {}), log))
    if found := problems(notebook):
        raise NotebookError(f"{source}: has {'; '.join(found)}: see {log}")
    write_text(target, nbformat.writes(notebook) + "\n")


def _require_known(source: Path, parameters: Mapping[str, object]) -> None:
    import papermill

    if not source.is_file():
        raise NotebookError(f"{source}: no such notebook")
    try:
        known = papermill.inspect_notebook(source)
    except ValueError as error:
        raise NotebookError(f"{source}: not a Python notebook ({error})") from None
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise NotebookError(
            f"{source}: unknown parameter '{unknown[0]}'; known are "
            f"{', '.join(known) or 'none'}"
        )


def _run(source: Path, parameters: dict, log: Path) -> nbformat.NotebookNode:
    import papermill

    try:
        with tempfile.TemporaryDirectory() as scratch:
            return papermill.execute_notebook(
                source.resolve(),
                Path(scratch) / source.name,
                parameters,
                kernel_name=KERNEL,
                cwd=paths.REPOSITORY,
                progress_bar=False,
                log_output=True,
                coalesce_streams=True,  # however the kernel cut them
                extra_arguments=["--log-level=ERROR"],  # the kernel's own
            )
    except Exception as error:  # of the notebook, or of a kernel that died
        logging.getLogger("papermill").error(error)
        raise NotebookError(f"{source}: {_summary(error)}: see {log}") from error


def _summary(error: Exception) -> str:
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        message = error.evalue.partition("\n")[0]
        return f"cell {error.exec_count} raised {error.ename} ({message})"
    return f"did not run ({type(error).__name__}: {error})"


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _logging_to(path: Path, name: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("papermill")
    handlers = [logging.FileHandler(path, "w", encoding="utf-8"), _ProgressBars(name)]
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _ProgressBars(logging.Handler):
    """Shows the latest state of the notebook's progress bars on stderr, as lines."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        states = [state for state in re.split(r"[\r\n]", text) if state.strip()]
        if "\r" in text and states:
            print(f"{self.name}: {states[-1]}", file=sys.stderr, flush=True)


def _parsed(assignments: list[str]) -> dict[str, object]:
    """Turn NAME=VALUE texts into values: JSON's where they are JSON, else text."""
    parameters = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise NotebookError(f"-p {assignment}: expected NAME=VALUE")
        try:
            parameters[name] = json.loads(value)
        except json.JSONDecodeError:
            parameters[name] = value
    return parameters


def main(
    source: Annotated[Path, typer.Argument(help="The notebook.")],
    target: Annotated[
        Path | None, typer.Argument(help="The executed copy.", show_default="SOURCE")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="NAME=VALUE", help="A parameter's value."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Log of all its output.")] = None,
) -> None:
    """Run a notebook with parameters and keep a cleaned copy."""
    try:
        execute(source, target or source, _parsed(parameter or []), log)
    except NotebookError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
