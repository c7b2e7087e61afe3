"""The paper is quoted word for word; our intervals and its printed numbers judge."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from doubles_scores import CLIPS, PAIRS, grid_of, scores_at

from drcap.evaluation import bootstrap
from drcap.evaluation.bootstrap import compare
from drcap.evaluation.metrics import SBERT_SIM, SHUFFLED
from drcap.experiments import claims
from drcap.experiments import results as paper
from drcap.experiments.claims import (
    check_claims,
    compare_claims,
    holm,
    primary_effects,
    save,
)
from drcap.experiments.grid import Experiment, row_experiment, table_experiments

ROOT = Path(__file__).parents[1]
SECTIONS = {"I", "II", "III", "IV", "IV-A", "IV-B"}
SECTIONS |= {f"II-{part}" for part in "ABCD"} | {f"III-{part}" for part in "ABC"}
PAPER = ROOT.parent / "shared" / "paper.md"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 3_000)


def check(number, results):
    return check_claims(results).set_index("claim").loc[number]


def compared(number, results):
    frame = compare_claims(results)
    return frame[frame["claim"] == number]


def seeds_of(levels, seeds=3, **options):
    """A grid of several seeds, whose captioners differ by their noise alone."""
    grids = [grid_of(levels, shift=100 * seed, **options) for seed in range(seeds)]
    return {
        Experiment(**{**vars(run), "seed": seed}): scores
        for seed, grid in enumerate(grids)
        for run, scores in grid.items()
    }


# --- the paper's words ----------------------------------------------------------------


def test_the_eight_claims_are_quoted_with_their_section():
    frame = check_claims({})
    assert frame["claim"].tolist() == list(range(1, 9))
    assert set(frame["section"]) == {"IV-A", "IV-B"} and frame["quotation"].is_unique


@pytest.mark.skipif(not PAPER.exists(), reason="the paper's text is not at hand")
def test_each_quotation_is_in_the_paper_word_for_word():
    text = " ".join(PAPER.read_text(encoding="utf-8").split())
    for claim in claims.CLAIMS:
        assert f"{claim.section}" in text and f'"{claim.quotation}"' in text


def test_notebooks_name_only_sections_of_the_paper_and_quote_its_claims_in_full():
    quoted = " ".join(claim.quotation for claim in claims.CLAIMS)
    named = re.compile(r"(?:[Ss]ection|[Ss]ec\.) ([IVX]+(?:-[A-Z])?)\b")
    words = re.compile(r'"([^"]{25,})"\s+\((?:sec\. )?IV-[AB]\)')
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = " ".join(" ".join("".join(cell["source"]).split()) for cell in cells)
        assert {*named.findall(text)} <= SECTIONS, path.name
        for passage in words.findall(text):
            for part in passage.split(" [...] "):
                assert part in quoted, f"{path.name}: {part}"


@pytest.mark.parametrize(
    "number, table, sections",
    [
        (1, "I", {0.0: ["zero-shot"], 0.2: ["supervised"]}),
        (2, "II", {0.0: ["zero-shot", "supervised"]}),
        (3, "I", {0.0: ["zero-shot", "supervised"]}),
        (3, "II", {0.0: ["zero-shot", "supervised"]}),
    ],
)
def test_the_systems_compared_are_those_of_the_papers_sections(number, table, sections):
    lines = paper.paper_lines().reset_index()
    lines = lines[(lines["table"] == table) & ~lines["system"].str.startswith("DRCap")]
    asked = [
        each for each in claims.CLAIMS[number - 1].questions if each.table == table
    ]
    assert {question.margin for question in asked} == set(sections)
    for margin, names in sections.items():
        others = {question.against for question in asked if question.margin == margin}
        assert others == set(lines["system"][lines["section"].isin(names)])


def test_the_primary_rival_is_the_strongest_of_the_papers_table():
    for number, table in ((1, "I"), (2, "II")):
        claim = claims.CLAIMS[number - 1]
        rivals = {q.against for q in claim.questions if not q.margin}
        lines = paper.paper_lines().reset_index()
        lines = lines[(lines["table"] == table) & lines["system"].isin(rivals)]
        strongest = lines.groupby("system")["cider_d"].mean().idxmax()
        assert {q.against for q in claim.primary} == {strongest}


# --- the effect -----------------------------------------------------------------------


@pytest.mark.parametrize("level, verdict", [(0.1, "better"), (0.3, "worse")])
def test_the_primary_effect_is_the_mean_over_the_pairs_of_domains(level, verdict):
    results = seeds_of({"w/o SS": level})
    line = primary_effects(results).set_index(["claim", "metric"]).loc[4, "cider_d"]
    blocks = [
        [
            100
            * np.array(
                [
                    results[row_experiment(row, *pair, seed)].per_clip["cider_d"]
                    for seed in range(3)
                ]
            )
            for pair in PAIRS.values()
        ]
        for row in ("DRCap", "w/o SS")
    ]
    expected = compare(*blocks)
    assert line["difference"] == pytest.approx(expected.mean)
    assert (line["low"], line["high"]) == pytest.approx((expected.low, expected.high))
    assert (line["verdict"], line["seeds"]) == (verdict, 3)
    assert line["clips"] == CLIPS and line["paper_difference"] == pytest.approx(11.0)
    found = check(4, results)
    assert found["verdict"] == verdict
    assert found["effect"].startswith(f"CIDEr-D {line['difference']:+.2f} [")


def test_one_seed_covers_clips_alone():
    assert "over clips alone" in check(4, grid_of({"w/o SS": 0.1}))["effect"]


def test_what_is_not_told_apart_says_how_many_clips_and_seeds_would_do():
    results = seeds_of({"w/o SS": 0.19}, noise=0.3)
    found = check(4, results)
    assert found["verdict"] == "not told apart"
    said = r"five repetitions(,? neither| takes about [\d,]+ clips and \d+ seeds\.)"
    assert re.search(said, found["note"])
    alone = check(4, grid_of({"w/o SS": 0.19}, noise=0.3))["note"]
    assert "how far seeds differ, one does not tell" in alone


def test_without_fense_the_judge_informs_and_decides_nothing():
    others = {"EnCLAP-large": 0.1, "DRCap": 0.2}
    results = {
        row_experiment(row, train, test): scores_at(level, seed=ord(train[0]))
        for row, level in others.items()
        for train in ("ac", "cl")
        for test in ("ac", "cl")
    }
    found = check(3, results)
    assert found["verdict"] == found["sentence"] == "not decided"
    assert "Not computed: FENSE (needs its files)." in found["note"]
    assert f"{SBERT_SIM}, which informs but decides nothing: better." in found["note"]


def test_a_row_that_did_not_learn_decides_no_claim():
    results = seeds_of({"w/o SS": 0.1})
    for run, scores in results.items():
        shuffled = 0.9 if run.ablation else 0.1
        scores.corpus[SHUFFLED] = shuffled * scores.corpus["cider_d"]
    assert check(4, results)["verdict"] == "better"
    for run, scores in results.items():
        if run.ablation:
            scores.corpus[SHUFFLED] = 0.99 * scores.corpus["cider_d"]
    found = check(4, results)
    assert found["verdict"] == found["sentence"] == "not decided"
    assert "Did not learn, and decides no claim: w/o SS." in found["note"]


# --- the sentence ---------------------------------------------------------------------


@pytest.mark.parametrize("level, held", [(0.1, "holds"), (0.3, "does not hold")])
def test_a_clear_win_holds_and_a_clear_loss_does_not(level, held):
    rows = {4: "w/o SS", 6: "w/o LoRA", 7: "w/o PD"}
    frame = check_claims(seeds_of(dict.fromkeys(rows.values(), level)))
    assert set(frame.set_index("claim").loc[[*rows], "sentence"]) == {held}


def test_one_metric_lost_on_one_pair_is_enough_where_the_sentence_says_all():
    results = grid_of({"w/o RAG": 0.1, "w/o PD": 0.1})
    for row in ("w/o RAG", "w/o PD"):
        lost = results[row_experiment(row, "ac", "cl")]
        lost.per_clip["meteor"], lost.corpus["meteor"] = [0.9] * CLIPS, 0.9
    found = check(5, results)
    assert found["verdict"] == "better" and found["sentence"] == "does not hold"
    assert "Of 8 comparisons of the sentence: 7 better, 1 worse." in found["note"]
    assert check(7, results)["sentence"] == "holds"  # which names no metric


def test_a_metric_that_cannot_be_computed_is_left_out_and_named():
    results = seeds_of({"w/o SS": 0.1}, metrics=("cider_d",))
    found = check(4, results)
    assert (found["verdict"], found["sentence"]) == ("better", "holds")
    assert "Not computed: SPIDEr (needs its files)." in found["note"]
    assert check(5, seeds_of({"w/o RAG": 0.1}))["sentence"] == "holds"


def test_equal_systems_and_systems_that_were_not_run_are_not_decided():
    same = scores_at(0.2)
    results = {
        row_experiment(row, *pair): same
        for pair in PAIRS.values()
        for row in ("DRCap", "w/o SS")
    }
    assert check(4, results)["sentence"] == "not decided"
    del results[row_experiment("w/o SS", "ac", "cl")]
    found = check(4, results)
    assert found["verdict"] == found["sentence"] == "not decided"
    assert "Not run: w/o SS." in found["note"]


@pytest.mark.parametrize(
    "level, verdict",
    [(0.18, "comparable"), (0.3, "better"), (0.0, "worse"), (0.1, "not told apart")],
)
def test_competitive_means_within_a_width_that_is_said_or_better(level, verdict):
    """The others score about 50 per cent: 10 points are a fifth of it."""
    others = ("EnCLAP-large", "Prefix AAC", "RECAP", "WSAC", "Zhang et al.")
    results = seeds_of({"w/o TD": level}, noise=0.1)
    for row in others:
        for seed in range(3):
            run = row_experiment(row, "ac", "cl", seed)
            results[run] = scores_at(0.2, noise=0.1, seed=1_000 + seed)
    lines = compared(8, results)
    lines = lines[(lines["margin"] > 0) & (lines["metric"] == "cider_d")]
    assert set(lines["verdict"]) == {verdict}
    assert lines["width"].to_numpy() == pytest.approx(10, rel=0.1)
    assert "Comparable: within 20% of the other's score" in check(8, results)["note"]


def test_holm_corrects_for_all_comparisons_of_a_claim():
    found = holm(pd.Series([0.01, 0.04, 0.03, 0.005], index=list("abcd")))
    assert found.to_dict() == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    lines = compared(5, grid_of({"w/o RAG": 0.1}))
    asked = lines[lines["in_sentence"] & lines["p_value"].notna()]
    assert len(asked) == 8  # four metrics, two pairs; FENSE is not computed
    assert (asked["p_holm"] >= asked["p_value"]).all()


# --- the paper's own tables -----------------------------------------------------------


def test_without_any_result_only_the_papers_tables_decide():
    frame = check_claims({}).set_index("claim")
    assert set(frame["verdict"]) == set(frame["sentence"]) == {"not decided"}
    borne_out = frame["in_the_papers_tables"] == "holds"
    assert {*frame.index[~borne_out]} == {2, 5}
    assert "METEOR -0.7, DRCap minus RECAP, ac to cl" in frame.loc[2, "note"]
    said = "The paper's against it: SPICE -0.4, DRCap minus w/o RAG, ac."
    assert frame.loc[5, "note"].endswith(said)


def test_a_row_of_another_table_keeps_its_printed_numbers():
    lines = compared(8, {})
    line = lines[(lines["against"] == "RECAP") & (lines["metric"] == "cider_d")].iloc[0]
    assert line["paper_difference"] == pytest.approx(27.5 - 33.1)
    assert line["paper_width"] == pytest.approx(0.2 * 33.1)


# --- files ----------------------------------------------------------------------------


def test_the_same_results_give_the_same_files_in_any_order(tmp_path):
    results = seeds_of({"w/o SS": 0.19}, noise=0.1)
    backwards = dict(reversed(results.items()))
    first = save(results, tmp_path / "one")
    second = save(backwards, tmp_path / "two")
    assert [path.name for path in first] == ["claims.csv", "claims.md"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_the_page_shows_quotations_verdicts_and_differences(tmp_path):
    results = grid_of({"w/o SS": 0.1, "w/o RAG": 0.3})
    text = save(results, tmp_path)[1].read_text(encoding="utf-8")
    assert "## Claim 4: better" in text and "## Claim 5: worse" in text
    for claim in claims.CLAIMS:
        assert f'> "{claim.quotation}" ({claim.section})' in text
    lines = compared(4, results)
    first = lines[lines["metric"] == "cider_d"].iloc[0]
    shown = f"{first['difference']:+.2f} [{first['low']:+.2f}, {first['high']:+.2f}]"
    row = next(line for line in text.splitlines() if shown in line)
    assert re.search(rf"{re.escape(shown)} +\| \+11\.0", row)


def test_all_systems_of_the_grid_are_judged():
    results = {run: scores_at(0.2) for run in table_experiments()}
    assert (primary_effects(results)["clips"] == CLIPS).sum() > 12
    assert not any("Not run" in note for note in check_claims(results)["note"])
