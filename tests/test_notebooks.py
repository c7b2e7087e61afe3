"""Every notebook explains its parameters and, in the smoke profile's graph, runs."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from drcap import paths
from drcap.experiments.grid import TABLES as RESULT_TABLES
from drcap.experiments.grid import table_experiments
from drcap.experiments.results import read_scores
from workflow.outputs import NOTEBOOKS, outputs

FOLDER = paths.REPOSITORY / "notebooks"
COPIED = ("Snakefile", "drcap", "notebooks", "workflow")
GRAPH = ["--cores", "2", "--rerun-incomplete", "--nolock", "--quiet", "host", "reason"]
SMOKE = ["--config", "profile=smoke", "seeds=0", "only="]  # as the Makefile has it
KILLED_AFTER = 40  # seconds: in the middle of corpora, trainings or captions


def test_the_run_graph_knows_every_notebook():
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == list(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_parameter_says_what_it_is(name):
    parameters = papermill.inspect_notebook(FOLDER / f"{name}.ipynb")
    assert {"profile", "seed", "reports_dir"} <= set(parameters)
    unexplained = [name for name, facts in parameters.items() if not facts["help"]]
    assert unexplained == []


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    """`make reproduce PROFILE=smoke` in a copy, from nothing but the assets.

    It is killed on the way, with all that it had started, and then run to the end.
    """
    folder = tmp_path_factory.mktemp("smoke")
    copy, home = folder / "repository", folder / "home"
    leave_out = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        source = paths.REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=leave_out)
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(source, copy)
    home.mkdir()
    os.symlink(paths.assets(), home / "assets")
    first = snakemake(copy, home)
    with contextlib.suppress(subprocess.TimeoutExpired):
        first.communicate(timeout=KILLED_AFTER)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second = snakemake(copy, home)
    told, _ = second.communicate()
    assert second.returncode == 0, told
    return copy


def snakemake(copy: Path, home: Path, *options: str) -> subprocess.Popen:
    """Start the run graph in a process group of its own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *GRAPH, *SMOKE, *options],
        cwd=copy,
        env=os.environ | {"PATH": path, "DRCAP_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)  # the whole grid, in little
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_and_writes_what_it_declares(smoke, name):
    reports = smoke / "reports/smoke"
    assert all((reports / path).stat().st_size for path in outputs(name))
    notebook = nbformat.read(reports / f"notebooks/{name}.ipynb", nbformat.NO_CONVERT)
    assert all(
        cell.execution_count for cell in notebook.cells if cell.cell_type == "code"
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_grid_has_scores_of_every_experiment_and_a_record_of_every_number(smoke):
    reports = smoke / "reports/smoke"
    results = read_scores(table_experiments(), reports)
    assert list(results) == table_experiments()
    folders = {path.parent.name for path in (reports / "runs").glob("*/run.json")}
    assert {each.name for each in results} | {*RESULT_TABLES, *NOTEBOOKS} == folders
    tables = {path.stem for path in (reports / "tables").glob("*.csv")}
    declared = {Path(path).stem for name in NOTEBOOKS for path in outputs(name)}
    assert tables <= declared | {*RESULT_TABLES}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_second_run_has_nothing_to_do(smoke):
    told, _ = snakemake(smoke, smoke.parent / "home", "--dry-run").communicate()
    assert "Nothing to be done" in told
