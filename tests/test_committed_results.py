"""README, notebooks, the page of results and reports/demo show the same numbers."""

from base64 import b64decode
from pathlib import Path

import nbformat
import pytest

from drcap import paths
from drcap.experiments.grid import TABLES
from drcap.experiments.results import read_facts
from workflow import summary
from workflow.graph import FOLDER, NOTEBOOKS, outputs

DEMO = paths.REPORTS / "demo"
LONG = {"claims", "realism", "sound_classes"}  # of which notebooks show a part


@pytest.fixture(scope="module")
def notebooks():
    return {name: nbformat.read(FOLDER / f"{name}.ipynb", 4) for name in NOTEBOOKS}


def test_a_notebook_shows_the_tables_and_figures_of_the_reports(notebooks):
    for name, notebook in notebooks.items():
        shown = [
            output.get("data", {})
            for cell in notebook.cells
            for output in cell.get("outputs", ())
        ]
        texts = [data.get("text/markdown", "").strip() for data in shown]
        images = [b64decode(data["image/png"]) for data in shown if "image/png" in data]
        for file in map(Path, outputs(name)):
            if file.suffix == ".md" and file.stem not in LONG:
                assert (DEMO / file).read_text().strip() in texts, (name, file)
            elif file.suffix == ".png":
                assert (DEMO / file).read_bytes() in images, (name, file)


def test_the_page_of_results_is_made_of_the_reports():
    assert summary.summarise(DEMO) == (DEMO / "summary.md").read_text()


def test_the_tables_are_of_the_experiments_in_the_table_of_results():
    experiments = {
        each.name for table in TABLES.values() for each in table.experiments()
    }
    assert experiments <= {*read_facts(DEMO)}
