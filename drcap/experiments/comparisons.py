"""One row of a table against another, clip by clip, beside the paper's difference.

A `Question` asks whether a row scores above another, or above a share of it, on every
metric; with `gain_on`, whether it gains more on that metric than on each other one. The
answer for ours is a paired bootstrap over clips, for the paper a difference of the
printed numbers. Differences are in points of per cent, as the tables print scores.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from drcap.evaluation.bootstrap import compare
from drcap.evaluation.metrics import Scores
from drcap.experiments import paper
from drcap.experiments.grid import Experiment
from drcap.experiments.measured import (
    STAND_INS,
    clip_scores,
    lacks,
    reason,
    row_scores,
)

Value = TypeVar("Value", float, np.ndarray)
DECIMALS = 6  # of a difference of printed numbers, which have one
UNKNOWN = dict.fromkeys(("difference", "low", "high", "probability"), float("nan"))


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
        return [metric for metric in paper.METRICS if metric != self.gain_on]


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
    names = question.row, question.against
    domains = question.train, question.test
    scores = {name: row_scores(results, name, *domains) for name in names}
    not_run = ", ".join(name for name, runs in scores.items() if not runs)
    return [
        {
            **vars(question),
            "metric": metric,
            **_ours(question, metric, scores, seed),
            "paper_difference": _papers(question, metric),
            "not_run": not_run,
            "clips": 0 if not_run else scores[question.row][0].clips,
            "seeds": min(map(len, scores.values())),
        }
        for metric in question.metrics
    ]


def _ours(
    question: Question, metric: str, scores: Mapping[str, list[Scores]], seed: int
) -> dict:
    runs = [each for seeds in scores.values() for each in seeds]
    needed = [name for name in (question.gain_on, metric) if name]
    measures = {name: _measure(name, runs) for name in needed}
    reasons = [reason(runs, measure) for measure in measures.values()]
    about = {
        "measured_by": " less ".join(measures.values()),
        "unavailable": "; ".join(filter(None, reasons)),
    }
    if about["unavailable"] or not all(scores.values()):
        return {**UNKNOWN, **about}
    left, right = _sides(
        question,
        metric,
        lambda row, name: clip_scores(scores[row], measures[name]).mean(axis=0),
    )
    found = compare(left, right, seed=seed)
    numbers = found.difference.mean, found.difference.low, found.difference.high
    return {**dict(zip(UNKNOWN, (*numbers, found.probability), strict=True)), **about}


def _measure(metric: str, runs: list[Scores]) -> str:
    """Return what the runs are measured by: the stand-in if it alone is there."""
    stand_in = STAND_INS.get(metric)
    if stand_in and lacks(runs, metric) and not lacks(runs, stand_in):
        return stand_in
    return metric


def _papers(question: Question, metric: str) -> float:
    domains = question.train, question.test
    left, right = _sides(
        question,
        metric,
        lambda row, name: paper.paper_score(question.table, row, *domains, name),
    )
    return round(left - right, DECIMALS)


def _sides(
    question: Question, metric: str, score: Callable[[str, str], Value]
) -> tuple[Value, Value]:
    """Return what is to be the larger, and what the smaller.

    score : from a row and a metric to a number, or to a number for each clip
    """
    row, against = question.row, question.against
    if gain_on := question.gain_on:
        return (
            score(row, gain_on) - score(against, gain_on),
            score(row, metric) - score(against, metric),
        )
    return score(row, metric), question.share * score(against, metric)
