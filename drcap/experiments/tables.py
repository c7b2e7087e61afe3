"""Tables I to IV with our numbers beside the paper's, as CSV and Markdown.

Every row of the paper is there, in its order, also the systems that were not run here.
Ours and the paper's are scores of different test clips wherever our corpora stand in
for AudioCaps and Clotho: each block names both.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from drcap.errors import ConfigError, check_choice
from drcap.evaluation.bootstrap import interval
from drcap.evaluation.metrics import Scores
from drcap.evaluation.tables import UNITS, not_computed, save_table
from drcap.experiments.effects import MEASURED, did_not_learn, seed_scores
from drcap.experiments.grid import ROWS, TABLES, Experiment
from drcap.experiments.results import (
    DOMAINS,
    METRICS,
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
    *("did_not_learn", "seeds_not_learned"),
)
NAMES = ("setting", "system")  # columns of text, the others hold numbers
WITH_COSTS = ("I", "II", "S")
REMARKS = {  # row -> what ours is
    "DRCap_LAION": "DRCap, CLAP has seen the targets.",
    "EnCLAP-large": "its codec is a small quantiser trained on the source corpus.",
}


def result_table(
    name: str, results: Mapping[Experiment, Scores], *, domains: Mapping[str, str]
) -> pd.DataFrame:
    """Collect one of grid.TABLES in full precision: a line a row, domains and metric.

    domains : what stands for "ac" and "cl" in ours, as {"ac": "scapes-ac", ...}

    Returns COLUMNS: ours in per cent, the mean over seeds, and its 95 % interval low to
    high over clips and, of several, seeds, NaN if not run or unavailable (why a row
    that was run has no value); seeds and clips, 0 if not run; paper, NaN if not
    printed; recomputed, the mean of its CIDEr and SPICE where it prints another SPIDEr;
    did_not_learn, as `effects.did_not_learn`; seeds_not_learned, of how many seeds that
    is so alone. ConfigError for another name.
    """
    check_choice("table", name, TABLES, ConfigError)
    table = TABLES[name]
    ours = [(SYSTEMS[ROWS[row][0]].setting, row) for row in table.rows]
    runs = {
        (section, row, *pair): row_scores(results, row, *pair)
        for pair in table.pairs
        for section, row in paper_rows(table.number, *pair) or ours
        if (row, *pair) in table.cells
    }
    nan, lines = float("nan"), []
    for (section, row, *pair), seeds in runs.items():
        place = [table.number, section, row, *pair]
        place += [pair_name(*map(names.get, pair)) for names in (domains, DOMAINS)]
        counts = len(seeds), seeds[0].clips if seeds else 0
        idle = did_not_learn(seeds), sum(did_not_learn([run]) for run in seeds)
        for metric in MEASURED:
            numbers, unavailable = (nan, nan, nan), lacking(seeds, metric)
            if seeds and not unavailable:
                ours = 100 * float(np.mean([run.corpus[metric] for run in seeds]))
                bounds = interval(seed_scores(seeds, metric))
                numbers = ours, bounds.low, bounds.high
            key = table.number, row, *pair
            paper, mean = (paper_score(*key, name) for name in (metric, "recomputed"))
            mean = mean if metric == "spider" else nan
            facts = *counts, paper, mean, unavailable, *idle
            lines.append([*place, metric, *numbers, *facts])
    return pd.DataFrame(lines, columns=COLUMNS)


def save(
    name: str,
    results: Mapping[Experiment, Scores],
    folder: Path | str,
    *,
    domains: Mapping[str, str],
) -> list[Path]:
    """Write `<name>.csv` in full precision and `<name>.md`; return their paths."""
    frame = result_table(name, results, domains=domains)
    return save_table(frame, Path(folder) / name, to_markdown(frame))


def to_markdown(frame: pd.DataFrame) -> str:
    """Render a `result_table`: a block a pair of domains, then the notes.

    A metric that cannot be computed here has no column, but a line beneath.
    """
    tried = frame[frame["seeds"] > 0]
    values = tried.groupby("metric")["ours"].count()
    lacking = tried[tried["unavailable"] != ""]
    shown = frame[~frame["metric"].isin(values.index[values == 0])]
    has_paper, parts = frame["paper"].notna().any(), [" ".join(_legend(frame))]
    for (ours, paper), block in shown.groupby(["ours_on", "paper_on"], sort=False):
        parts.append(
            f"**Ours: {ours}; the paper: {paper}**" if has_paper else f"**{ours}**"
        )
        cells = side_by_side(_cells(block, has_paper))
        if cells["setting"].nunique() == 1:
            del cells["setting"]
        align = ["left" if name in NAMES else "right" for name in cells]
        options = {"disable_numparse": True, "colalign": align}
        parts.append(cells.to_markdown(index=False, **options))
    parts += not_computed(zip(lacking["metric"], lacking["unavailable"], strict=True))
    parts += _not_learned(frame)
    for line in frame.dropna(subset="recomputed").itertuples():
        parts.append(
            f"The paper prints SPIDEr {line.paper:.1f} for {line.system} on "
            f"{line.paper_on}, where the mean of CIDEr and SPICE is "
            f"{line.recomputed:.2f}."
        )
    return "\n\n".join(parts) + "\n"


def _not_learned(frame: pd.DataFrame) -> Iterator[str]:
    rows = frame.drop_duplicates(["system", "ours_on"])
    names = rows["system"] + ", " + rows["ours_on"]
    if idle := [*names[rows["did_not_learn"]]]:
        yield (
            "Did not learn to tell recordings apart (shuffled among the clips, its "
            f"captions do as well), and decides no claim: {'; '.join(idle)}."
        )
    counts = rows["seeds_not_learned"].astype(str) + " of " + rows["seeds"].astype(str)
    partly = (rows["seeds_not_learned"] > 0) & ~rows["did_not_learn"]
    if some := [*(names + " (" + counts + ")")[partly]]:
        yield f"Counts though some of its seeds did not learn: {'; '.join(some)}."


def _cells(block: pd.DataFrame, has_paper: bool) -> Iterator[tuple]:
    for line in block.itertuples():
        missing = "n/a" if line.seeds else NONE
        ours = missing if pd.isna(line.ours) else f"{line.ours:.1f}"
        paper = NONE if pd.isna(line.paper) else f"{line.paper:.1f}"
        names = {"setting": line.section, "system": line.system}
        counts = {"clips": line.clips or NONE, "seeds": line.seeds or NONE}
        printed = paper if has_paper and line.metric in METRICS else ""
        yield names, title(line.metric), ours, printed, counts


def side_by_side(cells: Iterable[tuple]) -> pd.DataFrame:
    """Collect cells into rows: of each metric ours, then the paper's; then counts.

    cells : of each the names of its row, the metric, ours and the paper's as text (""
        for no column), and the row's counts
    """
    rows: dict[tuple, tuple[dict, dict]] = {}
    for names, metric, ours, paper, counts in cells:
        row, _ = rows.setdefault(tuple(names.values()), (dict(names), counts))
        row |= {metric: ours} if ours else {}
        row |= {f"{metric}, paper": paper} if paper else {}
    frame = pd.DataFrame([row | counts for row, counts in rows.values()])
    order = [name for name in frame if name not in counts]
    return frame[[*order, *counts]].fillna(NONE).astype(str)


def _legend(frame: pd.DataFrame) -> Iterator[str]:
    yield UNITS
    yield "Ours is the mean over the seeds, on the clips counted in the row;"
    yield "95 % intervals over clips and, of several, seeds are in the CSV file of the"
    yield f"same name. {NONE}: not run here, or not printed."
    if frame["table"].iloc[0] in WITH_COSTS:
        yield "What each row costs to train and to run is in costs.md."
    for row, remark in REMARKS.items():
        if row in set(frame["system"]):
            yield f"Our {row}: {remark}"


def cost_table(results: Mapping[Experiment, Scores], reports: Path) -> pd.DataFrame:
    """Return a line a system: CIDEr-D in per cent and costs, means over its runs.

    Costs are trained weights, seconds of training and seconds a caption, on the machine
    that run.json names; `runs` counts corpora and seeds. KeyError if a record is
    missing.
    """
    records = read_records(reports, "experiments")
    names, lines = {place: row for row, place in ROWS.items()}, []
    for run, scores in results.items():
        line = {"system": names[run.system, run.ablation], "runs": 1}
        line[title("cider_d")] = 100 * scores.corpus["cider_d"]
        lines.append(line | records[run.name]["cost"])
    means = pd.DataFrame(lines).groupby("system", sort=False)
    return means.mean().assign(runs=means["runs"].count()).reset_index()
