"""Tables of scores (as Tables I and II): one row a system, one column a metric.

A table's numbers are kept in full precision and rounded only where they are shown. As
papers print them, all metrics are in per cent; what could not be computed reads n/a,
with the reason in a line under the table. Intervals are of the mean over clips; what is
no such mean of a corpus (METEOR, BLEU, the number of words) has none.
"""

from collections.abc import Iterable, Mapping
from math import nan
from pathlib import Path

import pandas as pd

from drcap.atomic import write_text
from drcap.evaluation.bootstrap import interval
from drcap.evaluation.metrics import BLEU, SBERT_SIM, Scores

TITLES = {
    "meteor": "METEOR",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "fense": "FENSE",
    SBERT_SIM: "SBERT sim [all-MiniLM-L6-v2]",
    "rouge_l": "ROUGE-L",
    **{name: name.upper().replace("_", "-") for name in BLEU},
    "spider_fl": "SPIDEr-FL",
    "fer": "FER",
    "vocab": "distinct words",
}
COUNTS = ("vocab", "clips")
ENDS = ("_low", "_high")  # of the columns beside a metric's
OF_CORPUS = ("meteor", *BLEU, "vocab")  # not the mean over clips
UNITS = (
    "Metrics in per cent: CIDEr-D from 0 to 1000, SPIDEr and SPIDEr-FL from 0 to 550, "
    "SBERT similarity and FENSE from -100 to 100, the others from 0 to 100. FER counts "
    "faulty captions: lower is better."
)
INTERVALS = "In brackets: 95 % intervals of the mean over clips, by a bootstrap."
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"


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
    """Render a table of `score_table`: rounded, with units, the reasons below."""
    unavailable = frame.attrs.get("unavailable", {})
    marks = numbered(text for own in unavailable.values() for text in own.values())

    def cell(system: str, metric: str, value: float) -> str:
        if pd.isna(value):
            return "n/a" + marks.get(unavailable.get(system, {}).get(metric), "")
        if metric in COUNTS:
            return f"{value:.0f}"
        return f"{100 * value:.1f}" + bounded(frame, system, metric)

    cells = {
        TITLES.get(metric, metric): [
            cell(*key, metric, v) for *key, v in values.items()
        ]
        for metric, values in frame.items()
        if not metric.endswith(ENDS)
    }
    table = pd.DataFrame(cells, index=frame.index).to_markdown(
        disable_numparse=True, colalign=["left"] + ["right"] * len(cells)
    )
    notes = [f"{mark} {reason}" for reason, mark in marks.items()]
    if any(column.endswith(ENDS) for column in frame):
        notes.insert(0, INTERVALS)
    return "\n\n".join([table, UNITS, *notes]) + "\n"


def bounded(frame: pd.DataFrame, system: str, metric: str) -> str:
    """Return the interval beside a score, as " [40.1, 59.9]", or nothing."""
    bounds = [frame.get(f"{metric}{end}", {}).get(system, nan) for end in ENDS]
    if pd.isna(bounds).any():
        return ""
    low, high = (f"{100 * bound:.1f}" for bound in bounds)
    return f" [{low}, {high}]"


def numbered(notes: Iterable[str]) -> dict[str, str]:
    """Number the distinct notes of a table in order: note -> its mark, as "¹"."""
    digits = str.maketrans("0123456789", SUPERSCRIPTS)
    distinct = enumerate(dict.fromkeys(filter(None, notes)), start=1)
    return {note: str(number).translate(digits) for number, note in distinct}


def save_table(frame: pd.DataFrame, path_stem: Path | str) -> list[Path]:
    """Write `<path_stem>.csv` in full precision and `<path_stem>.md`; return both."""
    texts = {".csv": frame.to_csv(na_rep="n/a"), ".md": to_markdown(frame)}
    for suffix, text in texts.items():
        write_text(Path(f"{path_stem}{suffix}"), text)
    return [Path(f"{path_stem}{suffix}") for suffix in texts]
