"""What an ablation costs is compared, with its sign, to what it costs in the paper."""

import numpy as np
import pytest
from doubles_scores import grid_of, scores_at

from drcap.evaluation.bootstrap import interval
from drcap.evaluation.metrics import SBERT_SIM, SHUFFLED, Scores
from drcap.experiments import results
from drcap.experiments.effects import (
    ABSENT,
    AGREES,
    CONTRADICTS,
    OPEN,
    UNAVAILABLE,
    conclusion,
    did_not_learn,
    effects,
    paired,
    seed_scores,
    variances,
)
from drcap.experiments.grid import Experiment, row_experiment

DOMAINS = {"ac": "scapes-ac", "cl": "scapes-cl"}


def compare(row, against, results, **options):
    return effects(row, against, results, domains=DOMAINS, **options)


@pytest.fixture
def costly():
    return compare("DRCap", "w/o PD", grid_of({"w/o PD": 0.1}))


def test_a_row_is_compared_wherever_the_paper_has_it(costly):
    assert list(dict.fromkeys(costly["group"])) == [
        "scapes-ac",
        "scapes-ac to scapes-cl",
    ]
    without = compare("DRCap", "w/o TD", grid_of({"w/o TD": 0.1}))
    assert set(without["group"]) == {"scapes-ac to scapes-cl"}


def test_any_two_rows_of_a_table_can_be_compared():
    names = ("table1_in_domain", "table2_cross_domain")
    found = compare("DRCap_LAION", "DRCap", {}, tables=names)
    assert found["group"].nunique() == 4


def test_the_difference_is_that_of_the_means_in_points_of_per_cent(costly):
    results = grid_of({"w/o PD": 0.1})
    ours, theirs = (
        np.mean(results[row_experiment(row, "ac", "ac")].per_clip["cider_d"])
        for row in ("DRCap", "w/o PD")
    )
    line = costly.set_index(["group", "metric"]).loc["scapes-ac", "CIDEr-D"]
    assert line["difference"] == pytest.approx(100 * (ours - theirs))
    assert line["low"] < line["difference"] < line["high"]
    assert line["paper_difference"] == pytest.approx(70.5 - 31.2)


def test_the_judge_has_a_line_and_what_cannot_be_computed_has_none(costly):
    lines = costly.set_index("metric")
    assert set(lines.loc[SBERT_SIM, "agrees"]) == {ABSENT}
    assert "FENSE" not in lines.index


@pytest.mark.parametrize(
    "level, verdict", [(0.1, AGREES), (0.3, CONTRADICTS), (0.2, OPEN)]
)
def test_agreement_is_decided_by_the_interval(level, verdict):
    found = compare("DRCap", "w/o PD", grid_of({"w/o PD": level}, noise=0.05))
    cider = found[found["metric"] == "CIDEr-D"]
    assert set(cider["agrees"]) == {verdict}


def test_what_was_not_run_is_neither_agreed_nor_contradicted():
    found = compare("DRCap", "w/o PD", {})
    assert found["difference"].isna().all()
    assert set(found["agrees"]) == {UNAVAILABLE}
    assert set(found["metric"]) == {*results.METRICS.values()} - {"CIDEr"} | {
        *("CIDEr-D", SBERT_SIM)
    }


def test_the_conclusion_reads_cider_d_out_and_counts_the_metrics(costly):
    first, second, *_ = conclusion(costly).splitlines()
    line = costly.set_index(["group", "metric"]).loc["scapes-ac", "CIDEr-D"]
    assert first == (
        f"scapes-ac: in CIDEr-D, DRCap lies {line['difference']:.1f} points above "
        f"w/o PD (95 % interval {line['low']:+.1f} to {line['high']:+.1f}; "
        "the paper: +39.3)."
    )
    assert second == f"scapes-ac: agrees with the paper, by metric: {AGREES} 4."
    lost = conclusion(compare("w/o PD", "DRCap", grid_of({"w/o PD": 0.1})))
    assert "w/o PD lies 10." in lost and "points below DRCap" in lost
    assert conclusion(compare("DRCap", "w/o PD", {})).startswith(
        f"scapes-ac: agrees with the paper, by metric: {UNAVAILABLE} 6."
    )


# --- seeds ----------------------------------------------------------------------------


def test_scores_of_seeds_are_shifted_to_their_corpus_score():
    """Where it is no mean over clips, as METEOR."""
    runs = [
        Scores(2, {"meteor": 0.4}, {"meteor": [0.2, 0.4]}),
        Scores(2, {"meteor": 0.5}, {"meteor": [0.5, 0.5]}),
    ]
    assert seed_scores(runs, "meteor") == pytest.approx(np.array([[30, 50], [50, 50]]))
    short = Scores(1, {"meteor": 0.4}, {"meteor": [0.4]})
    with pytest.raises(ValueError, match=r"meteor: .* differ in clips \(1, 2\)"):
        seed_scores([runs[0], short], "meteor")


def test_rows_are_compared_on_the_seeds_that_both_have():
    seeds = {"DRCap": (0, 1, 2), "w/o SS": (2, 0, 5)}
    given = {
        row_experiment(row, "ac", "ac", seed): scores_at(0.2, seed=seed + len(row))
        for row, own in seeds.items()
        for seed in own
    }
    ours, theirs = paired(given, [(row, "ac", "ac") for row in seeds])
    assert ours == [given[Experiment(seed=seed)] for seed in (0, 2)]
    wanted = [given[Experiment(ablation="w/o SS", seed=seed)] for seed in (0, 2)]
    assert theirs == wanted


@pytest.mark.parametrize("shuffled, deaf", [(0.1, False), (0.99, True), (None, False)])
def test_a_row_did_not_learn_if_its_captions_do_as_well_on_other_clips(shuffled, deaf):
    runs = [scores_at(0.2, noise=0.2, seed=seed) for seed in range(3)]
    for run in runs:
        if shuffled is not None:
            run.corpus[SHUFFLED] = shuffled * run.corpus["cider_d"]
    assert did_not_learn(runs) is deaf
    assert not did_not_learn([])


def test_seeds_that_differ_do_not_hide_that_both_have_learned():
    runs = [scores_at(mean, noise=0.02, seed=seed) for seed, mean in enumerate((1, 2))]
    for run in runs:
        run.corpus[SHUFFLED] = 0.3 * run.corpus["cider_d"]
    shuffled = 100 * np.mean([run.corpus[SHUFFLED] for run in runs])
    assert interval(seed_scores(runs, "cider_d")).low < shuffled
    assert not did_not_learn(runs)


def test_the_variances_of_seeds_clips_and_machines_are_told_apart():
    rng = np.random.default_rng(0)
    levels = rng.normal(0.3, 0.04, 12)

    def run_of(shift):
        return {
            Experiment("ac", "cl", seed=seed): scores_at(level + shift, seed=seed)
            for seed, level in enumerate(levels)
        }

    [line] = variances(
        {"one thread": run_of(0.0), "two": run_of(0.02)}, domains=DOMAINS
    ).to_dict("records")
    assert (line["system"], line["corpora"]) == ("DRCap", "scapes-ac to scapes-cl")
    assert (line["seeds"], line["runs"]) == (12, 2)
    assert line["between seeds"] == pytest.approx(100 * levels.std(ddof=1), rel=0.1)
    assert line["between runs"] == pytest.approx(2 / 2**0.5)
    spread = 100 * np.hypot(0.2 / 12**0.5, 0.02)  # the clips' difficulty, and noise
    assert line["over clips"] == pytest.approx(spread / 50**0.5, rel=0.2)


def test_one_run_of_one_seed_has_variances_of_clips_alone():
    frame = variances({"here": {Experiment(): scores_at(0.2)}}, domains=DOMAINS)
    assert frame[["between seeds", "between runs"]].isna().all(axis=None)
    assert frame["over clips"].item() > 0
