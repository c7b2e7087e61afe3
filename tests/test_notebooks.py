"""Every notebook explains its parameters and, in the smoke profile's graph, runs."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from drcap import paths
from drcap.experiments.grid import TABLES, table_experiments
from drcap.experiments.results import read_scores
from drcap.plots import recordings
from drcap.record import read_records
from workflow.graph import NOTEBOOKS, outputs
from workflow.notebooks import LARGEST

FOLDER = paths.REPOSITORY / "notebooks"
COPIED = (
    *("Snakefile", "docs", "drcap", "soundscapes", "notebooks", "workflow"),
    "reports/real",
)
KILLED_AFTER = 40  # seconds: in the middle of corpora, trainings or captions
SMALL = "table3,00,03,07"  # of the grid: one table, three notebooks

SPECTROGRAM = re.compile(
    "|".join(f"{n}\\(" for n in vars(recordings) if n[:5] == "plot_")
)


def test_the_run_graph_knows_every_notebook():
    assert [path.stem for path in sorted(FOLDER.glob("*.ipynb"))] == NOTEBOOKS
    assert all(outputs(name) for name in NOTEBOOKS)


def test_every_parameter_says_what_it_is_and_results_follow_the_profile():
    for name in NOTEBOOKS:
        parameters = papermill.inspect_notebook(FOLDER / f"{name}.ipynb")
        assert {"profile", "seed", "reports_dir"} <= {*parameters}
        assert all(facts["help"] for facts in parameters.values()), name
        assert parameters["reports_dir"]["default"] == '""'


def test_a_player_follows_every_spectrogram():
    found = []
    for name in NOTEBOOKS:
        cells = nbformat.read(FOLDER / f"{name}.ipynb", 4).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        found += [
            (name, source, after)
            for source, after in zip(code, code[1:], strict=False)
            if SPECTROGRAM.search(source)
        ]
    assert len(found) > 10
    for name, source, after in found:
        assert after.startswith("notebook.play("), f"{name}: {source}"


def test_each_notebook_is_small_and_links_to_the_next():
    for name, following in zip(NOTEBOOKS, [*NOTEBOOKS[1:], ""], strict=True):
        path = FOLDER / f"{name}.ipynb"
        assert path.stat().st_size < LARGEST, name
        *_, end = nbformat.read(path, 4).cells
        assert "book.finish(" in end.source and following in end.source


class Copy:
    """A copy of the repository with a cache that holds nothing but the assets."""

    def __init__(self, folder: Path):
        self.folder, self.home = folder / "a repository", folder / "a home"
        ignore = shutil.ignore_patterns("__pycache__")
        self.folder.mkdir(parents=True)
        for name in COPIED:
            source, target = paths.REPOSITORY / name, self.folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignore)
            else:
                shutil.copy(source, target)
        self.home.mkdir()
        os.symlink(paths.assets(), self.home / "assets")
        self.reports = self.folder / "reports/smoke"

    def start(self, only: str, *options: str) -> subprocess.Popen:
        """Start the run graph as the Makefile does, in a process group of its own."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        given = ["--rerun-incomplete", "--nolock", "--quiet", "host", "reason"]
        given += ["--config", "profile=smoke", "seeds='0'", f"only='\"{only}\"'"]
        environment = {"PATH": path, "DRCAP_HOME": str(self.home)}
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *options, *given],
            cwd=self.folder,
            # the copy's own package, before the one that is installed
            env=os.environ | environment | {"PYTHONPATH": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, only: str, *options: str) -> str:
        process = self.start(only, *options)
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
        return printed

    def check(self, notebook: str) -> None:
        """Assert that a notebook was executed and wrote what it declares."""
        assert all((self.reports / p).stat().st_size for p in outputs(notebook))
        executed = nbformat.read(self.reports / f"notebooks/{notebook}.ipynb", 4)
        code = [cell for cell in executed.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_table_and_three_notebooks_are_made_from_nothing(tmp_path):
    copy = Copy(tmp_path)
    copy.run(SMALL)
    for notebook in ("00_quickstart", "03_text_only_training", "07_ablation_rag"):
        copy.check(notebook)
    assert (copy.reports / "tables/table3_ablation_in_domain.csv").exists()
    assert "Nothing to be done" in copy.run(SMALL, "--dry-run")


@pytest.mark.graph
@pytest.mark.timeout(1_800)  # the whole grid, in little
def test_the_whole_graph_killed_and_resumed_gives_what_a_new_run_gives(tmp_path):
    copy = Copy(tmp_path)
    first = copy.start("")
    with contextlib.suppress(subprocess.TimeoutExpired):
        first.communicate(timeout=KILLED_AFTER)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    copy.run("")
    for notebook in NOTEBOOKS:
        copy.check(notebook)
    reports = copy.reports
    results = read_scores(table_experiments(), reports)
    assert list(results) == table_experiments()
    expected = {"experiments": [each.name for each in results]}
    expected |= {"tables": TABLES, "notebooks": NOTEBOOKS}
    for group, names in expected.items():
        assert {*read_records(reports, group)} == {*names}
    tables = {path.stem for path in (reports / "tables").glob("*.csv")}
    declared = {Path(path).stem for name in NOTEBOOKS for path in outputs(name)}
    assert tables <= declared | {*TABLES}
    assert "Nothing to be done" in copy.run("", "--dry-run")
    spaces = (copy.home / "reproduce/smoke").glob("space-*.json")
    encoders = [json.loads(path.read_text())["encoder"] for path in spaces]
    assert len({*encoders}) == len(encoders) == 2
    again = Copy(tmp_path / "again")  # from an empty cache, and not killed
    again.run(SMALL)
    made = {path.name: path for path in (again.reports / "tables").glob("*.csv")}
    assert "table3_ablation_in_domain.csv" in made
    for name, path in made.items():
        assert path.read_bytes() == (reports / "tables" / name).read_bytes(), name
