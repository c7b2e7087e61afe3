"""The paper's printed numbers (Tables I to IV), as data to lay beside ours.

`paper_tables.csv` holds a line for each row of a table on each pair of domains, in the
paper's order, in per cent; a field is empty where the paper prints no number. Its CIDEr
is what we call CIDEr-D. What is odd in these tables:

- SPIDEr is the mean of CIDEr and SPICE to rounding in 37 of the 41 lines; in the four
  of RECAP it is off by 0.25 to 4.4 points. `recomputed` holds the mean.
- Table III: without RAG, SPICE is higher than DRCap's.
- Table IV: on CIDEr, SPIDEr and FENSE it is w/o SS that falls furthest, not w/o PD.
- FENSE is missing for most systems, so that few can be compared on it.
- Tables III and IV repeat the DRCap rows of I and II; III has no w/o TD, which changes
  nothing in-domain.
"""

from functools import cache
from importlib import resources

import pandas as pd

DOMAINS = {"ac": "AudioCaps", "cl": "Clotho"}
METRICS = {  # our name of a metric -> the paper's
    "meteor": "METEOR",
    "cider_d": "CIDEr",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "fense": "FENSE",
}
KEYS = ["table", "section", "system", "train", "test"]
ROUNDING = 0.1  # points by which rounded CIDEr and SPICE may put their mean off SPIDEr


@cache
def paper_lines() -> pd.DataFrame:
    """Return the tables as printed: KEYS, a column a metric, and `recomputed`.

    Domains have the grid's names. Scores are in per cent, NaN where none is printed.
    `recomputed` is the mean of the printed CIDEr and SPICE where the printed SPIDEr
    differs from it by more than rounding, else NaN.
    """
    path = resources.files("drcap.experiments") / "paper_tables.csv"
    with path.open(encoding="utf-8") as stream:
        frame = pd.read_csv(stream)
    frame = frame.rename(columns={printed: name for name, printed in METRICS.items()})
    domains = {printed: name for name, printed in DOMAINS.items()}
    frame[["train", "test"]] = frame[["train", "test"]].replace(domains)
    mean = (frame["cider_d"] + frame["spice"]) / 2
    off = (mean - frame["spider"]).abs() > ROUNDING + 1e-9
    return frame.assign(recomputed=mean.where(off))


def paper_rows(table: str, train: str, test: str) -> list[tuple[str, str]]:
    """Return (section, system) of a table's rows on a pair of domains, in order."""
    lines = paper_lines()
    chosen = (lines[["table", "train", "test"]] == [table, train, test]).all(axis=1)
    return list(lines.loc[chosen, ["section", "system"]].itertuples(False, None))


def paper_score(table: str, system: str, train: str, test: str, metric: str) -> float:
    """Return a score as printed in per cent; NaN if there is none.

    metric : one of METRICS, or "recomputed" as in `paper_lines`
    """
    return _by_key().get((table, system, train, test), {}).get(metric, float("nan"))


@cache
def _by_key() -> dict[tuple[str, ...], dict[str, float]]:
    lines = paper_lines().drop(columns="section")
    return lines.set_index(["table", "system", "train", "test"]).to_dict("index")
