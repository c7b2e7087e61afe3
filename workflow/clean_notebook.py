"""Executed notebooks as they are kept: outputs and counts, none of a run's noise.

Two runs that compute the same then give the same bytes, so that a difference between
two copies is a difference in results.
"""

import nbformat
from nbformat import NotebookNode
from nbstripout import strip_output

LARGEST = 600_000  # bytes; notebooks are read on the web
NOISE = (
    "metadata.papermill",  # paths and times of the run
    "metadata.widgets",
    "metadata.language_info.version",
    "cell.metadata.papermill",
    "cell.metadata.execution",  # times
)
INJECTED = "injected-parameters"  # papermill's cell of a run's own values
WIDGET = "application/vnd.jupyter.widget-view+json"


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """Keep outputs, counts and ids; drop stderr, widgets, times and empty tags."""
    notebook = strip_output(
        notebook,
        keep_output=True,
        keep_count=True,
        keep_id=True,
        extra_keys=list(NOISE),
        drop_output_types={"stream:stderr"},
    )
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if not tags:
            cell.metadata.pop("tags", None)
        if INJECTED in tags:
            cell.id = INJECTED  # papermill draws a new one at every run
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if not _is_widget(each)]
    return notebook


def problems(notebook: NotebookNode) -> list[str]:
    """Say what keeps a notebook from being shown as it is; empty if nothing does."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    results = [output for cell in code for output in cell.outputs]
    size = len(nbformat.writes(notebook).encode())
    found = {
        "an error among its outputs": any(r.output_type == "error" for r in results),
        "a widget among its outputs": any(map(_is_widget, results)),
        "widget state": "widgets" in notebook.metadata,
        "cells that were not run once each, in order": (
            [cell.execution_count for cell in code] != list(range(1, len(code) + 1))
        ),
        f"{size:,} bytes, over {LARGEST:,}": size > LARGEST,
    }
    return [problem for problem, holds in found.items() if holds]


def _is_widget(output: NotebookNode) -> bool:
    return WIDGET in output.get("data", {})
