"""What the paper claims (sec. IV), each claim put to the test on our scores.

CLAIMS declares, for each, the comparisons it stands or falls with. A claim holds if the
95 % interval of every difference lies above zero, and does not hold if that of any lies
at or below it; anything else is not decided, and so is a claim about a system that was
not run. No correction is made for the number of comparisons. The same differences of
the paper's printed numbers, which have no interval, say what its own tables support:
there a claim does not hold if a single difference is not above zero.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from drcap.atomic import write_text
from drcap.evaluation.metrics import Scores
from drcap.experiments.effects import Question, answer
from drcap.experiments.grid import TABLES, Experiment
from drcap.experiments.measured import pair_name, title
from drcap.experiments.tables import NONE

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
COMPARABLE = 0.8  # the paper calls w/o TD competitive, with 0.83 of DRCap's CIDEr
SUPERVISED = ("Prefix AAC", "RECAP", "EnCLAP-large")
ZERO_SHOT = {"I": ("ZerAuCap", "WSAC", "Zhang et al."), "II": ("WSAC", "Zhang et al.")}
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


def _ask(table: str, row: str, *others: str, **options) -> tuple[Question, ...]:
    """Ask about a row against others, on every pair of domains of a table."""
    pairs = next(each.pairs for each in TABLES.values() if each.number == table)
    return tuple(
        Question(table, *pair, row, against, **options)
        for pair in pairs
        for against in others
    )


def _ablation(number: int, statement: str, row: str) -> Claim:
    test = f"On every metric of Tables III and IV, DRCap is above {row}."
    questions = _ask("III", "DRCap", row) + _ask("IV", "DRCap", row)
    return Claim(number, statement, test, questions)


CLAIMS = (
    Claim(
        1,
        "In-domain, DRCap is better than every zero-shot system and comparable to the "
        "supervised ones.",
        "On every metric of Table I, DRCap is above each zero-shot system, and above "
        f"{COMPARABLE} times the score of each supervised one.",
        _ask("I", "DRCap", *ZERO_SHOT["I"])
        + _ask("I", "DRCap", *SUPERVISED, share=COMPARABLE),
    ),
    Claim(
        2,
        "Cross-domain, DRCap is better than every zero-shot system, both ways.",
        "On every metric of Table II, DRCap is above each zero-shot system.",
        _ask("II", "DRCap", *ZERO_SHOT["II"]),
    ),
    _ablation(
        3, "Without similarity selection DRCap is worse on every metric.", "w/o SS"
    ),
    _ablation(
        4, "Without retrieved captions DRCap is worse on every metric.", "w/o RAG"
    ),
    _ablation(
        5,
        "With a frozen language model, only the mapping trained, DRCap is worse.",
        "w/o LoRA",
    ),
    Claim(
        6,
        "Without projection-based decoding DRCap is worse by the widest margin.",
        "On every metric of Tables III and IV, w/o PD is below DRCap and below each "
        "other ablation.",
        tuple(
            question
            for table in TABLES.values()
            if table.number in ("III", "IV")
            for row in table.rows
            if row != "w/o PD"
            for question in _ask(table.number, row, "w/o PD")
        ),
    ),
    Claim(
        7,
        "Without target-domain text DRCap is worse cross-domain, yet competitive.",
        "On every metric of Table IV, DRCap is above w/o TD, and w/o TD is above "
        f"{COMPARABLE} times DRCap's score.",
        _ask("IV", "DRCap", "w/o TD") + _ask("IV", "w/o TD", "DRCap", share=COMPARABLE),
    ),
    Claim(
        8,
        "FENSE is the metric on which DRCap gains most over other systems.",
        "In Tables I and II, the points that DRCap gains over each other system are "
        "more on FENSE than on each other metric.",
        tuple(
            question
            for table, zero_shot in ZERO_SHOT.items()
            for question in _ask(
                table, "DRCap", *zero_shot, *SUPERVISED, gain_on="fense"
            )
        ),
    ),
)


def compare_claims(
    results: Mapping[Experiment, Scores], *, seed: int = 0
) -> pd.DataFrame:
    """Return every comparison of every claim: `claim`, then the keys of `answer`."""
    return pd.DataFrame(
        {"claim": claim.number, **line}
        for claim in CLAIMS
        for question in claim.questions
        for line in answer(question, results, seed=seed)
    )


def check_claims(
    results: Mapping[Experiment, Scores], *, seed: int = 0
) -> pd.DataFrame:
    """Return a row a claim: its test, its verdict, and that of the paper's tables.

    Columns are claim, statement, test, effect (the smallest difference in CIDEr-D, in
    points of per cent, with its interval), probability (the lowest of all comparisons,
    that its difference is above zero), verdict, in_the_papers_tables and note: what was
    not run, what a stand-in measured, which printed numbers speak against the claim.
    """
    return _judge(compare_claims(results, seed=seed))


def save(results: Mapping[Experiment, Scores], folder: Path | str) -> list[Path]:
    """Write `claims.csv`, every comparison in full precision, and `claims.md`."""
    comparisons = compare_claims(results)
    table, page = Path(folder) / "claims.csv", Path(folder) / "claims.md"
    write_text(table, comparisons.to_csv(index=False, na_rep="n/a"))
    write_text(page, _to_markdown(_judge(comparisons), comparisons))
    return [table, page]


def _judge(comparisons: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for claim in CLAIMS:
        lines = _described(comparisons[comparisons["claim"] == claim.number])
        measured = lines.dropna(subset="difference")
        printed = lines["paper_difference"].dropna()
        verdict = _verdict(measured["low"], measured["high"])
        rows.append(
            {
                "claim": claim.number,
                "statement": claim.statement,
                "test": claim.test,
                "effect": _effect(measured),
                "probability": lines["probability"].min(),
                "verdict": verdict if not any(lines["not_run"]) else OPEN,
                "in_the_papers_tables": _verdict(printed, printed),
                "note": " ".join(_notes(lines)),
            }
        )
    return pd.DataFrame(rows)


def _verdict(low: pd.Series, high: pd.Series) -> str:
    if low.empty:
        return OPEN
    if (high <= 0).any():
        return FAILS
    return HOLDS if (low > 0).all() else OPEN


def _described(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Add what the page calls a comparison: its metric, rows, stand-in and interval."""
    texts = []
    for line in comparisons.itertuples():
        metrics = [name for name in (line.gain_on, line.metric) if name]
        has_stand_in = line.measured_by != " less ".join(metrics)
        pair = pair_name(line.train, line.test)
        share = "" if line.share == 1 else f"{line.share:g} times "
        bounds = f"[{line.low:+.2f}, {line.high:+.2f}]"
        texts.append(
            {
                "pair": pair,
                "subject": f"{line.row} against {share}{line.against}, {pair}",
                "measure": " less ".join(map(title, metrics)),
                "stand_in": line.measured_by if has_stand_in else "",
                "interval": f"{line.difference:+.2f} {bounds}",
            }
        )
    return comparisons.join(pd.DataFrame(texts, index=comparisons.index))


def _effect(measured: pd.DataFrame) -> str:
    """Describe the smallest of our CIDEr-D differences; "" if there is none."""
    measured = measured[measured["metric"] == "cider_d"]
    if measured.empty:
        return ""
    smallest = measured.loc[measured["difference"].idxmin()]
    return f"{smallest['measure']} {smallest['interval']}, {smallest['subject']}"


def _notes(lines: pd.DataFrame) -> Iterator[str]:
    """Yield sentences on what was not run or computed, and what the numbers say."""
    missing = lines[lines["not_run"] != ""].groupby("not_run", sort=False)
    if rows := [f"{row} ({_listed(group['pair'])})" for row, group in missing]:
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
    for reason, group in lacking:
        yield f"Not compared: {_listed(group['measure'])} ({reason})."
    contrary = lines[lines["paper_difference"] <= 0].itertuples()
    if cases := [
        f"{line.measure} {line.paper_difference:+.1f}, {line.subject}"
        for line in contrary
    ]:
        yield f"The paper's numbers against it: {_listed(cases, '; ')}."


def _to_markdown(claims: pd.DataFrame, comparisons: pd.DataFrame) -> str:
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
        parts += [claim.note, _table(_cells(_described(lines)))]
    return "\n\n".join(filter(None, parts)) + "\n"


def _cells(lines: pd.DataFrame) -> pd.DataFrame:
    """Return a row a question, a column a metric, without rows that hold nothing."""
    headings = {}
    for metric, group in lines.groupby("metric"):
        stand_ins = _listed(filter(None, group.dropna(subset="difference")["stand_in"]))
        ours = f", ours by {stand_ins}" if stand_ins else ""
        headings[metric] = group["measure"].iloc[0] + ours
    rows: dict[str, dict[str, str]] = {}
    for line in lines.itertuples():
        ours = NONE if line.not_run else "n/a" if line.unavailable else line.interval
        if pd.notna(line.paper_difference):
            ours += f" ({line.paper_difference:+.1f})"
        row = rows.setdefault(line.subject, {"": line.subject})
        row[headings[line.metric]] = ours
    for line in lines.itertuples():
        counts = {"clips": line.clips, "seeds": line.seeds}
        rows[line.subject] |= {name: str(n or NONE) for name, n in counts.items()}
    filled = [row for row in rows.values() if set(row.values()) != {row[""], NONE}]
    return pd.DataFrame(filled)


def _listed(texts: Iterable[str], mark: str = ", ") -> str:
    return mark.join(dict.fromkeys(texts))


def _table(frame: pd.DataFrame) -> str:
    return frame.to_markdown(index=False, disable_numparse=True)
