"""From an experiment to its scores, on toy materials: every step but the corpora's."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles_experiments import TRAINING, WEAK, ToyMaterials

from drcap.experiments import prediction, scoring, sweeps, training
from drcap.experiments.grid import BASELINES, Experiment, table_experiments
from drcap.experiments.results import folder_of, read_predictions
from drcap.experiments.scoring import complete
from drcap.experiments.sweeps import copied_share, sweep
from drcap.projection import project

REFITTED = Experiment(system="drcap_seen", ablation="range refitted")
ALL = [each for each in table_experiments() if each.system not in BASELINES]
ALL.append(REFITTED)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("DRCAP_HOME", str(folder))
        patch.setattr(scoring, "score", words_in_common)
        yield folder


@pytest.fixture(scope="module")
def materials(home, language_model):
    return ToyMaterials(home / "clips", language_model)


@pytest.fixture(scope="module")
def reports(home, materials):
    folder = home / "reports"
    complete(ALL, materials, folder)
    return folder


def words_in_common(candidates, mult_references):
    """A metric that needs neither Java nor models."""
    clips = [
        float(len(set(candidate.split()) & set(" ".join(references).split())))
        for candidate, references in zip(candidates, mult_references, strict=True)
    ]
    corpus = {"words": float(np.mean(clips))}
    return scoring.Scores(len(clips), corpus, {"words": clips}, {"spice": "no jar"})


def contents(folder):
    names = ("predictions.jsonl", "scores.json")
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.name in names
    }


def test_each_experiment_leaves_captions_scores_and_a_record(reports, materials):
    for experiment in ALL:
        folder = folder_of(experiment, reports)
        clips = materials.clips(experiment.test, "test")
        records = read_predictions(experiment, reports)
        assert [r["clip_id"] for r in records] == [clip.clip_id for clip in clips]
        record = json.loads((folder / "run.json").read_text())
        assert record["seed"] == 0 and record["experiment"]["train"] == experiment.train
        assert record["config"]["training"]["steps"] == (
            2 if experiment.train == "cl" else 3
        )
    results = scoring.read_scores(ALL, reports)
    assert list(results) == ALL
    assert all(each.unavailable == {"spice": "no jar"} for each in results.values())


def test_rows_that_differ_at_inference_share_a_captioner(reports, materials, home):
    runs = [path.name for path in (home / "runs").iterdir()]
    assert len(runs) == len({each.training for each in ALL}) == 8


def test_what_is_done_is_not_done_again(reports, materials, monkeypatch):
    before = contents(reports)

    def never(*arguments):
        raise AssertionError("captioned or scored again")

    monkeypatch.setattr(scoring, "predict", never)
    monkeypatch.setattr(scoring, "score", never)
    complete(ALL, materials, reports)
    assert contents(reports) == before


def test_the_same_grid_from_nothing_gives_the_same_bytes(
    reports, home, language_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    again = ToyMaterials(home / "clips", language_model)
    some = [ALL[0], ALL[1], Experiment("ac", "cl", ablation="w/o TD")]
    complete(some, again, tmp_path / "reports")
    made = contents(tmp_path / "reports")
    expected = contents(reports)
    assert made == {path: expected[path] for path in made} and len(made) == 6


def test_another_setting_makes_a_run_stale(reports, materials, monkeypatch):
    assert scoring.is_predicted(ALL[0], "smoke", reports)
    assert not scoring.is_predicted(ALL[0], "demo", reports)
    assert not scoring.is_predicted(replace(ALL[0], seed=1), "smoke", reports)


def test_captions_made_again_make_their_scores_stale(reports, tmp_path):
    path = folder_of(ALL[0], tmp_path)
    path.mkdir(parents=True)
    for name in ("predictions.jsonl", "scores.json"):
        (path / name).write_bytes((folder_of(ALL[0], reports) / name).read_bytes())
    assert scoring.is_scored(ALL[0], tmp_path)
    (path / "predictions.jsonl").write_text("")
    assert not scoring.is_scored(ALL[0], tmp_path)


def test_the_configuration_is_the_recipe_with_one_change(materials):
    def settings(ablation, test="ac"):
        return training.configuration(
            Experiment("ac", test, ablation=ablation), materials
        )

    plain = settings("")
    assert plain.clap == "toy-drcap"
    assert not settings("w/o SS").retrieval.similarity_selection
    assert not settings("w/o RAG").retrieval.enabled
    assert not settings("w/o LoRA").captioner.lora
    assert not settings("w/o PD").projection.enabled
    assert settings("w/o TD", "cl") == replace(plain)


def test_the_range_is_refitted_in_the_space_of_the_other_clap(materials):
    refitted = training.configuration(ALL[-1], materials).retrieval
    own = materials.config.captioner.retrieval
    # the toy spaces are the same, so the same range comes out
    assert (refitted.sim_min, refitted.sim_max) == pytest.approx(
        (own.sim_min, own.sim_max), abs=0.02
    )


def test_without_target_text_neither_support_nor_datastore_holds_any(materials):
    experiment = Experiment("ac", "cl", ablation="w/o TD")
    assert prediction.support_captions(experiment, materials) == TRAINING["ac"]
    clips = materials.clips("cl", "test")
    found = prediction.similar_captions(experiment, materials, clips)
    captions = {match.caption for matches in found for match in matches}
    assert captions <= {*WEAK, *TRAINING["ac"]}
    whole = Experiment("ac", "cl")
    assert prediction.support_captions(whole, materials) == TRAINING["cl"]
    found = prediction.similar_captions(whole, materials, clips)
    assert {m.caption for matches in found for m in matches} & {*TRAINING["cl"]}


def test_the_captioner_is_given_projected_embeddings_and_the_first_captions(
    materials, monkeypatch
):
    given = {}

    def generate(captioner, embeddings, texts, config):
        given.update(embeddings=embeddings, texts=texts)
        return ["a caption"] * len(texts)

    monkeypatch.setattr(prediction, "generate", generate)
    space = materials.space("drcap")
    clips = materials.clips("ac", "test")
    audio = space.audio(clips)
    support = torch.from_numpy(space.text(TRAINING["ac"]))
    similar = space.similar(clips, 5)
    config = materials.config.captioner
    prediction.decode(None, audio, support, similar, config, 0.05)
    torch.testing.assert_close(given["embeddings"], project(audio, support, 0.05))
    assert given["texts"] == [[m.caption for m in row[:3]] for row in similar]
    plain = replace(
        config,
        projection=replace(config.projection, enabled=False),
        retrieval=replace(config.retrieval, enabled=False),
    )
    prediction.decode(None, audio, support, similar, plain, 0.05)
    assert given["embeddings"] is audio and given["texts"] == [[]] * 4


def test_a_space_keeps_what_it_embeds(materials, home):
    space = materials.space("drcap")
    clips = materials.clips("cl", "test")
    first, similar = space.audio(clips), space.similar(clips, 4)
    encoded = space.clap.encoded_captions
    again = ToyMaterials(home / "clips", "unused").space("drcap")
    torch.testing.assert_close(again.audio(clips), first)
    assert again.similar(clips, 4) == similar
    assert again.clap.encoded_captions == 0 and encoded <= len(set(materials.captions))
    direct = space.datastore.search(first, 4, exclude=TRAINING["ac"])
    assert space.similar(clips, 4, exclude=TRAINING["ac"]) == direct


def test_a_sweep_has_a_row_a_variant_and_captions_as_the_grid_does(
    materials, reports, monkeypatch
):
    def score(candidates, mult_references, metrics):
        return scoring.Scores(len(candidates), dict.fromkeys(metrics, 0.5))

    monkeypatch.setattr(sweeps, "score", score)
    variants = {
        "as it is": {},
        "no prompt": {"retrieval": {"enabled": False}},
        "small": {},
    }
    frame = sweep(
        Experiment(), materials, variants, subset="test", support_sizes={"small": 2}
    )
    assert list(frame.variant) == list(variants)
    records = read_predictions(Experiment(), reports)
    words = np.mean([len(record["candidate"].split()) for record in records])
    assert frame.words[0] == pytest.approx(words)
    assert frame.copied[1] == 0 and set(frame.cider_d) == {50.0}


def test_a_caption_is_copied_if_it_differs_in_case_and_full_stop_only():
    prompts = [["A dog barks.", "Rain"], ["Rain"], []]
    assert copied_share(["a dog barks", "rain falls", "rain"], prompts) == 1 / 3
