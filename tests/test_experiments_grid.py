import pytest

from drcap.errors import ConfigError
from drcap.experiments.grid import (
    ABLATIONS,
    BASELINES,
    DOMAINS,
    PAPER_TABLES,
    ROWS,
    TABLES,
    Experiment,
    named,
    row_experiment,
    table_experiments,
)
from drcap.experiments.results import paper_rows
from drcap.systems import SYSTEMS

EVERY = [
    Experiment(train, test, system, ablation, seed)
    for train in DOMAINS
    for test in DOMAINS
    for system in SYSTEMS
    for ablation in ABLATIONS
    for seed in (0, 12)
    if not ablation or system not in BASELINES
]


def test_each_experiment_has_a_name_of_its_own_that_leads_back_to_it():
    assert len({each.name for each in EVERY}) == len(EVERY)
    assert all(named(each.name) == each for each in EVERY)


def test_an_impossible_experiment_is_an_error():
    with pytest.raises(ConfigError, match="unknown 'drcap_ac'"):
        named("drcap_ac")
    for wrong in ({"train": "audiocaps"}, {"ablation": "w/o all"}):
        with pytest.raises(ConfigError, match="unknown"):
            Experiment(**wrong)
    with pytest.raises(ConfigError, match="seed"):
        Experiment(seed=-1)
    with pytest.raises(ConfigError, match="wsac: has no ablation 'w/o PD'"):
        Experiment(system="wsac", ablation="w/o PD")


def test_only_what_changes_the_training_gets_a_captioner_of_its_own():
    cross = Experiment("ac", "cl")
    assert cross.training == Experiment("ac", "ac")
    for ablation in ("w/o PD", "w/o TD"):
        assert Experiment("ac", "cl", ablation=ablation).training == cross.training
    ours = ("range refitted", "w/o TD in training, too")
    for ablation in ("w/o SS", "w/o RAG", "w/o LoRA", *ours):
        own = Experiment("ac", "cl", ablation=ablation).training
        assert own == Experiment("ac", "ac", ablation=ablation)
    ours = [each for each in table_experiments() if each.system not in BASELINES]
    assert len({each.training for each in ours}) == 7


def test_every_system_but_one_embeds_with_drcaps_clap():
    claps = {name: Experiment(system=name).clap for name in SYSTEMS}
    assert claps == dict.fromkeys(SYSTEMS, "drcap") | {"drcap_seen": "drcap_seen"}


def test_each_table_has_the_papers_rows_in_its_order():
    for table in map(TABLES.get, PAPER_TABLES):
        for train, test in table.pairs:
            systems = [name for _, name in paper_rows(table.number, train, test)]
            assert list(table.rows) == systems and set(systems) <= set(ROWS)


def test_a_table_needs_each_of_its_cells_once_a_seed():
    for name, table in TABLES.items():
        cells = table_experiments([name], seeds=(0, 1))
        without = 2 if table.number == "S" else 0  # ZerAuCap across domains
        assert len(cells) == 2 * (len(table.pairs) * len(table.rows) - without)
        assert {each.seed for each in cells} == {0, 1}
    assert row_experiment("w/o TD", "ac", "cl") in table_experiments()


def test_the_table_of_one_language_model_has_every_system_that_shares_it():
    assert TABLES["table_shared_lm"].rows == (
        *("Prefix AAC", "RECAP", "EnCLAP-large", "ZerAuCap", "WSAC, shared LM"),
        *("Zhang et al.", "DRCap, noise", "DRCap"),
        *("Nearest caption", "Most common caption"),
    )
