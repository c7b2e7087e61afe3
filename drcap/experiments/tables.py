"""Tables I to IV with our numbers beside the paper's, as CSV, Markdown and LaTeX.

Every row of the paper is there, in its order, also the systems that were not run here.
Ours and the paper's are scores of different test clips wherever our corpora stand in
for AudioCaps and Clotho: each block names both.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from drcap.atomic import write_text
from drcap.errors import ConfigError
from drcap.evaluation.bootstrap import interval
from drcap.evaluation.metrics import Scores
from drcap.evaluation.tables import SUPERSCRIPTS, UNITS, numbered
from drcap.experiments.grid import ROWS, TABLES, Experiment
from drcap.experiments.results import (
    DOMAINS,
    METRICS,
    STAND_INS,
    clip_scores,
    lacking,
    pair_name,
    paper_rows,
    paper_score,
    row_scores,
    title,
)
from drcap.record import read_records
from drcap.systems import SYSTEMS

NONE = "–"
COLUMNS = (
    *("table", "section", "system", "train", "test", "ours_on", "paper_on", "metric"),
    *("ours", "low", "high", "seeds", "clips", "paper", "recomputed", "unavailable"),
)
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

    Returns COLUMNS: ours in per cent, the mean over seeds, and its 95 % interval low to
    high by a bootstrap over clips, NaN if not run or unavailable (why a row that was
    run has no value); seeds and clips, 0 if not run; paper, NaN if not printed;
    recomputed, the mean of its CIDEr and SPICE where it prints another SPIDEr.
    Stand-ins follow the metrics that some run lacks. ConfigError for another name.
    """
    if name not in TABLES:
        raise ConfigError(f"unknown table '{name}'; choose one of {', '.join(TABLES)}")
    table = TABLES[name]
    ours = [(SYSTEMS[ROWS[row][0]].setting, row) for row in table.rows]
    runs = {
        (section, row, *pair): row_scores(results, row, *pair)
        for pair in table.pairs
        for section, row in paper_rows(table.number, *pair) or ours
    }
    every = [run for seeds in runs.values() for run in seeds]
    metrics = [*METRICS]
    for metric, stand_in in STAND_INS.items():
        if lacking(every, metric) and any(stand_in in run.corpus for run in every):
            metrics.append(stand_in)
    nan, lines = float("nan"), []
    for (section, row, *pair), seeds in runs.items():
        place = [table.number, section, row, *pair]
        place += [pair_name(*map(names.get, pair)) for names in (domains, DOMAINS)]
        counts = len(seeds), seeds[0].clips if seeds else 0
        for metric in metrics:
            numbers, unavailable = (nan, nan, nan), lacking(seeds, metric)
            if seeds and not unavailable:
                ours = 100 * float(np.mean([run.corpus[metric] for run in seeds]))
                bounds = interval(clip_scores(seeds, metric))
                numbers = ours, bounds.low, bounds.high
            key = table.number, row, *pair
            paper, mean = (paper_score(*key, name) for name in (metric, "recomputed"))
            mean = mean if metric == "spider" else nan
            lines.append([*place, metric, *numbers, *counts, paper, mean, unavailable])
    return pd.DataFrame(lines, columns=COLUMNS)


def beside_paper(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the paper's metrics, each with ours by what could measure it here.

    frame : what `result_table` returns. Of a metric that no row of ours has, the scores
        are those of its stand-in, which the metric's new name, as in figures, tells.
    """
    by_metric, kept = dict(list(frame.groupby("metric"))), []
    for metric in METRICS:
        lines, measured_by = by_metric[metric], metric
        if lines["ours"].isna().all() and STAND_INS.get(metric) in by_metric:
            measured_by = STAND_INS[metric]
            stand_in = by_metric[measured_by].set_index(lines.index)
            lines = lines.assign(**stand_in[["ours", "low", "high"]])
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
    paths = [Path(folder) / f"{name}.{kind}" for kind in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def to_markdown(frame: pd.DataFrame) -> str:
    """Render a `result_table`: a block a pair of domains, then the notes."""
    legend, blocks, notes = _rendered(frame)
    parts = [legend]
    for heading, block in blocks.items():
        align = ["left" if name in NAMES else "right" for name in block]
        table = block.to_markdown(index=False, disable_numparse=True, colalign=align)
        parts += [f"**{heading}**", table]
    return "\n\n".join([*parts, *notes]) + "\n"


def to_latex(frame: pd.DataFrame) -> str:
    """Render a `result_table` as a floating table; it needs the package booktabs."""
    legend, blocks, notes = _rendered(frame)
    number, columns = frame["table"].iloc[0], list(next(iter(blocks.values())))
    [caption] = [table.title for table in TABLES.values() if table.number == number]
    has_paper = frame["paper"].notna().any()
    caption += f": ours (the paper's Table {number})" if has_paper else ""
    lines = [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_escape(caption)}.}}",
        rf"\label{{tab:drcap-{number}}}",
        r"\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{{''.join('rl'[name in NAMES] for name in columns)}}}",
        r"\toprule",
        " & ".join(map(_escape, columns)) + r" \\",
    ]
    for heading, block in blocks.items():
        spanned = rf"\multicolumn{{{len(columns)}}}{{l}}{{{_escape(heading)}}} \\"
        lines += [r"\midrule", spanned]
        lines += [" & ".join(map(_escape, row)) + r" \\" for row in block.to_numpy()]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip {_escape(note)}" for note in (legend, *notes)]
    return "\n".join([*lines, r"\end{table*}", ""])


def _rendered(frame: pd.DataFrame) -> tuple[str, dict[str, pd.DataFrame], list[str]]:
    """Return the legend, the cells as text under a heading a block, and the notes."""
    frame = frame.rename(columns={"section": "setting"})
    frame["metric"] = frame["metric"].map(title)
    frame["note"] = [
        f"As printed; the mean of {line.system}'s CIDEr and SPICE on {line.paper_on} "
        f"is {line.recomputed:.2f}."
        if pd.notna(line.recomputed)
        else ""
        for line in frame.itertuples()
    ]
    marks = numbered(frame[["unavailable", "note"]].to_numpy().ravel())
    frame["cell"] = [_cell(line, marks) for line in frame.itertuples()]
    counts, has_paper = ["clips", "seeds"], frame["paper"].notna().any()
    frame[counts] = frame[counts].astype(str).replace("0", NONE)
    index, metrics, blocks = [*NAMES, *counts], frame["metric"].unique(), {}
    shown = [*NAMES] if frame["setting"].nunique() > 1 else ["system"]
    options = {"columns": "metric", "aggfunc": "first", "sort": False}
    for (ours, paper), block in frame.groupby(["ours_on", "paper_on"], sort=False):
        heading = f"Ours: {ours}; the paper: {paper}" if has_paper else ours
        table = block.pivot_table("cell", index, **options).reset_index()
        blocks[heading] = table[[*shown, *metrics, *counts]].rename_axis(columns=None)
    notes = [f"{mark} {note}" for note, mark in marks.items()]
    return " ".join(_legend(frame)), blocks, notes


def _cell(line, marks: Mapping[str, str]) -> str:
    missing = "n/a" + marks.get(line.unavailable, "") if line.seeds else NONE
    ours = missing if pd.isna(line.ours) else f"{line.ours:.1f}"
    paper = f" ({line.paper:.1f}{marks.get(line.note, '')})"
    return ours if pd.isna(line.paper) else ours + paper


def _legend(frame: pd.DataFrame) -> Iterator[str]:
    has_paper = frame["paper"].notna().any()
    yield "Each cell: ours (the paper's)." if has_paper else "Ours alone."
    yield UNITS
    yield "Ours is the mean over the seeds, on the clips counted in the row;"
    yield "95 % intervals over clips are in the CSV file of the same name."
    yield f"{NONE}: not run here; n/a: run, but not computed here."
    for metric, stand_in in STAND_INS.items():
        if title(stand_in) in set(frame["metric"]):
            yield f"{title(stand_in)} stands in for {title(metric)}: another scale."
    if frame["table"].iloc[0] in WITH_COSTS:
        yield "What each row costs to train and to run is in costs.md."
    for row, remark in REMARKS.items():
        if row in set(frame["system"]):
            yield f"Our {row}: {remark}"


def _escape(text: str) -> str:
    """Make text safe for LaTeX, and a note's mark a superscript."""
    text = re.sub(f"([{SUPERSCRIPTS}]+)", r"$^{\1}$", text.translate(ESCAPES))
    return text.translate(str.maketrans(SUPERSCRIPTS, "0123456789"))


def cost_table(
    results: Mapping[Experiment, Scores], reports: Path, *, domains: Mapping[str, str]
) -> pd.DataFrame:
    """Return a line an experiment: row, corpora, seed, CIDEr-D in per cent, cost.

    domains : as in `result_table`

    Costs are trained weights, seconds of training and seconds a caption, on the machine
    that run.json names. KeyError if a record is missing.
    """
    records = read_records(reports, "experiments")
    names = {place: row for row, place in ROWS.items()}
    lines = []
    for run, scores in results.items():
        line = {
            "system": names[run.system, run.ablation],
            "trained on": domains[run.train],
            "clips of": domains[run.test],
            "seed": run.seed,
            title("cider_d"): 100 * scores.corpus["cider_d"],
        }
        lines.append(line | records[run.name]["cost"])
    return pd.DataFrame(lines)
