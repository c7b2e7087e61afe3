"""Tables of scores (as Tables I and II): one row a system, one column a metric.

A table's numbers are kept in full precision and rounded only where they are shown. As
papers print them, all metrics are in per cent; what could not be computed reads n/a,
with the reason in a line under the table.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from drcap.atomic import write_text
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
UNITS = (
    "Metrics in per cent: CIDEr-D from 0 to 1000, SPIDEr and SPIDEr-FL from 0 to 550, "
    "SBERT similarity and FENSE from -100 to 100, the others from 0 to 100. FER counts "
    "faulty captions: lower is better."
)
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹"


def score_table(scores_by_system: Mapping[str, Scores]) -> pd.DataFrame:
    """Collect the scores of systems, as aac-metrics scales them, in full precision.

    Returns one row a system, one column a metric and `clips`, the number of clips
    scored; NaN where a system has no value. `attrs["unavailable"]` maps each system to
    its metrics that could not be computed, with the reasons.
    """
    systems = scores_by_system.items()
    rows = {name: scores.corpus for name, scores in systems}
    frame = pd.DataFrame.from_dict(rows, orient="index", dtype=float)
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
        return f"{value:.0f}" if metric in COUNTS else f"{100 * value:.1f}"

    cells = {
        TITLES.get(metric, metric): [
            cell(*key, metric, v) for *key, v in values.items()
        ]
        for metric, values in frame.items()
    }
    table = pd.DataFrame(cells, index=frame.index).to_markdown(
        disable_numparse=True, colalign=["left"] + ["right"] * len(cells)
    )
    notes = [f"{mark} {reason}" for reason, mark in marks.items()]
    return "\n\n".join([table, UNITS, *notes]) + "\n"


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
