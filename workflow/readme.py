"""Results tables of README and docs/, written from reports/ between marker comments.

python -m workflow readme
"""

import json
from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from drcap import paths
from drcap.atomic import write_text
from drcap.evaluation.metrics import SHUFFLED
from drcap.evaluation.tables import shown
from drcap.experiments.results import paper_score
from drcap.retrieval.index import INDEXES
from workflow.real import SHARE

REAL = paths.REPORTS / "real" / "audiocaps_val.csv"
ZERO_SHOT = paths.REPORTS / "real" / "zero_shot.csv"
COLUMNS = {
    "meteor": "METEOR",
    "cider_d": "CIDEr-D",
    "rouge_l": "ROUGE-L",
    "spice": "SPICE",
    "spider": "SPIDEr",
}
PAPER_ROWS = {
    "DRCap": "paper: DRCap",
    "w/o RAG": "paper: DRCap w/o RAG",
    "w/o PD": "paper: DRCap w/o PD",
}
HEADLINE = ("human captions, leave-one-out", "DRCap", "DRCap, mbr", "paper: DRCap")
DEMO = paths.REPORTS / "demo" / "tables"
ABLATIONS = {  # the demo's table -> what it measures, ours and the paper's
    "table3_ablation_in_domain": ("in-domain, scapes-ac", "AudioCaps"),
    "table4_ablation_cross_domain": ("to scapes-cl", "to Clotho"),
}
SCALE = paths.REPORTS / "benchmarks" / "scale" / "result.json"


def demo_table() -> str:
    """Return the demo's ablations as Markdown: CIDEr-D, ours beside the paper's."""
    columns = {}
    for name, (ours, theirs) in ABLATIONS.items():
        lines = pd.read_csv(DEMO / f"{name}.csv")
        lines = lines[lines.metric == "cider_d"].set_index("system")
        columns[f"ours, {ours}"] = lines.apply(_with_interval, axis=1)
        columns[f"paper, {theirs}"] = lines.paper.map("{:.1f}".format)
    longest = max(columns.values(), key=len)  # Table IV has a row more
    frame = pd.DataFrame(columns, index=longest.index).fillna("")
    return _markdown(frame)


def example_table() -> str:
    """Return a recording of notebook 00 with its caption, as Markdown."""
    captions = pd.read_csv(DEMO / "quickstart_captions.csv", index_col="file")
    return _markdown(captions.loc[["dog.mp3"]].iloc[:, :2], "recording")


def real_table(rows: Sequence[str] = (), metrics: Sequence[str] = ()) -> str:
    """Return the scores on real recordings as Markdown: people, ours, the paper's rows.

    rows, metrics : those shown, else all; in brackets: 95 % intervals over clips
    """
    ours = pd.read_csv(REAL, index_col="system", na_values="n/a")
    columns = {}
    for metric in metrics or COLUMNS:
        paper = {label: _of_paper(row, metric) for row, label in PAPER_ROWS.items()}
        cells = ours.apply(shown, axis=1, metric=metric)
        columns[COLUMNS[metric]] = pd.concat([cells, pd.Series(paper)])
    columns["of human CIDEr-D"] = (100 * ours[SHARE]).map("{:.0f} %".format)
    frame = pd.DataFrame(columns).fillna("")
    return _markdown(frame.loc[[*(rows or (*ours.index, *PAPER_ROWS.values()))]])


def zero_shot_table() -> str:
    """Return the zero-shot systems on real recordings as Markdown, beside Table I."""
    lines = pd.read_csv(ZERO_SHOT, index_col="system", na_values="n/a")
    columns = {}
    for metric in ("meteor", "cider_d", "spice"):
        columns[COLUMNS[metric]] = lines.apply(shown, axis=1, metric=metric)
        paper = {row: paper_score("I", row, "ac", "ac", metric) for row in lines.index}
        columns[f"paper, {COLUMNS[metric]}"] = pd.Series(paper).map(_printed)
    columns["CIDEr-D, shuffled"] = (100 * lines[SHUFFLED]).map("{:.1f}".format)
    return _markdown(pd.DataFrame(columns).loc[lines.index])


def scale_table() -> str:
    """Return what the largest datastore measured takes, as Markdown."""
    largest = json.loads(SCALE.read_text(encoding="utf-8"))["sizes"][-1]
    build, select, project = (largest[job] for job in ("build", "select", "project"))
    rows = {"build on disk, encoding apart": (f"{build['seconds']:.0f} s", "", build)}
    for index in INDEXES:
        job = largest[f"search, {index}"]
        made = "" if index == "exact" else f", indexed in {job['index_seconds']:.0f} s"
        time = f"{job['milliseconds']:.1f} ms a query"
        rows[f"search: {index}{made}"] = (time, f"{job['recall']:.3f}", job)
    minutes = f"{select['seconds'] / 60:.1f} min"
    rows["similarity selection for 49,274 queries"] = (minutes, "", select)
    seconds = f"{project['seconds']:.1f} s"
    rows["projection of 1,000 embeddings on 49,274 rows"] = (seconds, "", project)
    table = {
        job: {
            "time": time,
            "recall@3": recall,
            "memory": f"{spent['resident'] / 1e9:.1f} GB",
        }
        for job, (time, recall, spent) in rows.items()
    }
    return _markdown(pd.DataFrame(table).T, f"{largest['captions']:,} captions")


TABLES: dict[str, Callable[[], str]] = {
    "demo": demo_table,
    "example": example_table,
    "headline": partial(real_table, HEADLINE, ("meteor", "cider_d", "spice")),
    "real": real_table,
    "zero-shot": zero_shot_table,
    "scale": scale_table,
}


PAGES = ("README.md", "docs/real_recordings.md", "docs/scale.md")


def render(page: str) -> str:
    """Return a page's text with the current tables in place of those it shows."""
    for name, table in TABLES.items():
        start = f"<!-- {name} results: written by workflow/readme.py -->"
        end = f"<!-- end of {name} results -->"
        if start in page:
            before, rest = page.split(start)
            _, after = rest.split(end)
            page = f"{before}{start}\n{table()}\n{end}{after}"
    return page


def _with_interval(line: pd.Series) -> str:
    return f"{line.ours:.1f} [{line.low:.1f}, {line.high:.1f}]"


def _of_paper(row: str, metric: str) -> str:
    return _printed(paper_score("III", row, "ac", "ac", metric))


def _printed(score: float) -> str:
    """Write a number of the paper's, and nothing for what it does not print."""
    return "" if pd.isna(score) else f"{score:.1f}"


def _markdown(frame: pd.DataFrame, rows: str = "system") -> str:
    frame.index.name = rows
    return frame.to_markdown(
        disable_numparse=True, colalign=["left"] + ["right"] * len(frame.columns)
    )


def readme() -> None:
    """Write the results tables of all pages from reports/."""
    for path in map(paths.REPOSITORY.joinpath, PAGES):
        write_text(path, render(path.read_text(encoding="utf-8")))
