"""What a part of DRCap is worth: one row of the tables less another (sec. IV-B).

A `Question` asks whether a row scores above another, or differs from it by less than a
margin, on every metric. The answer for ours is a bootstrap over clips and seeds, paired
in both (`drcap.evaluation.bootstrap`), for the paper a difference of printed numbers.
Differences are in points of per cent, as the tables print scores.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from drcap.evaluation.bootstrap import compare, differences, interval, needed, spread
from drcap.evaluation.metrics import SBERT_SIM, SHUFFLED, Scores
from drcap.experiments.grid import ROWS, TABLES, Experiment, row_experiment
from drcap.experiments.results import (
    METRICS,
    lacking,
    pair_name,
    paper_score,
    row_scores,
    title,
)

ABLATION_TABLES = ("table3_ablation_in_domain", "table4_ablation_cross_domain")
MEASURED = (*METRICS, SBERT_SIM)  # the paper prints no number of the last
AGREES, CONTRADICTS, OPEN, UNAVAILABLE = "yes", "no", "not decided", "not computed"
ABSENT = "not in the paper"
NUMBERS = ["difference", "low", "high", "probability", "p_value"]


@dataclass(frozen=True)
class Question:
    """Is a row above another on every metric, on one pair of domains?"""

    table: str  # as the paper counts them
    train: str
    test: str
    row: str  # the paper's name of it
    against: str
    margin: float = 0.0  # share of the other's score within which they are comparable


def seed_scores(runs: Sequence[Scores], metric: str) -> np.ndarray:
    """Return the scores of a row's seeds in per cent, (S, N) float64.

    Each seed's are shifted alike, so that their mean is the corpus score: where that is
    not the mean over clips (METEOR, BLEU), an interval over clips is so centred on it.
    ValueError if the seeds were not scored on the same number of clips.
    """
    clips = sorted({len(run.per_clip[metric]) for run in runs})
    if len(clips) > 1:
        raise ValueError(f"{metric}: runs of one row differ in clips {tuple(clips)}")
    values = np.array([run.per_clip[metric] for run in runs])
    corpus = np.array([[run.corpus[metric]] for run in runs])
    return 100 * (values - values.mean(axis=1, keepdims=True) + corpus)


def paired(
    results: Mapping[Experiment, Scores], cells: Iterable[tuple[str, str, str]]
) -> list[list[Scores]]:
    """Return the scores of each (row, train, test), of the seeds that all have."""
    runs = []
    for row, *pair in cells:
        wanted = row_experiment(row, *pair) if row in ROWS else None
        own = (run for run in sorted(results) if replace(run, seed=0) == wanted)
        runs.append({run.seed: results[run] for run in own})
    seeds = [seed for seed in runs[0] if all(seed in own for own in runs)]
    return [[own[seed] for seed in seeds] for own in runs]


def did_not_learn(runs: Sequence[Scores]) -> bool:
    """Tell whether a row's captions do as well on other clips as on their own.

    That is: its CIDEr-D with the captions shuffled among the clips is not below the
    interval of its CIDEr-D, over clips alone: the trainings at hand are judged, and
    seeds that differ do not hide that each has learned. False where it is not known.
    """
    if not runs or any(lacking(runs, metric) for metric in ("cider_d", SHUFFLED)):
        return False
    shuffled = 100 * np.mean([run.corpus[SHUFFLED] for run in runs])
    return bool(shuffled >= interval(seed_scores(runs, "cider_d").mean(axis=0)).low)


def answer(*questions: Question, results: Mapping[Experiment, Scores]) -> list[dict]:
    """Compare on each metric: a dictionary each, NaN where there is no number.

    questions : one, or several of the same rows, whose mean difference is told

    Keys are the first question's fields, metric, difference, its 95 % interval low to
    high, probability (that the difference is above zero), p_value and width (the
    margin, in points), needed (clips and seeds that would show the difference),
    unavailable (why rows that were run are not compared), paper_difference and
    paper_width, not_run and did_not_learn (which rows), clips and seeds (0 if one was
    not run). ValueError if they were scored on other clips.
    """
    rows = questions[0].row, questions[0].against
    cells = [(row, q.train, q.test) for row in rows for q in questions]
    own = {cell: row_scores(results, *cell) for cell in cells}
    runs = paired(results, cells)
    every, half = [run for each in runs for run in each], len(questions)
    facts = {
        "not_run": _rows(cell for cell in cells if not own[cell]),
        "did_not_learn": _rows(cell for cell in cells if did_not_learn(own[cell])),
        "clips": round(np.mean([run.clips for run in every])) if all(runs) else 0,
        "seeds": len(runs[0]),
    }
    lines = []
    for metric in MEASURED:
        reason = lacking(every, metric)
        numbers, width, wanted = dict.fromkeys(NUMBERS, float("nan")), 0.0, None
        if all(runs) and not reason:
            scores = [seed_scores(each, metric) for each in runs]
            sides = scores[:half], scores[half:]
            width = questions[0].margin * float(np.mean([s.mean() for s in sides[1]]))
            found = compare(*sides, margin=width)
            numbers = {name: getattr(found, name, found.mean) for name in NUMBERS}
            wanted = needed(differences(*sides))
        printed = [
            [_printed(q.table, row, q.train, q.test, metric) for q in questions]
            for row in rows
        ]
        ours, theirs = np.mean(printed, axis=1)
        line = {"metric": metric, **numbers, "width": width, "needed": wanted}
        line |= {"unavailable": reason, "paper_difference": round(ours - theirs, 6)}
        line["paper_width"] = questions[0].margin * theirs
        lines.append({**vars(questions[0]), **line, **facts})
    return lines


def _rows(cells: Iterable[tuple[str, str, str]]) -> str:
    return "; ".join(dict.fromkeys(row for row, *_ in cells))


def _printed(table: str, *place: str) -> float:
    """Return the paper's number from a table, else from one that has the same pair."""
    numbers = (paper_score(each, *place) for each in (table, "I", "II", "III", "IV"))
    return next((number for number in numbers if number == number), float("nan"))


def effects(
    row: str,
    against: str,
    results: Mapping[Experiment, Scores],
    *,
    domains: Mapping[str, str],
    tables: Sequence[str] = ABLATION_TABLES,
) -> pd.DataFrame:
    """Compare two rows wherever the tables have both: a line a metric.

    row, against : the paper's names of them, as "DRCap" and "w/o SS"
    domains : the corpora that are "ac" and "cl", as {"ac": "scapes-ac", ...}

    Columns are group (our corpora), metric, difference (points of per cent; positive:
    `row` is better), its 95 % interval low to high over clips and, of several, seeds,
    probability, paper_difference and agrees: AGREES if the interval lies on the side of
    zero where the paper's difference is, CONTRADICTS if on the other, OPEN if it holds
    zero, UNAVAILABLE if a row was not run, ABSENT if the paper has no number. A metric
    that cannot be computed here is left out.
    """
    frame = pd.DataFrame(
        {"group": pair_name(*(domains[name] for name in pair)), **line}
        for table in map(TABLES.get, tables)
        if {row, against} <= {*table.rows}
        for pair in table.pairs
        for line in answer(Question(table.number, *pair, row, against), results=results)
        if not line["unavailable"]
    )
    paper = frame["paper_difference"]
    is_open = ((frame["low"] <= 0) & (frame["high"] >= 0)) | (paper == 0)
    cases = [frame["difference"].isna(), paper.isna(), is_open]
    cases.append((frame["low"] > 0) == (paper > 0))
    verdicts = [UNAVAILABLE, ABSENT, OPEN, AGREES]
    frame["agrees"] = np.select(cases, verdicts, CONTRADICTS)
    frame["metric"] = frame["metric"].map(title)
    frame = frame[["group", "metric", *NUMBERS[:4], "paper_difference", "agrees"]]
    frame.attrs = {"row": row, "against": against}
    return frame


def conclusion(frame: pd.DataFrame) -> str:
    """Read out what `effects` found: CIDEr-D, and on how many metrics it agrees."""
    sentences = []
    for group, lines in frame.groupby("group", sort=False):
        cider = lines[lines["metric"] == title("cider_d")].dropna(subset="difference")
        for line in cider.itertuples():
            where = "above" if line.difference > 0 else "below"
            sentences.append(
                f"{group}: in {line.metric}, {frame.attrs['row']} lies "
                f"{abs(line.difference):.1f} points {where} {frame.attrs['against']} "
                f"(95 % interval {line.low:+.1f} to {line.high:+.1f}; "
                f"the paper: {line.paper_difference:+.1f})."
            )
        verdicts = lines.loc[lines["agrees"] != ABSENT, "agrees"]
        counts = verdicts.value_counts(sort=False).items()
        parts = ", ".join(f"{kind} {count}" for kind, count in counts)
        sentences.append(f"{group}: agrees with the paper, by metric: {parts}.")
    return "\n".join(sentences)


def variances(
    runs: Mapping[str, Mapping[Experiment, Scores]], *, domains: Mapping[str, str]
) -> pd.DataFrame:
    """Return what moves CIDEr-D: seeds, clips, and the machine or number of threads.

    runs : a name of each run of the grid, as "one thread", and its results; one may do
    domains : as in `effects`

    A row a system and pair of domains, in points of per cent: the mean, the standard
    deviation between seeds (that of clips taken off), the standard error over clips of
    one seed's mean, and the standard deviation between runs of the same seeds; NaN with
    one seed, or one run.
    """
    lines = []
    for row, train, test in product(ROWS, domains, domains):
        each = [row_scores(own, row, train, test) for own in runs.values()]
        each = [own for own in each if own and not lacking(own, "cider_d")]
        if scores := [seed_scores(own, "cider_d") for own in each]:
            found = [spread([block]) for block in scores]
            means = [block.mean() for block in scores]
            clips = np.mean([of.clips + of.rest for of in found]) / each[0][0].clips
            lines.append(
                {
                    "system": row,
                    "corpora": pair_name(domains[train], domains[test]),
                    title("cider_d"): np.mean(means),
                    "between seeds": np.sqrt(np.mean([of.seeds for of in found])),
                    "over clips": np.sqrt(clips),
                    "between runs": np.std(means, ddof=1) if means[1:] else np.nan,
                    "seeds": len(each[0]),
                    "runs": len(each),
                }
            )
    return pd.DataFrame(lines)
