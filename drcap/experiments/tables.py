"""Tables I to IV with our numbers beside the paper's, as CSV, Markdown and LaTeX.

Every row of the paper is there, in its order, also the systems that were not run here.
Ours and the paper's are scores of different test clips wherever our corpora stand in
for AudioCaps and Clotho: each block names both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from drcap.atomic import write_text
from drcap.errors import ConfigError
from drcap.evaluation.bootstrap import interval
from drcap.evaluation.metrics import Scores
from drcap.evaluation.tables import UNITS, numbered
from drcap.experiments import paper
from drcap.experiments.grid import ROWS, TABLES, Experiment, Table
from drcap.experiments.measured import (
    STAND_INS,
    clip_scores,
    corpus_score,
    lacking,
    pair_name,
    row_scores,
    title,
)
from drcap.systems import SYSTEMS

NONE = "–"
NAMES = ("setting", "system")  # columns of text, the others hold numbers
WITH_COSTS = ("I", "II", "S")
REMARKS = {  # row -> what ours is
    "DRCap_LAION": "DRCap, CLAP has seen the targets.",
    "EnCLAP-large": "its codec is EnCodec in the profile paper, elsewhere a small "
    "quantiser trained on the source corpus.",
}
ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        NONE: "--",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)


def result_table(
    name: str, results: Mapping[Experiment, Scores], *, domains: Mapping[str, str]
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
        (section, row, *pair)
        for pair in table.pairs
        for section, row in _rows(table, *pair)
    ]
    runs = [row_scores(results, *row) for _, *row in rows]
    metrics = _metrics([scores for seeds in runs for scores in seeds])
    lines = [
        {
            **dict(zip(paper.KEYS, (table.number, *row), strict=True)),
            "ours_on": pair_name(*(domains[name] for name in row[2:])),
            "paper_on": pair_name(*(paper.DOMAINS[name] for name in row[2:])),
            "metric": metric,
            **_ours(scores, metric),
            **_papers(table.number, *row[1:], metric),
            "unavailable": lacking(scores, metric),
        }
        for row, scores in zip(rows, runs, strict=True)
        for metric in metrics
    ]
    return pd.DataFrame(lines)


def _rows(table: Table, train: str, test: str) -> list[tuple[str, str]]:
    """Return (section, row): the paper's, in its order, or those of a table of ours."""
    printed = paper.paper_rows(table.number, train, test)
    return printed or [(SYSTEMS[ROWS[row][0]].setting, row) for row in table.rows]


def _metrics(runs: Sequence[Scores]) -> list[str]:
    """Return the paper's metrics and, of those that a run lacks, the stand-ins."""
    stand_ins = [STAND_INS[name] for name in STAND_INS if lacking(runs, name)]
    computed = {name for scores in runs for name in scores.corpus}
    return [*paper.METRICS, *(name for name in stand_ins if name in computed)]


def _ours(runs: Sequence[Scores], metric: str) -> dict[str, float]:
    counts = {"seeds": len(runs), "clips": runs[0].clips if runs else 0}
    if not runs or lacking(runs, metric):
        return {**dict.fromkeys(("ours", "low", "high"), float("nan")), **counts}
    around = interval(clip_scores(runs, metric))
    ours = corpus_score(runs, metric)
    return {"ours": ours, "low": around.low, "high": around.high, **counts}


def _papers(*key: str) -> dict[str, float]:
    *row, metric = key
    mean = paper.paper_score(*row, "recomputed")
    recomputed = mean if metric == "spider" else float("nan")
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
            columns = ["ours", "low", "high"]
            lines[columns] = stand_in[columns].to_numpy()
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
    table = frame.to_csv(index=False, na_rep="n/a")
    texts = {"csv": table, "md": to_markdown(frame), "tex": to_latex(frame)}
    for kind, text in texts.items():
        write_text(Path(folder) / f"{name}.{kind}", text)
    return [Path(folder) / f"{name}.{kind}" for kind in texts]


def to_markdown(frame: pd.DataFrame) -> str:
    """Render a `result_table`: a block a pair of domains, then the notes."""
    marks = numbered(_notes(frame))
    parts = [" ".join(_legend(frame))]
    for heading, block in _blocks(frame, marks):
        align = ["left" if name in NAMES else "right" for name in block]
        table = block.to_markdown(index=False, disable_numparse=True, colalign=align)
        parts += [f"**{heading}**", table]
    parts += [f"{mark} {note}" for note, mark in marks.items()]
    return "\n\n".join(parts) + "\n"


def to_latex(frame: pd.DataFrame) -> str:
    """Render a `result_table` as a floating table; it needs the package booktabs."""
    number = frame["table"].iloc[0]
    table = next(table for table in TABLES.values() if table.number == number)
    printed = f": ours (the paper's Table {number})" if _printed(frame) else ""
    marks = numbered(_notes(frame), "$^{{{}}}$".format)
    notes = [_escape(" ".join(_legend(frame)))]
    notes += [f"{mark} {_escape(note)}" for note, mark in marks.items()]
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{_escape(table.title + printed)}.}}",
            rf"\label{{tab:drcap-{number}}}",
            r"\footnotesize\setlength{\tabcolsep}{3pt}",
            *_tabular(frame, marks),
            *(rf"\par\smallskip {note}" for note in notes),
            r"\end{table*}",
            "",
        ]
    )


def _tabular(frame: pd.DataFrame, marks: Mapping[str, str]) -> Iterator[str]:
    blocks = list(_blocks(frame, marks, _escape))
    columns = list(blocks[0][1])
    align = "".join("l" if name in NAMES else "r" for name in columns)
    yield rf"\begin{{tabular}}{{{align}}}"
    yield r"\toprule"
    yield " & ".join(map(_escape, columns)) + r" \\"
    for heading, block in blocks:
        yield r"\midrule"
        yield rf"\multicolumn{{{len(columns)}}}{{l}}{{{_escape(heading)}}} \\"
        for cells in block.itertuples(index=False, name=None):
            yield " & ".join(cells) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _blocks(
    frame: pd.DataFrame,
    marks: Mapping[str, str],
    escape: Callable[[str], str] = str,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield a heading and a table of text for each pair of domains.

    escape : makes text safe for the format; it leaves marks alone
    """
    several = frame["section"].nunique() > 1
    for _, lines in frame.groupby(["train", "test"], sort=False):
        rows = []
        for system, cells in lines.groupby("system", sort=False):
            first = cells.iloc[0]
            row = {"setting": escape(first.section)} if several else {}
            row["system"] = escape(system)
            for line in cells.itertuples():
                row[title(line.metric)] = _cell(line, marks, escape)
            for name in ("clips", "seeds"):
                row[name] = escape(str(first[name] or NONE))
            rows.append(row)
        first = lines.iloc[0]
        heading = f"Ours: {first.ours_on}; the paper: {first.paper_on}"
        yield heading if _printed(frame) else first.ours_on, pd.DataFrame(rows)


def _printed(frame: pd.DataFrame) -> bool:
    """Tell whether the paper has numbers for the table."""
    return bool(frame["paper"].notna().any())


def _cell(line, marks: Mapping[str, str], escape: Callable[[str], str]) -> str:
    if not line.seeds:
        ours = escape(NONE)
    elif pd.isna(line.ours):
        ours = "n/a" + marks[line.unavailable]
    else:
        ours = f"{line.ours:.1f}"
    if pd.isna(line.paper):
        return ours
    return f"{ours} ({line.paper:.1f}{marks.get(_recomputed(line), '')})"


def _notes(frame: pd.DataFrame) -> Iterator[str]:
    """Yield the notes of a table in the order of its cells, empty ones too."""
    for line in frame.itertuples():
        yield from (line.unavailable, _recomputed(line))


def _recomputed(line) -> str:
    if pd.isna(line.recomputed):
        return ""
    return (
        f"As printed; the mean of {line.system}'s CIDEr and SPICE on {line.paper_on} "
        f"is {line.recomputed:.2f}."
    )


def _legend(frame: pd.DataFrame) -> Iterator[str]:
    yield "Each cell: ours (the paper's)." if _printed(frame) else "Ours alone."
    yield UNITS
    yield "Ours is the mean over the seeds, on the clips counted in the row;"
    yield "95 % intervals over clips are in the CSV file of the same name."
    yield f"{NONE}: not run here; n/a: run, but not computed here."
    for metric, stand_in in STAND_INS.items():
        if stand_in in set(frame["metric"]):
            yield f"{title(stand_in)} stands in for {title(metric)}: another scale."
    if frame["table"].iloc[0] in WITH_COSTS:
        yield "What each row costs to train and to run is in costs.md."
    for row, remark in REMARKS.items():
        if row in set(frame["system"]):
            yield f"Our {row}: {remark}"


def _escape(text: str) -> str:
    return text.translate(ESCAPES)
