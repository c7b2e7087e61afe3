"""A table of experiments as Markdown and as LaTeX: ours (the paper's), rounded."""

from collections.abc import Callable, Iterator, Mapping

import pandas as pd

from drcap.evaluation.tables import UNITS
from drcap.experiments.grid import SYSTEMS, TABLES, Table
from drcap.experiments.measured import STAND_INS, title
from drcap.experiments.paper import METRICS

NONE = "–"
NAMES = ("setting", "system")  # columns of text, the others hold numbers
WITH_COSTS = ("I", "II", "S")
REMARKS = {  # row -> what ours is
    "DRCap_LAION": f"{SYSTEMS['drcap_seen']}.",
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


def to_markdown(frame: pd.DataFrame) -> str:
    """Render a `result_table`: a block a pair of domains, then the footnotes."""
    number = frame["table"].iloc[0]  # makes the marks of several tables distinct
    marks = {
        note: f"[^{number}-{index}]" for index, note in enumerate(_notes(frame), 1)
    }
    parts = [" ".join(_legend(frame))]
    for heading, block in _blocks(frame, marks):
        align = ["left" if name in NAMES else "right" for name in block]
        table = block.to_markdown(index=False, disable_numparse=True, colalign=align)
        parts += [f"**{heading}**", table]
    if marks:
        parts.append("\n".join(f"{mark}: {note}" for note, mark in marks.items()))
    return "\n\n".join(parts) + "\n"


def to_latex(frame: pd.DataFrame) -> str:
    """Render a `result_table` as a floating table; it needs the package booktabs."""
    number = frame["table"].iloc[0]
    marks = {note: f"$^{{{index}}}$" for index, note in enumerate(_notes(frame), 1)}
    notes = [_escape(" ".join(_legend(frame)))]
    notes += [f"{mark} {_escape(note)}" for note, mark in marks.items()]
    table = next(table for table in TABLES.values() if table.number == number)
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{_escape(_caption(table, _printed(frame)))}}}",
            rf"\label{{tab:drcap-{number}}}",
            r"\footnotesize\setlength{\tabcolsep}{3pt}",
            *_tabular(frame, marks),
            *(rf"\par\smallskip {note}" for note in notes),
            r"\end{table*}",
            "",
        ]
    )


def _caption(table: Table, printed: bool) -> str:
    paper = f": ours (the paper's Table {table.number})" if printed else ""
    return f"{table.title}{paper}."


def _tabular(frame: pd.DataFrame, marks: Mapping[str, str]) -> Iterator[str]:
    blocks = list(_blocks(frame, marks, _escape))
    columns = list(blocks[0][1])
    align = "".join("l" if name in NAMES else "r" for name in columns)
    yield rf"\begin{{tabular}}{{{align}}}"
    yield r"\toprule"
    yield " & ".join(map(_escape, columns)) + r" \\"
    for heading, block in blocks:
        yield r"\midrule"
        yield rf"\multicolumn{{{len(columns)}}}{{l}}{{{_escape(heading)}}} \\"
        for cells in block.itertuples(index=False, name=None):
            yield " & ".join(cells) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _blocks(
    frame: pd.DataFrame,
    marks: Mapping[str, str],
    escape: Callable[[str], str] = str,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield a heading and a table of text for each pair of domains.

    escape : makes text safe for the format; it leaves marks alone
    """
    several = frame["section"].nunique() > 1
    for _, lines in frame.groupby(["train", "test"], sort=False):
        first = lines.iloc[0]
        rows = [
            {
                **({"setting": escape(row["section"].iloc[0])} if several else {}),
                "system": escape(system),
                **{
                    title(line.metric): _cell(line, marks, escape)
                    for line in row.itertuples()
                },
                **{
                    name: escape(_count(row[name].iloc[0]))
                    for name in ("clips", "seeds")
                },
            }
            for system, row in lines.groupby("system", sort=False)
        ]
        heading = f"Ours: {first.ours_on}; the paper: {first.paper_on}"
        yield heading if _printed(frame) else first.ours_on, pd.DataFrame(rows)


def _printed(frame: pd.DataFrame) -> bool:
    """Tell whether the paper has numbers for the table."""
    return bool(frame["paper"].notna().any())


def _cell(line, marks: Mapping[str, str], escape: Callable[[str], str]) -> str:
    if not line.seeds:
        ours = escape(NONE)
    elif pd.isna(line.ours):
        ours = "n/a" + marks[line.unavailable]
    else:
        ours = f"{line.ours:.1f}"
    if pd.isna(line.paper):
        return ours
    return f"{ours} ({line.paper:.1f}{marks.get(_recomputed(line), '')})"


def _count(value: int) -> str:
    return str(value) if value else NONE


def _notes(frame: pd.DataFrame) -> list[str]:
    """Return the distinct footnotes of a table, in the order of its cells."""
    texts = [
        text
        for line in frame.itertuples()
        for text in (line.unavailable, _recomputed(line))
    ]
    return list(dict.fromkeys(filter(None, texts)))


def _recomputed(line) -> str:
    if pd.isna(line.recomputed):
        return ""
    return (
        f"As printed; the mean of {line.system}'s CIDEr and SPICE on {line.paper_on} "
        f"is {line.recomputed:.2f}."
    )


def _legend(frame: pd.DataFrame) -> Iterator[str]:
    yield "Each cell: ours (the paper's)." if _printed(frame) else "Ours alone."
    yield UNITS
    yield "Ours is the mean over the seeds, on the clips counted in the row;"
    yield "95 % intervals over clips are in the CSV file of the same name."
    yield f"{NONE}: not run here; n/a: run, but not computed here."
    for metric, stand_in in STAND_INS.items():
        if stand_in in set(frame["metric"]):
            yield f"{title(stand_in)} stands in for {METRICS[metric]}: another scale."
    if frame["table"].iloc[0] in WITH_COSTS:
        yield "What each row costs to train and to run is in costs.md."
    for row, remark in REMARKS.items():
        if row in set(frame["system"]):
            yield f"Our {row}: {remark}"


def _escape(text: str) -> str:
    return text.translate(ESCAPES)
