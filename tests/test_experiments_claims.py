"""Our intervals decide a claim, and the paper's numbers what its tables support."""

import numpy as np
import pandas as pd
import pytest
from doubles_scores import CLIPS, METRICS, PAIRS, grid_of, scores_at

from drcap.evaluation import bootstrap
from drcap.evaluation.metrics import SBERT_SIM, Scores
from drcap.experiments import claims
from drcap.experiments import results as paper
from drcap.experiments.claims import check_claims, compare_claims, save
from drcap.experiments.grid import ABLATIONS, Experiment, row_experiment

MINUS = tuple(name for name in ABLATIONS if name.startswith("w/o"))


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 1_000)


def check(number, results):
    return check_claims(results).set_index("claim").loc[number]


def compared(number, results):
    frame = compare_claims(results)
    return frame[frame["claim"] == number]


def test_the_eight_claims_are_stated_and_tested_in_words():
    frame = check_claims({})
    assert frame["claim"].tolist() == list(range(1, 9))
    assert frame["test"].str.startswith(("On every metric", "In Tables I and II")).all()
    assert frame["statement"].is_unique


@pytest.mark.parametrize(
    "number, table, sections",
    [
        (1, "I", {1.0: ["zero-shot"], 0.8: ["supervised"]}),
        (2, "II", {1.0: ["zero-shot"]}),
        (8, "I", {1.0: ["zero-shot", "supervised"]}),
        (8, "II", {1.0: ["zero-shot", "supervised"]}),
    ],
)
def test_the_systems_compared_are_those_of_the_papers_sections(number, table, sections):
    lines = paper.paper_lines().reset_index()
    lines = lines[(lines["table"] == table) & ~lines["system"].str.startswith("DRCap")]
    asked = [
        each for each in claims.CLAIMS[number - 1].questions if each.table == table
    ]
    assert {question.share for question in asked} == set(sections)
    for share, names in sections.items():
        others = {question.against for question in asked if question.share == share}
        assert others == set(lines["system"][lines["section"].isin(names)])


@pytest.mark.parametrize(
    "level, verdict, probability", [(0.1, "holds", 1.0), (0.3, "does not hold", 0.0)]
)
def test_a_clear_win_holds_and_a_clear_loss_does_not(level, verdict, probability):
    rows = {3: "w/o SS", 4: "w/o RAG", 5: "w/o LoRA"}
    results = grid_of(dict.fromkeys(rows.values(), level))
    frame = check_claims(results).set_index("claim")
    for number in rows:
        assert frame.loc[number, "verdict"] == verdict
        assert frame.loc[number, "probability"] == probability


def test_one_metric_lost_on_one_pair_of_domains_is_enough():
    results = grid_of({"w/o SS": 0.1})
    lost = results[row_experiment("w/o SS", "ac", "cl")]
    lost.per_clip["meteor"] = [0.9] * CLIPS
    lost.corpus["meteor"] = 0.9
    assert check(3, results)["verdict"] == "does not hold"
    note = check(3, results)["note"]
    assert "Of 10 intervals, 9 lie above zero, 1 at or below." in note


def test_equal_systems_are_not_better():
    same = scores_at(0.2)
    results = {
        row_experiment(row, *pair): same
        for pair in PAIRS.values()
        for row in ("DRCap", "w/o RAG")
    }
    assert check(4, results)["verdict"] == "does not hold"


def test_noise_is_not_decided():
    found = check(3, grid_of({"w/o SS": 0.2}, noise=0.3))
    lines = compared(3, grid_of({"w/o SS": 0.2}, noise=0.3))
    assert ((lines["low"] < 0) & (lines["high"] > 0)).all()
    assert found["verdict"] == "not decided"
    assert 0 < found["probability"] < 0.5


def test_a_system_that_was_not_run_leaves_the_claim_open_and_is_named():
    results = grid_of({"w/o SS": 0.1})
    del results[row_experiment("w/o SS", "ac", "cl")]
    found = check(3, results)
    assert found["verdict"] == "not decided"
    assert found["note"].startswith("Not run: w/o SS (ac to cl).")
    assert "Of 5 intervals, 5 lie above zero" in found["note"]
    assert "against w/o SS, ac" in found["effect"]


def test_claims_about_the_baselines_are_open_but_show_what_the_paper_has():
    results = {
        Experiment(*pair): scores_at(0.2) for pair in (("ac", "ac"), ("cl", "cl"))
    }
    found = check(1, results)
    assert (found["verdict"], found["effect"]) == ("not decided", "")
    assert "WSAC (cl, ac)" in found["note"]
    lines = compared(1, results)
    assert lines["difference"].isna().all()
    assert lines["paper_difference"].notna().sum() > 40


def test_a_difference_is_that_of_the_clips_of_both():
    results = grid_of({"w/o SS": 0.1})
    lines = compared(3, results)
    row = lines[(lines["test"] == "cl") & (lines["metric"] == "cider_d")].iloc[0]
    ours, theirs = (
        100 * np.array(results[row_experiment(name, "ac", "cl")].per_clip["cider_d"])
        for name in ("DRCap", "w/o SS")
    )
    differences = ours - theirs
    reach = 1.96 * differences.std() / CLIPS**0.5
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["low"] == pytest.approx(differences.mean() - reach, abs=0.15 * reach)
    assert row["high"] == pytest.approx(differences.mean() + reach, abs=0.15 * reach)
    assert row["paper_difference"] == 11.0
    assert (row["clips"], row["seeds"]) == (CLIPS, 1)


def test_the_corpus_score_counts_where_it_is_not_the_mean_over_clips():
    results = grid_of({"w/o SS": 0.1})
    for row, corpus in (("DRCap", 0.4), ("w/o SS", 0.5)):
        results[row_experiment(row, "ac", "ac")].corpus["meteor"] = corpus
    lines = compared(3, results)
    meteor = lines[lines["metric"] == "meteor"].set_index("test")
    assert meteor.loc["ac", "difference"] == pytest.approx(-10)
    assert meteor.loc["ac", "low"] < -10 < meteor.loc["ac", "high"] < 0
    assert check(3, results)["verdict"] == "does not hold"


def test_seeds_are_averaged_and_counted():
    results = grid_of({"w/o SS": 0.1})
    for seed, level in ((1, 0.3), (2, 0.4)):
        results[Experiment("ac", "ac", seed=seed)] = scores_at(level, seed=seed)
    lines = compared(3, results)
    row = lines[(lines["test"] == "ac") & (lines["metric"] == "cider_d")].iloc[0]
    drcap = [results[Experiment(seed=seed)].corpus["cider_d"] for seed in range(3)]
    other = results[row_experiment("w/o SS", "ac", "ac")].corpus["cider_d"]
    assert row["difference"] == pytest.approx(100 * (np.mean(drcap) - other))
    assert row["seeds"] == 1


def test_the_effect_is_the_smallest_difference_in_cider_d():
    lines = compared(3, grid_of({"w/o SS": 0.1}))
    lines = lines[lines["metric"] == "cider_d"]
    smallest = lines.loc[lines["difference"].idxmin()]
    effect = check(3, grid_of({"w/o SS": 0.1}))["effect"]
    assert effect.startswith(f"CIDEr-D {smallest['difference']:+.2f} [")
    assert f"[{smallest['low']:+.2f}, {smallest['high']:+.2f}]" in effect


def test_the_stand_in_is_named_where_it_measures():
    results = grid_of({"w/o SS": 0.1})
    by = compared(3, results).set_index("metric")["measured_by"].to_dict()
    assert by == dict(zip(paper.METRICS, METRICS, strict=True))
    note = check(3, results)["note"]
    assert f"Measured by stand-ins: FENSE by {SBERT_SIM}." in note


def test_fense_itself_is_preferred_to_its_stand_in_where_both_rows_have_it():
    full = {"metrics": (*METRICS, "fense")}
    results = grid_of({"w/o SS": 0.1}, **full)
    lines = compared(3, results)
    assert lines["measured_by"].tolist() == lines["metric"].tolist()
    assert "stand-ins" not in check(3, results)["note"]
    results = grid_of({"w/o SS": 0.1}) | {
        Experiment("ac", "ac"): scores_at(0.2, **full)
    }
    assert set(compared(3, results)["measured_by"]) == set(METRICS)


def test_a_metric_without_stand_in_is_left_out_with_its_reason():
    results = grid_of({"w/o SS": 0.1}, metrics=("cider_d",))
    found = check(3, results)
    assert found["verdict"] == "holds"
    assert "METEOR, SPICE, SPIDEr, FENSE (needs its files)" in found["note"]
    lines = compared(3, results)
    assert (
        lines["difference"].notna().tolist() == (lines["metric"] == "cider_d").tolist()
    )


def test_the_widest_margin_is_that_over_every_other_ablation():
    levels = dict.fromkeys(MINUS, 0.1)
    assert check(6, grid_of(levels | {"w/o PD": 0.0}))["verdict"] == "holds"
    assert check(6, grid_of(levels | {"w/o PD": 0.15}))["verdict"] == "does not hold"
    almost = check(6, grid_of(levels | {"w/o PD": 0.0, "w/o TD": -0.1}))
    assert almost["verdict"] == "does not hold"
    assert "w/o TD against w/o PD, ac to cl" in almost["effect"]


@pytest.mark.parametrize(
    "level, verdict",
    [(0.15, "holds"), (0.05, "does not hold"), (0.25, "does not hold")],
)
def test_competitive_means_worse_but_above_four_fifths(level, verdict):
    """DRCap scores about 0.5, four fifths of which are 0.4; w/o TD 0.3 + level."""
    results = grid_of({"w/o TD": level})
    assert check(7, results)["verdict"] == verdict
    lines = compared(7, results)
    share = lines[(lines["share"] == 0.8) & (lines["metric"] == "cider_d")].iloc[0]
    of = [
        100 * results[row_experiment(row, "ac", "cl")].corpus["cider_d"]
        for row in ("w/o TD", "DRCap")
    ]
    assert share["difference"] == pytest.approx(of[0] - 0.8 * of[1])


def test_a_gain_on_fense_is_held_against_that_on_every_other_metric(monkeypatch):
    """Let an ablation stand for another system, as none is in the grid."""
    (*others, last) = claims.CLAIMS
    question = claims.Question("III", "ac", "ac", "DRCap", "w/o SS", gain_on="fense")
    gains = claims.Claim(8, last.statement, last.test, (question,))
    monkeypatch.setattr(claims, "CLAIMS", (*others, gains))
    results = grid_of({"w/o SS": 0.1})
    best, other = results[Experiment()], results[row_experiment("w/o SS", "ac", "ac")]
    lines = compared(8, results).set_index("metric")
    assert set(lines.index) == {"meteor", "cider_d", "spice", "spider"}
    gain = {
        name: 100 * (best.corpus[name] - other.corpus[name])
        for name in (SBERT_SIM, "meteor")
    }
    expected = gain[SBERT_SIM] - gain["meteor"]
    assert lines.loc["meteor", "difference"] == pytest.approx(expected)
    assert lines.loc["meteor", "measured_by"] == f"{SBERT_SIM} less meteor"
    assert lines.loc["meteor", "paper_difference"] == pytest.approx(4.4 - 3.5)
    best.per_clip[SBERT_SIM] = [value + 0.2 for value in best.per_clip[SBERT_SIM]]
    best.corpus[SBERT_SIM] += 0.2
    assert check(8, results)["verdict"] == "holds"
    assert "FENSE less CIDEr-D" in check(8, results)["effect"]


def printed(table, row, metric):
    return paper.paper_score(table, row, *PAIRS[table], metric)


def test_the_papers_tables_contradict_claim_4_on_spice_alone():
    against = [
        (table, metric)
        for table in PAIRS
        for metric in paper.METRICS
        if printed(table, "DRCap", metric) <= printed(table, "w/o RAG", metric)
    ]
    assert against == [("III", "spice")]
    found = check(4, {})
    assert found["in_the_papers_tables"] == "does not hold"
    said = "The paper's numbers against it: SPICE -0.4, DRCap against w/o RAG, ac."
    assert found["note"].endswith(said)


def test_the_papers_tables_contradict_claim_6_where_w_o_ss_is_lower():
    against = {
        (table, row, metric)
        for table in PAIRS
        for row in ("DRCap", "w/o SS", "w/o RAG", "w/o LoRA", "w/o TD")
        for metric in paper.METRICS
        if printed(table, row, metric) <= printed(table, "w/o PD", metric)
    }
    assert against == {
        ("IV", "w/o SS", name) for name in ("cider_d", "spider", "fense")
    }
    lines = compared(6, {})
    said = lines[lines["paper_difference"] <= 0]
    assert set(zip(said["table"], said["row"], said["metric"], strict=True)) == against
    assert check(6, {})["in_the_papers_tables"] == "does not hold"


def test_without_any_result_only_the_papers_tables_decide():
    frame = check_claims({}).set_index("claim")
    assert set(frame["verdict"]) == {"not decided"}
    borne_out = frame["in_the_papers_tables"] == "holds"
    assert {*frame.index[~borne_out]} == {4, 6, 8}


def test_the_same_results_give_the_same_frames_in_any_order():
    results = grid_of({"w/o SS": 0.19}, noise=0.1)
    backwards = dict(reversed(results.items()))
    pd.testing.assert_frame_equal(compare_claims(results), compare_claims(backwards))


def test_rows_scored_on_other_clips_are_refused():
    results = grid_of({"w/o SS": 0.1})
    short = {"cider_d": [0.5, 0.25]}
    results[row_experiment("w/o SS", "ac", "ac")] = Scores(2, {"cider_d": 0.375}, short)
    with pytest.raises(ValueError, match="50 clips cannot be paired with 2"):
        compare_claims(results)


def test_save_writes_every_comparison_and_a_page(tmp_path):
    results = grid_of({"w/o SS": 0.1, "w/o RAG": 0.3})
    table, page = save(results, tmp_path / "tables")
    assert (table.name, page.name) == ("claims.csv", "claims.md")
    read = pd.read_csv(table)
    frame = compare_claims(results)
    for column in ("difference", "low", "high", "probability", "paper_difference"):
        np.testing.assert_array_equal(read[column], frame[column])
    before = table.read_bytes(), page.read_bytes()
    save(results, tmp_path / "tables")
    assert (table.read_bytes(), page.read_bytes()) == before


def test_the_page_shows_verdicts_tests_and_differences(tmp_path):
    results = grid_of({"w/o SS": 0.1, "w/o RAG": 0.3})
    text = save(results, tmp_path)[1].read_text(encoding="utf-8")
    assert "## Claim 3: holds" in text
    assert "## Claim 4: does not hold" in text
    assert "## Claim 5: not decided" in text
    for claim in claims.CLAIMS:
        assert f"Test: {claim.test}" in text
    lines = compared(3, results)
    first = lines[lines["metric"] == "cider_d"].iloc[0]
    shown = f"{first['difference']:+.2f} [{first['low']:+.2f}, {first['high']:+.2f}]"
    assert f"| {shown} (+11.0)" in text
    assert "| – (+5.8)" in text  # w/o LoRA was not run
    assert f"| FENSE, ours by {SBERT_SIM}" in text
