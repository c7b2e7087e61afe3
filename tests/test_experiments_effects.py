"""What an ablation costs is compared, with its sign, to what it costs in the paper."""

import numpy as np
import pandas as pd
import pytest
from doubles_scores import grid_of

from drcap.evaluation.metrics import SBERT_SIM
from drcap.evaluation.tables import TITLES
from drcap.experiments.effects import (
    AGREES,
    CONTRADICTS,
    OPEN,
    UNAVAILABLE,
    conclusion,
    effects,
)
from drcap.experiments.grid import row_experiment

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


def test_a_stand_in_is_named_beside_the_metric(costly):
    assert f"FENSE, ours {TITLES[SBERT_SIM]}" in set(costly["metric"])


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


def test_the_conclusion_counts_the_metrics_of_each_group():
    frame = pd.DataFrame(
        {"group": ["a", "a", "a", "b"], "agrees": [AGREES, AGREES, OPEN, CONTRADICTS]}
    )
    first, second = conclusion(frame).splitlines()
    assert first == f"a: agrees with the paper, by metric: {AGREES} 2, {OPEN} 1"
    assert second.startswith("b:") and f"{CONTRADICTS} 1" in second
