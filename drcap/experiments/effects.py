"""What a part of DRCap is worth: one row of the tables less another (sec. IV-B).

A `Question` asks whether a row scores above another, or above a share of it, on every
metric; with `gain_on`, whether it gains more on that metric than on each other one. The
answer for ours is a paired bootstrap over clips, for the paper a difference of the
printed numbers. Differences are in points of per cent, as the tables print scores.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from drcap.evaluation.bootstrap import compare
from drcap.evaluation.metrics import Scores
from drcap.experiments.grid import TABLES, Experiment
from drcap.experiments.measured import (
    STAND_INS,
    clip_scores,
    lacking,
    pair_name,
    row_scores,
    title,
)
from drcap.experiments.paper import METRICS, paper_score

Value = TypeVar("Value", float, np.ndarray)
ABLATION_TABLES = ("table3_ablation_in_domain", "table4_ablation_cross_domain")
AGREES, CONTRADICTS, OPEN, UNAVAILABLE = "yes", "no", "not decided", "not computed"
NUMBERS = ["difference", "low", "high", "probability"]
DECIMALS = 6  # of a difference of printed numbers, which have one


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

    @property
    def metrics(self) -> list[str]:
        """The metrics to compare, or those to which the gain on `gain_on` is held."""
        return [metric for metric in METRICS if metric != self.gain_on]

    def sides(
        self, metric: str, score: Callable[[str, str], Value]
    ) -> tuple[Value, Value]:
        """Return what is to be the larger, and what the smaller.

        score : from a row and a metric to a number, or to a number for each clip
        """
        ours, theirs = score(self.row, metric), score(self.against, metric)
        if gain_on := self.gain_on:
            gain = score(self.row, gain_on) - score(self.against, gain_on)
            return gain, ours - theirs
        return ours, self.share * theirs


def answer(
    question: Question, results: Mapping[Experiment, Scores], *, seed: int = 0
) -> list[dict]:
    """Compare on each metric: a dictionary each, NaN where there is no number.

    Keys are the question's own fields, metric, measured_by (the metric, or its stand-in
    where one of the two rows lacks it), difference and its 95 % interval low to high,
    probability (that the difference is above zero), unavailable (why a metric of rows
    that were run is not compared), paper_difference, not_run (which row was not), clips
    and seeds (the fewer of the two rows'; both 0 if one was not run). ValueError if the
    two were not scored on the same number of clips.
    """
    domains = question.train, question.test
    names = question.row, question.against
    scores = {name: row_scores(results, name, *domains) for name in names}
    not_run = ", ".join(name for name, runs in scores.items() if not runs)

    def printed(row: str, metric: str) -> float:
        return paper_score(question.table, row, *domains, metric)

    lines = []
    for metric in question.metrics:
        larger, smaller = question.sides(metric, printed)
        lines.append(
            {
                **vars(question),
                "metric": metric,
                **_ours(question, metric, scores, seed),
                "paper_difference": round(larger - smaller, DECIMALS),
                "not_run": not_run,
                "clips": 0 if not_run else scores[question.row][0].clips,
                "seeds": min(map(len, scores.values())),
            }
        )
    return lines


def _ours(
    question: Question, metric: str, scores: Mapping[str, list[Scores]], seed: int
) -> dict:
    runs = [run for seeds in scores.values() for run in seeds]
    needed = [name for name in (question.gain_on, metric) if name]
    measures = {name: _measure(name, runs) for name in needed}
    reasons = [lacking(runs, measure) for measure in measures.values()]
    about = {
        "measured_by": " less ".join(measures.values()),
        "unavailable": "; ".join(filter(None, reasons)),
    }
    if about["unavailable"] or not all(scores.values()):
        return {**dict.fromkeys(NUMBERS, float("nan")), **about}

    def measured(row: str, metric: str) -> np.ndarray:
        return clip_scores(scores[row], measures[metric]).mean(axis=0)

    result = compare(*question.sides(metric, measured), seed=seed)
    numbers = (*astuple(result.difference), result.probability)
    return {**dict(zip(NUMBERS, numbers, strict=True)), **about}


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
        line for question in questions for line in answer(question, results, seed=seed)
    )
    shown = [
        {
            "group": pair_name(domains[line.train], domains[line.test]),
            "metric": title(line.metric, line.measured_by),
            "agrees": _agreement(line),
        }
        for line in lines.itertuples()
    ]
    lines = pd.DataFrame(shown).join(lines[[*NUMBERS, "paper_difference"]])
    return lines[["group", "metric", *NUMBERS, "paper_difference", "agrees"]]


def conclusion(frame: pd.DataFrame) -> str:
    """Count in a line a group on how many metrics `effects` agrees with the paper."""
    sentences = []
    for group, lines in frame.groupby("group", sort=False):
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
