"""What a row costs, beside its score: weights, seconds of training and captioning."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from drcap.evaluation.metrics import Scores
from drcap.experiments.grid import ROWS, Experiment
from drcap.experiments.measured import corpus_score, title
from drcap.experiments.results import RECORD, folder_of


def cost_table(
    results: Mapping[Experiment, Scores],
    reports: Path,
    *,
    domains: Mapping[str, str],
    metric: str = "cider_d",
) -> pd.DataFrame:
    """Return a line an experiment: row, corpora, seed, the metric in per cent, cost.

    domains : the corpora that are "ac" and "cl", as {"ac": "scapes-ac", ...}

    Seconds are of the machine of the experiment's run.json and of one of its jobs: they
    vary from run to run, as nothing else in a table does.
    """
    names = {place: row for row, place in ROWS.items()}
    lines = []
    for each, scores in results.items():
        record = folder_of(each, reports) / RECORD
        about = {
            "system": names[each.system, each.ablation],
            "trained on": domains[each.train],
            "clips of": domains[each.test],
            "seed": each.seed,
            title(metric): corpus_score([scores], metric),
        }
        lines.append(about | json.loads(record.read_text(encoding="utf-8"))["cost"])
    return pd.DataFrame(lines)
