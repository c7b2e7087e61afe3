"""What the paper claims (sec. IV), each claim put to the test on our scores.

CLAIMS declares, for each, the comparisons it stands or falls with. A claim holds if the
95 % interval of every difference lies above zero, and does not hold if that of any lies
at or below it; anything else is not decided, and so is a claim about a system that was
not run. No correction is made for the number of comparisons. The same differences of
the paper's printed numbers, which have no interval, say what its own tables support:
there a claim does not hold if a single difference is not above zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from drcap.evaluation.metrics import Scores
from drcap.experiments.claim_pages import effect, notes, to_markdown
from drcap.experiments.comparisons import Question, answer
from drcap.experiments.grid import TABLES, Experiment
from drcap.files import write_text

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
COMPARABLE = 0.8  # the paper calls w/o TD competitive, with 0.83 of DRCap's CIDEr
SUPERVISED = ("Prefix AAC", "RECAP", "EnCLAP-large")
ZERO_SHOT = {"I": ("ZerAuCap", "WSAC", "Zhang et al."), "II": ("WSAC", "Zhang et al.")}


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


def _ablation(row: str, *tables: str) -> tuple[Question, ...]:
    return tuple(each for table in tables for each in _ask(table, "DRCap", row))


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
    Claim(
        3,
        "Without similarity selection DRCap is worse on every metric.",
        "On every metric of Tables III and IV, DRCap is above w/o SS.",
        _ask("III", "DRCap", "w/o SS") + _ask("IV", "DRCap", "w/o SS"),
    ),
    Claim(
        4,
        "Without retrieved captions DRCap is worse on every metric.",
        "On every metric of Tables III and IV, DRCap is above w/o RAG.",
        _ask("III", "DRCap", "w/o RAG") + _ask("IV", "DRCap", "w/o RAG"),
    ),
    Claim(
        5,
        "With a frozen language model, only the mapping trained, DRCap is worse.",
        "On every metric of Tables III and IV, DRCap is above w/o LoRA.",
        _ask("III", "DRCap", "w/o LoRA") + _ask("IV", "DRCap", "w/o LoRA"),
    ),
    Claim(
        6,
        "Without projection-based decoding DRCap is worse by the widest margin.",
        "On every metric of Tables III and IV, w/o PD is below DRCap and below each "
        "other ablation.",
        tuple(
            question
            for table, *rows in (
                ("III", "DRCap", "w/o SS", "w/o RAG", "w/o LoRA"),
                ("IV", "DRCap", "w/o SS", "w/o RAG", "w/o LoRA", "w/o TD"),
            )
            for row in rows
            for question in _ask(table, row, "w/o PD")
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
            for table in ZERO_SHOT
            for question in _ask(
                table, "DRCap", *ZERO_SHOT[table], *SUPERVISED, gain_on="fense"
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
    write_text(page, to_markdown(_judge(comparisons), comparisons))
    return [table, page]


def _judge(comparisons: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for claim in CLAIMS:
        lines = comparisons[comparisons["claim"] == claim.number]
        rows.append(
            {
                "claim": claim.number,
                "statement": claim.statement,
                "test": claim.test,
                "effect": effect(lines),
                "probability": lines["probability"].min(),
                "verdict": _verdict(lines),
                "in_the_papers_tables": _papers_verdict(lines),
                "note": " ".join(notes(lines)),
            }
        )
    return pd.DataFrame(rows)


def _verdict(lines: pd.DataFrame) -> str:
    measured = lines.dropna(subset="difference")
    if measured.empty or (lines["not_run"] != "").any():
        return OPEN
    if (measured["high"] <= 0).any():
        return FAILS
    return HOLDS if (measured["low"] > 0).all() else OPEN


def _papers_verdict(lines: pd.DataFrame) -> str:
    printed = lines["paper_difference"].dropna()
    if printed.empty:
        return OPEN
    return HOLDS if (printed > 0).all() else FAILS
