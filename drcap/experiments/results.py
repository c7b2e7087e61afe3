"""A row's numbers: what the paper prints (Tables I to IV) and what was measured here.

`paper_tables.csv` holds a line for each row of a table on each pair of domains, in the
paper's order, in per cent; a field is empty where the paper prints no number. Its CIDEr
is what we call CIDEr-D. What is odd in these tables: SPIDEr is the mean of CIDEr and
SPICE to rounding but for RECAP, where it is off by 0.25 to 4.4 points; w/o RAG has the
higher SPICE in Table III; in Table IV it is w/o SS that falls furthest, not w/o PD.

Ours are kept in one table a profile, reports/<profile>/predictions.parquet: captions
and scores by experiment and clip. The same results give the same bytes.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from drcap.atomic import atomic_path, locked
from drcap.evaluation.metrics import Scores
from drcap.evaluation.tables import TITLES
from drcap.experiments.grid import ROWS, Experiment, row_experiment

DOMAINS = {"ac": "AudioCaps", "cl": "Clotho"}
METRICS = {  # our name of a metric -> the paper's
    "meteor": "METEOR",
    "cider_d": "CIDEr",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "fense": "FENSE",
}
KEYS = ["table", "train", "test", "system"]
ROUNDING = 0.1  # points by which rounded CIDEr and SPICE may put their mean off SPIDEr
NOT_COMPUTED = "not among the metrics that were computed"
TABLE = "predictions.parquet"
EXPERIMENT = ["experiment", *(field.name for field in fields(Experiment))]
PREDICTION = ["clip_id", "candidate", "similar_captions"]


@cache
def paper_lines() -> pd.DataFrame:
    """Return the tables as printed, by KEYS: section, METRICS, and `recomputed`.

    Scores are in per cent, NaN where none is printed. `recomputed` is the mean of CIDEr
    and SPICE where the printed SPIDEr differs by more than rounding, else NaN.
    """
    path = resources.files("drcap.experiments") / "paper_tables.csv"
    with path.open(encoding="utf-8") as stream:
        frame = pd.read_csv(stream)
    frame = frame.rename(columns={printed: name for name, printed in METRICS.items()})
    domains = {printed: name for name, printed in DOMAINS.items()}
    frame[["train", "test"]] = frame[["train", "test"]].replace(domains)
    mean = (frame["cider_d"] + frame["spice"]) / 2
    off = (mean - frame["spider"]).abs() > ROUNDING + 1e-9
    return frame.assign(recomputed=mean.where(off)).set_index(KEYS)


def paper_rows(table: str, train: str, test: str) -> list[tuple[str, str]]:
    """Return (section, system) of a table's rows on a pair of domains, in order."""
    sections = paper_lines()["section"].items()
    return [(name, key[3]) for key, name in sections if key[:3] == (table, train, test)]


@cache
def paper_score(table: str, system: str, train: str, test: str, metric: str) -> float:
    """Return a score as printed in per cent, or "recomputed"; NaN if there is none."""
    scores = paper_lines().get(metric, {})
    return scores.get((table, train, test, system), float("nan"))


def title(metric: str) -> str:
    """Return a metric's printed name."""
    return TITLES.get(metric, metric)


def pair_name(train: str, test: str) -> str:
    """Name a pair of corpora: "x to y", or "x" if the two are one."""
    return train if train == test else f"{train} to {test}"


def row_scores(
    results: Mapping[Experiment, Scores], row: str, train: str, test: str
) -> list[Scores]:
    """Return the scores of a row's seeds in order; none if it was not run."""
    wanted = row_experiment(row, train, test) if row in ROWS else None
    return [results[run] for run in sorted(results) if replace(run, seed=0) == wanted]


def lacking(runs: Iterable[Scores], metric: str) -> str:
    """Return why some of the runs have no value of the metric; "" if all have."""
    without = (run for run in runs if run.corpus.get(metric) is None)
    return next((run.unavailable.get(metric, NOT_COMPUTED) for run in without), "")


def read_table(reports: Path, name: str = "") -> pd.DataFrame:
    """Return captions and scores, a row an experiment and clip; or of one, by its name.

    Columns: `experiment`, its name; the fields of `Experiment`; PREDICTION, of which
    `similar_captions` are lists of {"caption", "similarity"}; and each clip's score by
    every metric that some experiment has, as aac-metrics scales it, else NaN.
    """
    path = Path(reports) / TABLE
    if not path.exists():
        return pd.DataFrame(columns=[*EXPERIMENT, *PREDICTION])
    return pd.read_parquet(path, filters=[("experiment", "==", name)] if name else None)


def read_facts(reports: Path) -> dict[str, dict[str, Any]]:
    """Return what the table says of each experiment as a whole, by its name.

    `clips`, `corpus` and `unavailable` are those of `Scores`; `key` and `captions` are
    digests of its settings and captions; `lacking` names assets that metrics lacked.
    """
    path = Path(reports) / TABLE
    if not path.exists():
        return {}
    return json.loads(parquet.read_schema(path).metadata[b"experiments"])


def read_predictions(experiment: Experiment, reports: Path) -> list[dict[str, Any]]:
    """Return an experiment's predictions: of each clip what PREDICTION names."""
    return read_table(reports, experiment.name)[PREDICTION].to_dict("records")


def read_scores(
    experiments: Iterable[Experiment], reports: Path
) -> dict[Experiment, Scores]:
    """Return the scores of those of the experiments that have been scored."""
    facts, rows = read_facts(reports), read_table(reports).groupby("experiment")
    results = {}
    for experiment in (each for each in experiments if each.name in facts):
        own, clips = facts[experiment.name], rows.get_group(experiment.name)
        values = clips.drop(columns=[*EXPERIMENT, *PREDICTION]).dropna(
            axis=1, how="all"
        )
        scores = own["clips"], own["corpus"], values.to_dict("list"), own["unavailable"]
        results[experiment] = Scores(*scores)
    return results


def write_results(
    reports: Path,
    predictions: Mapping[Experiment, list[dict[str, Any]]],
    scores: Mapping[Experiment, Scores],
    facts: Mapping[Experiment, dict[str, Any]],
    others: Iterable[str] = (),
) -> None:
    """Put the predictions, scores and further facts of experiments into the table.

    others : names of experiments that stay, if they are there
    """
    with locked(reports):
        names = {experiment.name for experiment in predictions}
        kept = {
            n: own for n, own in read_facts(reports).items() if n in {*others} - names
        }
        table = read_table(reports)
        frames = [table[table["experiment"].isin(kept)]] if kept else []
        for experiment, records in predictions.items():
            values = asdict(scores[experiment])
            own = {"experiment": experiment.name} | asdict(experiment)
            frame = pd.DataFrame(records).assign(**own, **values.pop("per_clip"))
            frames.append(frame)
            kept[experiment.name] = values | facts[experiment]
        table = pd.concat(frames).sort_values(EXPERIMENT, kind="stable")
        metrics = sorted({*table} - {*EXPERIMENT, *PREDICTION})
        columns = [*EXPERIMENT, *PREDICTION, *metrics]
        stored = pa.Table.from_pandas(table[columns], preserve_index=False)
        described = {b"experiments": json.dumps(kept, sort_keys=True)}
        with atomic_path(Path(reports) / TABLE) as path:
            parquet.write_table(
                stored.replace_schema_metadata(described), path, compression="zstd"
            )
