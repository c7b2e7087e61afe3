"""Write the README's results table from reports/, between its two marker comments.

python -m workflow.readme
"""

import pandas as pd

from drcap import paths
from drcap.files import write_text

START = "<!-- results: written by workflow/readme.py -->"
END = "<!-- end of results -->"
OURS = paths.REPORTS / "real" / "audiocaps_val.csv"
COLUMNS = {"meteor": "METEOR", "cider_d": "CIDEr-D", "rouge_l": "ROUGE-L"}
# Table I and III of the paper, in per cent; it prints no ROUGE-L
PAPER = {
    "paper: DRCap": {"METEOR": 25.3, "CIDEr-D": 70.5},
    "paper: DRCap w/o RAG": {"METEOR": 25.0, "CIDEr-D": 69.2},
    "paper: DRCap w/o PD": {"METEOR": 19.9, "CIDEr-D": 31.2},
}


def table() -> str:
    """Return the results as Markdown: our rows, then the paper's."""
    ours = pd.read_csv(OURS, index_col="system")[list(COLUMNS)].rename(columns=COLUMNS)
    rows = pd.concat([100 * ours, pd.DataFrame(PAPER).T])
    shown = rows.map(lambda value: "" if pd.isna(value) else f"{value:.1f}")
    shown.index.name = "system"
    return shown.to_markdown(
        disable_numparse=True, colalign=["left"] + ["right"] * len(COLUMNS)
    )


def render(readme: str) -> str:
    """Return the README's text with the current table in place."""
    before, rest = readme.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    path = paths.REPOSITORY / "README.md"
    write_text(path, render(path.read_text(encoding="utf-8")))
