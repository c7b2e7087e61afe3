"""The run graph: what runs, in what order, and what does not run again.

The graph is the real one; the commands it calls are stand-ins that write the declared
files at once.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drcap import paths
from drcap.experiments.grid import TABLES as RESULT_TABLES
from drcap.experiments.grid import table_experiments
from workflow import grid, summary
from workflow.outputs import FIGURES, NOTEBOOKS, TABLES
from workflow.summary import summarise

NOTEBOOK_RULES = [f"notebook_{name}" for name in NOTEBOOKS]
EXPERIMENTS = grid.experiments_of(RESULT_TABLES, NOTEBOOKS, [0])
TRAINED = grid.trained_for("06_ablation_similarity_selection", [0])
CAPTIONS = sorted(
    f"captions_{batch.name}" for batch in grid.batches(EXPERIMENTS, TRAINED, "demo")
)
GRID = [*CAPTIONS, "scores", "space", "table"]
MADE = ["assets", "clap", "corpora", "datastore"]
RULES = sorted([*MADE, *GRID, *NOTEBOOK_RULES, "report"])
MAKEFILE = ["--rerun-incomplete", "--nolock", "--quiet", "host", "reason"]
COPIED = ("workflow/__init__.py", "workflow/outputs.py", "workflow/grid.py")
COMMANDS = {
    "run_notebook": """
        import sys, time
        from pathlib import Path
        from workflow.outputs import outputs
        source, target = map(Path, sys.argv[1:3])
        reports = Path(sys.argv[sys.argv.index("-p") + 5].partition("=")[2])
        if source.read_text() == "fails":
            sys.exit("the notebook failed")
        if source.read_text() == "waits":
            Path("waiting").touch()
            time.sleep(60)
        for path in [target, *(reports / name for name in outputs(source.stem))]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{sys.argv}")
    """,
    "experiments": """
        import sys
        from pathlib import Path
        command = sys.argv[1]
        runs = Path("reports") / sys.argv[sys.argv.index("--profile") + 1] / "runs"
        made = {
            "caption": [
                f"{each}/{file}"
                for before, each in zip(sys.argv, sys.argv[1:])
                for file in ("predictions.jsonl", "run.json")
                if "_seed_" in each and before != "--train"
            ],
            "score": [f"{each}/scores.json" for each in sys.argv if "_seed_" in each],
        }
        targets = [runs / path for path in made.get(command, [])]
        if "--done" in sys.argv:
            targets.append(Path(sys.argv[sys.argv.index("--done") + 1]))
        for path in targets:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{sys.argv}")
    """,
    "table": """
        import sys
        from pathlib import Path
        name = sys.argv[1]
        reports = Path("reports") / sys.argv[sys.argv.index("--profile") + 1]
        tables = [f"tables/{name}.{kind}" for kind in ("csv", "md", "tex")]
        for path in [f"runs/{name}/run.json", *tables]:
            (reports / path).parent.mkdir(parents=True, exist_ok=True)
            (reports / path).write_text(f"{sys.argv}")
    """,
    "datastore": "import sys; open(sys.argv[1], 'w').write('{}')",
    "corpora": "print('corpora')",
    "train_clap": "print('model')",
    "summary": "import sys; open(sys.argv[1] + '/summary.md', 'w').write('#')",
}


class Graph:
    """A copy of the repository's run graph that calls stand-ins."""

    def __init__(self, folder: Path):
        self.folder = folder / "repository"
        self.home = folder / "home"
        self.bin = folder / "bin"
        leave_out = shutil.ignore_patterns("checkpoints", "__pycache__")
        shutil.copytree(paths.PACKAGE, self.folder / "drcap", ignore=leave_out)
        for name in ("Snakefile", *COPIED):
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(paths.REPOSITORY / name, self.folder / name)
        for name, code in COMMANDS.items():
            lines = [line.removeprefix(" " * 8) for line in code.splitlines()]
            (self.folder / f"workflow/{name}.py").write_text("\n".join(lines))
        (self.folder / "notebooks").mkdir()
        for name in NOTEBOOKS:
            self.write(name, "{}")
        self.bin.mkdir()
        (self.bin / "drcap").write_text("#!/bin/sh\necho assets\n")
        (self.bin / "drcap").chmod(0o755)

    def write(self, notebook: str, content: str) -> None:
        (self.folder / "notebooks" / f"{notebook}.ipynb").write_text(content)

    def start(self, *options: str) -> subprocess.Popen:
        search = [self.bin, Path(sys.executable).parent, os.environ["PATH"]]
        path = os.pathsep.join(map(str, search))
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *MAKEFILE, *options],
            cwd=self.folder,
            env=os.environ | {"PATH": path, "DRCAP_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *options: str) -> subprocess.CompletedProcess:
        process = self.start(*options)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess((), process.returncode, stdout, stderr)

    def pending(self, *options: str) -> list[str]:
        """Return the rules that would run, but for the last, `all`."""
        told = self.run("--dry-run", *options)
        assert told.returncode == 0, told.stderr
        listed = re.findall(r"^(\w+) +\d+$", told.stdout + told.stderr, re.M)
        return sorted({*listed} - {"all", "total"})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    graph = Graph(tmp_path_factory.mktemp("graph"))
    assert graph.pending() == sorted(RULES)
    told = graph.run()
    assert told.returncode == 0, told.stderr
    return graph


@pytest.fixture
def graph(finished, tmp_path):
    """A finished graph of the test's own."""
    copy = Graph.__new__(Graph)
    copy.__dict__ = dict(finished.__dict__)
    copy.folder = tmp_path / "repository"
    shutil.copytree(finished.folder, copy.folder)
    return copy


def test_a_run_writes_the_page_of_results_and_a_second_run_does_nothing(finished):
    assert (finished.folder / "reports/demo/summary.md").exists()
    assert finished.pending() == []
    assert "Nothing to be done" in finished.run().stderr


def test_notebooks_are_told_profile_seed_and_folder(finished):
    told = (finished.folder / "reports/demo/tables/recordings.csv").read_text()
    for parameter in ("profile=demo", "seed=0", "reports_dir=reports/demo"):
        assert parameter in told


def test_a_changed_notebook_is_run_again_alone(graph):
    graph.write("03_text_only_training", '{"changed": true}')
    assert graph.pending() == ["notebook_03_text_only_training", "report"]


def test_a_changed_method_runs_every_notebook_again(graph):
    with open(graph.folder / "drcap" / "projection.py", "a") as stream:
        stream.write("# changed\n")
    stale = {*CAPTIONS, "scores", "table", "report", *NOTEBOOK_RULES}
    assert graph.pending() == sorted(stale)


def test_a_changed_metric_scores_again_and_captions_nothing_again(graph):
    with open(graph.folder / "drcap/evaluation/metrics.py", "a") as stream:
        stream.write("# changed\n")
    pending = graph.pending()
    assert "scores" in pending and not {*CAPTIONS, "space"} & {*pending}


def test_one_table_needs_its_own_experiments_alone(finished):
    only = ("--forceall", "--config", "only=table3")
    pending = {*finished.pending(*only)}
    assert pending < {"assets", "corpora", "clap", *GRID}
    assert len(pending & {*CAPTIONS}) == 4
    told = finished.run("--dry-run", *only)
    counts = dict(re.findall(r"^(\w+) +(\d+)$", told.stdout + told.stderr, re.M))
    assert (counts["space"], counts["table"]) == ("1", "1")


def test_seeds_are_experiments_of_their_own_with_one_clap_model(finished):
    told = finished.run("--dry-run", "--forceall", "--config", "seeds=0 1")
    counts = dict(re.findall(r"^(\w+) +(\d+)$", told.stdout + told.stderr, re.M))
    assert counts["clap"] == "1" and counts["space"] == "2"
    everything = grid.experiments_of(RESULT_TABLES, NOTEBOOKS, (0, 1))
    assert {*table_experiments(seeds=(0, 1))} <= {*everything}
    trainings = {each.training.name for each in everything}
    assert {f"captions_{name}" for name in trainings} <= {*counts}


def test_the_job_that_captions_most_starts_first():
    made = grid.batches(EXPERIMENTS, TRAINED, "demo")
    counts = [len(batch.experiments) for batch in made]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_in_smoke_a_job_makes_all_of_a_domain():
    made = grid.batches(EXPERIMENTS, TRAINED, "smoke")
    assert [batch.name for batch in made] == ["trained_on_ac", "trained_on_cl"]
    assert {each for batch in made for each in batch.experiments} == {*EXPERIMENTS}
    wanted = {each.training for each in EXPERIMENTS} | {*TRAINED}
    assert {each for batch in made for each in batch.trainings} == wanted


def test_an_unknown_part_is_an_error_that_lists_the_known_ones(finished):
    told = finished.run("--config", "only=table9")
    assert told.returncode == 1
    assert "ONLY: unknown 'table9'; give 00, " in told.stderr


def test_the_same_graph_is_planned_for_slurm(finished, monkeypatch):
    monkeypatch.setenv("GPUS", "1")
    folder = finished.folder / "workflow/profiles/slurm"
    shutil.copytree(paths.REPOSITORY / "workflow/profiles/slurm", folder)
    told = finished.run("--dry-run", "--forceall", "--workflow-profile", str(folder))
    assert told.returncode == 0, told.stderr
    listed = re.findall(r"^(\w+) +\d+$", told.stdout + told.stderr, re.M)
    assert sorted({*listed} - {"all", "total"}) == RULES


def test_a_changed_generator_makes_the_corpora_and_all_that_hangs_on_them_again(graph):
    with open(graph.folder / "drcap/data/soundscapes/dsp.py", "a") as stream:
        stream.write("# changed\n")
    assert {"corpora", "clap", "notebook_01_clap_training"} <= set(graph.pending())


def test_a_changed_command_line_runs_nothing_again(graph):
    with open(graph.folder / "drcap" / "cli" / "doctor.py", "a") as stream:
        stream.write("# changed\n")
    assert graph.pending() == []


def test_another_seed_and_another_profile_are_run(graph):
    of_a_seed = {"scores", "table", *NOTEBOOK_RULES}
    assert of_a_seed <= set(graph.pending("--config", "seeds=1"))
    in_smoke = {"captions_trained_on_ac", "captions_trained_on_cl"}
    expected = {*RULES} - {"assets", *CAPTIONS} | in_smoke
    assert expected == set(graph.pending("--config", "profile=smoke"))


def test_a_missing_result_is_made_again(graph):
    (graph.folder / "reports/demo/figures/quickstart_clip.png").unlink()
    assert "notebook_00_quickstart" in graph.pending()


def test_a_fresh_clone_runs_everything_though_results_are_committed(graph):
    ignored = (paths.REPOSITORY / ".gitignore").read_text().splitlines()
    assert {"reports/*/notebooks/", ".snakemake/"} <= {*ignored}
    shutil.rmtree(graph.folder / "reports/demo/notebooks")
    shutil.rmtree(graph.folder / ".snakemake")
    graph.home = graph.folder.parent / "empty"
    assert graph.pending() == RULES
    only = graph.pending("--config", "only=table3")
    assert "captions_drcap_ac_to_ac_seed_0" in only


def test_a_failed_notebook_names_its_log_and_the_others_are_kept(graph):
    graph.write("03_text_only_training", "fails")
    told = graph.run()
    assert told.returncode == 1
    assert "logs/demo/03_text_only_training.log" in told.stderr
    assert "the notebook failed" in told.stderr
    graph.write("03_text_only_training", "{}")
    assert graph.pending() == ["notebook_03_text_only_training", "report"]


def test_a_killed_run_goes_on_where_it_stopped(graph):
    graph.write("03_text_only_training", '{"changed": true}')  # longer, so earlier
    graph.write("00_quickstart", "waits")
    run = graph.start("--cores", "1")
    while not (graph.folder / "waiting").exists():
        assert run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    graph.write("00_quickstart", "{}")
    assert graph.pending() == ["notebook_00_quickstart", "report"]
    assert graph.run().returncode == 0
    assert graph.pending() == []


def test_the_makefile_calls_snakemake_as_these_tests_do():
    assert " ".join(MAKEFILE) in (paths.REPOSITORY / "Makefile").read_text()


def test_an_unknown_profile_is_an_error_before_anything_runs(finished):
    told = finished.run("--config", "profile=dmo")
    assert told.returncode == 1
    assert "unknown 'dmo'; choose one of smoke, demo, paper" in told.stderr
    assert not (finished.folder / "reports/dmo").exists()


def test_the_page_of_results_holds_every_table_and_how_it_was_made(tmp_path):
    reports = tmp_path / "demo"
    record = {
        "profile": "demo",
        "seed": 3,
        "seconds": 90.0,
        "config": {"training": {"steps": 300}},
        "machine": {"cpu": "A CPU", "cores": 2, "accelerators": ["A GPU"]},
        "packages": {"torch": "2.13.0"},
        "git": {"commit": "0123456789abcdef", "changed": True},
    }
    for name in NOTEBOOKS:
        run = reports / "runs" / name / "run.json"
        run.parent.mkdir(parents=True)
        run.write_text(json.dumps(record))
        for table in TABLES[name]:
            path = reports / "tables" / f"{table}.md"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"| the table {table} |\n")
    for name in RESULT_TABLES:
        run = reports / "runs" / name / "run.json"
        run.parent.mkdir(parents=True)
        run.write_text(json.dumps(record | {"seeds": [3, 4]}))
        (reports / "tables" / f"{name}.md").write_text(f"| the result {name} |\n")
    page = summarise(reports)
    assert page.startswith('# Results of `make reproduce PROFILE=demo SEEDS="3 4"`')
    for name in RESULT_TABLES:
        assert f"| the result {name} |" in page
    for name in NOTEBOOKS:
        row = f"| {name} | 3 | 1.5 | 300 steps | A CPU, 2 cores, A GPU | 2.13.0 |"
        assert row in re.sub(" +", " ", page)
        for table in TABLES[name]:
            assert f"| the table {table} |" in page
        for figure in FIGURES[name]:
            assert f"(figures/{figure}.png)" in page
    assert "0123456789 with changes" in page


def test_the_page_of_results_tells_how_long_a_clap_model_was_trained():
    assert summary._training({"epochs": 17}) == "17 epochs"
    assert summary._training({"steps": 4_000}) == "4,000 steps"
