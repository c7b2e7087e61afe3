"""Tables of scores (as Tables I and II): one row a system, one column a metric.

A table's numbers are kept in full precision and rounded only where they are shown. As
papers print them, all metrics are in per cent; what could not be computed is in a line
under the table, with the reason. Intervals are of the mean over clips; what is
no such mean of a corpus (METEOR, BLEU, the number of words) has none.
"""

from collections.abc import Iterable, Mapping
from math import nan
from pathlib import Path

import pandas as pd

from drcap.atomic import write_text
from drcap.evaluation.bootstrap import interval
from drcap.evaluation.metrics import BLEU, SHUFFLED, Scores

TITLES = {
    "meteor": "METEOR",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "fense": "FENSE",
    "rouge_l": "ROUGE-L",
    **{name: name.upper().replace("_", "-") for name in BLEU},
    "spider_fl": "SPIDEr-FL",
    "fer": "FER",
    "vocab": "distinct words",
    SHUFFLED: "CIDEr-D, shuffled",
}
COUNTS = ("vocab", "clips")
ENDS = ("_low", "_high")  # of the columns beside a metric's
OF_CORPUS = ("meteor", *BLEU, "vocab")  # not the mean over clips
UNITS = (
    "Metrics in per cent: CIDEr-D from 0 to 1000, SPIDEr and SPIDEr-FL from 0 to 550, "
    "sbert_sim and FENSE from -100 to 100, the others from 0 to 100. FER counts faulty "
    "captions: lower is better. Shuffled: the same captions dealt out among the clips."
)
INTERVALS = "In brackets: 95 % intervals of the mean over clips, by a bootstrap."


def intervals(scores: Scores) -> dict[str, tuple[float, float]]:
    """Bound the metrics of a system: metric -> (low, high), 95 % over its clips."""
    return {
        metric: (bounds.low, bounds.high)
        for metric, clips in scores.per_clip.items()
        if metric not in OF_CORPUS
        for bounds in [interval(clips)]
    }


def score_table(scores_by_system: Mapping[str, Scores]) -> pd.DataFrame:
    """Collect the scores of systems, as aac-metrics scales them, in full precision.

    Returns one row a system, one column a metric, its `_low` and `_high` where there
    are scores of clips, and `clips`, the number of clips scored; NaN where a system has
    no value. `attrs["unavailable"]` maps each system to its metrics that could not be
    computed, with the reasons.
    """
    systems = scores_by_system.items()
    rows = {name: scores.corpus for name, scores in systems}
    frame = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
    bounds = {name: intervals(scores) for name, scores in systems}
    for metric in [*frame]:
        if any(metric in own for own in bounds.values()):
            pairs = [bounds[name].get(metric, (nan, nan)) for name in frame.index]
            place = frame.columns.get_loc(metric) + 1
            for offset, end in enumerate(("low", "high")):
                values = [pair[offset] for pair in pairs]
                frame.insert(place + offset, f"{metric}_{end}", values)
    frame["clips"] = [scores.clips for _, scores in systems]
    frame.attrs["unavailable"] = {name: scores.unavailable for name, scores in systems}
    return frame.rename_axis("system")


def to_markdown(frame: pd.DataFrame) -> str:
    """Render a table of `score_table`: rounded, with units.

    What no system has is no column; every metric that one lacks is in a line beneath.
    """
    cells = {
        TITLES.get(metric, metric): frame.apply(shown, axis=1, metric=metric)
        for metric, values in frame.items()
        if not metric.endswith(ENDS) and values.notna().any()
    }
    table = pd.DataFrame(cells).to_markdown(
        disable_numparse=True, colalign=["left"] + ["right"] * len(cells)
    )
    lacking = frame.attrs.get("unavailable", {}).values()
    notes = not_computed(pair for own in lacking for pair in own.items())
    if any(column.endswith(ENDS) for column in frame):
        notes.insert(0, INTERVALS)
    return "\n\n".join([table, UNITS, *notes]) + "\n"


def not_computed(lacking: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line a reason, from pairs of a metric and why it has no value."""
    metrics: dict[str, list[str]] = {}
    for metric, reason in dict.fromkeys(lacking):
        metrics.setdefault(reason, []).append(TITLES.get(metric, metric))
    return [f"Not computed: {', '.join(own)} ({why})." for why, own in metrics.items()]


def shown(row: pd.Series, metric: str) -> str:
    """Write a score of a row of `score_table`, as "50.0 [40.1, 59.9]" or "n/a"."""
    score, *bounds = (row.get(f"{metric}{end}", nan) for end in ("", *ENDS))
    if pd.isna(score):
        return "n/a"
    if metric in COUNTS:
        return f"{score:.0f}"
    between = " [{:.1f}, {:.1f}]".format(*(100 * bound for bound in bounds))
    return f"{100 * score:.1f}" + (between if pd.notna(bounds).all() else "")


def save_table(
    frame: pd.DataFrame, stem: Path | str, markdown: str | None = None
) -> list[Path]:
    """Write `<stem>.csv` in full precision and `<stem>.md`; return both.

    markdown : None: of a table of `score_table`, else the text, and rows have no names
    """
    texts = {".csv": frame.to_csv(na_rep="n/a", index=markdown is None)}
    texts[".md"] = to_markdown(frame) if markdown is None else markdown
    for suffix, text in texts.items():
        write_text(Path(f"{stem}{suffix}"), text)
    return [Path(f"{stem}{suffix}") for suffix in texts]
