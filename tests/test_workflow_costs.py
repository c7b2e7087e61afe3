"""What jobs took, what the next run will take, and what a run says of it."""

import logging
from types import SimpleNamespace

import pandas as pd
import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from benchmarks import growth
from workflow import costs, progress

JOBS = {  # name -> began, ended, threads; the second and third at once
    "corpora": (100.0, 160.0, 2),
    "captions_drcap_ac_to_ac_seed_0": (160.0, 460.0, 1),
    "captions_recap_ac_to_ac_seed_0": (160.0, 400.0, 1),
    "table_table3": (1_000.0, 1_060.0, 1),
}
SPEED = 4e10


@pytest.fixture
def plan(tmp_path):
    folders = {"reports": tmp_path / "demo", "made": tmp_path / "made"}
    return SimpleNamespace(profile="demo", **folders)


@pytest.fixture
def kept(plan, monkeypatch):
    monkeypatch.setattr(costs, "GROWTH", plan.reports / "growth.csv")  # not measured
    for name, (began, ended, threads) in JOBS.items():
        facts = {"began": began, "ended": ended, "threads": threads, "speed": SPEED}
        costs.keep(plan.made, name, **facts)
    costs.write_costs(plan.reports, plan.made)
    return plan


def test_costs_are_told_by_kind_of_job_and_in_all(kept):
    page = (kept.reports / "costs.md").read_text()
    # 60 + 300 + 60 seconds in which something ran, 660 of jobs
    assert "40 GFLOP/s a core: 7 minutes without pauses, and 11 minutes of jobs" in page
    assert "Seeds of the captioners: 0.\n" in page
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines()]
    captions = costs.KINDS["captions"]
    assert ["", captions, "2", "540", "300", ""] in rows
    assert "How it grows" not in page
    costs.GROWTH.write_text("what,seconds\nclips,1\n")
    costs.write_costs(kept.reports, kept.made)
    assert "| clips  |" in (kept.reports / "costs.md").read_text()


def test_a_run_that_finds_a_job_done_does_not_hide_what_it_took(kept):
    facts = {"began": 2_000.0, "ended": 2_003.0, "threads": 2, "speed": SPEED}
    costs.keep(kept.made, "corpora", **facts)
    assert costs.kept(kept.made)["corpora"]["ended"] == 160.0
    costs.keep(kept.made, "corpora", **facts | {"ended": 2_100.0})
    assert costs.kept(kept.made)["corpora"]["ended"] == 2_100.0


def test_another_machine_takes_what_its_speed_makes_of_it(kept):
    assert costs.expected(kept.made, SPEED) == {}  # no costs.csv there
    seconds = costs.expected(kept.reports, 2 * SPEED)
    assert seconds["corpora"] == 60 and seconds["table_table3"] == 30


class Run:
    """Snakemake's part: jobs with numbers, two cores, and a clock."""

    dryrun, cores = False, 2

    def __init__(self, plan, monkeypatch, capsys):
        self.now, self.capsys = 0.0, capsys
        monkeypatch.setattr(progress.time, "time", lambda: self.now)
        monkeypatch.setattr(costs, "core_speed", lambda: SPEED)
        self.jobs = [
            SimpleNamespace(
                jobid=number,
                rule=SimpleNamespace(name=name),
                wildcards=[],
                threads=threads,
                output=["", plan.reports / "table.md"],
            )
            for number, (name, (*_, threads)) in enumerate(JOBS.items())
        ]
        self.dag = SimpleNamespace(needrun_jobs=lambda: self.jobs)
        self.logger = logging.Logger("snakemake's")
        self.logger.addHandler(logging.StreamHandler())
        progress.follow(self, plan, self.logger)

    def send(self, event, **facts):
        self.logger.info("Snakemake's own", extra={"event": event} | facts)
        return self.capsys.readouterr().err

    def start(self, number):
        return self.send(LogEvent.JOB_INFO, jobid=number, log=["a.log"])


def test_a_run_says_what_it_will_take_and_corrects_it(kept, monkeypatch, capsys):
    run = Run(kept, monkeypatch, capsys)
    # 2 x 60 + 300 + 240 + 60 core-seconds on two cores
    assert run.send(LogEvent.RUN_INFO).startswith("4 steps, about 6 min here.")
    assert run.start(0) == (
        "[1 of 4, 0 min gone, about 6 min to go] corpora: procedural corpora "
        "(log: a.log)\n"
    )
    run.now = 120.0  # twice the time
    assert run.send(LogEvent.JOB_FINISHED, job_id=0) == ""
    assert "[2 of 4, 2 min gone, about 10 min to go]" in run.start(1)
    assert costs.kept(kept.made)["corpora"]["ended"] == 120.0


def test_tables_are_shown_and_errors_pass(plan, monkeypatch, capsys):
    run = Run(plan, monkeypatch, capsys)
    run.jobs[3].rule.name = "table"
    assert "`drcap doctor --profile demo` has a rough" in run.send(LogEvent.RUN_INFO)
    assert run.start(3).startswith("[1 of 4, 0 min gone] table: tables written")
    plan.reports.mkdir()
    (plan.reports / "table.md").write_text("| DRCap |\n")
    assert run.send(LogEvent.JOB_FINISHED, job_id=3) == "\n| DRCap |\n\n"
    assert run.send(LogEvent.JOB_ERROR) == "Snakemake's own\n"
    assert run.send(LogEvent.PROGRESS) == ""
    run.dryrun = True
    assert run.send(LogEvent.PROGRESS) == "Snakemake's own\n"


def test_growth_is_a_slope_and_a_start_for_each_job_and_number_of_cores(
    tmp_path, monkeypatch, capsys
):
    points = {"clips captioned": [(1, 2.0), (2, 3.0), (4, 5.0)]}
    monkeypatch.setattr(growth, "measured_on", lambda cores, share: points)
    monkeypatch.setattr("sys.argv", ["growth.py", "--output", str(tmp_path)])
    monkeypatch.setattr(growth.os, "cpu_count", lambda: 4)
    growth.main()
    frame = pd.read_csv(tmp_path / costs.GROWTH.name)
    assert frame["cores"].tolist() == [1, 4]
    assert frame["seconds each"].tolist() == frame["and"].tolist() == [1, 1]
    assert "| clips captioned | 4" in capsys.readouterr().out
