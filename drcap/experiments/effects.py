"""What a part of DRCap is worth: one row of the tables less another, metric by metric.

In go the scores of the grid, out come differences with their intervals beside those of
the paper and, for each, whether the two agree.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from drcap.evaluation.metrics import Scores
from drcap.experiments.comparisons import Question, answer
from drcap.experiments.grid import TABLES, Experiment
from drcap.experiments.measured import title

ABLATION_TABLES = ("table3_ablation_in_domain", "table4_ablation_cross_domain")
AGREES, CONTRADICTS, OPEN, UNAVAILABLE = "yes", "no", "not decided", "not computed"
COLUMNS = ["group", "metric", "difference", "low", "high", "probability"]


def effects(
    row: str,
    against: str,
    results: Mapping[Experiment, Scores],
    *,
    domains: Mapping[str, str],
    tables: Sequence[str] = ABLATION_TABLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two rows wherever the tables have both: a line a metric.

    row, against : the paper's names of them, as "DRCap" and "w/o SS"
    domains : the corpora that are "ac" and "cl", as {"ac": "scapes-ac", ...}

    Columns are group (our corpora), metric (with its stand-in where one measured it),
    difference and its 95 % interval low to high in points of per cent (positive: `row`
    is better), probability, paper_difference and agrees: AGREES if the interval lies on
    the side of zero where the paper's difference is, CONTRADICTS if on the other, OPEN
    if it holds zero, UNAVAILABLE if there is no number.
    """
    questions = [
        Question(table.number, *pair, row, against)
        for table in map(TABLES.get, tables)
        if {row, against} <= {*table.rows}
        for pair in table.pairs
    ]
    lines = pd.DataFrame(
        line for each in questions for line in answer(each, results, seed=seed)
    )
    lines["group"] = [
        " to ".join(dict.fromkeys([domains[line.train], domains[line.test]]))
        for line in lines.itertuples()
    ]
    lines["agrees"] = [_agreement(line) for line in lines.itertuples()]
    lines["metric"] = [
        title(line.metric, line.measured_by) for line in lines.itertuples()
    ]
    return lines[[*COLUMNS, "paper_difference", "agrees"]]


def conclusion(found: pd.DataFrame) -> str:
    """Count, in a line a group, the metrics on which it agrees with the paper."""
    sentences = []
    for group, lines in found.groupby("group", sort=False):
        counts = lines["agrees"].value_counts(sort=False)
        parts = ", ".join(f"{kind} {count}" for kind, count in counts.items())
        sentences.append(f"{group}: agrees with the paper, by metric: {parts}")
    return "\n".join(sentences)


def _agreement(line) -> str:
    if pd.isna(line.difference) or pd.isna(line.paper_difference):
        return UNAVAILABLE
    if line.low <= 0 <= line.high or line.paper_difference == 0:
        return OPEN
    return AGREES if (line.low > 0) == (line.paper_difference > 0) else CONTRADICTS
