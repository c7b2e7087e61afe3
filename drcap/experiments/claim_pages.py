"""The claims in words and as a Markdown page: verdict, test, and every comparison.

`lines` are those of `compare_claims` that belong to one claim.
"""

from collections.abc import Iterable, Iterator

import pandas as pd

from drcap.experiments.measured import title
from drcap.experiments.table_pages import NONE

LEGEND = (
    "A claim holds if the 95 % interval of every difference lies above zero, by a "
    "bootstrap over paired clips; it does not hold if that of any lies at or below "
    "zero. Anything else is not decided, and so is a claim about a system that was not "
    "run. In the paper's tables, which have no intervals, the printed numbers decide."
    "\n\n"
    "Each cell: our difference [its 95 % interval] (the paper's difference), in points "
    f"of per cent, ours the mean over seeds. {NONE}: not run here; n/a: run, but not "
    "computed here. ac and cl are AudioCaps and Clotho in the paper, and the corpora "
    "that stand in for them in ours."
)


def effect(lines: pd.DataFrame) -> str:
    """Describe the smallest of our CIDEr-D differences; "" if there is none."""
    measured = lines[lines["metric"] == "cider_d"].dropna(subset="difference")
    if measured.empty:
        return ""
    smallest = measured.loc[measured["difference"].idxmin()]
    return f"{_measure(smallest)} {_interval(smallest)}, {_subject(smallest)}"


def notes(lines: pd.DataFrame) -> Iterator[str]:
    """Yield sentences on what was not run or computed, and what the numbers say."""
    missing = lines[lines["not_run"] != ""]
    if len(missing):
        rows = (
            f"{row} ({_listed(map(_domains, of_it.itertuples()))})"
            for row, of_it in missing.groupby("not_run", sort=False)
        )
        yield f"Not run: {_listed(rows, '; ')}."
    made = lines.dropna(subset="difference")
    if len(made):
        above, below = (made["low"] > 0).sum(), (made["high"] <= 0).sum()
        yield f"Of {len(made)} intervals, {above} lie above zero, {below} at or below."
    stand_ins = [
        f"{_measure(line)} by {line.measured_by}"
        for line in made.itertuples()
        if _has_stand_in(line)
    ]
    if stand_ins:
        yield f"Measured by stand-ins: {_listed(stand_ins)}."
    for reason in lines.loc[lines["unavailable"] != "", "unavailable"].unique():
        of_it = lines[lines["unavailable"] == reason].itertuples()
        yield f"Not compared: {_listed(map(_measure, of_it))} ({reason})."
    contrary = lines[lines["paper_difference"] <= 0]
    if len(contrary):
        cases = (
            f"{_measure(line)} {line.paper_difference:+.1f}, {_subject(line)}"
            for line in contrary.itertuples()
        )
        yield f"The paper's numbers against it: {_listed(cases, '; ')}."


def to_markdown(claims: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    """Render `check_claims` and `compare_claims` as one page."""
    verdicts = claims[["claim", "statement", "verdict", "in_the_papers_tables"]]
    columns = ["claim", "statement", "ours", "in the paper's tables"]
    parts = ["# The paper's claims", LEGEND, _table(verdicts.set_axis(columns, axis=1))]
    for claim in claims.itertuples():
        lines = comparisons[comparisons["claim"] == claim.claim]
        parts += [
            f"## Claim {claim.claim}: {claim.verdict}",
            f"{claim.statement} In the paper's tables: {claim.in_the_papers_tables}.",
            f"Test: {claim.test}",
        ]
        if claim.effect:
            parts.append(
                f"Effect: {claim.effect}, the smallest in CIDEr-D. Lowest probability "
                f"that a difference is above zero: {claim.probability:.3f}."
            )
        parts += [claim.note, _table(_cells(lines))]
    return "\n\n".join(filter(None, parts)) + "\n"


def _cells(lines: pd.DataFrame) -> pd.DataFrame:
    """Return a row a question, a column a metric, without rows that hold nothing."""
    headings = {metric: _heading(each) for metric, each in lines.groupby("metric")}
    rows: dict[str, dict[str, str]] = {}
    for line in lines.itertuples():
        row = rows.setdefault(_subject(line), {"": _subject(line)})
        row[headings[line.metric]] = _cell(line)
    for line in lines.itertuples():
        counts = {"clips": line.clips, "seeds": line.seeds}
        rows[_subject(line)] |= {name: str(n or NONE) for name, n in counts.items()}
    filled = [row for row in rows.values() if set(row.values()) != {row[""], NONE}]
    return pd.DataFrame(filled)


def _heading(lines: pd.DataFrame) -> str:
    """Name a metric, and the stand-ins that measure it in ours."""
    stand_ins = [
        line.measured_by
        for line in lines.dropna(subset="difference").itertuples()
        if _has_stand_in(line)
    ]
    ours = f", ours by {_listed(stand_ins)}" if stand_ins else ""
    return _measure(lines.iloc[0]) + ours


def _cell(line) -> str:
    if line.not_run:
        ours = NONE
    else:
        ours = "n/a" if line.unavailable else _interval(line)
    printed = line.paper_difference
    return ours if pd.isna(printed) else f"{ours} ({printed:+.1f})"


def _interval(line) -> str:
    return f"{line.difference:+.2f} [{line.low:+.2f}, {line.high:+.2f}]"


def _measure(line) -> str:
    return " less ".join(title(name) for name in _asked(line))


def _has_stand_in(line) -> bool:
    return line.measured_by != " less ".join(_asked(line))


def _asked(line) -> list[str]:
    return [name for name in (line.gain_on, line.metric) if name]


def _subject(line) -> str:
    share = "" if line.share == 1 else f"{line.share:g} times "
    return f"{line.row} against {share}{line.against}, {_domains(line)}"


def _domains(line) -> str:
    return " to ".join(dict.fromkeys([line.train, line.test]))


def _listed(texts: Iterable[str], mark: str = ", ") -> str:
    return mark.join(dict.fromkeys(texts))


def _table(frame: pd.DataFrame) -> str:
    return frame.to_markdown(index=False, disable_numparse=True)
