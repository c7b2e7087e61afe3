"""What the paper claims (sec. IV), word for word, each sentence put to the test.

`claims.toml` quotes the claims and declares, beforehand, for each a primary comparison,
whose effect is told with its interval, and all comparisons of the sentence, which holds
only if every one bears it out after Holm's correction. What the paper's own printed
numbers, which have no intervals, say of the sentence is told apart from both. A system
that was not run, or that did not learn, decides nothing.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from drcap.evaluation.metrics import SBERT_SIM, Scores
from drcap.evaluation.tables import not_computed, save_table
from drcap.experiments.effects import Question, answer
from drcap.experiments.grid import TABLES, Experiment
from drcap.experiments.results import METRICS, pair_name, title
from drcap.experiments.tables import NONE, side_by_side

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
BETTER, WORSE, EQUAL = "better", "worse", "not told apart"
PRIMARY = ("cider_d", "spider")
LEVEL = 0.05  # of an error, of all comparisons of a claim together
LEGEND = f"""\
Of each claim, the paper's sentence and three verdicts.

- The effect: a row minus another, by a comparison named beforehand, in CIDEr-D (SPIDEr
  beside it), with its 95 % interval over paired clips and, of several seeds, seeds:
  {BETTER} or {WORSE} if the interval excludes zero, else {EQUAL}.
- The sentence: it holds if every comparison that it makes, on every metric that can be
  computed here, bears it out, by Holm's correction at 5 % for all of them; it does not
  hold if one speaks against it. Rows are comparable if they differ by less than a
  width, which is said, or if DRCap is better.
- The paper's own tables: whether every printed number bears the sentence out.

Differences are in points of per cent, ours the mean over seeds. ac and cl are AudioCaps
and Clotho in the paper, and the corpora that stand in for them in ours. {NONE}: not run
here, or not printed."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, what is compared for it, and on which metrics."""

    number: int
    section: str
    quotation: str
    primary: tuple[Question, ...]  # one row against another, on pairs of domains
    effects_on: tuple[str, ...]  # the metrics of the primary comparison
    questions: tuple[Question, ...]
    metrics: tuple[str, ...]


def _pairs(number: str) -> Iterable[tuple[str, str]]:
    return next(known.pairs for known in TABLES.values() if known.number == number)


def _claims() -> Iterator[Claim]:
    text = (resources.files("drcap.experiments") / "claims.toml").read_text("utf-8")
    for number, claim in enumerate(tomllib.loads(text)["claim"], start=1):
        first = claim["primary"]
        rows = first["row"], first["against"]
        primary = [(n, *pair, *rows) for n in first["tables"] for pair in _pairs(n)]
        questions = [
            Question(each["table"], *pair, row, other, each.get("margin", 0.0))
            for each in claim["compare"]
            for row, pair, other in product(
                each["rows"], each.get("pairs", _pairs(each["table"])), each["others"]
            )
        ]
        metrics = claim.get("metrics", PRIMARY)
        yield Claim(
            *(number, claim["section"], claim["quotation"]),
            tuple(Question(*place) for place in primary),
            tuple(first.get("metrics", PRIMARY)),
            tuple(questions),
            tuple(METRICS if metrics == "all" else metrics),
        )


CLAIMS = tuple(_claims())


def primary_effects(results: Mapping[Experiment, Scores]) -> pd.DataFrame:
    """Return the primary comparison of every claim: a row a claim and metric.

    Columns are claim, primary (what is compared), the keys of `effects.answer`, verdict
    and power: of what is not told apart, how many clips and seeds would do.
    """
    lines = []
    for claim in CLAIMS:
        answers = {
            line["metric"]: line for line in answer(*claim.primary, results=results)
        }
        for metric in claim.effects_on:
            line = {"claim": claim.number, **answers[metric]}
            pairs = _listed(pair_name(each.train, each.test) for each in claim.primary)
            line["primary"] = f"{line['row']} minus {line['against']}, mean of {pairs}"
            line |= {"verdict": OPEN, "power": ""}
            if line["low"] <= 0 <= line["high"] and not line["did_not_learn"]:
                line |= {"verdict": EQUAL, "power": _power(line)}
            elif line["seeds"] and not (line["unavailable"] or line["did_not_learn"]):
                line["verdict"] = BETTER if line["low"] > 0 else WORSE
            lines.append(line)
    return pd.DataFrame(lines)


def compare_claims(results: Mapping[Experiment, Scores]) -> pd.DataFrame:
    """Return every comparison of every claim, on every metric.

    Columns are claim, the keys of `effects.answer`, in_sentence (whether the sentence
    is about that metric), p_holm (its p-value by Holm's correction for all comparisons
    of the sentence) and verdict: BETTER, WORSE, EQUAL, or "comparable" where that is
    asked; empty if it was not compared.
    """
    frame = pd.DataFrame(
        {"claim": claim.number, **line, "in_sentence": line["metric"] in claim.metrics}
        for claim in CLAIMS
        for question in claim.questions
        for line in answer(question, results=results)
    )
    asked = frame["in_sentence"] & frame["p_value"].notna()
    groups = frame.loc[asked].groupby("claim")["p_value"]
    frame["p_holm"] = groups.transform(holm)
    p = frame["p_holm"].fillna(frame["p_value"])
    apart = np.where(frame["difference"] > 0, BETTER, WORSE)
    comparable = frame["margin"] > 0
    verdict = np.where(p < LEVEL, np.where(comparable, "comparable", apart), EQUAL)
    verdict = np.where(comparable & (frame["low"] > 0), BETTER, verdict)
    worse = comparable & (frame["high"] < -frame["width"])
    frame["verdict"] = np.where(worse, WORSE, verdict)
    frame.loc[frame["difference"].isna(), "verdict"] = ""
    return frame


def holm(p_values: pd.Series) -> pd.Series:
    """Correct p-values for their number (Holm 1979): any below 5 % is one at 5 %."""
    rising, count = p_values.sort_values(kind="stable"), len(p_values)
    corrected = (rising * np.arange(count, 0, -1)).cummax().clip(upper=1.0)
    return corrected.reindex(p_values.index)


def check_claims(results: Mapping[Experiment, Scores]) -> pd.DataFrame:
    """Return a row a claim: the sentence and its verdicts.

    Columns are claim, section, quotation, primary, effect (in text, of its first
    metric, with its interval), verdict (of the effect), sentence and
    in_the_papers_tables (whether it holds), and note.
    """
    return _judge(primary_effects(results), compare_claims(results))


def save(results: Mapping[Experiment, Scores], folder: Path | str) -> list[Path]:
    """Write `claims.csv`, every comparison in full precision, and `claims.md`."""
    effects, comparisons = primary_effects(results), compare_claims(results)
    page = _to_markdown(effects, comparisons)
    return save_table(comparisons, Path(folder) / "claims", page)


def _judge(effects: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for claim in CLAIMS:
        own = effects[effects["claim"] == claim.number].to_dict("records")
        lines = comparisons[comparisons["claim"] == claim.number]
        lines = lines[lines["in_sentence"]]
        tried = lines[lines["unavailable"] == ""]
        deciding = tried.loc[tried["did_not_learn"] == "", "verdict"]
        complete = len(tried) == len(deciding) > 0
        complete = complete and not deciding.isin([EQUAL, ""]).any()
        paper = (lines["paper_difference"] + lines["paper_width"]).dropna()
        rows.append(
            {
                "claim": claim.number,
                "section": claim.section,
                "quotation": claim.quotation,
                "primary": own[0]["primary"],
                "effect": "; ".join(map(_effect, own)),
                "verdict": own[0]["verdict"],
                "sentence": HOLDS if complete else OPEN,
                "in_the_papers_tables": HOLDS if (paper > 0).all() else FAILS,
                "note": " ".join(_notes(own, lines)),
            }
        )
        if deciding.eq(WORSE).any():
            rows[-1]["sentence"] = FAILS
    return pd.DataFrame(rows)


def _bounded(line: Mapping[str, float]) -> str:
    low, high = line["low"], line["high"]
    return f"{line['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _effect(line: Mapping) -> str:
    name = title(line["metric"])
    if np.isnan(line["difference"]):
        return f"{name} not {'computed' if line['unavailable'] else 'run'}"
    covers = f"clips and {line['seeds']} seeds" if line["seeds"] > 1 else "clips alone"
    return f"{name} {_bounded(line)}, over {covers}"


def _power(line: Mapping) -> str:
    name = title(line["metric"])
    size = f"{line['difference']:+.2f} in {name} in four of five repetitions"
    if line["needed"] is None:
        return f"To show {size}, neither 100,000 clips nor 50 seeds would do."
    clips, seeds = line["needed"]
    unknown = "" if line["seeds"] > 1 else "; how far seeds differ, one does not tell"
    return f"To show {size} takes about {clips:,} clips and {seeds} seeds{unknown}."


def _notes(effects: list[dict], lines: pd.DataFrame) -> Iterator[str]:
    """Yield sentences on what was not run or computed, and what the numbers say."""
    yield from filter(None, (line["power"] for line in effects))
    for line in effects:
        if line["metric"] == SBERT_SIM and line["verdict"] != OPEN:
            yield f"{SBERT_SIM}, which informs but decides nothing: {line['verdict']}."
    for column, text in (
        ("not_run", "Not run"),
        ("did_not_learn", "Did not learn, and decides no claim"),
    ):
        if rows := [row for rows in lines[column] for row in rows.split("; ") if row]:
            yield f"{text}: {_listed(rows)}."
    yield from not_computed(
        (line.metric, line.unavailable)
        for line in lines.itertuples()
        if line.unavailable
    )
    counts = lines.loc[lines["verdict"] != "", "verdict"].value_counts(sort=False)
    if len(counts):
        kinds = _listed(f"{count} {verdict}" for verdict, count in counts.items())
        yield f"Of {counts.sum()} comparisons of the sentence: {kinds}."
    if width := max(lines["margin"]):
        yield f"Comparable: within {width:.0%} of the other's score, or better."
    against = lines[lines["paper_difference"] + lines["paper_width"] <= 0]
    said = "Its least in the paper" if against.empty else "The paper's against it"
    cases = lines.nsmallest(1, "paper_difference") if against.empty else against
    cases = (
        f"{title(line.metric)} {line.paper_difference:+.1f}, {line.row} minus "
        f"{line.against}, {pair_name(line.train, line.test)}"
        for line in cases.itertuples()
    )
    yield f"{said}: {_listed(cases, '; ')}."


def _to_markdown(effects: pd.DataFrame, comparisons: pd.DataFrame) -> str:
    claims = _judge(effects, comparisons)
    columns = ["claim", "effect", "verdict", "sentence", "in_the_papers_tables"]
    headings = ["claim", "effect", "verdict", "the sentence", "the paper's tables"]
    summary = claims[columns].set_axis(headings, axis=1)
    parts = ["# The paper's claims", LEGEND, _table(summary)]
    for claim in claims.itertuples():
        lines = comparisons[comparisons["claim"] == claim.claim]
        parts += [
            f"## Claim {claim.claim}: {claim.verdict}",
            f'> "{claim.quotation}" ({claim.section})',
            f"Effect: {claim.primary}: {claim.effect}.",
            f"The sentence: {claim.sentence}. By the paper's own tables: "
            f"{claim.in_the_papers_tables}. {claim.note}",
            _table(side_by_side(_cells(lines))),
        ]
    return "\n\n".join(parts) + "\n"


def _cells(lines: pd.DataFrame) -> Iterator[tuple]:
    for line in lines.to_dict("records"):
        share = f" ({line['margin']:.0%})" if line["margin"] else ""
        pair = pair_name(line["train"], line["test"])
        names = {"": f"{line['row']} minus {line['against']}{share}, {pair}"}
        ours = NONE if np.isnan(line["difference"]) else _bounded(line)
        printed = line["paper_difference"]
        paper = NONE if np.isnan(printed) else f"{printed:+.1f}"
        ours = "" if line["unavailable"] else ours
        paper = "" if line["metric"] == SBERT_SIM else paper
        counts = {key: line[key] or NONE for key in ("clips", "seeds")}
        yield names, title(line["metric"]), ours, paper, counts


def _listed(texts: Iterable[str], mark: str = ", ") -> str:
    return mark.join(dict.fromkeys(texts))


def _table(frame: pd.DataFrame) -> str:
    return frame.to_markdown(index=False, disable_numparse=True)
