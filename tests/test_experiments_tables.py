"""Tables I to IV: every row of the paper, ours beside it, nothing lost or mixed up."""

import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from drcap.errors import ConfigError
from drcap.evaluation import bootstrap
from drcap.evaluation.metrics import SBERT_SIM, SHUFFLED, Scores
from drcap.experiments import results as paper
from drcap.experiments.grid import (
    PAPER_TABLES,
    TABLES,
    Experiment,
    row_experiment,
    table_experiments,
)
from drcap.experiments.results import NOT_COMPUTED
from drcap.experiments.tables import (
    cost_table,
    result_table,
    save,
    to_markdown,
)
from drcap.record import keep_records

CLIPS = 40
DOMAINS = {"ac": "scapes-ac", "cl": "scapes-cl"}
IN_DOMAIN, CROSS, ABLATION, CROSS_ABLATION, SHARED = TABLES
JAVA = "needs SPICE_1.0 & Java: install both (100 %)"
COMPUTED = ("meteor", "cider_d", SBERT_SIM)


def scores(experiment):
    """Scores in which METEOR of the corpus is not the mean over clips."""
    rng = np.random.default_rng(zlib.crc32(experiment.name.encode()))
    per_clip = {name: rng.uniform(0, 1, CLIPS).tolist() for name in COMPUTED}
    corpus = {name: float(np.mean(values)) for name, values in per_clip.items()}
    corpus["meteor"] += 0.05
    lacking = dict.fromkeys(("spice", "spider"), JAVA) | {"fense": "needs a model"}
    return Scores(CLIPS, corpus | dict.fromkeys(lacking), per_clip, lacking)


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 1_000)


@pytest.fixture(scope="module")
def results():
    return {each: scores(each) for each in table_experiments(seeds=(0, 1))}


def table(name, results):
    return result_table(name, results, domains=DOMAINS)


def line(frame, system, test, metric):
    keys = {"system": system, "test": test, "metric": metric}
    found = frame[(frame[list(keys)] == pd.Series(keys)).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def blocks(markdown):
    """Heading -> rows of cells, the header first."""
    found = {}
    for text in markdown.splitlines():
        if text.startswith("**"):
            rows = found.setdefault(text.strip("*"), [])
        elif text.startswith("|") and not text.startswith("|:"):
            rows.append([cell.strip() for cell in text.strip("|").split("|")])
    return found


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_every_row_of_the_paper_is_there_in_its_order(name, results):
    frame = table(name, results)
    for train, test in TABLES[name].pairs:
        block = frame[(frame["train"] == train) & (frame["test"] == test)]
        rows = list(dict.fromkeys(zip(block["section"], block["system"], strict=True)))
        assert rows == paper.paper_rows(TABLES[name].number, train, test)
    for each in frame.dropna(subset="paper").itertuples():
        key = each.table, each.system, each.train, each.test, each.metric
        assert each.paper == paper.paper_score(*key)


def test_ours_is_the_mean_over_seeds_in_per_cent(results):
    row = line(table(ABLATION, results), "w/o SS", "ac", "cider_d")
    runs = [results[row_experiment("w/o SS", "ac", "ac", seed)] for seed in (0, 1)]
    expected = 50 * sum(run.corpus["cider_d"] for run in runs)
    assert row["ours"] == pytest.approx(expected)
    assert (row["seeds"], row["clips"], row["paper"]) == (2, CLIPS, 59.5)


@pytest.mark.parametrize("metric", ["cider_d", "meteor"])
def test_the_interval_is_that_of_resampled_clips_around_the_corpus_score(
    metric, results
):
    row = line(table(CROSS, results), "DRCap", "cl", metric)
    runs = [results[Experiment("ac", "cl", seed=seed)] for seed in (0, 1)]
    clips = 100 * np.mean([run.per_clip[metric] for run in runs], axis=0)
    reach = 1.96 * clips.std() / CLIPS**0.5
    assert row["low"] == pytest.approx(row["ours"] - reach, abs=0.15 * reach)
    assert row["high"] == pytest.approx(row["ours"] + reach, abs=0.15 * reach)


def test_each_pair_of_domains_shows_its_own_runs(results):
    frame = table(IN_DOMAIN, results)
    for domain in DOMAINS:
        run = scores(Experiment(domain, domain))
        alone = table(IN_DOMAIN, {Experiment(domain, domain): run})
        row = line(alone, "DRCap", domain, "cider_d")
        assert row["ours"] == pytest.approx(100 * run.corpus["cider_d"])
        assert line(frame, "DRCap", domain, "cider_d")["seeds"] == 2
        other = {"ac": "cl", "cl": "ac"}[domain]
        assert pd.isna(line(alone, "DRCap", other, "cider_d")["ours"])


def test_the_reference_is_not_taken_for_drcap():
    seen = {Experiment(system="drcap_seen"): scores(Experiment())}
    frame = table(IN_DOMAIN, seen)
    assert pd.isna(line(frame, "DRCap", "ac", "cider_d")["ours"])
    assert line(frame, "DRCap_LAION", "ac", "cider_d")["seeds"] == 1


def test_both_corpora_are_named(results):
    assert list(blocks(to_markdown(table(IN_DOMAIN, results)))) == [
        "Ours: scapes-cl; the paper: Clotho",
        "Ours: scapes-ac; the paper: AudioCaps",
    ]
    text = to_markdown(table(CROSS, results))
    assert "Ours: scapes-ac to scapes-cl; the paper: AudioCaps to Clotho" in text
    assert "Ours: scapes-cl to scapes-ac; the paper: Clotho to AudioCaps" in text


def test_ours_and_the_papers_have_columns_of_their_own(results):
    frame = table(ABLATION, results)
    (header, first, *_), *_ = blocks(to_markdown(frame)).values()
    shown = dict(zip(header, first, strict=True))
    ours = line(frame, "DRCap", "ac", "cider_d")["ours"]
    judged = line(frame, "DRCap", "ac", SBERT_SIM)["ours"]
    assert shown == {
        "system": "DRCap",
        "METEOR": f"{line(frame, 'DRCap', 'ac', 'meteor')['ours']:.1f}",
        "METEOR, paper": "25.3",
        "CIDEr-D": f"{ours:.1f}",
        "CIDEr-D, paper": "70.5",
        SBERT_SIM: f"{judged:.1f}",
        "clips": str(CLIPS),
        "seeds": "2",
    }


def test_what_cannot_be_computed_is_a_line_beneath_and_no_column(results):
    text = to_markdown(table(IN_DOMAIN, results))
    assert f"\n\nNot computed: SPICE, SPIDEr ({JAVA}).\n\n" in text
    assert "\n\nNot computed: FENSE (needs a model).\n\n" in text
    some = {
        run: replace(own, corpus=own.corpus | {"spice": 0.5}, unavailable={})
        if run.system == "drcap"
        else own
        for run, own in results.items()
    }
    for run, own in some.items():
        if run.system == "drcap":
            own.per_clip["spice"] = [0.5] * CLIPS
    (header, first, *_), *_ = blocks(to_markdown(table(IN_DOMAIN, some))).values()
    assert dict(zip(header, first, strict=True))["SPICE"] == "n/a"


def shuffled(results, *seeds):
    """Results of which w/o SS does as well shuffled with these seeds, the rest not."""
    made = {}
    for run, own in results.items():
        deaf = run.ablation == "w/o SS" and run.seed in seeds
        corpus = {SHUFFLED: (1 if deaf else 0.1) * own.corpus["cider_d"]}
        made[run] = replace(own, corpus=own.corpus | corpus)
    return made


def test_a_row_that_did_not_learn_is_marked(results):
    written = to_markdown(table(ABLATION, shuffled(results)))
    assert "learn" not in written
    frame = table(ABLATION, shuffled(results, 0, 1))
    assert set(frame["system"][frame["did_not_learn"]]) == {"w/o SS"}
    assert "decides no claim: w/o SS, scapes-ac.\n" in to_markdown(frame)


def test_seeds_that_did_not_learn_are_counted_beside_those_that_did(results):
    frame = table(ABLATION, shuffled(results, 1)).set_index("system")
    assert set(frame.index[frame["seeds_not_learned"] > 0]) == {"w/o SS"}
    assert not frame["did_not_learn"].any()
    written = to_markdown(frame.reset_index())
    assert "some of its seeds did not learn: w/o SS, scapes-ac (1 of 2).\n" in written


def test_a_metric_that_nobody_tried_says_so():
    run = Scores(2, {"meteor": 0.5}, {"meteor": [0.4, 0.6]})
    frame = table(ABLATION, {Experiment(): run})
    row = line(frame, "DRCap", "ac", "cider_d")
    assert pd.isna(row["ours"]) and row["unavailable"] == NOT_COMPUTED


def test_systems_that_were_not_run_show_the_papers_number_alone(results):
    others = {key: run for key, run in results.items() if key.system != "prefix_aac"}
    frame = table(IN_DOMAIN, others)
    (header, first, *_), *_ = blocks(to_markdown(frame)).values()
    shown = dict(zip(header, first, strict=True))
    assert (shown["setting"], shown["system"]) == ("supervised", "Prefix AAC")
    keys = "METEOR", "METEOR, paper", "CIDEr-D, paper", "seeds"
    assert [shown[key] for key in keys] == ["–", "17.0", "39.2", "–"]
    row = line(frame, "Prefix AAC", "cl", "meteor")
    assert pd.isna(row["ours"]) and row["seeds"] == 0 and row["unavailable"] == ""


def test_without_any_result_the_papers_table_remains():
    (header, *rows), *_ = blocks(to_markdown(table(CROSS_ABLATION, {}))).values()
    titles = ["METEOR", "CIDEr-D", "SPICE", "SPIDEr", "FENSE"]
    columns = [column for name in titles for column in (name, f"{name}, paper")]
    assert header == ["system", *columns, SBERT_SIM, "clips", "seeds"]
    assert rows[4][:5] == ["w/o TD", "–", "13.4", "–", "27.5"]


def test_a_spider_that_the_paper_got_wrong_has_a_line_beneath(results):
    text = to_markdown(table(IN_DOMAIN, results))
    assert (
        "\n\nThe paper prints SPIDEr 22.4 for RECAP on Clotho, where the mean of CIDEr "
        "and SPICE is 26.80.\n" in text
    )


def test_a_table_of_ours_has_its_own_rows_and_no_number_of_the_paper(results):
    frame = table(SHARED, results)
    assert list(frame["system"].unique()) == list(TABLES[SHARED].rows)
    assert set(frame["section"]) == {"supervised", "zero-shot", "floor"}
    assert frame["paper"].isna().all() and (frame["seeds"] == 2).all()
    (header, *_), *_ = blocks(to_markdown(frame)).values()
    assert not any("paper" in column for column in header)


def test_the_reference_is_described(results):
    text = to_markdown(table(CROSS, results))
    assert "Our DRCap_LAION: DRCap, CLAP has seen the targets." in text
    assert "DRCap_LAION" not in to_markdown(table(ABLATION, results))


def test_save_writes_full_precision_and_both_pages(tmp_path, results):
    paths = save(CROSS, results, tmp_path, domains=DOMAINS)
    assert [path.name for path in paths] == [f"{CROSS}.{s}" for s in ("csv", "md")]
    frame = table(CROSS, results)
    read = pd.read_csv(paths[0])
    for column in ("ours", "low", "high", "paper"):
        np.testing.assert_array_equal(read[column], frame[column])
    assert paths[1].read_text(encoding="utf-8") == to_markdown(frame)


def test_saving_again_writes_the_same_bytes(tmp_path, results):
    backwards = dict(reversed(results.items()))
    first = save(IN_DOMAIN, results, tmp_path / "one", domains=DOMAINS)
    second = save(IN_DOMAIN, backwards, tmp_path / "two", domains=DOMAINS)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_seeds_on_other_clips_are_refused():
    runs = {
        Experiment(): Scores(2, {"meteor": 0.5}, {"meteor": [0.4, 0.6]}),
        Experiment(seed=1): Scores(3, {"meteor": 0.5}, {"meteor": [0.5] * 3}),
    }
    with pytest.raises(ValueError, match=r"meteor: .* differ in clips \(2, 3\)"):
        table(ABLATION, runs)


def test_an_unknown_table_is_named_with_those_there_are():
    with pytest.raises(ConfigError, match="'table5'; choose one of table1_in_domain"):
        table("table5", {})


def test_each_system_has_a_line_of_mean_score_and_costs(tmp_path):
    results = {}
    for number, row in enumerate(("DRCap", "w/o PD")):
        for seed in (3, 4):
            experiment = row_experiment(row, "ac", "cl", seed=seed)
            results[experiment] = Scores(2, {"cider_d": number / 4 + seed / 100})
            cost = {"trained parameters": number, "seconds a caption": seed / 10}
            record = {experiment.name: {"cost": cost}}
            keep_records(tmp_path, "experiments", record)
    table = cost_table(results, tmp_path)
    assert table.to_dict("records")[1] == {
        "system": "w/o PD",
        "runs": 2,
        "CIDEr-D": pytest.approx(28.5),
        "trained parameters": 1,
        "seconds a caption": pytest.approx(0.35),
    }
