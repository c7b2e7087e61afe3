"""The paper's numbers are those it prints; what is odd in them is known."""

import math

import pytest

from drcap.experiments import results
from drcap.experiments.grid import DOMAINS, PAPER_TABLES, ROWS, TABLES


def test_every_table_has_all_its_lines():
    lines = results.paper_lines().reset_index()
    assert {
        (table, part["system"].nunique(), part.groupby(["train", "test"]).ngroups)
        for table, part in lines.groupby("table")
    } == {("I", 8, 2), ("II", 7, 2), ("III", 5, 1), ("IV", 6, 1)}
    assert len(lines) == len(lines.drop_duplicates(results.KEYS)) == 41
    assert set(lines["train"]) == set(results.DOMAINS) == set(DOMAINS)


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_the_paper_prints_every_row_and_pair_of_the_grid(name):
    table = TABLES[name]
    for pair in table.pairs:
        systems = [system for _, system in results.paper_rows(table.number, *pair)]
        ours = [system for system in systems if system in ROWS]
        assert ours == list(table.rows)


def test_rows_come_in_the_papers_order_with_their_section():
    assert results.paper_rows("II", "cl", "ac") == [
        ("supervised", "EnCLAP-large"),
        ("supervised", "Prefix AAC"),
        ("supervised", "RECAP"),
        ("zero-shot", "WSAC"),
        ("zero-shot", "Zhang et al."),
        ("zero-shot", "DRCap"),
        ("zero-shot", "DRCap_LAION"),
    ]
    assert results.paper_rows("III", "cl", "cl") == []


@pytest.mark.parametrize(
    "key, printed",
    [
        (("I", "DRCap", "ac", "ac", "cider_d"), 70.5),
        (("I", "EnCLAP-large", "cl", "cl", "fense"), 50.7),
        (("II", "DRCap", "cl", "ac", "fense"), 62.6),
        (("III", "w/o RAG", "ac", "ac", "spice"), 18.4),
        (("IV", "w/o TD", "ac", "cl", "meteor"), 13.4),
    ],
)
def test_numbers_are_found_by_the_grids_names(key, printed):
    assert results.paper_score(*key) == printed


def test_what_is_not_printed_is_nan():
    assert math.isnan(results.paper_score("I", "WSAC", "ac", "ac", "fense"))
    assert math.isnan(results.paper_score("III", "w/o TD", "ac", "ac", "meteor"))
    assert results.paper_lines()[[*results.METRICS]].isna().sum().sum() == 16


def test_spider_is_the_mean_of_cider_and_spice_but_for_recap():
    lines = results.paper_lines().reset_index()
    mean = (lines["cider_d"] + lines["spice"]) / 2
    off = (mean - lines["spider"]).abs().round(6) > 0.1
    assert set(lines["system"][off]) == {"RECAP"} and off.sum() == 4
    assert lines["recomputed"][off].tolist() == mean[off].tolist()
    assert lines["recomputed"][~off].isna().all()
    key = ("I", "RECAP", "cl", "cl")
    assert results.paper_score(*key, "spider") == 22.4
    assert results.paper_score(*key, "recomputed") == pytest.approx(26.8)


def test_the_ablation_tables_repeat_the_rows_of_drcap():
    for repeated, table, pair in (("III", "I", "ac ac"), ("IV", "II", "ac cl")):
        for metric in results.METRICS:
            key = ("DRCap", *pair.split(), metric)
            assert results.paper_score(repeated, *key) == results.paper_score(
                table, *key
            )
