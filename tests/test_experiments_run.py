"""From an experiment to its scores, on toy materials: every step but the corpora's."""

import json
from dataclasses import replace

import numpy as np
import pytest
from doubles_experiments import TRAINING, WEAK, ToyMaterials
from doubles_systems import EVENTS, SMALL, FramesCLAP

from drcap.checkpoint import saved_weights
from drcap.config import override
from drcap.experiments import run
from drcap.experiments.grid import BASELINES, Experiment, table_experiments
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


def contents(folder):
    names = ("predictions.jsonl", "scores.json")
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.name in names
    }


def test_each_experiment_leaves_captions_scores_and_a_record(reports, materials, home):
    for experiment in ALL:
        folder = run.folder_of(experiment, reports)
        clips = materials.clips(experiment.test, "test")
        records = run.read_predictions(experiment, reports)
        assert [r["clip_id"] for r in records] == [clip.clip_id for clip in clips]
        record = json.loads((folder / "run.json").read_text())
        assert record["seed"] == 0 and record["experiment"]["train"] == experiment.train
        steps = 2 if experiment.train == "cl" else 3
        assert record["config"]["training"]["steps"] == steps
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


def test_what_is_done_is_not_done_again(reports, materials, monkeypatch):
    before = contents(reports)
    for step in ("predict", "score_systems"):
        monkeypatch.setattr(run, step, None)
    run.complete(ALL, materials, reports)
    assert contents(reports) == before


def test_the_same_grid_from_nothing_gives_the_same_bytes(
    reports, home, language_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    again = toy_materials(home, language_model)
    some = [ALL[0], ALL[1], Experiment("ac", "cl", ablation="w/o TD"), OTHERS[0]]
    run.complete(some, again, tmp_path / "reports")
    made, expected = contents(tmp_path / "reports"), contents(reports)
    assert made == {path: expected[path] for path in made} and len(made) == 8


def test_another_setting_makes_captions_stale(reports, home, language_model):
    other = toy_materials(home, language_model)
    assert run.is_captioned(ALL[0], other, reports)
    assert not run.is_captioned(replace(ALL[0], seed=1), other, reports)
    beams = {"captioner": {"generation": {"num_beams": 1}}}
    other.config = override(other.config, beams)
    assert not run.is_captioned(ALL[0], other, reports)


def test_new_captions_a_fetched_asset_or_a_new_metric_make_scores_stale(
    reports, materials, tmp_path, monkeypatch
):
    folder = run.folder_of(ALL[0], tmp_path)
    folder.mkdir(parents=True)
    for name in ("predictions.jsonl", "scores.json", "run.json"):
        kept = run.folder_of(ALL[0], reports) / name
        (folder / name).write_bytes(kept.read_bytes())
    scored = []
    score = words_in_common

    def watched(systems):
        scored.append(len(systems))
        return score(systems)

    monkeypatch.setattr(run, "score_systems", watched)
    run.complete([ALL[0]], materials, tmp_path)
    assert not scored
    monkeypatch.setattr(run.assets, "lacking_metrics", lambda: ["fense-tinybert"])
    run.write_scores([ALL[0]], materials, tmp_path)
    run.complete([ALL[0]], materials, tmp_path)
    assert len(scored) == 1
    monkeypatch.setattr(run.assets, "lacking_metrics", lambda: [])  # it was fetched
    run.complete([ALL[0]], materials, tmp_path)
    run.complete([ALL[0]], materials, tmp_path)
    assert len(scored) == 2
    text = (folder / "predictions.jsonl").read_text()
    (folder / "predictions.jsonl").write_text(text.replace("A ", "One "))
    run.complete([ALL[0]], materials, tmp_path)
    assert len(scored) == 3
    monkeypatch.setattr(run, "METRICS", {"words": None, "letters": None})
    run.complete([ALL[0]], materials, tmp_path)
    assert len(scored) == 4


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
