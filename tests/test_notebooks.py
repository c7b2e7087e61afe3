"""Every notebook explains its parameters and, with the profile smoke, runs."""

import os

import papermill
import pytest

from drcap import paths
from workflow.outputs import NOTEBOOKS, outputs
from workflow.run_notebook import execute

FOLDER = paths.REPOSITORY / "notebooks"


def test_the_run_graph_knows_every_notebook():
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == list(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_parameter_says_what_it_is(name):
    parameters = papermill.inspect_notebook(FOLDER / f"{name}.ipynb")
    assert {"profile", "seed", "reports_dir"} <= set(parameters)
    unexplained = [name for name, facts in parameters.items() if not facts["help"]]
    assert unexplained == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_and_writes_what_it_declares(name, tmp_path, monkeypatch):
    home, reports = tmp_path / "home", tmp_path / "reports"
    home.mkdir()
    os.symlink(paths.assets(), home / "assets")  # nothing else is reused
    monkeypatch.setenv("DRCAP_HOME", str(home))
    parameters = {"profile": "smoke", "reports_dir": str(reports)}
    source, copy = FOLDER / f"{name}.ipynb", tmp_path / f"{name}.ipynb"
    execute(source, copy, parameters, log=tmp_path / "log")
    written = [path for path in reports.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(reports)) for path in written) == sorted(
        outputs(name)
    )
    assert all(path.stat().st_size for path in written)
