"""What a part of DRCap is worth: one row of the tables less another (sec. IV-B).

A `Question` asks whether a row scores above another, or above a share of it, on every
metric; with `gain_on`, whether it gains more on that metric than on each other one. The
answer for ours is a paired bootstrap over clips, for the paper a difference of the
printed numbers. Differences are in points of per cent, as the tables print scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from drcap.evaluation.bootstrap import compare
from drcap.evaluation.metrics import Scores
from drcap.experiments.grid import TABLES, Experiment
from drcap.experiments.results import (
    METRICS,
    STAND_INS,
    clip_scores,
    lacking,
    pair_name,
    paper_score,
    row_scores,
    title,
)

Value = TypeVar("Value", float, np.ndarray)
ABLATION_TABLES = ("table3_ablation_in_domain", "table4_ablation_cross_domain")
AGREES, CONTRADICTS, OPEN, UNAVAILABLE = "yes", "no", "not decided", "not computed"
NUMBERS = ["difference", "low", "high", "probability"]


@dataclass(frozen=True)
class Question:
    """Is a row above another on every metric, on one pair of domains?"""

    table: str  # as the paper counts them
    train: str
    test: str
    row: str  # the paper's name of it
    against: str
    share: float = 1.0  # of the other's score, which is to be exceeded
    gain_on: str = ""  # the metric on which the row is to gain most, if that is asked

    def sides(
        self, metrics: Sequence[str], score: Callable[[str, str], Value]
    ) -> tuple[Value, Value]:
        """Return what is to be the larger, and what the smaller.

        metrics : the one to compare, after that of the gain if there is one
        score : from a row and a metric to a number, or to a number for each clip
        """
        ours = [score(self.row, metric) for metric in metrics]
        theirs = [score(self.against, metric) for metric in metrics]
        if self.gain_on:
            return ours[0] - theirs[0], ours[1] - theirs[1]
        return ours[0], self.share * theirs[0]


def answer(
    question: Question, results: Mapping[Experiment, Scores], *, seed: int = 0
) -> list[dict]:
    """Compare on each metric: a dictionary each, NaN where there is no number.

    Keys are the question's fields, metric, difference, its 95 % interval low to high,
    probability (that the difference is above zero), measured_by (the metric, or its
    stand-in where a row lacks it), unavailable (why rows that were run are not
    compared), paper_difference, not_run (which row), clips and seeds (the fewer of the
    two; 0 if one was not run). ValueError if they were scored on other clips.
    """
    domains = question.train, question.test
    rows = question.row, question.against
    runs = {row: row_scores(results, row, *domains) for row in rows}
    both = [run for row in rows for run in runs[row]]
    not_run = ", ".join(row for row in rows if not runs[row])
    lines = []
    for metric in METRICS:
        if metric == question.gain_on:
            continue
        metrics = [name for name in (question.gain_on, metric) if name]
        measures = [_measure(name, both) for name in metrics]
        reasons = [*filter(None, (lacking(both, name) for name in measures))]
        ours = dict.fromkeys(NUMBERS, float("nan"))
        if not (not_run or reasons):
            sides = question.sides(measures, lambda row, m: clip_scores(runs[row], m))
            numbers = asdict(compare(*sides, seed=seed))
            ours = dict(zip(NUMBERS, numbers.values(), strict=True))
        larger, smaller = question.sides(
            metrics, lambda row, m: paper_score(question.table, row, *domains, m)
        )
        lines.append(
            {
                **vars(question),
                "metric": metric,
                **ours,
                "measured_by": " less ".join(measures),
                "unavailable": "; ".join(reasons),
                "paper_difference": round(larger - smaller, 6),
                "not_run": not_run,
                "clips": 0 if not_run else both[0].clips,
                "seeds": min(map(len, runs.values())),
            }
        )
    return lines


def _measure(metric: str, runs: list[Scores]) -> str:
    """Return what the runs are measured by: the stand-in if it alone is there."""
    stand_in = STAND_INS.get(metric)
    replaced = stand_in and lacking(runs, metric) and not lacking(runs, stand_in)
    return stand_in if replaced else metric


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
    difference (points of per cent; positive: `row` is better), its 95 % interval low to
    high, probability, paper_difference and agrees: AGREES if the interval lies on the
    side of zero where the paper's difference is, CONTRADICTS if on the other, OPEN if
    it holds zero, UNAVAILABLE if there is no number.
    """
    frame = pd.DataFrame(
        {"group": pair_name(*(domains[name] for name in pair)), **line}
        for table in map(TABLES.get, tables)
        if {row, against} <= {*table.rows}
        for pair in table.pairs
        for line in answer(
            Question(table.number, *pair, row, against), results, seed=seed
        )
    )
    frame["metric"] = frame["metric"].combine(frame["measured_by"], title)
    paper = frame["paper_difference"]
    missing = frame["difference"].isna() | paper.isna()
    is_open = ((frame["low"] <= 0) & (frame["high"] >= 0)) | (paper == 0)
    agrees = (frame["low"] > 0) == (paper > 0)
    verdicts = [UNAVAILABLE, OPEN, AGREES]
    frame["agrees"] = np.select([missing, is_open, agrees], verdicts, CONTRADICTS)
    return frame[["group", "metric", *NUMBERS, "paper_difference", "agrees"]]


def conclusion(frame: pd.DataFrame) -> str:
    """Count in a line a group on how many metrics `effects` agrees with the paper."""
    sentences = []
    for group, verdicts in frame.groupby("group", sort=False)["agrees"]:
        counts = verdicts.value_counts(sort=False).items()
        parts = ", ".join(f"{kind} {count}" for kind, count in counts)
        sentences.append(f"{group}: agrees with the paper, by metric: {parts}")
    return "\n".join(sentences)
