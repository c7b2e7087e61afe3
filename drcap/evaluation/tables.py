"""Tables of scores (as Tables I and II): one row a system, one column a metric.

A table's numbers are kept in full precision and rounded only where they are shown. As
papers print them, all metrics are in per cent; what could not be computed reads n/a and
carries a footnote with the reason.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from drcap.evaluation.metrics import Scores
from drcap.files import write_text

TITLES = {
    "meteor": "METEOR",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "fense": "FENSE",
    "spice_py": "spice_py",
    "spider_py": "spider_py",
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
    "faulty captions: lower is better. spice_py and spider_py are not comparable with "
    "published SPICE and SPIDEr."
)


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
    """Render a table of `score_table`: rounded, with units and footnoted reasons."""
    notes = _footnotes(frame)
    cells = {
        TITLES.get(name, name): [
            _cell(name, value, notes.get(_reason(frame, system, name), ""))
            for system, value in frame[name].items()
        ]
        for name in frame.columns
    }
    table = pd.DataFrame(cells, index=frame.index).to_markdown(
        disable_numparse=True, colalign=["left"] + ["right"] * len(cells)
    )
    lines = [f"{mark}: {reason}" for reason, mark in notes.items()]
    return "\n".join([table, "", UNITS, *([""] if lines else []), *lines]) + "\n"


def save_table(frame: pd.DataFrame, path_stem: Path | str) -> list[Path]:
    """Write `<path_stem>.csv` in full precision and `<path_stem>.md`; return both."""
    stem = Path(path_stem)
    table, page = (stem.with_name(stem.name + suffix) for suffix in (".csv", ".md"))
    write_text(table, frame.to_csv(na_rep="n/a"))
    write_text(page, to_markdown(frame))
    return [table, page]


def _cell(name: str, value: float, footnote: str) -> str:
    if pd.isna(value):
        return f"n/a{footnote}"
    return f"{value:.0f}" if name in COUNTS else f"{100 * value:.1f}"


def _footnotes(frame: pd.DataFrame) -> dict[str, str]:
    """Number the distinct reasons of a table in order: reason -> Markdown's mark."""
    by_system = frame.attrs.get("unavailable", {}).values()
    reasons = dict.fromkeys(text for each in by_system for text in each.values())
    return {reason: f"[^{number}]" for number, reason in enumerate(reasons, start=1)}


def _reason(frame: pd.DataFrame, system: str, metric: str) -> str | None:
    return frame.attrs.get("unavailable", {}).get(system, {}).get(metric)
