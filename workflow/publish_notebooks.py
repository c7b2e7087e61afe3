"""Keep in notebooks/ the outputs of a run of the graph at default parameters.

    python -m workflow.publish_notebooks reports/demo/notebooks

The executed copies of the run graph are what its tables and figures came from; shown
here, they cannot differ from reports/. Papermill's cell of parameters is left out.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import nbformat
import papermill
import typer
from nbformat import NotebookNode

from drcap import paths
from drcap.errors import DRCapError
from drcap.files import write_text
from workflow.clean_notebook import INJECTED, problems

FOLDER = paths.REPOSITORY / "notebooks"


class PublishError(DRCapError):
    """An executed copy that is not one of the notebook as it is."""


def published(source: Path, copy: Path) -> NotebookNode:
    """Return the executed copy as if it had been run without parameters.

    PublishError if its parameters are not the defaults, or its cells not the source's.
    """
    notebook = nbformat.read(copy, nbformat.NO_CONVERT)
    given = [cell for cell in notebook.cells if _is_injected(cell)]
    notebook.cells = [cell for cell in notebook.cells if not _is_injected(cell)]
    plain = nbformat.read(source, nbformat.NO_CONVERT)
    if [c.source for c in notebook.cells] != [c.source for c in plain.cells]:
        raise PublishError(f"{copy}: not of {source} as it is; run `make reproduce`")
    defaults = papermill.inspect_notebook(source)
    for line in "\n".join(cell.source for cell in given).splitlines():
        name, equals, value = line.partition(" = ")
        if equals and value != defaults[name]["default"]:
            raise PublishError(
                f"{copy}: run with {line}, not {defaults[name]['default']}"
            )
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
    if found := problems(notebook):
        raise PublishError(f"{copy}: has {'; '.join(found)}")
    return notebook


def main(
    copies: Annotated[Path, typer.Argument(help="folder of executed notebooks")],
    folder: Annotated[Path, typer.Option(help="where the notebooks are")] = FOLDER,
) -> None:
    """Take the outputs of all executed copies over; nothing if one does not fit."""
    sources = sorted(Path(folder).glob("*.ipynb"))
    try:
        ready = {each: published(each, Path(copies) / each.name) for each in sources}
    except (PublishError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    for source, notebook in ready.items():
        before = source.stat()
        write_text(source, nbformat.writes(notebook) + "\n")
        # what it computes is the same: the run graph must not run it again
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))


def _is_injected(cell: NotebookNode) -> bool:
    return INJECTED in cell.metadata.get("tags", [])


if __name__ == "__main__":
    typer.run(main)
