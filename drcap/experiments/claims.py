"""What the paper claims (sec. IV), each claim put to the test on our scores.

`claims.toml` declares, for each, the comparisons it stands or falls with. A claim holds
if the 95 % interval of every difference lies above zero, and does not hold if that of
any lies at or below it; anything else is not decided, and so is a claim about a system
that was not run. No correction is made for the number of comparisons. The same
differences of the paper's printed numbers, which have no interval, say what its own
tables support: there a claim does not hold if a single difference is not above zero.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import chain, product
from pathlib import Path

import pandas as pd

from drcap.atomic import write_text
from drcap.evaluation.metrics import Scores
from drcap.experiments.effects import Question, answer
from drcap.experiments.grid import TABLES, Experiment
from drcap.experiments.results import pair_name, title
from drcap.experiments.tables import NONE

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
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


@dataclass(frozen=True)
class Claim:
    """A claim in our words, the rule that decides it and what is compared for it."""

    number: int
    statement: str
    test: str
    questions: tuple[Question, ...]


def _questions(compared: dict) -> Iterator[Question]:
    table, rows, others = (compared.pop(key) for key in ("table", "rows", "others"))
    [pairs] = [known.pairs for known in TABLES.values() if known.number == table]
    for row, pair, against in product(rows, pairs, others):
        yield Question(table, *pair, row, against, **compared)


def _claims() -> Iterator[Claim]:
    text = (resources.files("drcap.experiments") / "claims.toml").read_text("utf-8")
    for number, claim in enumerate(tomllib.loads(text)["claim"], start=1):
        questions = tuple(chain.from_iterable(map(_questions, claim["compare"])))
        yield Claim(number, claim["statement"], claim["test"], questions)


CLAIMS = tuple(_claims())


def compare_claims(results: Mapping[Experiment, Scores]) -> pd.DataFrame:
    """Return every comparison of every claim: `claim`, then the keys of `answer`."""
    return pd.DataFrame(
        {"claim": claim.number, **line}
        for claim in CLAIMS
        for question in claim.questions
        for line in answer(question, results)
    )


def check_claims(results: Mapping[Experiment, Scores]) -> pd.DataFrame:
    """Return a row a claim: its test, its verdict, and that of the paper's tables.

    Columns are claim, statement, test, effect (the smallest difference in CIDEr-D, in
    points of per cent, with its interval), probability (the lowest of all comparisons,
    that its difference is above zero), verdict, in_the_papers_tables and note: what was
    not run, what a stand-in measured, which printed numbers speak against the claim.
    """
    return _judge(_described(compare_claims(results)))


def save(results: Mapping[Experiment, Scores], folder: Path | str) -> list[Path]:
    """Write `claims.csv`, every comparison in full precision, and `claims.md`."""
    comparisons = compare_claims(results)
    table, page = Path(folder) / "claims.csv", Path(folder) / "claims.md"
    write_text(table, comparisons.to_csv(index=False, na_rep="n/a"))
    write_text(page, _to_markdown(_described(comparisons)))
    return [table, page]


def _described(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Add what the page calls a comparison: its metric, rows, stand-in and interval."""
    texts = []
    for line in comparisons.itertuples():
        metrics = [name for name in (line.gain_on, line.metric) if name]
        measured = line.measured_by != " less ".join(metrics)
        pair = pair_name(line.train, line.test)
        share = "" if line.share == 1 else f"{line.share:g} times "
        subject = f"{line.row} against {share}{line.against}, {pair}"
        bounds = f"{line.difference:+.2f} [{line.low:+.2f}, {line.high:+.2f}]"
        measure = " less ".join(map(title, metrics))
        stand_in = line.measured_by if measured else ""
        texts.append((pair, subject, measure, stand_in, bounds))
    columns = ["pair", "subject", "measure", "stand_in", "interval"]
    return comparisons.join(pd.DataFrame(texts, comparisons.index, columns))


def _judge(comparisons: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for claim in CLAIMS:
        lines = comparisons[comparisons["claim"] == claim.number]
        measured = lines.dropna(subset="difference")
        printed = lines["paper_difference"].dropna()
        verdict = _verdict(measured["low"], measured["high"])
        effect, cider = "", measured[measured["metric"] == "cider_d"]
        if len(cider):
            least = cider.loc[cider["difference"].idxmin()]
            effect = f"{least['measure']} {least['interval']}, {least['subject']}"
        rows.append(
            {
                "claim": claim.number,
                "statement": claim.statement,
                "test": claim.test,
                "effect": effect,
                "probability": lines["probability"].min(),
                "verdict": OPEN if any(lines["not_run"]) else verdict,
                "in_the_papers_tables": _verdict(printed, printed),
                "note": " ".join(_notes(lines)),
            }
        )
    return pd.DataFrame(rows)


def _verdict(low: pd.Series, high: pd.Series) -> str:
    if (high <= 0).any():
        return FAILS
    return HOLDS if len(low) and (low > 0).all() else OPEN


def _notes(lines: pd.DataFrame) -> Iterator[str]:
    """Yield sentences on what was not run or computed, and what the numbers say."""
    missing = lines[lines["not_run"] != ""].groupby("not_run", sort=False)
    if rows := [f"{row} ({_listed(pairs)})" for row, pairs in missing["pair"]]:
        yield f"Not run: {_listed(rows, '; ')}."
    made = lines.dropna(subset="difference")
    if len(made):
        above, below = (made["low"] > 0).sum(), (made["high"] <= 0).sum()
        yield f"Of {len(made)} intervals, {above} lie above zero, {below} at or below."
    replaced = made[made["stand_in"] != ""]
    if len(replaced):
        by = replaced["measure"] + " by " + replaced["stand_in"]
        yield f"Measured by stand-ins: {_listed(by)}."
    lacking = lines[lines["unavailable"] != ""].groupby("unavailable", sort=False)
    for reason, measures in lacking["measure"]:
        yield f"Not compared: {_listed(measures)} ({reason})."
    contrary = lines[lines["paper_difference"] <= 0]
    if len(contrary):
        points = contrary["paper_difference"].map(" {:+.1f}, ".format)
        cases = contrary["measure"] + points + contrary["subject"]
        yield f"The paper's numbers against it: {_listed(cases, '; ')}."


def _to_markdown(comparisons: pd.DataFrame) -> str:
    claims = _judge(comparisons)
    verdicts = claims[["claim", "statement", "verdict", "in_the_papers_tables"]]
    columns = ["claim", "statement", "ours", "in the paper's tables"]
    parts = ["# The paper's claims", LEGEND, _table(verdicts.set_axis(columns, axis=1))]
    for claim in claims.itertuples():
        parts.append(f"## Claim {claim.claim}: {claim.verdict}")
        paper = f"In the paper's tables: {claim.in_the_papers_tables}."
        parts += [f"{claim.statement} {paper}", f"Test: {claim.test}"]
        if claim.effect:
            parts.append(
                f"Effect: {claim.effect}, the smallest in CIDEr-D. Lowest probability "
                f"that a difference is above zero: {claim.probability:.3f}."
            )
        lines = comparisons[comparisons["claim"] == claim.claim]
        parts += [claim.note, _table(_cells(lines))]
    return "\n\n".join(filter(None, parts)) + "\n"


def _cells(lines: pd.DataFrame) -> pd.DataFrame:
    """Return a row a question, a column a metric, without rows that hold nothing."""
    texts, counts = [], ["clips", "seeds"]
    for line in lines.itertuples():
        ours = NONE if line.not_run else "n/a" if line.unavailable else line.interval
        paper = line.paper_difference
        texts.append(ours if pd.isna(paper) else f"{ours} ({paper:+.1f})")
    headings = {}
    for measure, group in lines.groupby("measure"):
        used = _listed(filter(None, group.dropna(subset="difference")["stand_in"]))
        headings[measure] = f"{measure}, ours by {used}" if used else measure
    lines = lines.assign(text=texts, heading=lines["measure"].map(headings))
    lines[counts] = lines[counts].astype(str).replace("0", NONE)
    index = ["subject", *counts]
    cells = lines.pivot_table("text", index, "heading", aggfunc="first", sort=False)
    shown = cells[(cells != NONE).any(axis=1)].reset_index(counts)
    columns = [*cells.columns, *counts]
    return shown[columns].rename_axis(None, axis=1).rename_axis("").reset_index()


def _listed(texts: Iterable[str], mark: str = ", ") -> str:
    return mark.join(dict.fromkeys(texts))


def _table(frame: pd.DataFrame) -> str:
    return frame.to_markdown(index=False, disable_numparse=True)
