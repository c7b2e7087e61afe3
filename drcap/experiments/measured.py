"""What was measured of a row: the scores of its seeds, for the tables and the claims.

A metric that cannot be computed here has a stand-in, which is always shown under its
own name and never in the metric's place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from drcap.evaluation.metrics import SBERT_SIM, Scores
from drcap.evaluation.tables import TITLES
from drcap.experiments.grid import ROWS, Experiment, row_experiment

STAND_INS = {"spice": "spice_py", "spider": "spider_py", "fense": SBERT_SIM}
NOT_COMPUTED = "not among the metrics that were computed"


def title(metric: str, measured_by: str = "") -> str:
    """Return a metric's name as the tables print it, with what measured ours if other.

    measured_by : the metric itself or its stand-in, whose name then follows
    """
    printed = {"spice": "SPICE", "spider": "SPIDEr", "fense": "FENSE", **TITLES}
    name = printed.get(metric, metric)
    if measured_by in ("", metric):
        return name
    return f"{name}, ours {printed.get(measured_by, measured_by)}"


def row_scores(
    results: Mapping[Experiment, Scores], row: str, train: str, test: str
) -> list[Scores]:
    """Return the scores of a row's seeds in order; none if it was not run.

    row : the paper's name of it, of a system of the grid or of another
    """
    if row not in ROWS:
        return []
    wanted = row_experiment(row, train, test)
    found = [each for each in results if replace(each, seed=0) == wanted]
    return [results[each] for each in sorted(found)]


def lacks(runs: Iterable[Scores], metric: str) -> bool:
    """Return whether any of the runs has no value of the metric."""
    return any(scores.corpus.get(metric) is None for scores in runs)


def reason(runs: Iterable[Scores], metric: str) -> str:
    """Return why some of the runs have no value of the metric; "" if all have."""
    lacking = [scores for scores in runs if lacks([scores], metric)]
    return lacking[0].unavailable.get(metric, NOT_COMPUTED) if lacking else ""


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
