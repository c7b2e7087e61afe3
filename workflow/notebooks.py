"""Notebooks run with parameters and kept clean, whole or not at all; then published.

    python -m workflow notebook notebooks/00_quickstart.ipynb copy.ipynb -p seed=1

Two runs that compute the same give the same bytes, so that a difference between two
copies is a difference in results. A notebook runs in the repository root, on the kernel
of this interpreter; all that it prints goes to a log.
"""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TextIO
from unittest.mock import patch

import nbformat
import papermill
import typer
from nbformat import NotebookNode
from nbstripout import strip_output
from papermill.exceptions import PapermillExecutionError

from drcap import paths
from drcap.atomic import write_text
from drcap.errors import DRCapError

LARGEST = 300_000  # bytes; notebooks are read on the web
NOISE = [
    "metadata.papermill",  # paths and times of the run
    "metadata.widgets",
    "metadata.language_info.version",
    "cell.metadata.papermill",
    "cell.metadata.execution",  # times
]
INJECTED = "injected-parameters"  # papermill's cell of a run's own values
WIDGET = "application/vnd.jupyter.widget-view+json"
ENVIRONMENT = {
    "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not the user's
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # they would be widgets
    "TQDM_MININTERVAL": "10",  # seconds between two lines of a log
}


class NotebookError(DRCapError):
    """A notebook that failed, or that was asked for something impossible."""


def notebook(
    source: Annotated[Path, typer.Argument(help="The notebook.")],
    target: Annotated[Path, typer.Argument(help="The executed copy.")],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="Repeatable.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="default: logs/NOTEBOOK.log")] = None,
) -> None:
    """Run a notebook with parameters and keep a cleaned copy."""
    parameters: dict[str, object] = {}
    for assignment in parameter or ():
        name, equals, value = assignment.partition("=")
        if not equals:
            raise NotebookError(f"-p {assignment}: expected NAME=VALUE")
        try:
            parameters[name] = json.loads(value)
        except json.JSONDecodeError:
            parameters[name] = value
    execute(source, target, parameters, log)


def execute(
    source: Path,
    target: Path,
    parameters: Mapping[str, object] | None = None,
    log: Path | None = None,
) -> None:
    """Run `source` and place the cleaned result at `target`.

    parameters : replace the notebook's defaults

    Raises NotebookError for an unknown parameter, and for a cell that fails, with its
    error and the log; `target` is then untouched.
    """
    source, target = Path(source), Path(target).resolve()
    log = Path(log or paths.REPOSITORY / "logs" / f"{source.stem}.log").resolve()
    parameters = dict(parameters or {})
    known = _defaults(source)
    if unknown := [name for name in parameters if name not in known]:
        raise NotebookError(
            f"{source}: unknown parameter '{unknown[0]}'; known are {', '.join(known)}"
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as said, patch.dict(os.environ, ENVIRONMENT):
        executed = cleaned(_run(source, parameters, said))
    if faults := problems(executed):
        raise NotebookError(f"{source}: has {'; '.join(faults)}: see {log}")
    write_text(target, nbformat.writes(executed) + "\n")


def _defaults(source: Path) -> dict:
    """Return the notebook's parameters, as papermill tells them."""
    if not source.is_file():
        raise NotebookError(f"{source}: no such notebook")
    try:
        return papermill.inspect_notebook(source)
    except ValueError as error:
        raise NotebookError(f"{source}: not a Python notebook ({error})") from None


def _run(source: Path, parameters: dict, log: TextIO) -> NotebookNode:
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return papermill.execute_notebook(
                source.resolve(),
                Path(scratch) / source.name,
                parameters,
                kernel_name="python3",
                cwd=paths.REPOSITORY,
                progress_bar=False,
                stdout_file=log,
                stderr_file=log,
                coalesce_streams=True,  # however the kernel cut them
                extra_arguments=["--log-level=ERROR"],  # the kernel's own
            )
    except Exception as error:  # of the notebook, or of a kernel that died
        print(error, file=log)
        reason = f"did not run ({type(error).__name__}: {error})"
        if isinstance(error, PapermillExecutionError):
            message = error.evalue.partition("\n")[0]
            reason = f"cell {error.exec_count} raised {error.ename} ({message})"
        raise NotebookError(f"{source}: {reason}: see {log.name}") from error


def cleaned(executed: NotebookNode) -> NotebookNode:
    """Keep outputs, counts and ids; drop stderr, widgets, times and empty tags."""
    executed = strip_output(
        executed,
        keep_output=True,
        keep_count=True,
        keep_id=True,
        extra_keys=NOISE,
        drop_output_types={"stream:stderr"},
    )
    for cell in executed.cells:
        tags = cell.metadata.get("tags", [])
        if not tags:
            cell.metadata.pop("tags", None)
        if INJECTED in tags:
            cell.id = INJECTED  # papermill draws a new one at every run
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_widget(output)]
    return executed


def problems(executed: NotebookNode) -> list[str]:
    """Return what keeps a notebook from being shown as it is; empty if nothing does."""
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    results = [output for cell in code for output in cell.outputs]
    size = len(nbformat.writes(executed).encode())
    counts = [cell.execution_count for cell in code]
    faults = {
        "an error among its outputs": any(r.output_type == "error" for r in results),
        "a widget among its outputs": any(map(_is_widget, results)),
        "widget state": "widgets" in executed.metadata,
        "cells that were not run once, in order": counts != [*range(1, len(code) + 1)],
        f"{size:,} bytes, over {LARGEST:,}": size > LARGEST,
    }
    return [fault for fault, holds in faults.items() if holds]


def _is_widget(output: NotebookNode) -> bool:
    return WIDGET in output.get("data", {})


def publish(
    copies: Annotated[Path, typer.Argument(help="Folder of executed notebooks.")],
    folder: Annotated[Path, typer.Option(help="Where the notebooks are.")] = (
        paths.REPOSITORY / "notebooks"
    ),
) -> None:
    """Take over the outputs of a run of the graph at default parameters.

    So tables and figures shown there cannot differ from reports/. Writes nothing if
    one copy does not fit.
    """
    sources = sorted(folder.glob("*.ipynb"))
    ready = {source: published(source, copies / source.name) for source in sources}
    for source, made in ready.items():
        before = source.stat()
        write_text(source, nbformat.writes(made) + "\n")
        # what it computes is the same: the run graph must not run it again
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))


def published(source: Path, copy: Path) -> NotebookNode:
    """Return the executed copy as if it had been run without parameters.

    Its seeds become the notebook's own. Raises NotebookError if other parameters are
    not the defaults, or its cells not the source's; FileNotFoundError without a copy.
    """
    made, plain = (nbformat.read(path, nbformat.NO_CONVERT) for path in (copy, source))
    given = [c for c in made.cells if INJECTED in c.metadata.get("tags", [])]
    made.cells = [cell for cell in made.cells if cell not in given]
    if [c.source for c in made.cells] != [c.source for c in plain.cells]:
        raise NotebookError(f"{copy}: not of {source} as it is; run `make reproduce`")
    defaults = _defaults(source)
    for line in "\n".join(cell.source for cell in given).splitlines():
        name, equals, value = line.partition(" = ")
        if name == "seeds":
            [cell] = (
                c for c in made.cells if "parameters" in c.metadata.get("tags", [])
            )
            cell.source = re.sub(
                r"(?m)^(seeds\b.*?= )\[.*?\]", rf"\1{value}", cell.source
            )
        elif equals and value != (default := defaults[name]["default"]):
            raise NotebookError(f"{copy}: run with {line}, not {default}")
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    if faults := problems(made):
        raise NotebookError(f"{copy}: has {'; '.join(faults)}")
    return made
