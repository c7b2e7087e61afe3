"""What a profile's jobs took: kept in the cache as they end, then written to reports/.

costs.csv and costs.md hold each job's seconds and the machine. The next run reckons
from them what it will take, by the speed of its own machine.
"""

import json
from pathlib import Path

import pandas as pd

from drcap import paths
from drcap.atomic import write_json, write_text
from drcap.record import machine

GROWTH = paths.REPORTS / "benchmarks" / "growth" / "result.csv"
KINDS = {  # a job's name begins so -> what it does
    "assets": "weights and data fetched",
    "datastore": "AudioCaps' captions embedded, for the ten recordings",
    "corpora": "procedural corpora",
    "clap": "CLAP trained",
    "space": "embeddings and retrieval",
    "captions": "captioners trained, test clips captioned",
    "scores": "captions scored",
    "table": "tables written",
    "notebook": "notebooks",
    "report": "summary.md",
    "all": "done",
}


def job_name(job) -> str:
    """Name a job of Snakemake's: its rule, then its wildcards."""
    return "_".join([job.rule.name, *map(str, job.wildcards)])


def kind(name: str) -> str:
    """Say what a job does."""
    return next((text for start, text in KINDS.items() if name.startswith(start)), name)


def keep(made: Path, name: str, **facts: float) -> None:
    """Keep when a job `began` and `ended`, its `threads` and the `speed` of a core.

    Of several runs the one with most work counts: the others found some of it done.
    """
    jobs = kept(made)
    if name not in jobs or _work(jobs[name]) < _work(facts):
        write_json(made / "seconds.json", jobs | {name: facts})


def _work(job: dict[str, float]) -> float:
    return (job["ended"] - job["began"]) * job["threads"] * job["speed"]


def kept(made: Path) -> dict[str, dict[str, float]]:
    """Return what `keep` kept of all jobs."""
    path = made / "seconds.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def core_speed() -> float:
    """Return the operations a second of one core, as a matrix product shows them."""
    from drcap.estimate import this_machine

    here = this_machine()
    return here.speed / here.cores


def expected(reports: Path, speed: float) -> dict[str, float]:
    """Return the core-seconds of each job here, from costs.csv; none without it.

    speed : of a core of this machine
    """
    if not (path := Path(reports) / "costs.csv").exists():
        return {}
    jobs = pd.read_csv(path, index_col="job")
    seconds = jobs["seconds"] * jobs["threads"] * jobs["speed"] / speed
    return seconds.to_dict()


def write_costs(reports: Path, made: Path) -> None:
    """Write costs.csv, a line a job, and costs.md, by kind of job and in all."""
    jobs = pd.DataFrame.from_dict(kept(made), orient="index").rename_axis("job")
    jobs = jobs.sort_values("began")
    jobs["seconds"] = (jobs["ended"] - jobs["began"]).round(1)
    write_text(reports / "costs.csv", jobs[["seconds", "threads", "speed"]].to_csv())
    ended_before = jobs["ended"].cummax().shift(fill_value=0.0)
    elapsed = (jobs["ended"] - jobs["began"].clip(ended_before)).clip(0.0).sum()
    groups = jobs.groupby(kind, sort=False)["seconds"]  # by the job's name
    rows = groups.agg(["count", "sum", "max"]).astype(int)
    rows.columns = ["jobs", "seconds", "of the longest"]
    seeds = sorted({name.partition("_seed_")[2] for name in jobs.index} - {""}, key=int)
    here = machine()
    parts = [
        f"# What `{reports.name}` takes",
        f"On {here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB of memory, "
        f"{jobs['speed'].median() / 1e9:.0f} GFLOP/s a core: "
        f"{elapsed / 60:.0f} minutes without pauses, and "
        f"{jobs['seconds'].sum() / 60:.0f} minutes of jobs, some at once. "
        f"Seeds of the captioners: {', '.join(seeds)}.",
        rows.rename_axis("what").to_markdown(),
    ]
    if GROWTH.exists():
        growth = pd.read_csv(GROWTH).to_markdown(index=False)
        parts += ["## How it grows", growth, "By `benchmarks/growth.py`."]
    write_text(reports / "costs.md", "\n\n".join(parts) + "\n")
