"""What was measured of a row: the scores of its seeds, and what it costs (sec. III-B).

FENSE, where it cannot be computed, has a stand-in, which is always shown under its own
name and never in the metric's place.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from drcap.evaluation.metrics import SBERT_SIM, Scores
from drcap.evaluation.tables import TITLES
from drcap.experiments.grid import ROWS, Experiment, row_experiment
from drcap.experiments.run import RECORD, folder_of

STAND_INS = {"fense": SBERT_SIM}
NOT_COMPUTED = "not among the metrics that were computed"


def title(metric: str, measured_by: str = "") -> str:
    """Return a metric's name as the tables print it, with what measured ours if other.

    measured_by : the metric itself or its stand-in, whose name then follows
    """
    name = TITLES.get(metric, metric)
    if measured_by in ("", metric):
        return name
    return f"{name}, ours {TITLES.get(measured_by, measured_by)}"


def pair_name(train: str, test: str) -> str:
    """Name a pair of corpora: "x to y", or "x" if the two are one."""
    return " to ".join(dict.fromkeys([train, test]))


def row_scores(
    results: Mapping[Experiment, Scores], row: str, train: str, test: str
) -> list[Scores]:
    """Return the scores of a row's seeds in order; none if it was not run.

    row : the paper's name of it, of a system of the grid or of another
    """
    if row not in ROWS:
        return []
    wanted = row_experiment(row, train, test)
    runs = sorted(run for run in results if replace(run, seed=0) == wanted)
    return [results[run] for run in runs]


def lacking(runs: Iterable[Scores], metric: str) -> str:
    """Return why some of the runs have no value of the metric; "" if all have."""
    without = (run for run in runs if run.corpus.get(metric) is None)
    return next((run.unavailable.get(metric, NOT_COMPUTED) for run in without), "")


def corpus_score(runs: Iterable[Scores], metric: str) -> float:
    """Return a metric's corpus score in per cent, the mean over the seeds."""
    return 100 * float(np.mean([scores.corpus[metric] for scores in runs]))


def clip_scores(runs: Iterable[Scores], metric: str) -> np.ndarray:
    """Return each clip's score in per cent, (S, N) for S seeds and N clips.

    Each seed's are shifted alike, so that their mean is the corpus score: where that is
    not the mean over clips (METEOR, BLEU), an interval over clips is so centred on it.
    ValueError if the seeds were not scored on the same number of clips.
    """
    runs = list(runs)
    clips = {len(scores.per_clip[metric]) for scores in runs}
    if len(clips) != 1:
        counts = ", ".join(map(str, sorted(clips)))
        raise ValueError(f"{metric}: runs of one row differ in clips ({counts})")
    values = np.array([scores.per_clip[metric] for scores in runs])
    corpus = np.array([[scores.corpus[metric]] for scores in runs])
    return 100 * (values - values.mean(axis=1, keepdims=True) + corpus)


def cost_table(
    results: Mapping[Experiment, Scores],
    reports: Path,
    *,
    domains: Mapping[str, str],
    metric: str = "cider_d",
) -> pd.DataFrame:
    """Return a line an experiment: row, corpora, seed, the metric in per cent, cost.

    domains : the corpora that are "ac" and "cl", as {"ac": "scapes-ac", ...}

    Costs are trained weights, seconds of training and seconds a caption. Seconds are of
    the machine of the experiment's run.json and of one of its jobs: they vary from run
    to run, as nothing else in a table does. FileNotFoundError if a record is missing.
    """
    names = {place: row for row, place in ROWS.items()}
    lines = []
    for run, scores in results.items():
        record = (folder_of(run, reports) / RECORD).read_text(encoding="utf-8")
        line = {
            "system": names[run.system, run.ablation],
            "trained on": domains[run.train],
            "clips of": domains[run.test],
            "seed": run.seed,
            title(metric): corpus_score([scores], metric),
        }
        lines.append(line | json.loads(record)["cost"])
    return pd.DataFrame(lines)
