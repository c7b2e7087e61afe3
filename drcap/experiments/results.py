"""The grid's runs on disk: captions, scores and their record, a folder an experiment.

    reports/<profile>/runs/<experiment>/predictions.jsonl, scores.json, run.json

Here they are only read; `scoring.py` makes them.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from drcap.evaluation.metrics import Scores
from drcap.experiments.grid import Experiment

PREDICTIONS, SCORES, RECORD = "predictions.jsonl", "scores.json", "run.json"


def folder_of(experiment: Experiment, reports: Path) -> Path:
    """Return the folder of an experiment's run under `reports/<profile>`."""
    return Path(reports) / "runs" / experiment.name


def run_files(experiments: Iterable[Experiment], reports: Path) -> list[Path]:
    """Return the files that hold the captions and scores of experiments."""
    return [
        folder_of(experiment, reports) / name
        for experiment in experiments
        for name in (PREDICTIONS, SCORES)
    ]


def read_predictions(experiment: Experiment, reports: Path) -> list[dict]:
    """Read a run's captions: `clip_id`, `candidate`, `similar_captions` each."""
    text = (folder_of(experiment, reports) / PREDICTIONS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def read_scores(
    experiments: Iterable[Experiment], reports: Path
) -> dict[Experiment, Scores]:
    """Read the scores of those of the experiments that have been scored."""
    found = {}
    for experiment in experiments:
        path = folder_of(experiment, reports) / SCORES
        if path.exists():
            values = json.loads(path.read_text(encoding="utf-8"))
            del values["predictions"]
            found[experiment] = Scores(**values)
    return found
