"""From an experiment to its scores, on toy materials: every step but the corpora's."""

from dataclasses import replace

import numpy as np
import pytest
from doubles_experiments import TRAINING, WEAK, ToyMaterials
from doubles_systems import EVENTS, SMALL, FramesCLAP

from drcap.checkpoint import saved_weights
from drcap.config import override
from drcap.experiments import run
from drcap.experiments.grid import BASELINES, Experiment, table_experiments
from drcap.experiments.results import read_facts, read_table
from drcap.record import read_records
from drcap.systems.drcap import DRCap
from drcap.systems.zeraucap import SoundEvents

REFITTED = Experiment(system="drcap_seen", ablation="range refitted")
OTHERS = [Experiment("ac", "cl", name) for name in ("wsac", "recap", "common_caption")]
ALL = [each for each in table_experiments() if each.system not in BASELINES]
ALL += [REFITTED, *OTHERS]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("DRCAP_HOME", str(folder))
        patch.setattr(run, "score_systems", words_in_common)
        patch.setattr(run, "METRICS", {"words": None})
        patch.setattr(SoundEvents, "names", EVENTS)
        yield folder


def toy_materials(home, language_model):
    materials = ToyMaterials(home / "clips", language_model, FramesCLAP)
    materials.config = override(materials.config, {"baselines": SMALL})
    return materials


@pytest.fixture(scope="module")
def materials(home, language_model):
    return toy_materials(home, language_model)


@pytest.fixture(scope="module")
def reports(home, materials):
    folder = home / "reports"
    run.complete(ALL, materials, folder)
    return folder


def words_in_common(systems):
    """A metric that needs neither Java nor models."""
    scores = {}
    for name, (candidates, mult_references) in systems.items():
        clips = [
            float(len(set(candidate.split()) & set(" ".join(references).split())))
            for candidate, references in zip(candidates, mult_references, strict=True)
        ]
        corpus = {"words": float(np.mean(clips))}
        scores[name] = run.Scores(4, corpus, {"words": clips}, {"spice": "no jar"})
    return scores


def table(folder):
    return (folder / "predictions.parquet").read_bytes()


def test_each_experiment_leaves_captions_scores_and_a_record(reports, materials, home):
    records = read_records(reports, "experiments")
    assert [*records] == sorted(each.name for each in ALL)
    for experiment in ALL:
        clips = materials.clips(experiment.test, "test")
        predictions = run.read_predictions(experiment, reports)
        assert [p["clip_id"] for p in predictions] == [clip.clip_id for clip in clips]
        record = records[experiment.name]
        assert record["seed"] == 0 and record["experiment"]["train"] == experiment.train
        assert record["config"]["captioner"]["training"]["steps"] == 3
        fewer = {"training": {"steps": 2}} in record["changes"]
        assert fewer == (experiment.train == "cl")
        cost, trained = record["cost"], experiment.system != "common_caption"
        assert (cost["trained parameters"] > 0) == trained
        assert (cost["training seconds"] > 0) == trained
        assert cost["seconds a caption"] > 0
    results = run.read_scores(ALL, reports)
    assert list(results) == ALL
    assert all(each.unavailable == {"spice": "no jar"} for each in results.values())
    trainings = [path for path in (home / "runs").iterdir() if saved_weights(path)]
    # rows that differ at inference share one; the common caption has no weights
    assert len(trainings) == len({each.training for each in ALL}) - 1 == 10


def test_the_table_has_a_row_an_experiment_and_clip(reports):
    frame = read_table(reports)
    assert (
        len(frame) == 4 * len(ALL)
        and not frame.duplicated(["experiment", "clip_id"]).any()
    )
    one = read_table(reports, ALL[0].name)
    assert (one.system == "drcap").all() and one.words.tolist() == (
        run.read_scores([ALL[0]], reports)[ALL[0]].per_clip["words"]
    )
    assert {*one.similar_captions[0][0]} == {"caption", "similarity"}
    assert not [*reports.glob("runs")]


def test_what_is_done_is_not_done_again(reports, materials, monkeypatch):
    before = table(reports)
    for step in ("load_system", "score_systems"):
        monkeypatch.setattr(run, step, None)
    run.complete(ALL, materials, reports)
    assert table(reports) == before


def test_of_further_seeds_what_is_captioned_counts(reports, materials, monkeypatch):
    monkeypatch.setattr(run, "load_system", None)  # nothing is captioned
    both = [ALL[0], replace(ALL[0], seed=1)]
    assert list(run.complete(both, materials, reports, seeds=[0])) == both[:1]
    with pytest.raises(TypeError):
        run.complete(both, materials, reports)


def test_committed_results_are_read_where_the_cache_is_empty(
    reports, home, language_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    monkeypatch.setattr(run, "load_system", None)
    clone = toy_materials(home, language_model)
    assert list(run.complete(ALL, clone, reports)) == ALL
    assert not run.is_captioned(ALL[0], clone)  # in the cache


def test_the_same_grid_from_nothing_in_another_order_gives_the_same_bytes(
    reports, home, language_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    again = toy_materials(home, language_model)
    some = [ALL[0], ALL[1], Experiment("ac", "cl", ablation="w/o TD"), OTHERS[0]]
    for each in reversed(some):
        run.complete([each], again, tmp_path / "parts")
    run.complete(some, again, tmp_path / "whole")
    assert table(tmp_path / "parts") == table(tmp_path / "whole")
    expected = read_table(reports).set_index("experiment")
    for name, rows in read_table(tmp_path / "whole").groupby("experiment"):
        same = expected.loc[name, ["candidate", "words"]].to_numpy()
        assert (rows[["candidate", "words"]].to_numpy() == same).all()


def test_another_setting_makes_captions_stale(reports, home, language_model):
    other = toy_materials(home, language_model)
    assert run.is_captioned(ALL[0], other)
    assert not run.is_captioned(replace(ALL[0], seed=1), other)
    beams = {"captioner": {"generation": {"num_beams": 1}}}
    other.config = override(other.config, beams)
    assert not run.is_captioned(ALL[0], other, read_facts(reports))


def test_new_captions_a_fetched_asset_or_a_new_metric_make_scores_stale(
    materials, tmp_path, monkeypatch, home
):
    scored = []

    def watched(systems):
        scored.append(len(systems))
        return words_in_common(systems)

    monkeypatch.setattr(run, "score_systems", watched)
    for _ in range(2):
        run.complete([ALL[0]], materials, tmp_path)
    assert len(scored) == 1  # the captions are in the cache
    monkeypatch.setattr(run.assets, "lacking_metrics", lambda: ["fense-tinybert"])
    run.write_scores([ALL[0]], materials, tmp_path)
    run.complete([ALL[0]], materials, tmp_path)
    assert len(scored) == 2
    monkeypatch.setattr(run.assets, "lacking_metrics", lambda: [])  # it was fetched
    for _ in range(2):
        run.complete([ALL[0]], materials, tmp_path)
    assert len(scored) == 3
    file = run.captions_file(ALL[0], "smoke")
    text = file.read_text()
    file.write_text(text.replace('"candidate": "', '"candidate": "one '))
    run.complete([ALL[0]], materials, tmp_path)
    assert len(scored) == 4
    file.write_text(text)
    run.complete([ALL[0]], materials, tmp_path)
    monkeypatch.setattr(run, "METRICS", {"words": None, "letters": None})
    run.complete([ALL[0]], materials, tmp_path)
    assert len(scored) == 6


def test_results_of_other_settings_leave_the_table(
    reports, home, language_model, tmp_path
):
    changed = toy_materials(home, language_model)
    run.complete(OTHERS[-2:], changed, tmp_path)
    beams = {"captioner": {"retrieval": {"top_k": 2}}}
    changed.config = override(changed.config, beams)
    assert not run.complete(OTHERS[-1:], changed, tmp_path, seeds=[1])  # nor read
    run.complete(OTHERS[-1:], changed, tmp_path)
    names = {OTHERS[-1].name}
    assert {*read_table(tmp_path).experiment} == {*read_facts(tmp_path)} == names
    assert {*read_records(tmp_path, "experiments")} == names
    run.captions_file(OTHERS[-1], "smoke").unlink()


def test_the_configuration_is_the_recipe_with_one_change(materials):
    def settings(ablation, test="ac"):
        return run.configuration(Experiment("ac", test, ablation=ablation), materials)

    plain = settings("")
    assert plain.clap == "toy-drcap"
    assert not settings("w/o SS").retrieval.similarity_selection
    assert not settings("w/o RAG").retrieval.enabled
    assert not settings("w/o LoRA").captioner.lora
    assert not settings("w/o PD").projection.enabled
    assert settings("w/o TD", "cl") == plain
    # the toy spaces are the same, so the refitted range is the same
    refitted, own = run.configuration(REFITTED, materials).retrieval, plain.retrieval
    assert (refitted.sim_min, refitted.sim_max) == pytest.approx(
        (own.sim_min, own.sim_max), abs=0.02
    )


def test_without_target_text_neither_support_nor_datastore_holds_any(materials):
    clips = materials.clips("cl", "test")
    for ablation, support, target in (
        ("w/o TD", TRAINING["ac"], False),
        ("", TRAINING["cl"], True),
    ):
        experiment = Experiment("ac", "cl", ablation=ablation)
        assert run.support_captions(experiment, materials) == support
        similar = run.similar_captions(experiment, materials, clips)
        captions = {match.caption for matches in similar for match in matches}
        assert all(len(matches) == 10 for matches in similar)
        assert captions <= {*WEAK, *TRAINING["ac"], *TRAINING["cl"]}
        assert bool(captions & {*TRAINING["cl"]}) == target


def test_a_system_is_found_by_its_own_settings_alone(materials, home, language_model):
    wsac, noise = Experiment(system="wsac"), Experiment(system="drcap_noise")
    other = toy_materials(home, language_model)
    changed = {"baselines": {"wsac": {"noise_variance": 0.5}}}
    other.config = override(other.config, changed)
    folders = [
        [run._training(experiment, each)[-1] for experiment in (wsac, noise)]
        for each in (materials, other)
    ]
    assert folders[0][0] != folders[1][0] and folders[0][1] == folders[1][1]
    system = run.load_system(Experiment(ablation="w/o PD"), materials)
    assert isinstance(system, DRCap) and len(system.run.log) == 3
    assert not system.config.projection.enabled
