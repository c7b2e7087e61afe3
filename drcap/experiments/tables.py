"""Tables I to IV with our numbers beside the paper's, as CSV, Markdown and LaTeX.

Every row of the paper is there, in its order, also the systems that were not run here.
Ours and the paper's are scores of different test clips wherever our corpora stand in
for AudioCaps and Clotho: each block names both.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from drcap.errors import ConfigError
from drcap.evaluation.bootstrap import interval
from drcap.evaluation.metrics import Scores
from drcap.experiments import paper
from drcap.experiments.grid import SUPERVISED, TABLES, Experiment, Table
from drcap.experiments.measured import (
    STAND_INS,
    clip_scores,
    corpus_score,
    lacks,
    reason,
    row_scores,
    title,
)
from drcap.experiments.table_pages import to_latex, to_markdown
from drcap.files import write_text

SECTIONS = dict.fromkeys(SUPERVISED, "supervised") | {
    "Nearest caption": "floor",
    "Most common caption": "floor",
}


def result_table(
    name: str,
    results: Mapping[Experiment, Scores],
    *,
    domains: Mapping[str, str],
) -> pd.DataFrame:
    """Collect one of grid.TABLES in full precision: a line a row, domains and metric.

    domains : what stands for "ac" and "cl" in ours, as {"ac": "scapes-ac", ...}

    Returns table, section, system (the paper's name), train, test, ours_on, paper_on,
    metric, ours (per cent, mean over seeds; NaN if not run or unavailable), low, high
    (its 95 % interval, by a bootstrap over clips), seeds, clips (0 if not run), paper
    (NaN if not printed), recomputed (the mean of its CIDEr and SPICE where it prints
    another SPIDEr) and unavailable (why a row that was run has no value). Stand-ins
    follow the metrics that some run lacks. ConfigError if there is no such table.
    """
    if name not in TABLES:
        raise ConfigError(f"unknown table '{name}'; choose one of {', '.join(TABLES)}")
    table = TABLES[name]
    rows = [
        (section, row, train, test)
        for train, test in table.pairs
        for section, row in _rows(table, train, test)
    ]
    runs = [row_scores(results, *row) for _, *row in rows]
    metrics = _metrics([scores for each in runs for scores in each])
    lines = [
        {
            **dict(zip(paper.KEYS, (table.number, *row), strict=True)),
            "ours_on": _corpora(*row[2:], domains),
            "paper_on": _corpora(*row[2:], paper.DOMAINS),
            "metric": metric,
            **_ours(scores, metric),
            **_papers(table.number, *row[1:], metric),
            "unavailable": reason(scores, metric),
        }
        for row, scores in zip(rows, runs, strict=True)
        for metric in metrics
    ]
    return pd.DataFrame(lines)


def _rows(table: Table, train: str, test: str) -> list[tuple[str, str]]:
    """Return (section, row): the paper's, in its order, or those of a table of ours."""
    printed = paper.paper_rows(table.number, train, test)
    return printed or [(SECTIONS.get(row, "zero-shot"), row) for row in table.rows]


def _metrics(runs: Sequence[Scores]) -> list[str]:
    """Return the paper's metrics and, of those that a run lacks, the stand-ins."""
    stand_ins = [STAND_INS[name] for name in STAND_INS if lacks(runs, name)]
    computed = {name for scores in runs for name in scores.corpus}
    return [*paper.METRICS, *(name for name in stand_ins if name in computed)]


def _corpora(train: str, test: str, names: Mapping[str, str]) -> str:
    return " to ".join(dict.fromkeys([names[train], names[test]]))


def _ours(runs: Sequence[Scores], metric: str) -> dict[str, float]:
    counts = {"seeds": len(runs), "clips": runs[0].clips if runs else 0}
    if not runs or lacks(runs, metric):
        return {**dict.fromkeys(("ours", "low", "high"), float("nan")), **counts}
    around = interval(clip_scores(runs, metric))
    ours = corpus_score(runs, metric)
    return {"ours": ours, "low": around.low, "high": around.high, **counts}


def _papers(*key: str) -> dict[str, float]:
    recomputed = paper.paper_score(*key, column="recomputed")
    return {"paper": paper.paper_score(*key), "recomputed": recomputed}


def beside_paper(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the paper's metrics, each with ours by what could measure it here.

    frame : what `result_table` returns; of a metric that no row of ours has, the scores
        are those of its stand-in, which the metric's new name tells

    Returns the same columns; the metrics are named as figures print them.
    """
    kept = []
    for metric in paper.METRICS:
        lines = frame[frame["metric"] == metric].copy()
        stand_in = frame[frame["metric"] == STAND_INS.get(metric)]
        measured_by = metric
        if lines["ours"].isna().all() and len(stand_in):
            measured_by = STAND_INS[metric]
            for column in ("ours", "low", "high"):
                lines[column] = stand_in[column].to_numpy()
        kept.append(lines.assign(metric=title(metric, measured_by)))
    return pd.concat(kept, ignore_index=True)


def save(
    name: str,
    results: Mapping[Experiment, Scores],
    folder: Path | str,
    *,
    domains: Mapping[str, str],
) -> list[Path]:
    """Write `<name>.csv` in full precision, `.md` and `.tex`; return their paths."""
    frame = result_table(name, results, domains=domains)
    texts = {
        "csv": frame.to_csv(index=False, na_rep="n/a"),
        "md": to_markdown(frame),
        "tex": to_latex(frame),
    }
    paths = [Path(folder) / f"{name}.{suffix}" for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths
