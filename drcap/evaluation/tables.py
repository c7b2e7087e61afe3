"""Tables of scores (as Tables I and II): one row a system, one column a metric.

A table's numbers are kept in full precision and rounded only where they are shown. As
papers print them, all metrics are in per cent; what could not be computed reads n/a,
with the reason in a line under the table.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from drcap.atomic import write_text
from drcap.evaluation.metrics import Scores

TITLES = {
    "meteor": "METEOR",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "fense": "FENSE",
    "sbert_sim[all-MiniLM-L6-v2]": "SBERT sim [all-MiniLM-L6-v2]",
    "rouge_l": "ROUGE-L",
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "spider_fl": "SPIDEr-FL",
    "fer": "FER",
    "vocab": "distinct words",
    "clips": "clips",
}
COUNTS = ("vocab", "clips")
UNITS = (
    "Metrics in per cent: CIDEr-D from 0 to 1000, SPIDEr and SPIDEr-FL from 0 to 550, "
    "SBERT similarity and FENSE from -100 to 100, the others from 0 to 100. FER counts "
    "faulty captions: lower is better."
)
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def score_table(scores_by_system: Mapping[str, Scores]) -> pd.DataFrame:
    """Collect the scores of systems, as aac-metrics scales them, in full precision.

    Returns one row a system, one column a metric and `clips`, the number of clips
    scored; NaN where a system has no value. `attrs["unavailable"]` maps each system to
    its metrics that could not be computed, with the reasons.
    """
    rows = [
        {**scores.corpus, "clips": scores.clips} for scores in scores_by_system.values()
    ]
    frame = pd.DataFrame(rows, index=pd.Index(scores_by_system, name="system"))
    metrics = [name for name in frame.columns if name != "clips"]
    frame = frame[[*metrics, "clips"]].astype(dict.fromkeys(metrics, float))
    frame.attrs["unavailable"] = {
        system: scores.unavailable for system, scores in scores_by_system.items()
    }
    return frame


def to_markdown(frame: pd.DataFrame) -> str:
    """Render a table of `score_table`: rounded, with units, the reasons below."""
    unavailable = frame.attrs.get("unavailable", {})
    marks = numbered(
        text for reasons in unavailable.values() for text in reasons.values()
    )
    cells = {
        TITLES.get(name, name): [
            _cell(name, value, marks.get(unavailable.get(system, {}).get(name), ""))
            for system, value in frame[name].items()
        ]
        for name in frame.columns
    }
    table = pd.DataFrame(cells, index=frame.index).to_markdown(
        disable_numparse=True, colalign=["left"] + ["right"] * len(cells)
    )
    notes = [f"{mark} {reason}" for reason, mark in marks.items()]
    return "\n\n".join([table, UNITS, *notes]) + "\n"


def superscript(number: int) -> str:
    """Return the mark of a note, as "¹"."""
    return str(number).translate(_SUPERSCRIPTS)


def numbered(
    notes: Iterable[str], mark: Callable[[int], str] = superscript
) -> dict[str, str]:
    """Number the distinct notes of a table in order: note -> its mark."""
    distinct = dict.fromkeys(filter(None, notes))
    return {note: mark(number) for number, note in enumerate(distinct, start=1)}


def save_table(frame: pd.DataFrame, path_stem: Path | str) -> list[Path]:
    """Write `<path_stem>.csv` in full precision and `<path_stem>.md`; return both."""
    stem = Path(path_stem)
    table, page = (stem.with_name(stem.name + suffix) for suffix in (".csv", ".md"))
    write_text(table, frame.to_csv(na_rep="n/a"))
    write_text(page, to_markdown(frame))
    return [table, page]


def _cell(name: str, value: float, mark: str) -> str:
    if pd.isna(value):
        return f"n/a{mark}"
    return f"{value:.0f}" if name in COUNTS else f"{100 * value:.1f}"
